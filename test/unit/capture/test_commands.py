"""Which command is in force."""

import numpy as np

from sim2real_capture.commands import Commands

MS = 1_000_000


def test_a_joint_state_that_waited_finds_the_command_of_its_time():
    """An observer may be 50 joint states late, and has taken every command since."""
    commands = Commands(timeout=0.5)
    for number in range(60):
        commands.add('applied', np.array([float(number)]), number * 4 * MS)
    for number in (5, 30, 59):
        stamp = number * 4 * MS + 1
        assert commands.in_force(stamp, stamp - 4 * MS) == [number]


def test_a_command_is_heeded_for_its_time_only():
    commands = Commands(timeout=0.5)
    commands.add('sent', np.array([1.0]), 0)
    assert commands.in_force(500 * MS, 496 * MS) == [1.0]
    assert commands.in_force(501 * MS, 497 * MS) is None
    commands.clear()
    assert commands.in_force(500 * MS, 496 * MS) is None
