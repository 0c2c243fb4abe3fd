import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_policy.action import Action, ActionMap

DEFAULT = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ('meaning', 'expected'),
    [
        ('position', [1.0 + 0.5 + 2.0, 2.0 - 0.5 - 3.0]),
        ('delta', [10.0 + 0.5 + 2.0, 20.0 - 0.5 - 3.0]),
        ('velocity', [0.5 + 2.0, -0.5 - 3.0]),
        ('effort', [0.5 + 2.0, -0.5 - 3.0]),
    ],
)
def test_order_of_each_meaning(meaning, expected):
    action = Action(meaning=meaning, scale=(2.0, 3.0), offset=(0.5, -0.5))
    orders = ActionMap(action, DEFAULT).order(
        np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([[10.0, 20.0], [0.0, 0.0]])
    )
    np.testing.assert_allclose(orders[0], expected)


def test_clip_limits_what_the_network_says():
    action = ActionMap(Action(meaning='delta', scale=(1.0, 1.0), clip=0.5), DEFAULT)
    np.testing.assert_array_equal(action.limited(np.array([3.0, -0.2])), [0.5, -0.2])
    free = ActionMap(Action(meaning='delta', scale=(1.0, 1.0)), DEFAULT)
    np.testing.assert_array_equal(free.limited(np.array([3.0, -0.2])), [3.0, -0.2])


def test_names_every_fault():
    with pytest.raises(InputError) as caught:
        Action(meaning='wish', scale=(1.0, float('nan')), offset=(1.0, True, 2.0), clip=-1)
    fields = {fault.field for fault in caught.value.faults}
    assert fields == {'meaning', 'scale[1]', 'offset[1]', 'offset', 'clip'}
