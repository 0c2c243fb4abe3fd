import numpy as np
import pytest

from sim2real_sysid.commands import CommandHistory, Following

LAGS = np.array([[0.0, 0.0], [0.02, 0.05]])


def brute(stamps, values, lag, time):
    """The lag's output by many small steps."""
    grid = np.linspace(stamps[0], time, 200001)
    held = values[np.maximum(np.searchsorted(stamps, grid[:-1], side='right') - 1, 0)]
    decay = np.exp(-(grid[1] - grid[0]) / lag)
    state = values[0]
    for command in held:
        state = command + (state - command) * decay
    return state


def filled(count=30, period=0.02, seed=0, timeout=0.25):
    """A history of regular commands, and what it was filled with."""
    rng = np.random.default_rng(seed)
    stamps = period * np.arange(count)
    values = np.cumsum(rng.normal(size=(count, 2)), axis=0)
    history = CommandHistory(LAGS, timeout)
    for stamp, value in zip(stamps, values):
        history.push(stamp, value)
    return history, stamps, values


def test_a_lag_follows_exactly():
    history, stamps, values = filled()
    time = 0.5137
    out, known = history.at(np.full((2, 2), time), np.array([0, 1]))
    assert known.all()
    assert out[0] == pytest.approx(values[int(time / 0.02)], abs=1e-9)  # no lag at all
    for joint, lag in enumerate(LAGS[1]):
        assert out[1, joint] == pytest.approx(brute(stamps, values[:, joint], lag, time), abs=2e-4)


def test_a_command_of_this_very_instant_does_not_count():
    history, stamps, values = filled()
    out, _ = history.at(np.full((1, 2), stamps[20]), np.array([0]))
    assert out[0] == pytest.approx(values[19], abs=1e-9)


def test_other_lags_follow_what_is_known():
    history, stamps, values = filled()
    history.follow(np.array([[0.01, 0.01], [0.03, 0.03]]))
    out, _ = history.at(np.full((1, 2), 0.55), np.array([1]))
    assert out[0, 0] == pytest.approx(brute(stamps, values[:, 0], 0.03, 0.55), abs=2e-4)


def test_times_before_and_long_after_the_commands_are_not_known():
    history, stamps, _ = filled()
    for time, expected in ((-0.1, False), (0.55, True), (stamps[-1] + 0.03, True), (2.0, False)):
        _, known = history.at(np.full((1, 2), time), np.array([0]))
        assert known.all() == known.any() == expected, time


def test_a_lost_command_lies_between_its_neighbours():
    whole, stamps, values = filled(60)
    history = CommandHistory(LAGS, 0.25)
    for k in range(60):
        if k != 50:
            history.push(stamps[k], values[k])
    out, known = history.at(np.full((1, 2), stamps[50] + 0.01), np.array([0]))
    assert known.all()
    assert out[0] == pytest.approx(0.5 * (values[49] + values[51]))
    assert whole.newest == history.newest


def test_a_long_silence_is_not_bridged():
    history, stamps, values = filled(60)
    history.push(stamps[-1] + 0.2, values[0])
    _, known = history.at(np.full((1, 2), stamps[-1] + 0.1), np.array([0]))
    assert not known.any()
    _, known = history.at(np.full((1, 2), stamps[-1] + 0.21), np.array([1]))
    assert not known.any()  # the lag remembers what was missed


def test_commands_at_will_are_held_and_none_is_missing():
    rng = np.random.default_rng(1)
    history = CommandHistory(LAGS, 10.0)
    stamps = np.cumsum(rng.uniform(0.01, 0.5, 60))
    for stamp in stamps:
        history.push(stamp, np.full(2, stamp))
    time = 0.5 * (stamps[50] + stamps[51])
    out, known = history.at(np.full((1, 2), time), np.array([0]))
    assert known.all()
    assert out[0] == pytest.approx(stamps[50], abs=1e-9)


def test_late_commands_and_nonsense_are_left_out():
    history, stamps, values = filled()
    history.push(stamps[-1] - 0.01, values[0])
    history.push(np.nan, values[0])
    assert history.newest == stamps[-1]
    history.push(stamps[-1] + 0.02, np.array([1.0, np.nan]))
    _, known = history.at(np.full((1, 2), stamps[-1] + 0.03), np.array([0]))
    assert not known.any()  # what was commanded is not known


def test_time_that_starts_anew_forgets():
    history, _, values = filled()
    history.push(-5.0, values[0])
    assert history.newest == -5.0
    _, known = history.at(np.full((1, 2), 0.3), np.array([0]))
    assert not known.any()


def test_history_is_as_long_as_it_must_be_and_no_longer():
    history, stamps, values = filled(9000, period=0.001)
    assert len(history._stamps) < 9000
    out, known = history.at(np.full((1, 2), stamps[-1] - 1.0005), np.array([0]))
    assert known.all()
    assert out[0] == pytest.approx(values[-1002], abs=1e-9)


def test_lines_about_delay_and_lag_have_them_as_coefficients():
    following = Following(2, 0.25, np.zeros(0))
    rng = np.random.default_rng(2)
    values = np.cumsum(rng.normal(size=(60, 2)), axis=0)
    timing = np.array([[0.012, 0.005], [0.02, 0.03]])
    following.aim(timing, np.full((2, 2), 1e-4))
    for k, value in enumerate(values):
        following.history.push(0.02 * k, value)
    (value, by_delay, by_lag, bend), known = following.at(np.array([0.777]))
    assert known.all()
    for joint in range(2):
        delay, lag = timing[:, joint]

        def followed(d, t, joint=joint):
            return brute(0.02 * np.arange(60), values[:, joint], t, 0.777 - d)

        line = value[0, joint] + by_delay[0, joint] * delay + by_lag[0, joint] * lag
        assert line == pytest.approx(followed(delay, lag), abs=1e-2)
        slope = (followed(delay + 1e-3, lag) - followed(delay - 1e-3, lag)) / 2e-3
        assert by_delay[0, joint] == pytest.approx(slope, rel=0.05)
        slope = (followed(delay, lag + 1e-3) - followed(delay, lag - 1e-3)) / 2e-3
        assert by_lag[0, joint] == pytest.approx(slope, rel=0.05)
        assert bend[0, joint] < 1e-3
