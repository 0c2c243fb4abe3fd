"""Clips to episodes: what the policy saw and did, derived again by the policy's own code.

The observations that a policy published are not simply taken: they are derived from what was
measured, through the bundle's own observation code, and held against what was published. Only
frames in which both agree are kept, so that a training sees exactly what the robot saw. What
cannot be derived is what a clip does not tell: what was before it. It counts as not a number, and
so do all frames it shows in: with a history of 3 and the previous action among them, the first 3.
Frames are found in ``clips_frames.py`` and gone through in ``clips_replay.py``, which says how
images and memories are told; what a network remembered before a clip began shows in none of its
observations, and frames in which it is not known are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.clips import Clip, Stamps
from sim2real_learning.clips_frames import (
    ATOL,
    RTOL,
    Array,
    Array32,
    Flags,
    Rows,
    Seeing,
    add_streams,
    answered,
    published,
)
from sim2real_learning.clips_images import Pictures, check_published, read_cameras
from sim2real_learning.clips_replay import Replay, replay
from sim2real_learning.network import Network

FEWEST = 5
"""Frames that make an episode."""


@dataclass(frozen=True)
class Episode:
    """Consecutive frames of a clip, one a control period.

    Attributes:
        clip: id of the clip.
        stamp: (n,) of the joint states answered [ns].
        observation: (n, d) float32, as the robot saw it.
        action: (n, na) float32, what the network said, within the bundle's ``clip``.
        command: (n, nc) float64, what was sent after the guard, in the profile's order.
        memory: (n, m) float32, what a recurrent network remembered before it saw each frame.
        images: what it saw beside the observation, by the name of the model's input.
    """

    clip: str
    stamp: Stamps
    observation: Array32
    action: Array32
    command: Array
    memory: Array32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    images: Mapping[str, Pictures] = field(default_factory=dict)


@dataclass(frozen=True)
class Derived:
    """What became of a clip.

    Attributes:
        episodes: in order.
        frames: that the policy decided.
        unknown: of these, left out because what was before the clip shows in them.
        disagreeing: left out because they are not what the policy published.
        untold: left out because nothing tells which image was seen then, or what was remembered.
        lonely: left out because too few follow one another.
        identical: frames whose derived observation is the published one, bit for bit.
        published: whether the clip has published observations at all.
        exact: stamp [ns] from which a memory is that of the robot to the bit, as it began anew
            then; None where it has none, or where only what it did shows that it is the same.
        settled: stamp [ns] of the first frame whose memory is known in either way; None likewise.
    """

    episodes: tuple[Episode, ...]
    frames: int
    unknown: int
    disagreeing: int
    untold: int
    lonely: int
    identical: int
    published: bool
    exact: int | None = None
    settled: int | None = None


def derive(clip: Clip, profile: RobotProfile, network: Network) -> Derived:
    """Derive a clip's episodes.

    Args:
        clip: what was recorded.
        profile: of its robot.
        network: of the bundle that ran.

    Raises:
        InputError: the policy that ran saw something else than this bundle's does, or the clip
            lacks what it saw.
        MissingError: pinocchio is needed and not installed.
    """
    meta = network.bundle.meta
    if clip.labels and clip.labels != meta.observation.labels:
        mend = f'the policy that ran saw {len(clip.labels)} elements: give its own bundle'
        seen = len(meta.observation.labels)
        raise InputError(Fault('bundle.observation', seen, mend, str(clip.folder)))
    if meta.images or meta.state:
        check_published(clip, 'images' if meta.images else 'a memory')
    cameras = read_cameras(clip, meta.images)
    seeing = Seeing(meta, profile)
    frames = answered(clip, profile, meta)
    if not len(frames.stamp):  # a policy in shadow, say
        return Derived((), 0, 0, 0, 0, 0, 0, bool(clip.labels))
    said: Array32 | None = None
    if clip.labels:
        said = clip.seen.values.astype(np.float32)
        matched = published(frames, said, seeing)
        frames, said = frames.chosen(matched >= 0), said[matched[matched >= 0]]
    add_streams(frames, clip, profile, said, seeing)
    told = np.array([profile.command_names.index(name) for name in meta.command_names])
    again = replay(frames, network, said, seeing, cameras, told)
    observation, action = again.observation, again.action
    unknown: Flags = np.isnan(np.concatenate([observation, action], axis=1)).any(axis=1)
    agrees = ~unknown
    identical = 0
    if said is not None:
        agrees &= np.asarray(np.isclose(observation, said, RTOL, ATOL).all(axis=1))
        identical = int((agrees & (observation == said).all(axis=1)).sum())
        observation = said
    kept = agrees & again.certain
    runs = _runs(frames.stamp, kept, meta.control_period)
    return Derived(
        episodes=tuple(
            Episode(
                clip.name,
                frames.stamp[r],
                observation[r],
                action[r],
                frames.command[r],
                again.memory[r],
                {c.image.name: c.pictures(again.images[r, i]) for i, c in enumerate(cameras)},
            )
            for r in runs
        ),
        frames=len(kept),
        unknown=int(unknown.sum()),
        disagreeing=int((~agrees & ~unknown).sum()),
        untold=int((agrees & ~kept).sum()),
        lonely=int(kept.sum()) - sum(len(run) for run in runs),
        identical=identical,
        published=said is not None,
        exact=_first(frames.stamp, again, again.begun),
        settled=_first(frames.stamp, again, again.certain),
    )


def _first(stamp: Stamps, again: Replay, where: Flags) -> int | None:
    """Stamp of the first frame with a memory in which something holds."""
    rows = np.flatnonzero(where) if again.memory.shape[1] else np.zeros(0, np.intp)
    return int(stamp[rows[0]]) if rows.size else None


def _runs(stamp: Stamps, kept: Flags, period: float) -> list[Rows]:
    """Kept frames that follow one another, one a control period."""
    rows = np.flatnonzero(kept)
    apart = np.diff(stamp[rows]) * 1e-9
    ends = (np.diff(rows) > 1) | (np.abs(apart - period) > 0.5 * period)
    runs = np.split(rows, np.flatnonzero(ends) + 1)
    return [run for run in runs if len(run) >= FEWEST]
