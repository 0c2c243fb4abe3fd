"""How much of what a motion asks of drives comes in steps of the effort."""

import numpy as np
import pytest

from sim2real_sysid.servo import Servo
from sim2real_sysid.steps import Steps

STIFFNESS, DAMPING, MASS = 4000.0, 250.0, 1.0
PERIOD, BETWEEN = 0.004, 0.02
WHOLE = PERIOD / np.sqrt(12.0)  # of a step anywhere between two samples


def moved(limit=np.inf, lag=0.0, smooth=False, late=1e-3, duration=40.0, substep=1e-4):
    """Positions and efforts (n, 1), sampled, of a mass on a drive that hears commands at 50 Hz."""
    time = substep * np.arange(round(duration / substep))
    heard = time if smooth else BETWEEN * np.floor((time - late) / BETWEEN + 1e-9)
    command = 0.3 * np.sin(1.3 * heard) + 0.1 * np.sin(3.1 * heard + 1.0)
    q, v, followed = command[0], 0.0, command[0]
    rows = np.zeros((len(time), 2))
    for k, asked in enumerate(command):
        followed += (asked - followed) * (substep / lag if lag > 0.0 else 1.0)
        effort = np.clip(STIFFNESS * (followed - q) - DAMPING * v, -limit, limit)
        rows[k] = q, effort
        v += substep * (effort - 5.0 * v) / MASS
        q += substep * v
    rows = rows[:: round(PERIOD / substep)]
    return rows[:, :1], rows[:, 1:]


def timing(positions, efforts, lag=0.0, parts=1):
    """Of those samples, pushed in so many parts."""
    array = np.array
    servo = Servo(array([STIFFNESS]), array([STIFFNESS]), array([DAMPING]), array([False]))
    steps = Steps(servo, BETWEEN, PERIOD)
    for part in zip(np.array_split(positions, parts), np.array_split(efforts, parts)):
        steps.push(*part)
    return steps.timing(np.array([lag])).item()


@pytest.mark.parametrize('late', [1e-4, 1e-3, 2e-3, 3.9e-3])
def test_steps_that_come_with_the_commands_may_be_anywhere_between_samples(late):
    # Of one just behind a sample two thirds are gone by the next.
    assert 0.65 * WHOLE < timing(*moved(late=late)) <= WHOLE


def test_noise_makes_steps_neither_more_nor_less():
    rng = np.random.default_rng(0)
    positions, efforts = moved(smooth=True)
    noisy = efforts + 0.5 * rng.normal(size=efforts.shape)
    assert timing(positions, efforts) < 0.01 * WHOLE
    assert timing(positions + 5e-5 * rng.normal(size=positions.shape), noisy) < 0.05 * WHOLE


def test_a_drive_at_its_limit_makes_smaller_steps_than_its_stiffness_asks_for():
    assert timing(*moved(limit=5.0)) < 0.5 * timing(*moved())


def test_a_lag_smooths_steps():
    assert timing(*moved(lag=0.012), lag=0.012) < 0.06 * WHOLE


def test_behind_a_long_lag_steps_are_there_although_none_is_seen():
    told = timing(*moved(limit=1e-3, lag=0.012), lag=0.012)
    assert 0.04 * WHOLE < told < 0.06 * WHOLE


def test_parts_say_what_the_whole_says():
    positions, efforts = moved()
    assert timing(positions, efforts, parts=2000) == pytest.approx(timing(positions, efforts))


def test_missing_efforts_and_gaps_are_no_steps():
    positions, efforts = moved(smooth=True)
    efforts[::100] = np.nan
    steps = Steps(
        Servo(*(np.array([g]) for g in (STIFFNESS, STIFFNESS, DAMPING, False))), BETWEEN, PERIOD
    )
    for k, part in enumerate(np.array_split(efforts, 5)):
        steps.restart()
        steps.push(np.array_split(positions, 5)[k], part + 1000.0 * k)
    assert steps.timing(np.zeros(1)).item() < 0.01 * WHOLE


def test_nothing_moves_and_nothing_is_left_open():
    assert timing(np.zeros((100, 1)), np.ones((100, 1))) == 0.0


@pytest.mark.parametrize('every', [2, 3, 4])
def test_where_efforts_repeat_all_may_be_steps(every):
    positions, efforts = moved(late=3.8e-3)
    held = efforts[np.arange(len(efforts)) // every * every]
    assert timing(positions, held) == pytest.approx(WHOLE)


@pytest.mark.parametrize('samples', [1, 2])
def test_with_few_samples_a_command_all_may_be_steps(samples):
    positions, efforts = (values[:: 5 // samples] for values in moved())
    period = BETWEEN / samples
    servo = Servo(*(np.array([g]) for g in (STIFFNESS, STIFFNESS, DAMPING, False)))
    steps = Steps(servo, BETWEEN, period)
    steps.push(positions, efforts)
    assert steps.timing(np.zeros(1)).item() == pytest.approx(period / np.sqrt(12.0))
