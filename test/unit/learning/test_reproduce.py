"""A failure recurs in the world it happened in, and not in another."""

from dataclasses import replace

import numpy as np
import pytest

from sim2real_capture.detectors_file import build, read_detectors
from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_learning.clips import read_clip
from sim2real_learning.reproduce import reproduce, worlds_of
from sim2real_learning.reproduce_plot import plot
from sim2real_policy.bundle import load_bundle
from sim2real_policy.observation import Term
from sim2real_sim.mujoco_simulator import MujocoSimulator
from test.recorded import Stack
from test.two_joints import two_joints

FAULT = {'actuator.shoulder.gain': 0.0}


def again(clip, profile, given=(), **options):
    """Reproduce a clip with the default detectors."""
    entries = read_detectors('default')
    return reproduce(
        clip,
        profile,
        worlds_of(clip, given),
        lambda: build(entries, profile).active,
        contacts=False,
        **options,
    )


@pytest.fixture(scope='module')
def broken(arm6, tmp_path_factory):
    """A clip of a drive that loses its torque; the draw tells of it."""
    bundle = load_bundle(find('policies', 'arm6', '.onnx'))
    simulator = MujocoSimulator(arm6, contacts=False, seed=3)
    stack = Stack(arm6, bundle, tmp_path_factory.mktemp('spool'), simulator, lag=2_000_000)
    stack.goal((0.4, 0.1, 0.4))
    stack.draw({'link.gripper.mass': 1.2})
    stack.run(2.0).draw({'link.gripper.mass': 1.2, **FAULT})
    stack.run(1.5)
    (folder,) = stack.clips()
    clip = read_clip(folder, arm6)
    assert clip.event['detector'] == 'tracking_error' and 'shoulder' in clip.event['detail']
    return clip


def test_a_failure_recurs_in_its_own_world_alone(broken, arm6):
    found = again(broken, arm6, lead=1.0)
    nominal, drawn = found.outcomes
    assert (nominal.world, drawn.world) == ('nominal', 'draw')
    assert found.recurs and found.best is drawn
    assert drawn.recurs and abs(drawn.delay) <= 0.02
    assert not nominal.recurs and np.isnan(nominal.delay)
    # The same motion but for sensor noise; the other world leaves the shoulder where it was told.
    assert drawn.rms.max() < 0.01 < 0.1 < nominal.rms[arm6.joint_names.index('shoulder')]
    assert found.simulated.shape == (len(found.stamp), 2, 6) and not drawn.ignored
    assert found.recorded and found.reference == pytest.approx(broken.event['stamp'], abs=0.02)


def test_a_hypothesis_explains_a_failure_that_nobody_told_of(broken, arm6):
    silent = replace(broken, draws=(), manifest={**broken.manifest, 'draw': {}})
    assert not again(silent, arm6).recurs
    begun = 2.0 - broken.event['stamp']  # after the alarm
    found = again(silent, arm6, [(begun, 'actuator.shoulder.gain', 0.0)])
    assert found.recurs and found.best.world == 'given'
    late = again(silent, arm6, [(0.3, 'actuator.shoulder.gain', 0.0)])
    assert not late.recurs


def test_before_the_first_draw_that_was_heard_the_robot_was_nominal(broken, arm6):
    (_, asked), (then, _) = broken.draws
    late = replace(broken, draws=((then, FAULT),))
    (nominal, drawn) = worlds_of(late)
    assert drawn.at(then - 1) == {} == nominal.at(then) and drawn.at(then) == FAULT
    told = replace(broken, draws=(), manifest={**broken.manifest, 'draw': {'values': asked}})
    assert worlds_of(told)[1].at(then) == asked
    silent = replace(broken, draws=(), manifest={**broken.manifest, 'draw': {}})
    assert [world.name for world in worlds_of(silent)] == ['nominal']


def test_an_estimate_is_a_world_and_what_cannot_be_is_told(broken, arm6):
    def known(mean, status='identified'):
        return {'mean': mean, 'std': 0.1, 'status': status}

    estimate = {
        'link.gripper.mass': known(1.2),
        'joint.elbow.viscous_friction': known(-3.0),
        'joint.elbow.armature': known(9.0, 'not_identified'),
        'camera.front.fov': known(1.0),
    }
    told = replace(broken, manifest={**broken.manifest, 'estimate': estimate})
    found = again(told, arm6, lead=0.5)
    worlds = {outcome.world: outcome for outcome in found.outcomes}
    assert list(worlds) == ['nominal', 'draw', 'estimate', 'estimate and draw']
    assert set(worlds['estimate'].ignored) == {'joint.elbow.viscous_friction', 'camera.front.fov'}
    assert worlds['estimate and draw'].recurs and not worlds['estimate'].recurs


def test_what_an_operator_asked_for_is_only_compared(stack, arm6, tmp_path):
    run = stack()
    run.run(1.0)
    run.trigger()
    (folder,) = run.run(0.7).clips()
    found = again(read_clip(folder, arm6), arm6)
    assert found.recurs is None and found.best.rms.max() < 0.01
    plot(found, ('rad',) * 6, tmp_path / 'again.png')
    assert (tmp_path / 'again.png').stat().st_size > 10_000
    assert found.as_json()['worlds'][0]['recurs'] is None


@pytest.mark.parametrize('interface', ['velocity', 'effort'])
def test_other_interfaces_and_joints(interface, tmp_path, bundle_of):
    turn = 'viscous_friction: 0.2, armature: 0.05'
    reach = 'viscous_friction: 2.0, armature: 0.1, default_position: 0.2'
    profile = two_joints(tmp_path, interface, turn, reach)
    terms = [Term(kind='joint_position'), Term(kind='joint_velocity')]
    policy = bundle_of(profile, terms, meaning=interface)
    simulator = MujocoSimulator(profile, contacts=False, seed=1)
    run = Stack(profile, policy, tmp_path / 'spool', simulator)
    run.run(0.5).draw({'link.rod.mass': 2.0})
    run.run(0.5)
    run.trigger()
    (folder,) = run.run(0.7).clips()
    clip = read_clip(folder, profile)
    found = again(clip, profile, lead=0.8)
    _, drawn = found.outcomes
    assert drawn.rms.max() < 0.02 and not drawn.diverged


def test_a_clip_without_commands_is_refused(broken, arm6):
    empty = type(broken.applied)(*(part[:0] for part in broken.applied))
    with pytest.raises(InputError, match='joint states and commands'):
        again(replace(broken, applied=empty, sent=empty), arm6)


def test_a_clip_without_joint_states_of_this_robot_is_refused(broken, arm6):
    nothing = broken.states._replace(**{n: v[:0] for n, v in broken.states._asdict().items()})
    with pytest.raises(InputError, match='joint states of this robot'):
        again(replace(broken, states=nothing), arm6)
