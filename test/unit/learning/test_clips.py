"""Clips as arrays, and as episodes whose observations are those the robot had."""

from types import SimpleNamespace

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_learning.clips import clip_folders, read_clip
from sim2real_learning.clips_episodes import derive
from sim2real_learning.clips_frames import Seeing, _stream
from sim2real_learning.network import Network
from sim2real_policy.observation import Term
from sim2real_policy.runtime import OnnxRuntime


def derived(folder, profile, bundle):
    clip = read_clip(folder, profile)
    return clip, derive(clip, profile, Network(bundle))


def recorded(stack, seconds=2.0):
    stack.run(seconds)
    stack.trigger()
    (folder,) = stack.run(0.6).clips()
    return folder


def assert_seen(found, stack):
    """Every frame is, bit for bit, what the controller had."""
    for episode in found.episodes:
        for stamp, observation in zip(episode.stamp.tolist(), episode.observation):
            assert observation.tobytes() == stack.seen[stamp].tobytes()


@pytest.mark.parametrize('lag', [0, 7_000_000, 31_000_000])
def test_observations_are_those_the_robot_had(stack, arm6, bundle, lag):
    run = stack(lag=lag, start=1_763_700_000 * 10**9)
    run.run(1.2).goal((0.3, -0.2, 0.5))  # a second goal, in the window
    folder = recorded(run, 0.6)
    clip, found = derived(folder, arm6, bundle)
    assert len(clip.states.stamp) > 350 and len(clip.labels) == bundle.meta.observation.size
    assert found.published and found.disagreeing == 0
    # What was before the clip shows in three actions; the rest is one episode.
    (episode,) = found.episodes
    assert found.unknown == 3 and found.lonely == 0
    assert len(episode.stamp) == found.frames - 3 == found.identical
    assert_seen(found, run)
    np.testing.assert_allclose(np.diff(episode.stamp), 20_000_000)


def test_actions_and_commands_are_those_that_were_sent(stack, arm6, bundle):
    run = stack()
    clip, found = derived(recorded(run), arm6, bundle)
    (episode,) = found.episodes
    infer = OnnxRuntime(bundle, warm_up=0).infer
    normal = bundle.meta.normalizer
    for row in (0, 10, len(episode.stamp) - 1):
        seen = run.seen[int(episode.stamp[row])]
        scaled = ((seen - np.array(normal.mean)) / np.array(normal.std)).astype(np.float32)
        said = np.clip(infer(scaled[None])[0].astype(float), -0.8, 0.8)
        assert np.array_equal(episode.action[row], said.astype(np.float32))
    applied = dict(zip(clip.applied.stamp.tolist(), clip.applied.values))
    assert all(np.array_equal(applied[int(s)], c) for s, c in zip(episode.stamp, episode.command))


def test_a_policy_that_begins_in_the_clip_is_known_from_its_first_frame(stack, arm6, bundle):
    run = stack()
    run.run(0.3)
    run.trigger()
    (folder,) = run.run(0.6).clips()
    _, found = derived(folder, arm6, bundle)
    assert found.unknown == found.disagreeing == 0
    (episode,) = found.episodes
    assert episode.stamp[0] == 0 and len(episode.stamp) == found.frames > 35
    assert_seen(found, run)


def test_an_imu_is_told_though_it_was_recorded_late(stack, arm6, bundle_of):
    terms = [Term(kind='imu_angular_velocity', history=2), Term(kind='imu_linear_acceleration')]
    bundle = bundle_of(arm6, [*terms, Term(kind='joint_effort'), Term(kind='joint_position')])
    run = stack(policy=bundle, imu=True, goal=None)
    # The IMU's next sample is there before the policy takes the joint state, now and then.
    _, found = derived(recorded(run), arm6, bundle)
    assert found.disagreeing == 0 and found.unknown == 1
    assert_seen(found, run)


def test_an_orientation_that_is_none_is_not_taken(arm6, bundle_of):
    meta = bundle_of(arm6, [Term(kind='imu_orientation')]).meta

    def said(second, *elements):
        orientation = SimpleNamespace(**dict(zip('xyzw', elements)))
        stamp = SimpleNamespace(sec=second, nanosec=0)
        header = SimpleNamespace(stamp=stamp, frame_id='imu')
        return second, SimpleNamespace(header=header, orientation=orientation)

    whole, none, far = said(1, 0, 0.6, 0, 0.8), said(2, 0, 0, 0, 0), said(3, 2, 0, 0, 1)
    stream = _stream('imu', [whole, none, far], Seeing(meta, arm6))
    assert stream.when.tolist() == [10**9]
    np.testing.assert_array_equal(stream.values['orientation'][0], [0, 0.6, 0, 0.8])


def test_frames_that_are_not_what_was_published_are_left_out(stack, arm6, bundle):
    run = stack()
    run.run(1.0)
    real = run.controller._tool
    run.controller._tool = lambda q: real(q) + 1e-3  # other kinematics than the bundle's robot
    folder = recorded(run, 0.2)
    _, found = derived(folder, arm6, bundle)
    assert found.disagreeing > 20
    assert_seen(found, run)


def test_a_bundle_that_sees_something_else_is_refused(stack, arm6, bundle_of):
    folder = recorded(stack())
    other = bundle_of(arm6, [Term(kind='joint_position')])
    with pytest.raises(InputError, match='own bundle'):
        derived(folder, arm6, other)


def test_a_clip_of_another_robot_is_refused(stack, slider):
    with pytest.raises(InputError, match='profile of that robot'):
        read_clip(recorded(stack()), slider)


def test_draws_are_read_in_their_order(stack, arm6):
    run = stack()
    run.draw({'link.gripper.mass': 1.5})
    run.run(1.5).draw({'actuator.elbow.gain': 0.5})
    clip = read_clip(recorded(run, 0.2), arm6)
    assert [values for _, values in clip.draws] == [
        {'link.gripper.mass': 1.5},
        {'actuator.elbow.gain': 0.5},
    ]
    assert clip.draws[0][0] <= clip.states.stamp[0] < clip.draws[1][0]


def test_folders_of_clips_and_single_clips_are_found_once(stack):
    folder = recorded(stack())
    assert list(clip_folders([folder.parent, folder, folder / 'metadata.yaml'])) == [folder]
    with pytest.raises(InputError):
        list(clip_folders([folder.parent / 'nothing']))
