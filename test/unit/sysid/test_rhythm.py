"""Samples in step with commands: what they cannot tell of a drive is not told."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_sysid.drives import DriveIdentifier
from sim2real_sysid.rhythm import Rhythm

BETWEEN = 0.02  # s, from one command to the next
GAIN, DELAY, LAG = 0.95, 0.007, 0.012


MEMORY = 60.0  # s


def heard(found, per_command, rough, jitter=0.0, first=0.0, jump=0.0):
    """``found`` after 500 more commands and so many samples for each."""
    rng = np.random.default_rng(0)
    for k in range(500):
        values = np.sin(0.05 * k) + rough * rng.normal(size=2) + jump * (k > 250)
        found.command(first + k * BETWEEN, values)
        phases = (np.arange(per_command) + jitter * rng.normal(size=per_command)) / per_command
        found.sample(phases)
    return found.apart(np.full(2, 0.02))


@pytest.mark.parametrize('per_command', [1, 2, 3])
def test_few_phases_of_steps_that_are_alike_leave_delay_and_lag_open(per_command):
    assert (heard(Rhythm(2, MEMORY), per_command, 0.0) > 0.004).all()


def test_more_phases_or_none_in_particular_tell_them_apart():
    for per_command, jitter in ((4, 0.0), (5, 0.0), (2, 0.3)):
        assert (heard(Rhythm(2, MEMORY), per_command, 0.0, jitter) == 0.0).all()


def test_steps_that_differ_tell_more_but_not_a_single_one():
    alike = heard(Rhythm(2, MEMORY), 2, 0.0)
    assert (heard(Rhythm(2, MEMORY), 2, 0.3) < 0.1 * alike).all()
    assert (heard(Rhythm(2, MEMORY), 2, 0.0, jump=3.0) > 0.9 * alike).all()


def test_a_lost_command_is_no_step_that_differs():
    found, rng = Rhythm(2, MEMORY), np.random.default_rng(1)
    lost = rng.random(500) < 0.3
    for k in np.flatnonzero(~lost):
        found.command(k * BETWEEN, np.full(2, np.sin(0.05 * k)), follows=k > 0 and not lost[k - 1])
        found.sample(np.zeros(2))
    assert (found.apart(np.full(2, 0.02)) > 0.004).all()


def test_what_was_long_ago_is_forgotten():
    found = Rhythm(2, 5.0)
    assert (heard(found, 5, 0.0) == 0.0).all()
    assert (heard(found, 1, 0.0, first=100.0) > 0.004).all()


def test_nothing_heard_is_nothing_said():
    assert (Rhythm(2, MEMORY).apart(np.full(2, 0.02)) == 0.0).all()


def fed(per_command, irregular=0.0):
    """Drives of the arm that were fed a smooth motion with this many samples for each command."""
    profile = load_profile('arm6')
    stiffness, damping = profile.array('stiffness'), profile.array('damping')
    fine, rng = 1e-3, np.random.default_rng(1)
    times = np.arange(0.0, 40.0, fine)
    phases = rng.uniform(0.0, 6.0, (3, 6))

    def motion(t, order=0):
        rates = 2.0 * np.pi * np.array([0.11, 0.23, 0.4])
        turned = rates * t[:, None] + 0.5 * np.pi * order
        return 0.3 * (np.sin(turned[:, :, None] + phases) * rates[:, None] ** order).sum(axis=1)

    sent = np.arange(0.0, 40.0, BETWEEN)
    sent = np.round(sent + irregular * rng.uniform(0.0, 1.0, len(sent)), 3)
    load = np.sin(2.0 * np.pi * 0.07 * sent[:, None] + phases[0])  # rad that the loop gives way
    commands = motion(sent + 0.03) + 0.1 * load
    held = commands[np.maximum(np.searchsorted(sent, times - DELAY + 1e-9) - 1, 0)]
    followed, decay = np.empty_like(held), np.exp(-fine / LAG)
    state = held[0]
    for k, value in enumerate(held):
        followed[k] = state
        state = value + (state - value) * decay
    samples = np.arange(0, len(times), round(BETWEEN / per_command / fine))
    position, velocity = motion(times), motion(times, 1)
    effort = GAIN * (stiffness * (followed - position) - damping * velocity)
    effort = effort[samples] + 0.02 * rng.normal(size=(len(samples), 6))
    position = position[samples] + 2e-5 * rng.normal(size=(len(samples), 6))
    identifier, k = DriveIdentifier(profile), 0
    for first in range(0, len(samples), 5):
        part = slice(first, first + 5)
        stamps = times[samples[part]]
        while k < len(sent) and sent[k] <= stamps[-1]:
            identifier.command(float(sent[k]), commands[k])
            k += 1
        identifier.follow(stamps, position[part], effort[part])
    return identifier.estimates()[0]


@pytest.mark.parametrize('per_command', [1, 2, 5])
def test_a_drive_is_not_known_better_than_its_samples_tell(per_command):
    truth = {'gain': GAIN, 'delay': DELAY, 'time_constant': LAG}
    found = fed(per_command)
    known = {a.rpartition('.')[2] for a, p in found.items() if p.status == 'identified'}
    assert 'gain' in known
    assert (known >= {'delay', 'time_constant'}) == (per_command == 5)
    for address, p in found.items():
        if p.status == 'identified':
            assert abs(p.mean - truth[address.rpartition('.')[2]]) < 4.0 * p.std, address


def test_irregular_commands_are_in_step_with_nothing():
    found = fed(5, 0.018)
    assert sum(p.status == 'identified' for p in found.values()) > 12
    truth = {'gain': GAIN, 'delay': DELAY, 'time_constant': LAG}
    for address, p in found.items():
        if p.status == 'identified':
            assert abs(p.mean - truth[address.rpartition('.')[2]]) < 4.0 * p.std + 1e-3, address
