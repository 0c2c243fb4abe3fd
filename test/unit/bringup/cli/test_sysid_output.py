"""``sim2real sysid excite``, ``to-space``, ``to-urdf`` and ``to-sdf``."""

import json

import pytest

from sim2real_bringup.cli import main
from sim2real_core.profile import load_profile
from sim2real_core.trajectory import read_trajectory
from sim2real_core.urdf import read_urdf
from sim2real_randomizer.space import load_space

KNOWN = {
    'joint.elbow.viscous_friction': {'mean': 4.4, 'std': 0.1, 'status': 'identified'},
    'joint.wrist.armature': {'mean': 0.13, 'std': 0.001, 'status': 'identified'},
    'joint.base.viscous_friction': {'mean': 6.0, 'std': None, 'status': 'not_identified'},
}


@pytest.fixture(params=['parameters', 'final', ''])
def estimate(request, tmp_path):
    """What sysid fit, replay and a file of addresses alone look like."""
    path = tmp_path / 'estimate.json'
    path.write_text(json.dumps({request.param: KNOWN, 'samples': 3} if request.param else KNOWN))
    return str(path)


def test_excite_writes_a_trajectory_a_picture_and_figures(tmp_path, capsys):
    out, plot, figures = (tmp_path / name for name in ('a.yaml', 'a.png', 'a.json'))
    settings = '--duration 4 --period 4 --harmonics 2 --iterations 2 --seed 1'.split()
    files = ['--out', str(out), '--plot', str(plot), '--json', str(figures)]
    assert main(['sysid', 'excite', '--robot', 'slider', *settings, *files]) == 0
    trajectory = read_trajectory(out, load_profile('slider'))
    assert (trajectory.duration, trajectory.periods) == (4.0, 1)
    assert plot.read_bytes().startswith(b'\x89PNG')
    assert json.loads(figures.read_text())['condition_number'] > 1.0
    shown = capsys.readouterr()
    assert 'condition number' in shown.out and 'link.carriage.mass' in shown.out
    assert 'exciting slider' in shown.err


def test_excite_takes_a_box(capsys):
    box = ['--box', *'0 0 0 0.1 0.1 0.1'.split()]
    assert main(['sysid', 'excite', '--robot', 'arm6', *box]) == 2
    assert 'must hold the start' in capsys.readouterr().err


def test_a_space_has_what_is_identified_and_keeps_the_rest(estimate, tmp_path, capsys):
    out, shown = tmp_path / 'space.yaml', tmp_path / 'shown.json'
    assert main(['sysid', 'to-space', estimate, '--robot', 'arm6', '--out', str(out)]) == 0
    assert main(
        ['randomize', 'show', str(out), '--robot', 'arm6', '--json', str(shown)]
    ) == 0  # fmt: skip
    ranges = {a: row['range'] for a, row in json.loads(shown.read_text())['addresses'].items()}
    assert ranges['joint.elbow.viscous_friction'] == pytest.approx([4.1, 4.7])
    # 3 standard deviations, which is more than the floor of 2 %; it did not vary before.
    assert ranges['joint.wrist.armature'] == pytest.approx([0.127, 0.133])
    profile = load_profile('arm6')
    prior = load_space('arm6', profile).range('joint.base.viscous_friction')
    assert ranges['joint.base.viscous_friction'] == pytest.approx(prior)


def test_models_are_written(estimate, tmp_path, capsys):
    urdf, sdf, figures = (tmp_path / name for name in ('a.urdf', 'a.sdf', 'a.json'))
    for verb, out in (('to-urdf', urdf), ('to-sdf', sdf)):
        to = ['--robot', 'arm6', '--out', str(out), '--json', str(figures)]
        assert main(['sysid', verb, estimate, *to]) == 0
        assert json.loads(figures.read_text())['written']['joint.elbow.viscous_friction'] == 4.4
    assert read_urdf(urdf).joints['elbow'].damping == 4.4
    assert 'joints.wrist.armature' in capsys.readouterr().out
    assert 'sim2real:armature' in sdf.read_text()


def test_nothing_identified_is_a_no(tmp_path):
    path = tmp_path / 'none.json'
    path.write_text('{}')
    to = ['--robot', 'arm6', '--out', str(tmp_path / 'a.urdf')]
    assert main(['sysid', 'to-urdf', str(path), *to]) == 1


@pytest.mark.parametrize('verb', ['to-space', 'to-urdf', 'to-sdf'])
def test_what_is_no_estimate_is_bad_input(verb, tmp_path, capsys):
    to = ['--robot', 'arm6', '--out', str(tmp_path / 'out')]
    assert main(['sysid', verb, str(tmp_path / 'gone.json'), *to]) == 2
    (tmp_path / 'bag').mkdir()
    assert main(['sysid', verb, str(tmp_path / 'bag'), *to]) == 2
    assert 'give a rosbag2 folder' in capsys.readouterr().err


def test_the_last_estimate_of_a_bag_counts(tmp_path):
    pytest.importorskip('rclpy')
    from rclpy.serialization import serialize_message

    from sim2real_bringup.bags import BagWriter
    from sim2real_bringup.estimates import load_estimate
    from sim2real_core.messages import estimate_to_message
    from sim2real_core.records import Estimate, ParameterEstimate

    kind, topic = 'diagnostic_msgs/msg/DiagnosticArray', '/left/sysid/estimate'
    with BagWriter(tmp_path / 'bag') as writer:
        writer.topic(topic, kind, latched=True)
        for stamp, mean in ((1.0, 3.0), (2.0, 4.0)):
            found = {'joint.elbow.armature': ParameterEstimate(mean, 0.1, 'identified', '')}
            data = bytes(serialize_message(estimate_to_message(Estimate(stamp, found))))
            writer.write(topic, int(stamp * 1e9), data)
    read = load_estimate(tmp_path / 'bag')
    assert read.parameters['joint.elbow.armature'].mean == 4.0
