"""Bags as episodes, and the verbs that calibrate detectors with them and evaluate these."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from sim2real_bringup.bag_import import import_log
from sim2real_bringup.bags import BagWriter
from sim2real_bringup.cli import main
from sim2real_bringup.episodes import read_episodes, read_trials
from sim2real_capture.detectors_file import read_detectors
from sim2real_capture.signals import Sample, Seen
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile

S = 10**9
JOINT_STATE = 'sensor_msgs/msg/JointState'
FLOATS = 'std_msgs/msg/Float64MultiArray'
IMU = 'sensor_msgs/msg/Imu'
SKEW = 1000  # s; log times are of another clock than the sensor's


def write(path, rng, seconds=1.0, jump=0.0, begin=10.0):
    """The slider, that follows its commands but for a jump after half of the time."""
    store = get_typestore(Stores.LATEST)
    t = store.types
    dimension = t['std_msgs/msg/MultiArrayLayout'](dim=[], data_offset=0)

    def header(now):
        stamp = t['builtin_interfaces/msg/Time'](sec=now // S, nanosec=now % S)
        return t['std_msgs/msg/Header'](stamp=stamp, frame_id='')

    def joint(now, position, velocity, effort):
        values = (np.array([v]) for v in (position, velocity, effort))
        return t[JOINT_STATE](header(now), ['slider'], *values)

    with BagWriter(path) as bag:
        bag.topic('/r/joint_states', JOINT_STATE)
        bag.topic('/r/policy/action_applied', JOINT_STATE)
        bag.topic('/r/policy/observation', FLOATS)

        def put(topic, kind, now, message):
            bag.write(f'/r/{topic}', now + SKEW * S, bytes(store.serialize_cdr(message, kind)))

        for i in range(round(seconds * 250)):
            now = round(begin * S) + i * 4_000_000
            position = 0.01 * rng.normal() * 0.01 + jump * (i >= seconds * 125)
            put('joint_states', JOINT_STATE, now, joint(now, position, 0.0, 0.0))
            if i % 5 == 0:
                put('policy/action_applied', JOINT_STATE, now + 1, joint(now, 0.0, 0.0, 0.0))
                seen = t[FLOATS](dimension, np.array([position, 1.0]))
                put('policy/observation', FLOATS, now + 1, seen)
    return path


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """34 nominal bags, 10 fresh ones and one that jumps."""
    folder, rng = tmp_path_factory.mktemp('bags'), np.random.default_rng(0)
    (folder / 'nominal').mkdir()
    for i in range(34):
        write(folder / 'nominal' / f'n{i}', rng, 0.4)
    write(folder / 'fresh', rng, 4.0)
    write(folder / 'jumped', rng, jump=0.3)
    return folder


@pytest.fixture
def slider():
    return load_profile('slider')


def test_a_bag_gives_what_the_node_hears_on_one_time_line(bags, slider):
    entries = read_detectors('all')
    (episode,) = read_episodes([bags / 'jumped'], slider, entries)
    for _ in range(2):  # it can be gone through again
        signals = list(episode)
        samples = [signal for signal in signals if isinstance(signal, Sample)]
        seen = [signal for signal in signals if isinstance(signal, Seen)]
        assert (len(samples), len(seen)) == (250, 50)
        assert [samples[0].stamp, samples[-1].stamp] == pytest.approx([10.0, 10.996])
        assert samples[0].command is None and samples[1].command == [0.0]
        stamps = np.array([signal.stamp for signal in signals])
        assert (np.diff(stamps) >= 0).all() and stamps[-1] < 11.0


@pytest.fixture
def told(tmp_path):
    """A bag of the slider that was told Float64MultiArrays."""
    rows = ''.join(f'{0.01 * k},0,0\n' for k in range(1, 50))
    (tmp_path / 'log.csv').write_text('t,q,c\n' + rows)
    columns = 'time: {column: t}\njoints: {slider: {position: q, command: c}}'
    (tmp_path / 'map.yaml').write_text(columns)
    import_log(tmp_path / 'log.csv', tmp_path / 'map.yaml', tmp_path / 'bag')
    return tmp_path / 'bag'


def test_commands_of_another_type_than_the_profiles_are_understood(told, slider):
    command = replace(slider.command, type='trajectory_msgs/msg/JointTrajectory')
    (episode,) = read_episodes([told], replace(slider, command=command), [])
    assert [signal.command for signal in episode][1:] == [[0.0]] * 48


def test_topics_of_types_that_nobody_reads_are_named(told, slider):
    topics = replace(slider.topics, imu=slider.command.topic)
    entries = [entry for entry in read_detectors('all') if entry.kind == 'imu_shock']
    command = replace(slider.command, topic='elsewhere')
    twisted = replace(slider.command, interface='twist', type='geometry_msgs/msg/Twist')
    robot = replace(slider, topics=topics, command=command)
    with pytest.raises(InputError) as caught:
        list(read_episodes([told], robot, entries)[0])
    assert f'/{topics.imu} = {FLOATS!r}: must be sensor_msgs/msg/Imu' in str(caught.value)
    with pytest.raises(InputError, match='must be geometry_msgs'):
        list(read_episodes([told], replace(slider, command=twisted), [])[0])


def test_a_long_bag_is_cut_and_what_is_left_is_dropped(bags, slider):
    episodes = read_episodes([bags / 'fresh'], slider, read_detectors('default'), 0.9)
    first = [next(iter(episode)).stamp for episode in episodes]
    assert first == pytest.approx([10.0, 10.9, 11.8, 12.7], abs=0.005)


def test_episodes_that_are_too_short(bags, slider):
    with pytest.raises(InputError, match='episode = 1e-09: at least'):
        read_episodes([bags], slider, [], 1e-9)


def test_where_there_is_no_bag(tmp_path, slider):
    with pytest.raises(InputError, match='no bag there'):
        read_episodes([tmp_path], slider, ())


def test_calibrate_then_evaluate(bags, tmp_path, capsys):
    out, told = tmp_path / 'thresholds.json', tmp_path / 'told.json'
    args = ['capture', 'calibrate', str(bags / 'nominal'), '--robot', 'slider']
    assert main([*args, '--out', str(out), '--json', str(told)]) == 0
    assert json.loads(told.read_text())['episodes'] == 20
    assert 'imu_shock is not calibrated' in capsys.readouterr().err

    trials = tmp_path / 'faults.yaml'
    trials.write_text(
        f'trials:\n  - {{bag: {bags / "jumped"}, fault: jump, magnitude: 0.3, at: 10.5}}\n'
        f'  - {{bag: {bags / "fresh"}, fault: none, magnitude: 0, at: 99}}\n'
    )
    args = ['capture', 'evaluate', str(bags / 'fresh'), '--episode', '0.4', '--robot', 'slider',
            '--thresholds', str(out), '--trials', str(trials), '--json', str(told)]  # fmt: skip
    assert main(args) == 0
    found = json.loads(told.read_text())
    assert found['false_alarms']['total'] == 9
    caught = {one['fault']: one['count'] for one in found['faults']}
    assert caught == {'jump': 1, 'none': 0}
    assert main([*args, '--at-least', '0.9']) == 1


def test_too_few_episodes_are_bad_input(bags, tmp_path, capsys):
    args = ['capture', 'calibrate', str(bags / 'jumped'), '--robot', 'slider']
    assert main([*args, '--out', str(tmp_path / 'thresholds.json')]) == 2
    assert 'episodes' in capsys.readouterr().err


def test_every_fault_of_a_list_of_trials_is_named(tmp_path, slider):
    path = tmp_path / 'faults.yaml'
    path.write_text('trials:\n  - {bag: x}\n  - 3\n')
    with pytest.raises(InputError, match=r':2: trials\[0\](.|\n)*:3: trials\[1\]'):
        read_trials(path, slider, ())


def roam(path, rng, robot, seconds=0.5):
    """A robot whose joints follow what its own kind of command says, and its IMU."""
    store = get_typestore(Stores.LATEST)
    t, count = store.types, len(robot.joints)
    twist = robot.command.interface == 'twist'

    def header(now):
        stamp = t['builtin_interfaces/msg/Time'](sec=now // S, nanosec=now % S)
        return t['std_msgs/msg/Header'](stamp=stamp, frame_id='')

    def told(now, values):
        if not twist:
            layout = t['std_msgs/msg/MultiArrayLayout'](dim=[], data_offset=0)
            return t[FLOATS](layout, values)
        vector = t['geometry_msgs/msg/Vector3']
        made = t['geometry_msgs/msg/Twist'](vector(values[0], 0, 0), vector(0, 0, values[1]))
        return t[robot.command.type](header(now), made)

    def imu(now):
        vector, rate = t['geometry_msgs/msg/Vector3'], rng.normal(0.0, 0.01, 3)
        level = t['geometry_msgs/msg/Quaternion'](0, 0, 0, 1)
        force = vector(*rng.normal([0.0, 0.0, 9.81], 0.1))
        none = np.zeros(9)
        return t[IMU](header(now), level, none, vector(*rate), none, force, none)

    turn, phase = rng.uniform(0.5, 2.0, 2)
    middle = np.zeros(count) if twist else robot.array('default_position')
    rate = round(robot.rates.joint_state_rate)
    with BagWriter(path) as bag:
        sent, states = f'/r/{robot.command.topic}', f'/r/{robot.topics.joint_states}'
        bag.topic(sent, robot.command.type)
        bag.topic(states, JOINT_STATE)
        bag.topic(f'/r/{robot.topics.imu}', IMU)
        for i in range(round(seconds * rate)):
            now = 10 * S + i * S // rate
            swing, slope = (0.1 * f(turn * i / rate + phase) for f in (np.sin, np.cos))
            noise = rng.normal(0.0, 1e-3, (3, count))
            position, velocity, effort = middle + swing, np.full(count, turn * slope), -swing
            states_now = (position + noise[0], velocity + noise[1], effort + noise[2])
            put = [
                (
                    states,
                    JOINT_STATE,
                    t[JOINT_STATE](header(now), [*robot.joint_names], *states_now),
                ),
                (f'/r/{robot.topics.imu}', IMU, imu(now)),
            ]
            if i % 2 == 0:
                values = np.array([turn * slope, 0.0]) * 0.1 if twist else position
                put.append((sent, robot.command.type, told(now, values)))
            for topic, kind, message in put:
                bag.write(topic, now + SKEW * S, bytes(store.serialize_cdr(message, kind)))


@pytest.mark.parametrize('name', ['rover', 'quadruped'])
def test_robots_of_any_kind_are_calibrated_and_evaluated(tmp_path, name):
    robot, rng = load_profile(name), np.random.default_rng(1)
    for i in range(34):
        (tmp_path / 'nominal').mkdir(exist_ok=True)
        roam(tmp_path / 'nominal' / f'n{i}', rng, robot)
    roam(tmp_path / 'fresh', rng, robot, 1.5)
    out, told = tmp_path / 'thresholds.json', tmp_path / 'told.json'
    given = ['--robot', name, '--json', str(told)]
    found = [str(tmp_path / 'nominal'), *given, '--out', str(out)]
    assert main(['capture', 'calibrate', *found]) == 0
    detectors = json.loads(out.read_text())['detectors']
    learned = {'dynamics_residual', 'drive_residual', 'friction_residual', 'tracking_error'}
    assert {*learned, 'imu_shock', 'effort_spike', 'frozen_sensor'} <= set(detectors)
    for detector in learned:  # commands were understood
        assert set(robot.joint_names) <= set(detectors[detector]['threshold'])
    fresh = [str(tmp_path / 'fresh'), *given, '--episode', '0.5', '--thresholds', str(out)]
    assert main(['capture', 'evaluate', *fresh]) == 0
    assert json.loads(told.read_text())['false_alarms']['total'] == 2


def test_a_rovers_twist_is_what_its_wheels_are_told(tmp_path):
    robot = load_profile('rover')
    roam(tmp_path / 'bag', np.random.default_rng(0), robot)
    (episode,) = read_episodes([tmp_path / 'bag'], robot, read_detectors('default'))
    samples = [signal for signal in episode if isinstance(signal, Sample)]
    assert samples[0].command is None
    for sample in samples[1:]:  # straight on, wheels of a tenth of a metre
        np.testing.assert_allclose(sample.command, sample.velocity, atol=0.02)
        np.testing.assert_array_equal(sample.measured, sample.velocity)
