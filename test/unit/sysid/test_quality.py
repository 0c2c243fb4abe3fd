"""Every fault of a log is found, on every kind of robot, and robots that are well stay unnamed."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.findings import KINDS
from sim2real_sysid.quality import QualityMonitor, check, in_force

LINK = """<link name="l{k}"><inertial><origin xyz="0.02 0 {com}"/><mass value="{mass}"/>
  <inertia ixx="{i}" iyy="{i}" izz="{i}" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="j{k}" type="{type}"><parent link="{parent}"/><child link="l{k}"/>
  <origin xyz="0 0 {length}"/><axis xyz="{axis}"/>
  <limit lower="{lower}" upper="{upper}" effort="{effort}" velocity="{velocity}"/>
  <dynamics damping="0" friction="0"/></joint>"""


def urdf(joints):
    """A chain of links; ``joints``: one dictionary each."""
    usual = dict(
        com=0.15, mass=1.0, i=0.01, type='revolute', length=0.3, axis='0 1 0',
        lower=-2.5, upper=2.5, effort=40, velocity=4,
    )  # fmt: skip
    parts = ['<robot name="r"><link name="base"/>']
    for k, joint in enumerate(joints):
        parent = f'l{k - 1}' if k else 'base'
        parts.append(LINK.format(k=k, parent=parent, **{**usual, **joint}))
    return ''.join(parts) + '</robot>'


slide = dict(type='prismatic', lower=-0.5, upper=0.5, effort=300, velocity=1, mass=5)
ROBOTS = {
    'arm': [dict(axis='0 0 1'), {}, {}],
    'one joint': [dict(effort=15)],
    'scara': [dict(axis='0 0 1'), dict(axis='0 0 1')],
    'gantry': [{**slide, 'axis': '1 0 0'}, {**slide, 'axis': '0 1 0'}, {**slide, 'axis': '0 0 1'}],
    'wheels': [dict(type='continuous', axis='0 0 1', effort=3, velocity=20, mass=0.5, com=0)] * 2,
}
EMPS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'emps'
NOISE = 2e-4  # of the positions, as a share of their range
FRICTION = 0.04  # as a share of the effort limit


class Log:
    """A robot's log that is as it should be, to be spoiled."""

    def __init__(self, profile, rate=200.0, duration=20.0, noise=1.0, still=()):
        self.profile, self.rate = profile, rate
        rng = np.random.default_rng(int(rate))
        self.stamp = np.arange(1, int(duration * rate) + 1) / rate
        nj = len(profile.joints)
        turns = np.array([joint.type == 'continuous' for joint in profile.joints])
        span = np.where(turns, 6.0, profile.array('upper') - profile.array('lower'))
        q, v, a = (np.zeros((len(self.stamp), nj)) for _ in range(3))
        pose, begin = np.zeros(nj), 0.0
        while begin < duration:
            lasts = rng.uniform(0.8, 1.2)
            goal = rng.uniform(-0.3, 0.3, nj) * span
            goal[list(still)] = 0.0
            now = self.stamp >= begin
            s = np.clip((self.stamp[now, None] - begin) / lasts, 0, 1)
            q[now] = pose + (goal - pose) * (10 * s**3 - 15 * s**4 + 6 * s**5)
            v[now] = (goal - pose) / lasts * (30 * s**2 - 60 * s**3 + 30 * s**4)
            a[now] = (goal - pose) / lasts**2 * (60 * s - 180 * s**2 + 120 * s**3)
            pose, begin = goal, begin + lasts + 0.4
        body, limit = RigidBody(profile), profile.array('effort')
        efforts = [body.efforts(*state)[0] for state in zip(q, v, a)]
        self.effort = np.array(efforts) + FRICTION * limit * (np.tanh(v / 0.01 / span) + v / span)
        self.command = q + 0.02 * v
        self.position = q + noise * NOISE * span * rng.normal(size=q.shape)
        self.effort += noise * 0.01 * limit * rng.normal(size=q.shape)
        self.position[:, turns] = np.angle(np.exp(1j * self.position[:, turns]))

    def copy(self):
        other = object.__new__(Log)
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, np.ndarray) else value)
        return other

    def keep(self, rows):
        for name in ('stamp', 'position', 'effort', 'command'):
            setattr(self, name, getattr(self, name)[rows])

    def check(self):
        return check(self.profile, self.stamp, self.position, self.effort, self.command)


@pytest.fixture(name='log_of', scope='module')
def fixture_log_of(tmp_path_factory):
    """Logs by kind of robot, made once and copied: ``log_of('arm', rate=100)``."""

    @cache
    def made(kind, **how):
        folder = tmp_path_factory.mktemp('robot')
        (folder / 'r.urdf').write_text(urdf(ROBOTS[kind]))
        (folder / 'r.yaml').write_text('urdf: r.urdf')
        return Log(load_profile(folder / 'r.yaml'), **how)

    return lambda kind, **how: made(kind, **how).copy()


def found(log):
    return {(finding.joint, finding.what) for finding in log.check()}


@pytest.mark.parametrize('kind', ['arm', 'gantry'])
def test_efforts_that_come_less_often_than_positions_are_not_cut(log_of, kind):
    log = log_of(kind, rate=500.0)
    log.effort = log.effort[np.arange(len(log.effort)) // 8 * 8]
    assert not {what for _, what in found(log)} & {'effort_saturated'}


@pytest.mark.parametrize('glitch', [0.0, 1e4])
def test_one_wild_reading_does_not_hide_that_efforts_are_cut(log_of, glitch):
    log = log_of('arm')
    level = np.quantile(np.abs(log.effort[:, 1]), 0.5)
    log.effort[:, 1] = np.clip(log.effort[:, 1], -level, level)
    log.effort[500, 1] += glitch
    assert ('j1', 'effort_saturated') in found(log)


@pytest.mark.parametrize('kind', ROBOTS)
@pytest.mark.parametrize(
    'how',
    [
        dict(),
        dict(rate=50.0),
        dict(rate=1000.0, duration=8.0),
        dict(noise=0.0),
        dict(noise=10.0),
        dict(still=(0,)),
    ],
    ids=str,
)
def test_silent_on_healthy_robots(log_of, kind, how):
    assert not log_of(kind, **how).check()


@pytest.mark.parametrize('kind', ROBOTS)
def test_silent_on_coarse_sensors(log_of, kind):
    """Encoders of few steps repeat values exactly; at rest for as long as they like."""
    log = log_of(kind, still=(0,))
    span = np.ptp(log.position, axis=0).max() + 0.5
    log.position = np.round(log.position / (0.01 * span)) * 0.01 * span
    log.effort = np.round(log.effort / 0.5) * 0.5
    assert not log.check()


def test_silent_without_efforts_or_commands(log_of):
    log = log_of('arm')
    log.effort[:] = np.nan
    assert not log.check()
    log = log_of('arm')
    assert not check(log.profile, log.stamp, log.position, log.effort)


def test_silent_on_a_payload_and_a_wrong_urdf(log_of):
    log = log_of('arm')
    log.effort *= 2.0
    log.effort += [0.0, 3.0, -2.0]
    assert not log.check()


def test_silent_on_a_gripper_that_holds_something(log_of):
    """Its position is constant while its effort and its command go up and stay."""
    log = log_of('gantry', noise=0.0)
    half = log.stamp > 10.0
    closing = np.clip(log.stamp[half] - 10.0, 0.0, 1.0)
    log.position[half, 0] = log.position[np.argmax(half), 0]
    log.command[half, 0] = log.position[-1, 0] + 0.1 * closing
    log.effort[half, 0] = 100.0 * closing
    assert not log.check()


def test_silent_when_everything_rests(log_of):
    log = log_of('arm', noise=0.0)
    for name in ('position', 'effort', 'command'):
        getattr(log, name)[1000:] = getattr(log, name)[1000]
    assert not log.check()


@pytest.mark.parametrize('kind', ['arm', 'one joint', 'gantry'])
@pytest.mark.parametrize('factor', [1e-3, 0.05])
def test_efforts_too_small(log_of, kind, factor):
    """In kN*m, or currents."""
    log = log_of(kind)
    log.effort[:, -1] *= factor
    assert found(log) == {(log.profile.joint_names[-1], 'effort_units')}


@pytest.mark.parametrize('kind', ROBOTS)
def test_efforts_in_thousandths(log_of, kind):
    log = log_of(kind)
    log.effort[:, -1] *= 1000.0
    last = log.profile.joint_names[-1]
    (finding,) = log.check()
    assert (finding.joint, finding.what, finding.spoils) == (last, 'effort_units', 'effort')


@pytest.mark.parametrize('kind', ROBOTS)
@pytest.mark.parametrize('rate', [100.0, 1000.0])
def test_efforts_of_the_wrong_sign(log_of, kind, rate):
    log = log_of(kind, rate=rate, duration=20.0 if rate < 500.0 else 8.0)
    log.effort[:, 0] *= -1.0
    assert found(log) == {('j0', 'effort_sign')}
    assert 'turn its sign' in str(log.check()[0])


@pytest.mark.parametrize('kind', ROBOTS)
def test_an_encoder_that_got_stuck(log_of, kind):
    log = log_of(kind)
    log.position[2000:, 0] = log.position[2000, 0]
    (finding,) = log.check()
    assert (finding.joint, finding.what) == ('j0', 'position_stuck')
    assert finding.since == pytest.approx(log.stamp[2000], abs=0.01)
    assert finding.until == log.stamp[-1]


@pytest.mark.parametrize('kind', ['arm', 'gantry'])
def test_an_encoder_stuck_from_the_beginning(log_of, kind):
    """Its command goes to both sides of it; the arm's efforts can hardly be explained, too."""
    log = log_of(kind)
    log.position[:, 0] = 0.0
    assert ('j0', 'position_stuck') in found(log)


def test_an_encoder_stuck_on_a_robot_without_noise(log_of):
    log = log_of('arm', noise=0.0)
    log.position[2000:, 2] = log.position[2000, 2]
    assert ('j2', 'position_stuck') in found(log)


@pytest.mark.parametrize('kind', ROBOTS)
def test_an_encoder_that_repeats_itself(log_of, kind):
    log = log_of(kind)
    held = np.arange(len(log.stamp)) // 30 * 30
    log.position[:, 0] = log.position[held, 0]
    assert ('j0', 'position_held') in found(log)


@pytest.mark.parametrize('kind', ROBOTS)
def test_efforts_cut_by_their_sensor(log_of, kind):
    log = log_of(kind)
    level = np.quantile(np.abs(log.effort[:, 0]), 0.9)
    log.effort[:, 0] = np.clip(log.effort[:, 0], -level, level)
    (finding,) = log.check()
    assert (finding.joint, finding.what) == ('j0', 'effort_saturated')
    assert f'{level:.3g}' in finding.evidence


def test_efforts_at_their_limit(log_of):
    log = log_of('arm', noise=0.0)
    limit = log.profile.joints[1].effort
    log.effort[:, 1] = np.clip(8.0 * log.effort[:, 1], -limit, limit)
    assert ('j1', 'effort_saturated') in found(log)


@pytest.mark.parametrize('value', [0.0, 1.7])
def test_efforts_that_never_change(log_of, value):
    log = log_of('arm')
    log.effort[:] = value
    assert {(joint, 'effort_constant') for joint in ('j0', 'j1', 'j2')} <= found(log)


def test_gap(log_of):
    log = log_of('arm')
    log.keep(np.r_[0:1000, 1500:4000])
    (finding,) = log.check()
    assert (finding.what, finding.joint, finding.spoils) == ('stamp_gaps', '', 'time')
    assert '2.5 s' in finding.evidence
    assert finding.since == pytest.approx(5.0)


@pytest.mark.parametrize('kind', ROBOTS)
@pytest.mark.parametrize('rate', [50.0, 200.0])
def test_dropped_messages(log_of, kind, rate):
    log = log_of(kind, rate=rate)
    log.keep(np.random.default_rng(0).random(len(log.stamp)) > 0.2)
    (finding,) = log.check()
    assert finding.what == 'messages_dropped'
    share = float(finding.evidence.partition('%')[0])
    assert share == pytest.approx(20.0, abs=5.0)


def test_few_dropped_messages_are_nothing(log_of):
    log = log_of('arm')
    log.keep(np.random.default_rng(0).random(len(log.stamp)) > 0.02)
    assert not log.check()


def test_jitter(log_of):
    log = log_of('arm')
    rng = np.random.default_rng(0)
    log.stamp += rng.uniform(-0.1, 0.1, len(log.stamp)) / log.rate
    assert not log.check()
    log.stamp += rng.uniform(-0.39, 0.39, len(log.stamp)) / log.rate
    assert found(log) == {('', 'stamp_jitter')}


def test_repeated_stamps(log_of):
    log = log_of('arm')
    log.keep(np.sort(np.r_[0:4000, 0:4000:7]))
    assert found(log) == {('', 'stamp_order')}


def test_messages_that_overtake(log_of):
    log = log_of('arm')
    rows = np.arange(4000)
    rows[10::50], rows[11::50] = rows[11::50].copy(), rows[10::50].copy()
    log.keep(rows)
    assert found(log) == {('', 'stamp_order')}


def test_time_that_starts_over(log_of):
    log = log_of('arm')
    log.stamp = 1.0 + log.stamp % 10.0
    (finding,) = log.check()
    assert finding.what == 'stamp_restart'
    assert '10 s' in finding.evidence


@pytest.mark.parametrize('stamp', [0.0, np.nan])
def test_no_stamps(log_of, stamp):
    log = log_of('arm')
    log.stamp[:] = stamp
    assert ('', 'stamp_invalid') in found(log)


@pytest.mark.parametrize('value', [np.nan, np.inf, -1e300])
def test_numbers_that_are_none(log_of, value):
    log = log_of('arm')
    rng = np.random.default_rng(0)
    log.position[rng.random(4000) < 0.05, 0] = value
    log.effort[rng.random(4000) < 0.05, 1] = value
    assert found(log) == {('j0', 'position_missing'), ('j1', 'effort_missing')}


def test_a_joint_that_is_missing(log_of):
    log = log_of('arm')
    log.position[:, 1] = log.effort[:, 1] = np.nan
    assert found(log) == {('j1', 'position_missing')}


def test_joints_that_change_places(log_of):
    log = log_of('arm')
    row = int(np.argmax(np.abs(log.position[:, 0] - log.position[:, 2])))
    for name in ('position', 'effort'):
        values = getattr(log, name)
        values[row:] = values[row:][:, [2, 1, 0]]
    assert {('j0', 'position_order'), ('j2', 'position_order')} <= found(log)
    assert 'j2' in next(str(f) for f in log.check() if f.what == 'position_order')


@pytest.mark.parametrize(('joints', 'frequency', 'late'), [(2, 0.8, 0.3), (12, 3.0, 0.1)])
def test_joints_that_lag_in_a_circle_or_a_gait_are_in_order(tmp_path, joints, frequency, late):
    """Of one frequency each joint goes like others that are sent a little later."""
    (tmp_path / 'r.urdf').write_text(urdf([{}] * joints))
    (tmp_path / 'r.yaml').write_text('urdf: r.urdf')
    stamps = np.arange(1, 6001) / 200.0
    phase = 0.5 * np.pi * np.arange(joints) + 0.7 * (np.arange(joints) // 4)

    def sent(times):
        return 0.4 * np.sin(2.0 * np.pi * frequency * times[:, None] + phase)

    monitor = QualityMonitor(load_profile(tmp_path / 'r.yaml'))
    position = sent(stamps - late)
    position += 2e-4 * np.random.default_rng(0).normal(size=position.shape)
    monitor.extend(stamps, position, np.full_like(position, np.nan), sent(stamps))
    monitor.flush()
    assert 'position_order' not in {finding.what for finding in monitor.findings}


@pytest.mark.parametrize('since', [0.0, 15.0])
@pytest.mark.parametrize('kind', ['arm', 'scara', 'gantry', 'wheels'])
def test_joints_in_a_wrong_order_go_where_others_are_sent(log_of, kind, since):
    log = log_of(kind, duration=45.0)
    late = log.stamp >= since
    for values in (log.position, log.effort):
        values[late] = np.roll(values[late], 1, axis=1)
    told = {f.joint for f in log.check() if f.what == 'position_order'}
    assert told == set(log.profile.joint_names)


def test_a_joint_without_commands_hides_no_wrong_order(log_of):
    log = log_of('arm', duration=45.0)
    for values in (log.position, log.effort):
        values[:, [1, 2]] = values[:, [2, 1]]
    log.command[:, 0] = np.nan
    assert {f.joint for f in log.check() if f.what == 'position_order'} == {'j1', 'j2'}


def test_joints_that_follow_no_command_are_not_in_a_wrong_order(log_of):
    log = log_of('arm', duration=45.0)
    log.command = np.roll(log.command, 3000, axis=0)  # moved by hand, say
    assert 'position_order' not in {f.what for f in log.check()}
    log = log_of('arm', duration=45.0)
    log.command[:] = log.command[:, :1]  # all alike
    assert 'position_order' not in {f.what for f in log.check()}


def test_positions_in_degrees(log_of):
    log = log_of('arm')
    log.position = np.degrees(log.position)
    assert {(joint, 'position_range') for joint in ('j0', 'j1', 'j2')} <= found(log)


def test_an_encoder_that_jumps(log_of):
    log = log_of('arm')
    log.position[500::300, 1] += 1.0
    assert found(log) == {('j1', 'position_jumps')}


def test_one_sample_at_a_time_is_the_same(log_of):
    log = log_of('arm')
    log.effort[:, 0] *= -1.0
    monitor = QualityMonitor(log.profile, RigidBody(log.profile))
    news = [
        monitor.push(*sample) for sample in zip(log.stamp, log.position, log.effort, log.command)
    ]
    assert 15 < sum(news) < 40
    monitor.flush()
    assert monitor.findings == log.check()


def test_what_ceases_is_no_longer_present(log_of):
    log = log_of('arm')
    log.position[1000:2000, 1] = log.position[1000, 1]
    monitor = QualityMonitor(log.profile, RigidBody(log.profile))
    monitor.extend(log.stamp[:1800], log.position[:1800], log.effort[:1800])
    assert monitor.spoiled('position').tolist() == [False, True, False]
    assert not monitor.spoiled('effort').any()
    monitor.extend(log.stamp[1800:], log.position[1800:], log.effort[1800:])
    assert not monitor.spoiled('position').any()
    assert [finding.what for finding in monitor.findings] == ['position_stuck']


def test_without_inverse_dynamics(log_of):
    """Rotors and friction still show the sign."""
    log = log_of('gantry')
    monitor = QualityMonitor(log.profile)
    monitor.extend(log.stamp, log.position, -log.effort)
    assert {finding.what for finding in monitor.findings} == {'effort_sign'}


def test_nothing_at_all(log_of):
    log = log_of('arm')
    log.keep(slice(0, 0))
    assert log.check() == ()


def test_findings_can_be_written(log_of):
    log = log_of('arm')
    log.effort[:] = 0.0
    for finding in log.check():
        assert finding.as_json()['mend'] == KINDS[finding.what][1]
        assert str(finding).startswith(f'{finding.joint}: ')


@pytest.mark.parametrize('name', ['DATA_EMPS', 'DATA_EMPS_PULSES'])
def test_measured_logs(name):
    """A real axis: nothing wrong with it, until its efforts are in volts or turned."""
    from scipy.io import loadmat

    file = EMPS / f'{name}.mat'
    if not file.is_file():
        pytest.skip(f'{file} is not there')
    log = loadmat(file)
    stamp, position, volts = (log[key].ravel() for key in ('t', 'qm', 'vir'))
    profile = load_profile('slider')

    def checked(factor):
        effort = factor * volts[:, None]
        return {f.what for f in check(profile, stamp, position[:, None], effort)}

    assert checked(35.15065) == set()
    assert checked(-35.15065) == {'effort_sign'}
    assert checked(1.0) == {'effort_units'}
    assert checked(35150.65) == {'effort_units'}


@pytest.mark.parametrize('kind', ['arm', 'one joint', 'gantry'])
def test_efforts_that_are_cut_most_of_the_time(log_of, kind):
    """No window of the log is whole then, only samples on the way from one side to the other."""
    log = log_of(kind)
    level = np.quantile(np.abs(log.effort[:, 0]), 0.5)
    log.effort[:, 0] = np.clip(log.effort[:, 0], -level, level)
    assert ('j0', 'effort_saturated') in found(log)


def test_the_ceiling_of_efforts_goes_when_they_exceed_it(log_of):
    log = log_of('arm')
    monitor = QualityMonitor(log.profile, RigidBody(log.profile))
    assert np.isinf(monitor.ceiling).all()
    whole, half = log.effort.copy(), len(log.stamp) // 2
    level = np.quantile(np.abs(whole[:half, 1]), 0.6)
    log.effort[:half, 1] = np.clip(whole[:half, 1], -level, level)
    monitor.extend(log.stamp[:half], log.position[:half], log.effort[:half])
    assert monitor.ceiling[:, 1].min() == level
    assert np.isinf(monitor.ceiling[:, [0, 2]]).all()
    monitor.extend(log.stamp[half:], log.position[half:], log.effort[half:])
    monitor.flush()
    assert np.isinf(monitor.ceiling).all()


@pytest.mark.parametrize('factor', [1e3, 1e9, 1e-3])
def test_stamps_in_another_unit(log_of, factor):
    log = log_of('arm')
    log.stamp = log.stamp * factor
    assert ('', 'stamp_units') in found(log)


def test_the_command_in_force():
    command = np.array([[1.0], [2.0]])
    times = np.array([0.0, 1.0, 1.1, 2.0, 2.1, 2.6])
    inside = in_force(times, np.array([1.0, 2.0]), command, timeout=0.5)
    assert inside[:, 0].tolist() == pytest.approx(
        [np.nan, np.nan, 1, np.nan, 2, np.nan], nan_ok=True
    )
    assert np.isnan(in_force(times, np.zeros(0), np.zeros((0, 1)), 0.5)).all()
