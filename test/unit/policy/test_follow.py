"""Following a trajectory: to the start slowly, the motion itself, and then rest."""

import dataclasses

import numpy as np
import pytest

from sim2real_core.dynamics import InverseDynamics
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.trajectory import Series, Trajectory
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import UNTIL_RESET, Controller
from sim2real_policy.follow import CORRECTION, SLOWLY, TrajectoryRuntime, describe
from sim2real_policy.source import load_source

STEP = 0.02


def motion(profile, joints=2):
    """Two periods of 2 s; every joint leaves its default pose and comes back at rest."""
    default = profile.array('default_position')
    way = np.full((joints, 1), 0.1)
    return Trajectory(
        robot=profile.name,
        profile=profile.content_hash,
        joints=profile.joint_names,
        duration=4.0,
        base_frequency=0.5,
        position=Series(default + 0.1, way * [-4 / 3, 1 / 3], 0 * way * [1, 1]),
    )


class Rig:
    """A controller that follows; its robot is where it is told to be, or held."""

    def __init__(self, profile, periods=0, **config):
        self.profile = profile
        self.trajectory = motion(profile, len(profile.joints))
        self.runtime = TrajectoryRuntime(self.trajectory, profile, periods)
        config = PolicyConfig(trajectory='given', **config)
        self.controller = Controller(describe(profile), profile, self.runtime, config)
        self.stamp = 0.0

    def step(self, position, velocity=None, fault=''):
        """One sample, a control period after the last; its command."""
        self.stamp += STEP
        self.controller.inputs['position'][0] = position
        self.controller.inputs['velocity'][0] = 0.0 if velocity is None else velocity
        assert self.controller.sample(self.stamp, self.stamp, fault)
        return self.controller.act().copy()

    def run(self, position, count):
        return np.array([self.step(position) for _ in range(count)])

    def approach(self, position):
        """Commands until the start is reached."""
        commands = [self.step(position)]
        while self.runtime.report()['motion'] == 'approaches the start':
            commands.append(self.step(position))
        return np.array(commands)


@pytest.fixture
def rig(robot):
    return lambda interface='position', **given: Rig(robot(interface), **given)


def test_moves_slowly_to_the_start(rig):
    made = rig()
    begin = np.array([-0.9, 0.1])
    commands = made.approach(begin)
    assert np.abs(commands[0] - begin).max() < 1e-4
    start = made.trajectory.at(0.0).position
    assert np.abs(commands[-1] - start).max() < 1e-4
    speed = np.abs(np.diff(commands, axis=0)).max(axis=0) / STEP
    limit = made.profile.array('velocity')
    assert (speed <= 1.001 * SLOWLY * limit).all() and (speed / limit).max() > 0.9 * SLOWLY


def test_runs_its_periods_and_stays(rig):
    made = rig()
    begin = made.profile.array('default_position')
    made.approach(begin)
    commands = made.run(begin, 300)
    times = np.minimum(STEP * np.arange(1, 301), 4.0)
    np.testing.assert_allclose(commands, made.trajectory.at(times).position, atol=1e-6)
    assert made.runtime.report() == {'motion': 'done', 'motion_time [s]': 4.0}
    assert made.controller.guard.counts == dict.fromkeys(made.controller.guard.counts, 0)


def test_runs_as_many_periods_as_asked_for(rig):
    made = rig(periods=1)
    begin = made.profile.array('default_position')
    made.approach(begin)
    commands = made.run(begin, 150)
    assert np.ptp(commands[:99], axis=0).min() > 0.2
    np.testing.assert_allclose(commands[100:] - begin, 0.0, atol=1e-6)


def test_goes_around_the_short_way(rig):
    made = rig()
    around = made.profile.array('default_position') + np.array([2 * np.pi, 0.0])
    commands = made.approach(around + np.array([0.3, 0.0]))
    np.testing.assert_allclose(commands[-1], around, atol=1e-4)
    later = made.run(around, 50)
    np.testing.assert_allclose(
        later[-1], around + made.trajectory.at(1.0).position - made.trajectory.at(0.0).position,
        atol=1e-5,
    )  # fmt: skip


def test_waits_while_the_guard_holds(rig):
    made = rig()
    begin = made.profile.array('default_position')
    made.approach(begin)
    made.run(begin, 30)
    before = made.runtime.report()
    held = np.array([made.step(begin, fault='no use') for _ in range(3)])
    assert made.runtime.report() == before
    assert made.controller.guard.counts['hold'] == 3
    assert np.abs(made.step(begin) - held[-1]).max() < 0.02


def test_after_a_hole_it_comes_back_slowly_and_repeats_the_period(rig):
    made = rig()
    begin = made.profile.array('default_position')
    made.approach(begin)
    made.run(begin, 140)
    assert made.runtime.report()['motion'] == 'period 2 of 2'
    made.stamp += 1.0
    command = made.step(begin)
    assert made.runtime.report() == {'motion': 'approaches the start', 'motion_time [s]': 2.0}
    speed = np.abs(np.diff([command, *made.approach(begin)], axis=0)) / STEP
    assert (speed <= 1.001 * SLOWLY * made.profile.array('velocity')).all()
    made.run(begin, 120)
    assert made.runtime.report()['motion'] == 'done'


def test_what_is_not_finite_latches_as_with_a_bundle(rig, monkeypatch):
    made = rig()
    begin = made.profile.array('default_position')
    made.approach(begin)
    monkeypatch.setattr(made.runtime, 'infer', lambda seen: np.full((1, 2), np.nan))
    held = made.run(begin, 20)
    assert UNTIL_RESET in made.controller.fault and np.isfinite(held).all()
    assert np.abs(held[-1] - held[-2]).max() == 0.0


def test_a_velocity_interface_is_corrected_by_the_position(rig):
    made = rig('velocity')
    begin = made.profile.array('default_position')
    made.approach(begin)
    off = np.array([0.03, -0.02])
    for _ in range(40):
        wanted = made.trajectory.at(made.runtime.report()['motion_time [s]'] + STEP)
        command = made.step(wanted.position + off)
    np.testing.assert_allclose(command, wanted.velocity - CORRECTION * off, atol=1e-5)


def test_a_velocity_robot_ends_where_it_began(rig):
    made = rig('velocity')
    position = made.profile.array('default_position') + np.array([0.4, -0.2])
    for _ in range(900):
        position = position + STEP * made.step(position)
    assert made.runtime.report()['motion'] == 'done'
    np.testing.assert_allclose(position, made.trajectory.at(0.0).position, atol=1e-3)


def with_gains(profile, tmp_path, interface):
    """The same robot, its own position loop known."""
    text = profile.path.read_text().replace('default_position', 'stiffness: 40, damping: 8,'
                                            ' default_position')  # fmt: skip
    path = tmp_path / f'pair_gains_{interface}.yaml'
    path.write_text(text)
    return load_profile(path)


def test_a_soft_position_loop_is_led(robot, tmp_path):
    made = Rig(with_gains(robot('position'), tmp_path, 'position'))
    begin = made.profile.array('default_position')
    made.approach(begin)
    made.run(begin, 40)
    command = made.step(begin)
    state = made.trajectory.at(made.runtime.report()['motion_time [s]'])
    pull = InverseDynamics(made.profile).efforts(*state) + 8 * state.velocity
    assert np.abs(pull).max() > 1.0
    np.testing.assert_allclose(command, state.position + pull / 40, atol=1e-6)


def test_a_soft_velocity_loop_is_led(robot, tmp_path):
    made = Rig(with_gains(robot('velocity'), tmp_path, 'velocity'))
    made.approach(made.profile.array('default_position'))
    for _ in range(40):
        state = made.trajectory.at(made.runtime.report()['motion_time [s]'] + STEP)
        command = made.step(state.position)
    pull = InverseDynamics(made.profile).efforts(*state)
    assert np.abs(pull).max() > 0.1
    np.testing.assert_allclose(command, state.velocity + pull / 8, atol=1e-5)


def test_an_effort_interface_needs_gains(robot):
    profile = robot('effort')
    with pytest.raises(InputError) as raised:
        TrajectoryRuntime(motion(profile), profile)
    fields = [fault.field for fault in raised.value.faults]
    assert fields == [
        f'joints.{j}.{g}' for j in ('turn', 'reach') for g in ('stiffness', 'damping')
    ]


def test_an_effort_interface_follows_by_inverse_dynamics(robot, tmp_path):
    made = Rig(with_gains(robot('effort'), tmp_path, 'effort'))
    begin = made.profile.array('default_position')
    made.approach(begin)
    off, rate = np.array([0.01, -0.02]), np.array([0.1, 0.2])
    state = made.trajectory.at(made.runtime.report()['motion_time [s]'] + STEP)
    command = made.step(state.position + off, state.velocity + rate)
    effort = InverseDynamics(made.profile).efforts(*state)
    np.testing.assert_allclose(command, effort - 40 * off - 8 * rate, atol=1e-5)


def test_a_trajectory_for_another_robot_is_refused(robot, tmp_path):
    profile = robot('position')
    path = tmp_path / 'other.yaml'
    path.write_text(dataclasses.replace(motion(profile), robot='other').to_yaml(profile))
    with pytest.raises(InputError, match='robot'):
        load_source(PolicyConfig(trajectory=str(path)), profile)


def test_a_trajectory_is_loaded_with_what_it_is(robot, tmp_path):
    profile = robot('position')
    path = tmp_path / 'motion.yaml'
    path.write_text(motion(profile).to_yaml(profile))
    source = load_source(PolicyConfig(trajectory=str(path), periods=5), profile)
    assert source.about['trajectory'] == path and len(source.about['content_hash']) == 64
    assert source.runtime.report()['motion'] == 'approaches the start'
    assert source.meta.control_period == profile.rates.control_period


def test_a_bundle_and_a_trajectory_exclude_each_other():
    with pytest.raises(InputError, match='not both'):
        PolicyConfig(bundle='arm6', trajectory='motion.yaml')


def test_after_the_robot_was_let_go_of_it_comes_back_slowly(rig):
    made = rig(hold_time=0.1, damp_time=0.1)
    begin = made.profile.array('default_position')
    made.approach(begin)
    made.run(begin, 50)
    now = made.stamp
    while not made.controller.guard.damping:
        now = made.controller.deadline()
        made.controller.watch(now)
    elsewhere = begin + np.array([0.2, -0.1])
    command = made.step(elsewhere)
    assert made.runtime.report()['motion'] == 'approaches the start'
    np.testing.assert_allclose(command, elsewhere, atol=1e-3)


def test_a_robot_whose_joints_nobody_commands_follows_none():
    rover = load_profile('rover')
    with pytest.raises(InputError, match=r"command.interface = '?twist'?: .*moves joints"):
        TrajectoryRuntime(motion(rover), rover)
