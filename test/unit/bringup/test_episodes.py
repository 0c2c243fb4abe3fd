"""Bags as episodes, and the verbs that calibrate detectors with them and evaluate these."""

import json

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

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


def test_a_long_bag_is_cut_and_what_is_left_is_dropped(bags, slider):
    episodes = read_episodes([bags / 'fresh'], slider, read_detectors('default'), 0.9)
    first = [next(iter(episode)).stamp for episode in episodes]
    assert first == pytest.approx([10.0, 10.9, 11.8, 12.7], abs=0.005)


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
