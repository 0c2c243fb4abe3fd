"""Drives against hidden truth in the embedded simulator: servo arm, wheels, effort slider."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.batch.data import RawRecording, clean
from sim2real_sysid.batch.drives import drive_estimates
from sim2real_sysid.drives import DriveIdentifier
from sim2real_sysid.estimator import OnlineIdentifier

FAR = 4.0  # standard deviations
WHEELS = (
    '<robot name="wheels"><link name="base"/>{}</robot>',
    '<link name="{0}_tyre"><inertial><mass value="1.5"/><inertia ixx="0.01" iyy="0.02" izz="0.01"'
    ' ixy="0" ixz="0" iyz="0"/></inertial></link><joint name="{0}" type="continuous">'
    '<parent link="base"/><child link="{0}_tyre"/><axis xyz="0 1 0"/>'
    '<limit velocity="15" effort="20"/><dynamics damping="0.05" friction="0.2"/></joint>',
)
PUSHER = (
    '<robot name="pusher"><link name="base"/><link name="carriage"><inertial><mass value="5"/>'
    '<inertia ixx="0.01" iyy="0.02" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>'
    '<joint name="axis" type="prismatic"><parent link="base"/><child link="carriage"/>'
    '<axis xyz="1 0 0"/><limit lower="-1" upper="1" velocity="1.5" effort="60"/>'
    '<dynamics damping="8" friction="4"/></joint></robot>'
)
STIFF = (
    '<robot name="stiff"><link name="base"/>{}</robot>',
    '<link name="{0}_arm"><inertial><origin xyz="0.2 0 0"/><mass value="3"/><inertia ixx="0.1"'
    ' iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial></link><joint name="{0}"'
    ' type="revolute"><parent link="base"/><child link="{0}_arm"/><axis xyz="0 0 1"/><limit'
    ' lower="-3" upper="3" velocity="2" effort="87"/><dynamics damping="0.5" friction="1"/>'
    '</joint>',
)
PROFILES = {
    'stiff': 'urdf: robot.urdf\n'
    'rates: {control_period: 0.02, joint_state_rate: 1000, timestep: 0.001}\njoints:\n'
    + ''.join(
        f'  {name}: {{armature: 0.36, stiffness: 1600, damping: 60, position_noise: 5.0e-5,'
        ' effort_noise: 0.4}\n'
        for name in 'abcd'
    ),
    'wheels': 'urdf: robot.urdf\ncommand: {interface: velocity}\n'
    'rates: {control_period: 0.02, joint_state_rate: 100, timestep: 0.001}\njoints:\n'
    '  left: {armature: 0.05, damping: 1.5, position_noise: 2.0e-4, effort_noise: 0.05}\n'
    '  right: {armature: 0.05, damping: 1.5, position_noise: 2.0e-4, effort_noise: 0.05}\n',
    'pusher': 'urdf: robot.urdf\ncommand: {interface: effort}\n'
    'rates: {control_period: 0.005, joint_state_rate: 500, timestep: 0.001}\njoints:\n'
    '  axis: {armature: 3, position_noise: 2.0e-6, effort_noise: 0.3}\n',
}
DURATION = {'arm6': 20.0, 'wheels': 20.0, 'pusher': 12.0}  # s
TRUTH = {'gain': 0.9, 'delay': 0.0123, 'time_constant': 0.011}


class Log(NamedTuple):
    """Stamps (n,), positions, efforts and commands sent then (n, nj; NaN for none)."""

    stamp: np.ndarray
    position: np.ndarray
    effort: np.ndarray
    command: np.ndarray

    def feed(self, identifier, run=8):
        """All of it goes into the identifier, some samples at a time."""
        for k in range(0, len(self.stamp), run):
            part = slice(k, k + run)
            for stamp, command in zip(self.stamp[part], self.command[part]):
                if np.isfinite(command).all():
                    identifier.command(float(stamp), command)
            identifier.follow(self.stamp[part], self.position[part], self.effort[part])
        return identifier.estimates()


def profile_of(kind, folder):
    """A robot's profile."""
    if kind == 'arm6':
        return load_profile(kind)
    wheels = ''.join(WHEELS[1].format(name) for name in ('left', 'right'))
    arms = ''.join(STIFF[1].format(name) for name in 'abcd')
    text = {
        'pusher': PUSHER,
        'wheels': WHEELS[0].format(wheels),
        'stiff': STIFF[0].format(arms),
    }
    (folder / 'robot.urdf').write_text(text[kind])
    (folder / f'{kind}.yaml').write_text(PROFILES[kind])
    return load_profile(folder / f'{kind}.yaml')


def everywhere(profile, truth):
    """The same values for all drives, by address."""
    return {f'actuator.{j}.{what}': v for j in profile.joint_names for what, v in truth.items()}


def recorded(profile, duration, values, seed=0, later=None):
    """A robot with these values, by address, that goes from goal to goal.

    After two thirds of the time it gets those of ``later``.
    """
    rng = np.random.default_rng(seed)
    simulator = MujocoSimulator(profile, contacts=False, seed=seed)
    assert set(simulator.apply(values).values()) == {'verified'}
    simulator.reset()
    rates, speed = profile.rates, profile.array('velocity')
    steps = round(1.0 / rates.joint_state_rate / simulator.timestep)
    every = round(rates.control_period * rates.joint_state_rate)
    middle, effort = profile.array('default_position'), profile.array('effort')
    reach = 0.5 * np.minimum(profile.array('upper') - middle, 2.0)
    command, goal, log = middle.copy(), middle, []
    samples = round(duration * rates.joint_state_rate)
    for k in range(samples + 1):
        if later and k == 2 * samples // 3:
            simulator.apply(later)
        if k:
            simulator.step(steps)
        reading = simulator.read()
        position, sent = reading.position[0], np.full(len(middle), np.nan)
        if k % round(0.8 * rates.joint_state_rate) == 0:
            goal = middle + rng.uniform(-1, 1, len(middle)) * reach
        if k % every == 0:
            longest = speed * rates.control_period
            if profile.command.interface == 'position':
                command = command + np.clip(0.15 * (goal - command), -longest, longest)
            elif profile.command.interface == 'velocity':
                command = np.clip(3.0 * (goal - position), -0.5 * speed, 0.5 * speed)
            else:
                pull = 1.5 * (goal - position) - 0.5 * reading.velocity[0] / speed
                command = effort * np.clip(pull, -0.5, 0.5)
            sent = command
            simulator.command(sent[None])
        log.append((float(reading.time[0]), position, reading.effort[0], sent))
    return Log(*(np.array(part) for part in zip(*log)))


@pytest.fixture(scope='module', name='made')
def fixture_made(tmp_path_factory):
    """Profile and log of a kind of robot."""
    known = {}

    def made(kind):
        if kind not in known:
            profile = profile_of(kind, tmp_path_factory.mktemp(kind))
            known[kind] = profile, recorded(profile, DURATION[kind], everywhere(profile, TRUTH))
        return known[kind]

    return made


def scores(found):
    """Errors in standard deviations of what is identified, by address."""
    return {
        address: (p.mean - TRUTH[address.rpartition('.')[2]]) / p.std
        for address, p in found.items()
        if p.status == 'identified'
    }


@pytest.mark.parametrize('kind', ['arm6', 'wheels', 'pusher'])
def test_finds_gain_delay_and_lag(made, kind):
    profile, log = made(kind)
    found, order, covariance = log.feed(DriveIdentifier(profile))
    errors = scores(found)
    assert set(errors) == {f'actuator.{j}.{w}' for j in profile.joint_names for w in TRUTH}
    assert max(abs(z) for z in errors.values()) < FAR
    for joint in profile.joint_names:
        assert found[f'actuator.{joint}.delay'].mean == pytest.approx(TRUTH['delay'], abs=1e-3)
        assert found[f'actuator.{joint}.gain'].mean == pytest.approx(TRUTH['gain'], rel=0.03)
    assert order == tuple(found)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([p.std for p in found.values()])


@pytest.mark.parametrize('kind', ['arm6', 'wheels', 'pusher'])
def test_lost_messages_do_no_harm(made, kind):
    """A fifth of the joint states, and another of the commands, is never heard."""
    profile, log = made(kind)
    rng = np.random.default_rng(1)
    keep = rng.random(len(log.stamp)) > 0.2
    commands = np.where(rng.random(len(keep))[:, None] > 0.2, log.command, np.nan)
    position = log.position.copy()
    position[~keep] = np.nan  # in place, so that commands keep theirs
    identifier = DriveIdentifier(profile)
    for k, stamp in enumerate(log.stamp):
        if np.isfinite(commands[k]).all():
            identifier.command(float(stamp), commands[k])
        if keep[k]:
            identifier.update(float(stamp), position[k], log.effort[k])
    errors = scores(identifier.estimates()[0])
    assert len(errors) >= len(profile.joint_names)
    assert max(abs(z) for z in errors.values()) < FAR + 1.0


def test_same_samples_give_the_same_bits_in_runs_of_any_length(made):
    profile, log = made('wheels')
    one, other = log.feed(DriveIdentifier(profile)), log.feed(DriveIdentifier(profile))
    assert one[0] == other[0]
    assert np.array_equal(one[2], other[2])
    single, _, _ = log.feed(DriveIdentifier(profile), run=1)
    for address, p in single.items():
        assert p.mean == pytest.approx(one[0][address].mean, abs=2.0 * p.std), address


def test_without_commands_nothing_is_known(made):
    profile, log = made('wheels')
    found, order, covariance = log._replace(command=np.full_like(log.command, np.nan)).feed(
        DriveIdentifier(profile)
    )
    assert {p.status for p in found.values()} == {'not_identified'}
    assert order == () and covariance.shape == (0, 0)
    assert found['actuator.left.gain'].mean == 1.0


def test_one_joint_without_effort_leaves_the_others_alone(made):
    profile, log = made('wheels')
    effort = log.effort.copy()
    effort[:, 1] = np.nan
    found, _, _ = log._replace(effort=effort).feed(DriveIdentifier(profile))
    assert found['actuator.right.gain'].status == 'not_identified'
    assert found['actuator.left.delay'].mean == pytest.approx(TRUTH['delay'], abs=1e-3)


def test_a_drive_that_changes_is_found_again(made):
    profile, log = made('pusher')
    late = everywhere(profile, {**TRUTH, 'delay': 0.045, 'time_constant': 0.004})
    slower = recorded(profile, 24.0, late, seed=1)
    identifier = DriveIdentifier(profile)
    log.feed(identifier)
    identifier.restart()
    found, _, _ = slower._replace(stamp=slower.stamp + 100.0).feed(identifier)
    assert found['actuator.axis.delay'].status == 'identified'
    assert found['actuator.axis.delay'].mean == pytest.approx(0.045, abs=1e-3)


@pytest.mark.parametrize(
    ('kind', 'fault'),
    [
        ('arm6', {'gain': 0.6}),
        ('pusher', {'gain': 0.6}),
        ('pusher', {'delay': 0.045}),
        ('pusher', {'time_constant': 0.04}),
    ],
)
def test_a_drive_that_changes_is_named_within_five_seconds(made, kind, fault):
    profile, _ = made(kind)
    before, after = everywhere(profile, TRUTH), everywhere(profile, {**TRUTH, **fault})
    identifier = OnlineIdentifier(profile)
    for stamp, position, effort, sent in zip(*recorded(profile, 18.0, before, later=after)):
        command = sent if np.isfinite(sent).all() else None
        identifier.update(float(stamp), position, effort, command)
        if stamp == 12.0:
            assert not identifier.changes
    first = {change.address.split('.')[1]: change for change in reversed(identifier.changes)}
    assert set(first) >= set(profile.joint_names)
    assert all(12.0 < change.stamp < 17.0 for change in first.values())
    named = [change.address.rpartition('.')[2] in fault for change in first.values()]
    assert np.mean(named) > 0.6
    for address, p in identifier.estimate().parameters.items():
        if address in after and p.status == 'identified':
            assert abs(p.mean - after[address]) < (FAR + 1.0) * p.std, address


def test_becomes_stale(made):
    profile, log = made('pusher')
    identifier = DriveIdentifier(profile)
    log.feed(identifier)
    for k in range(70):
        identifier.update(log.stamp[-1] + 1.0 + k, log.position[-1], log.effort[-1])
    found, order, _ = identifier.estimates()
    assert {p.status for p in found.values()} == {'stale'}
    assert order == ()


def test_friction_is_identified_without_measured_effort(made):
    """From commands and the gains of the profile; a gain that is off counts as uncertainty."""
    profile, log = made('arm6')
    nominal = {
        f'joint.{joint.name}.{what}': getattr(joint, what)
        for joint in profile.joints
        for what in ('viscous_friction', 'coulomb_friction', 'armature')
    }
    identifier = OnlineIdentifier(profile)
    for stamp, position, sent in zip(log.stamp, log.position, log.command):
        command = sent if np.isfinite(sent).all() else None
        identifier.update(float(stamp), position, np.full(6, np.nan), command)
    estimate = identifier.estimate()
    found = {a: p for a, p in estimate.identified.items() if a in nominal}
    assert len(found) >= 6
    for address, p in found.items():
        # The robot's gain is 0.9: all that makes effort seems larger by a ninth.
        assert abs(p.mean - nominal[address] / TRUTH['gain']) < FAR * p.std, address
        assert abs(p.mean - nominal[address]) < FAR * p.std, address
        assert p.std > 0.03 * nominal[address]
    gain = estimate.parameters['actuator.elbow.gain']
    assert gain.status == 'not_identified'
    assert 'joint.elbow.armature' in gain.confounded
    delay = estimate.parameters['actuator.elbow.delay']
    assert delay.mean == pytest.approx(TRUTH['delay'], abs=FAR * delay.std)
    assert len(estimate.covariance) == len(estimate.order) == len(estimate.identified)


def test_drives_are_identified_beside_the_joints(made):
    profile, log = made('pusher')
    identifier = OnlineIdentifier(profile)
    for address in DriveIdentifier(profile).addresses:
        found = identifier.estimate().parameters[address]
        assert (found.status, found.std) == ('not_identified', np.inf)
    for stamp, position, effort, sent in zip(*log):
        command = sent if np.isfinite(sent).all() else None
        identifier.update(float(stamp), position, effort, command)
    estimate = identifier.estimate()
    assert scores({a: estimate.parameters[a] for a in DriveIdentifier(profile).addresses})
    assert 'joint.axis.coulomb_friction' in estimate.identified
    assert np.sqrt(np.diag(estimate.covariance)) == pytest.approx(
        [estimate.parameters[a].std for a in estimate.order]
    )


def test_stiff_drives_are_not_known_better_than_cubics_follow_them(tmp_path):
    """They answer a step of the command within the samples of a window."""
    profile, rng, errors = profile_of('stiff', tmp_path), np.random.default_rng(5), []
    for seed in range(3):
        low, high = ((0.001, 0.003), (0.01, 0.02))  # s
        truth = {
            f'actuator.{joint}.{what}': value
            for joint in profile.joint_names
            for what, value in zip(('delay', 'time_constant'), rng.uniform(low, high))
        }
        log = recorded(profile, 30.0, truth, seed)
        found = log.feed(DriveIdentifier(profile), 100)[0]
        truth |= {f'actuator.{joint}.gain': 1.0 for joint in profile.joint_names}
        known = [a for a in truth if found[a].status == 'identified']
        errors += [(found[a].mean - truth[a]) / found[a].std for a in known]
    assert len(errors) > 16
    assert max(abs(z) for z in errors) < FAR
    assert np.sqrt(np.mean(np.square(errors))) < 1.5


@pytest.mark.parametrize('own', [True, False])
def test_efforts_at_the_drives_limit_are_measured_and_cut_ones_are_not(own):
    profile = load_profile('arm6')
    truth = {'delay': 0.004, 'time_constant': 0.02}
    log = recorded(profile, 40.0, everywhere(profile, truth), 1)
    limits = np.quantile(np.abs(log.effort), 0.97, axis=0)
    if own:
        joints = (replace(j, effort=float(most)) for j, most in zip(profile.joints, limits))
        profile = replace(profile, joints=tuple(joints))
    sent = np.isfinite(log.command).all(axis=1)
    effort = np.clip(log.effort, -limits, limits)
    raw = RawRecording('log', log.stamp, log.position, effort, log.stamp[sent], log.command[sent])
    found = drive_estimates(profile, [clean(raw, profile)])
    known = {address: p for address, p in found.items() if p.status == 'identified'}
    gains = {f'actuator.{joint}.gain' for joint in profile.joint_names}
    assert gains <= set(known) if own else not known
    for address, p in known.items():
        value = {**truth, 'gain': 1.0}[address.rpartition('.')[2]]
        assert abs(p.mean - value) < FAR * p.std


def test_a_gain_is_known_though_commands_seem_to_come_late():
    """Clocks of commands and states differ by 2 ms: the delay would be below zero."""
    profile = load_profile('arm6')
    log = recorded(profile, 30.0, everywhere(profile, {'time_constant': 0.02}), 2)
    identifier = DriveIdentifier(profile)
    for k in range(0, len(log.stamp), 8):
        part = slice(k, k + 8)
        for stamp, command in zip(log.stamp[part], log.command[part]):
            if np.isfinite(command).all():
                identifier.command(float(stamp) + 0.002, command)
        identifier.follow(log.stamp[part], log.position[part], log.effort[part])
    found = identifier.estimates()[0]
    for joint in profile.joint_names:
        gain = found[f'actuator.{joint}.gain']
        assert gain.status == 'identified' and abs(gain.mean - 1.0) < FAR * gain.std
        assert found[f'actuator.{joint}.delay'].mean < 1e-3


@pytest.mark.soak
def test_intervals_hold_the_truth_as_often_as_they_say():
    """Two hundred drives of arms with realistic sensors, a minute each; 90 % intervals."""
    profile, robots = load_profile('arm6'), 34
    drawn = load_space('arm6_surrogate', profile).draw_many(77, np.arange(robots))
    rng = np.random.default_rng(77)
    inside, late = {what: [] for what in TRUTH}, []
    for robot in range(robots):
        values = {address: float(each[robot]) for address, each in drawn.items()}
        values |= {f'actuator.{j}.gain': rng.uniform(0.8, 1.2) for j in profile.joint_names}
        log = recorded(profile, 60.0, values, seed=robot)
        for address, p in log.feed(DriveIdentifier(profile))[0].items():
            error = p.mean - values[address]
            if p.status == 'identified':
                inside[address.rpartition('.')[2]].append(abs(error) <= 1.645 * p.std)
            if address.endswith('.delay'):
                late.append(abs(error))
    shares = {what: float(np.mean(each)) for what, each in inside.items()}
    print(shares, {what: len(each) for what, each in inside.items()}, max(late))
    assert all(len(each) > 0.9 * 6 * robots for each in inside.values())
    assert all(0.85 <= share <= 0.95 for share in shares.values()), shares
    assert max(late) < 1e-3


def test_efforts_that_come_later_are_not_taken_for_a_jump(made):
    """Nothing but commands at first; what the filters made of that must not count."""
    profile, log = made('pusher')
    identifier = OnlineIdentifier(profile)
    effort = log.effort.copy()
    effort[: len(effort) // 3] = np.nan
    for stamp, position, one, sent in zip(log.stamp, log.position, effort, log.command):
        identifier.update(float(stamp), position, one, sent if np.isfinite(sent).all() else None)
    estimate = identifier.estimate()
    joint = profile.joints[0]
    for what in ('viscous_friction', 'coulomb_friction'):
        found = estimate.parameters[f'joint.axis.{what}']
        assert found.status == 'identified'
        assert abs(found.mean - getattr(joint, what)) < FAR * found.std
