"""Settings: defaults hold, everything wrong is named at once."""

import pytest

from sim2real_capture.config import CaptureConfig, ReceiverConfig
from sim2real_core.errors import InputError


def test_defaults_hold_and_are_described():
    CaptureConfig()
    ReceiverConfig()
    for row in (*CaptureConfig.table(), *ReceiverConfig.table()):
        assert row.description.endswith('.') and row.read_only


def test_every_fault_is_named():
    with pytest.raises(InputError) as caught:
        CaptureConfig(
            before=50.0, after=20.0, ring_bytes=1 << 30, spool_bytes=1 << 20, folder='',
            receiver='workstation:8378',
        )  # fmt: skip
    assert {fault.field for fault in caught.value.faults} == {
        'longest', 'ring_bytes', 'clip_bytes', 'folder', 'receiver'
    }  # fmt: skip


@pytest.mark.parametrize(
    'url', ['http://127.0.0.1:8378', 'https://workstation', 'http://[::1]:80/', '']
)
def test_addresses(url):
    assert CaptureConfig(receiver=url).receiver == url
