"""Identification from whole recordings, against truths that are known."""

import dataclasses

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.batch import least_squares
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording, clean, split
from sim2real_sysid.batch.fit import fit
from sim2real_sysid.batch.rollouts import Rollouts, cut
from sim2real_sysid.batch.scores import Scores, whiteness
from sim2real_sysid.batch.signals import plateaus

LEAST_SQUARES = FitConfig(method='least_squares', threads=1)
NONE = np.zeros((0, 2))


def raw_of(record, keep=None):
    """A recording as it would come from a bag."""
    keep = slice(None) if keep is None else keep
    return RawRecording(
        'log', record.stamp[keep], record.position[keep], record.effort[keep], np.zeros(0), NONE
    )


@pytest.fixture(scope='module', name='log')
def fixture_log(tmp_path_factory):
    """Profile, truth and recording of the two-joint arm, 20 s."""
    from test.unit.sysid.conftest import PENDULUM, Robot, write_profile

    urdf = PENDULUM.replace('TYPE', 'revolute')
    profile = write_profile(
        tmp_path_factory.mktemp('arm'), urdf, ('hip', 'knee'), payload_link='tool'
    )
    robot = Robot(profile)
    return profile, robot.truth, robot.record(duration=20, rate=200)


@pytest.fixture(name='unscored')
def fixture_unscored(monkeypatch):
    """Fits are not scored by simulation, which takes most of the time."""
    none = Scores(np.nan, {}, {}, {}, 'effort')
    monkeypatch.setattr('sim2real_sysid.batch.fit.score', lambda *args, **kwargs: none)


def misses(parameters, truth, k=3.0):
    """What is said to be identified and is further off than k deviations and 3 %."""
    return [
        address
        for address, found in parameters.items()
        if found.status == 'identified' and address in truth
        if abs(found.mean - truth[address]) > max(k * found.std, 0.03 * abs(truth[address]))
    ]


def sought(truth, result):
    """The truths of what a fit is after, at least friction, armature, offset and mass."""
    of = {address: value for address, value in truth.items() if address in result.parameters}
    assert len(of) == 12
    return of


@pytest.fixture(scope='module', name='fitted')
def fixture_fitted(log):
    """Least squares on the whole of the log."""
    return fit(log[0], [raw_of(log[2])], LEAST_SQUARES)


def test_least_squares_finds_the_truth(fitted, log):
    _, truth, _ = log
    for address, value in sought(truth, fitted).items():
        found = fitted.parameters[address]
        # Both axes point along y: nothing tells where along them a mass is.
        along = address == 'link.tool.com.y'
        assert found.status == ('not_identified' if along else 'identified'), address
        assert found.mean == pytest.approx(value, rel=0.03, abs=3 * found.std), address


def test_simplest_model_is_chosen_where_nothing_more_is_to_be_seen(fitted):
    assert fitted.model == 'symmetric_late'
    assert set(fitted.choice) >= {'symmetric', 'directional', 'symmetric_late'}


def test_result_has_the_shape_that_was_agreed(fitted):
    result = fitted.as_json()
    assert set(result['parameters']['joint.hip.armature']) == {'mean', 'std', 'status', 'unit'}
    for part in ('train', 'heldout'):
        assert set(result[part]['rmse']) == {'open_loop', '1s'}
        assert set(result[part]['effort_error_per_joint']) == {'hip', 'knee'}
        assert 0.0 < result[part]['effort_error'] < 0.05
    scored = [(row['model'], row['method']) for row in result['models']]
    assert len(scored) == len(set(scored)) >= 2
    assert scored[0] == (result['model'], 'least_squares')


def test_friction_of_each_direction(log, unscored):
    profile, truth, record = log
    velocity = np.gradient(record.position, record.stamp, axis=0)
    effort = record.effort + np.where(velocity > 0, 0.4, 0.0) * velocity
    changed = dataclasses.replace(record, effort=effort)
    result = fit(profile, [raw_of(changed)], LEAST_SQUARES)
    assert result.model.startswith('directional')
    for joint in ('hip', 'knee'):
        viscous = truth[f'joint.{joint}.viscous_friction']
        for way, more in (('positive', 0.4), ('negative', 0.0)):
            found = result.parameters[f'joint.{joint}.viscous_friction.{way}']
            assert found.mean == pytest.approx(viscous + more, rel=0.1)


def test_intervals_are_those_of_repeated_logs(log, unscored):
    from test.unit.sysid.conftest import Robot

    profile, truth, _ = log
    scores = []
    for seed in range(4):
        record = Robot(profile).record(duration=15, rate=100, seed=seed)
        config = dataclasses.replace(LEAST_SQUARES, heldout=0.0)
        found = fit(profile, [raw_of(record)], config, model='symmetric')
        for address, value in sought(truth, found).items():
            estimate = found.parameters[address]
            scores.append((estimate.mean - value) / estimate.std)
    assert 0.4 < np.sqrt(np.mean(np.square(scores))) < 2.0


def test_one_direction_alone_leaves_friction_and_offset_confounded(log, unscored):
    from test.unit.sysid.conftest import Robot

    profile, _, _ = log
    record = Robot(profile, one_way=True, hold=0.0, reach=0.25).record(duration=15)
    config = dataclasses.replace(LEAST_SQUARES, heldout=0.0)
    found = fit(profile, [raw_of(record)], config, model='symmetric').parameters
    for joint in ('hip', 'knee'):
        for quantity in ('coulomb_friction', 'effort_offset'):
            assert found[f'joint.{joint}.{quantity}'].status == 'not_identified'


# Bad input


def dropped(record, rng):
    return raw_of(record, rng.random(len(record.stamp)) > 0.2)


def repeated(record, rng):
    order = np.sort(np.concatenate([np.arange(len(record.stamp)), rng.integers(0, 4000, 200)]))
    return raw_of(record, order)


def backward(record, rng):
    order = np.arange(len(record.stamp))
    for k in rng.integers(10, len(order) - 10, 50):
        order[[k, k + 1]] = order[[k + 1, k]]
    return raw_of(record, order)


def gaps(record, rng):
    keep = np.ones(len(record.stamp), dtype=bool)
    for k in rng.integers(0, len(keep) - 100, 5):
        keep[k : k + 80] = False
    return raw_of(record, keep)


def not_a_number(record, rng):
    raw = raw_of(record)
    position, effort = raw.position.copy(), raw.effort.copy()
    position[rng.integers(0, len(position), 60), 0] = np.nan
    effort[rng.integers(0, len(effort), 60), 1] = np.inf
    return dataclasses.replace(raw, position=position, effort=effort)


def restarted(record, rng):
    raw = raw_of(record)
    stamp = raw.stamp.copy()
    stamp[len(stamp) // 2 :] -= stamp[len(stamp) // 2] - 1.0
    return dataclasses.replace(raw, stamp=stamp)


def saturated(record, rng):
    raw = raw_of(record)
    return dataclasses.replace(raw, effort=np.clip(raw.effort, -9.0, 9.0))


def stuck(record, rng):
    raw = raw_of(record)
    position = raw.position.copy()
    position[len(position) // 2 :, 1] = position[len(position) // 2, 1]
    return dataclasses.replace(raw, position=position)


def wrong_unit(record, rng):
    raw = raw_of(record)
    return dataclasses.replace(raw, effort=1e3 * raw.effort)


def wrong_sign(record, rng):
    raw = raw_of(record)
    return dataclasses.replace(raw, effort=-raw.effort)


@pytest.mark.parametrize(
    'spoil',
    [dropped, repeated, backward, gaps, not_a_number, restarted, saturated, stuck, wrong_unit,
     wrong_sign],
)  # fmt: skip
def test_bad_input_is_refused_or_gives_no_wrong_estimate(log, spoil, unscored):
    profile, truth, record = log
    raw = spoil(record, np.random.default_rng(0))
    config = dataclasses.replace(LEAST_SQUARES, heldout=0.0)
    try:
        found = fit(profile, [raw], config)
    except InputError as error:
        assert spoil in (wrong_unit, wrong_sign, stuck, saturated)
        assert error.faults[0].mend
        return
    assert misses(found.parameters, truth) == []
    if spoil not in (repeated, backward, dropped):
        assert found.notes


def test_a_joint_that_is_never_there_is_named(log):
    profile, _, record = log
    raw = raw_of(record)
    position = raw.position.copy()
    position[:, 1] = np.nan
    with pytest.raises(InputError, match='knee'):
        clean(dataclasses.replace(raw, position=position), profile)


def test_effort_that_never_changes_is_not_measured(log):
    profile, _, record = log
    raw = raw_of(record)
    effort = raw.effort.copy()
    effort[:, 0] = 0.0
    recording = clean(dataclasses.replace(raw, effort=effort), profile)
    assert recording.measured.tolist() == [False, True]
    assert any('hip' in note for note in recording.notes)


def test_too_little_is_refused(log):
    profile, _, record = log
    with pytest.raises(InputError, match='usable samples'):
        clean(raw_of(record, slice(0, 50)), profile)


# Parts


def test_even_samples_stay_as_they_are(log):
    profile, _, record = log
    recording = clean(raw_of(record), profile)
    assert len(recording.segments) == 1 and recording.notes == ()
    assert np.array_equal(recording.segments[0].position, record.position)


def test_the_end_is_held_out_in_whole_windows(log):
    profile, _, record = log
    recording = clean(raw_of(record), profile)
    train, heldout = split([recording], 0.25)
    assert heldout[0].duration == pytest.approx(5.0, abs=0.01)  # of 20 s, 5
    assert train[0].duration + heldout[0].duration == pytest.approx(20.0, abs=0.02)
    assert heldout[0].segments[0].start == pytest.approx(train[0].segments[-1].stamp[-1] + 0.005)


def test_scores_that_hang_together_count_as_fewer():
    rng = np.random.default_rng(0)
    alone = rng.normal(size=(4000, 1))
    alike = np.repeat(rng.normal(size=(400, 1)), 10, axis=0)
    assert least_squares.hac(alone)[0, 0] == pytest.approx(4000, rel=0.2)
    assert least_squares.hac(alike)[0, 0] > 5 * 4000


def test_whiteness_tells_noise_from_a_slow_wave():
    rng = np.random.default_rng(1)
    noise, wave = rng.normal(size=1000), np.sin(np.arange(1000) / 20)
    assert whiteness(noise, rng.normal(size=1000)).probability > 0.01
    assert whiteness(noise, rng.normal(size=1000)).inside == pytest.approx(0.9, abs=0.04)
    assert whiteness(noise + wave, noise).probability < 1e-6


def test_unknown_model_is_refused(log):
    with pytest.raises(InputError, match='symmetric'):
        fit(log[0], [raw_of(log[2])], LEAST_SQUARES, model='sticky')


def test_estimates_are_within_what_an_address_admits(fitted):
    assert all(isinstance(p, ParameterEstimate) for p in fitted.parameters.values())
    low = dataclasses.replace(fitted.best.found, mean=-fitted.best.found.mean)
    estimates = low.estimates(fitted.profile, 0.1)
    assert estimates['joint.hip.coulomb_friction'].mean == 0.0
    assert estimates['joint.hip.coulomb_friction'].status == 'not_identified'


@pytest.mark.parametrize('robot', ['quadruped', 'rover'])
def test_a_floating_base_is_refused_by_name(robot):
    with pytest.raises(InputError, match='unsupported: identification needs a base') as raised:
        fit(load_profile(robot), [], LEAST_SQUARES)
    assert raised.value.faults[0].value == 'floating'


def test_when_all_is_doubted_the_reason_is_said(log):
    profile, _, record = log
    degrees = dataclasses.replace(raw_of(record), position=np.degrees(record.position))
    with pytest.raises(
        InputError, match=r'position of every joint .*check the unit \(degrees\?\)'
    ):
        fit(profile, [degrees], LEAST_SQUARES)


@pytest.mark.parametrize('factor', [1e3, 1e-3])
def test_stamps_in_another_unit_are_refused(log, factor):
    profile, _, record = log
    raw = raw_of(record)
    with pytest.raises(InputError, match='unit'):
        clean(dataclasses.replace(raw, stamp=factor * raw.stamp), profile)


def test_a_payload_of_no_mass_can_be_scored(log):
    """What is found by least squares need not be a body that exists."""
    profile, _, record = log
    windows = cut([clean(raw_of(record), profile)], 0.5)
    rollouts = Rollouts(profile, windows, ['link.tool.mass'], threads=1)
    states, _ = rollouts(np.array([-1.0]))
    assert np.isfinite(states).all()


def test_plateaus_of_either_sign():
    effort = np.array([[1.0, -2.0], [3.0, 0.5]] + [[3.0, -2.0]] * 5 + [[-4.0, np.nan]])
    flags = plateaus(effort)
    assert flags[:, 0].tolist() == [False] + 6 * [True] + [False]
    assert not flags[:, 1].any()  # an effort that is missing says nothing of the others
    assert plateaus(-effort[:-1])[:, 1].sum() == 6
