import pytest

from sim2real_core.errors import InputError
from sim2real_policy.config import PolicyConfig


def test_a_paced_policy_acts_on_stamps_only():
    with pytest.raises(InputError, match='must be sensor where paced is true'):
        PolicyConfig(paced=True, control='timer')
    assert PolicyConfig(paced=True).control == 'sensor'
