"""Clips to episodes: what the policy saw and did, derived again by the policy's own code.

The observations that a policy published are not simply taken: they are derived from what was
measured, through the bundle's own observation code, and held against what was published. Only
frames in which both agree are kept, so that a training sees exactly what the robot saw. What
cannot be derived is what a clip does not tell: what was before it. It counts as not a number, and
so do all frames it shows in: with a history of 3 and the previous action among them, the first 3.

A frame is a joint state that the policy answered, stamp s::

    joint state s                 position, velocity, effort, tool
    applied action before         command (what the policy's guard sent last)
    published observation before  through the network: previous action
    newest goal, newest IMU ...   goal, angular velocity, linear acceleration ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.clips import Clip, Messages, Stamps, stamp_of
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.observation import COMMANDED, INPUT_SIZES, KINDS, TOPICS, Assembler

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
Infer = Callable[[Array32], npt.NDArray[Any]]

JOINTS = frozenset({'position', 'velocity', 'effort'})
"""Inputs that a joint state tells, in the same bits on every machine."""
STREAMS = ('goal', 'velocity_goal', 'imu', 'odometry')
"""What comes beside joint states, as a profile calls its topics."""
STAMPED = frozenset({'imu', 'odometry'})
"""Of these, what says when it was measured."""
APART = round(0.5e9)
"""Recorder and policy hear of a goal or an IMU sample each on a way of their own, and in a paced
run one may lag: by so much may the order be another one [ns]."""
RTOL, ATOL = 1e-5, 1e-6
"""How far an observation may be off for the arithmetic of another machine."""
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
    """

    clip: str
    stamp: Stamps
    observation: Array32
    action: Array32
    command: Array


@dataclass(frozen=True)
class Derived:
    """What became of a clip.

    Attributes:
        episodes: in order.
        frames: that the policy decided.
        unknown: of these, left out because what was before the clip shows in them.
        disagreeing: left out because they are not what the policy published.
        lonely: left out because too few follow one another.
        identical: frames whose derived observation is the published one, bit for bit.
        published: whether the clip has published observations at all.
    """

    episodes: tuple[Episode, ...]
    frames: int
    unknown: int
    disagreeing: int
    lonely: int
    identical: int
    published: bool


def derive(clip: Clip, profile: RobotProfile, meta: BundleMetadata, infer: Infer) -> Derived:
    """Derive a clip's episodes.

    Args:
        clip: what was recorded.
        profile: of its robot.
        meta: of the bundle that ran.
        infer: that bundle's network: normalized observations (1, d) to actions (1, na).

    Raises:
        InputError: the policy that ran saw something else than this bundle's does.
        MissingError: pinocchio is needed and not installed.
    """
    if clip.labels and clip.labels != meta.observation.labels:
        mend = f'the policy that ran saw {len(clip.labels)} elements: give its own bundle'
        seen = len(meta.observation.labels)
        raise InputError(Fault('bundle.observation', seen, mend, str(clip.folder)))
    if meta.images or meta.state:
        mend = 'what a policy with images or a memory did cannot be derived from a clip'
        raise InputError(Fault('bundle', meta.robot, mend, str(clip.folder)))
    seeing = _Seeing(meta, profile)
    frames = _frames(clip, profile, meta)
    said: Array32 | None = None
    if clip.labels:
        said = clip.seen.values.astype(np.float32)
        published = _published(frames, said, seeing)
        frames, said = frames.chosen(published >= 0), said[published[published >= 0]]
    topics = {name: getattr(profile.topics, name) for name in STREAMS} | meta.observation.topics
    for name in STREAMS:
        stream = _stream(name, clip.heard.get(topics[name], ()), meta)
        frames.inputs.update(_heard(stream, frames, said, seeing))
    observation, action = _run(frames, meta, infer, said, seeing)
    unknown: Flags = np.isnan(np.concatenate([observation, action], axis=1)).any(axis=1)
    kept = ~unknown
    identical = 0
    if said is not None:
        kept &= np.asarray(np.isclose(observation, said, RTOL, ATOL).all(axis=1))
        identical = int((kept & (observation == said).all(axis=1)).sum())
        observation = said
    runs = _runs(frames.stamp, kept, meta.control_period)
    return Derived(
        episodes=tuple(
            Episode(clip.name, frames.stamp[r], observation[r], action[r], frames.command[r])
            for r in runs
        ),
        frames=len(kept),
        unknown=int(unknown.sum()),
        disagreeing=int((~kept & ~unknown).sum()),
        lonely=int(kept.sum()) - sum(len(run) for run in runs),
        identical=identical,
        published=said is not None,
    )


@dataclass
class _Frames:
    """Joint states that were answered, and what was known of the rest then.

    Attributes:
        stamp: (n,) [ns].
        time: (n,) when the answer was recorded [ns].
        inputs: by name (see ``observation.KINDS``): (n, nj) or (n, 3).
        command: (n, nc) the answer, in the profile's order.
        holes: (n,) how often, until then, joint states were missing for longer than histories
            outlast.
    """

    stamp: Stamps
    time: Stamps
    inputs: dict[str, Array]
    command: Array
    holes: npt.NDArray[np.int64]

    def chosen(self, rows: Flags) -> _Frames:
        """Some of them."""
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        return _Frames(
            self.stamp[rows], self.time[rows], inputs, self.command[rows], self.holes[rows]
        )


class _Seeing:
    """The bundle's observation code, and which of its elements are made of what."""

    def __init__(self, meta: BundleMetadata, profile: RobotProfile) -> None:
        self.layout = meta.observation
        self.default = np.array(meta.default_position)
        self.position_command = profile.command.interface == 'position'

    def assembler(self, n: int = 1) -> Assembler:
        """A new one for ``n`` robots."""
        return Assembler(self.layout, self.default, position_command=self.position_command, n=n)

    def at_once(self, inputs: Mapping[str, Array], n: int) -> Array32:
        """Observations (n, d) of unrelated instants: only their newest samples mean anything."""
        unknown = {name: np.full((n, self.width(name)), np.nan) for name in self.layout.inputs}
        return self.assembler(n).update({**unknown, **inputs})

    def width(self, name: str) -> int:
        """Elements of an input."""
        names = self.layout.commands if name in COMMANDED else self.layout.joints
        return INPUT_SIZES[name] or len(names)

    def columns(self, inputs: frozenset[str]) -> Rows:
        """Newest elements of the terms that are made of one of these at least, and of those."""
        found: list[int] = []
        end = 0
        for term in self.layout.terms:
            size = self.layout.term_size(term)
            end += size * term.history
            if inputs & set(KINDS[term.kind]):
                found += range(end - size, end)
        return np.array(found, dtype=np.intp)


def _frames(clip: Clip, profile: RobotProfile, meta: BundleMetadata) -> _Frames:
    """Answered joint states with what they, and the command before, say."""
    order = [profile.joint_names.index(name) for name in meta.joints]
    needed = ['position', *sorted(JOINTS & meta.observation.inputs - {'position'})]
    usable = np.isfinite([clip.state(name).sum(axis=1) for name in needed]).all(axis=0)
    stamps = clip.states.stamp[usable]
    # A command that was repeated without a new joint state answers none.
    answered, rows = np.unique(clip.applied.stamp, return_index=True)
    rows = rows[np.isin(answered, stamps)]
    answered = clip.applied.stamp[rows]
    state = np.searchsorted(stamps, answered)
    inputs = {name: clip.state(name)[usable][state][:, order] for name in needed}
    tool = tool_position(meta, profile)
    if tool is not None:
        inputs['tool'] = np.array([tool(q) for q in inputs['position']]).reshape(-1, 3)
    commands = clip.applied.values
    told = [profile.command_names.index(name) for name in meta.command_names]
    inputs['command'] = np.where(rows[:, None] > 0, commands[rows - 1], np.nan)[:, told]
    late = np.diff(stamps, prepend=stamps[:1]) > profile.guard.stale_after * 1e9
    holes = np.asarray(np.cumsum(late, dtype=np.int64)[state])
    return _Frames(answered, clip.applied.time[rows], inputs, commands[rows], holes)


def _published(frames: _Frames, seen: Array32, seeing: _Seeing) -> Rows:
    """Which published observation belongs to each frame, (n,); -1 where none does.

    They carry no stamp and may be recorded early or late, so they are told by what joint states
    decide of them: as runs that both sequences have in common.
    """
    columns = seeing.columns(JOINTS)
    own = seeing.at_once(frames.inputs, len(frames.stamp))[:, columns]
    ours, theirs = ([row.tobytes() for row in part] for part in (own, seen[:, columns]))
    found = np.full(len(own), -1)
    for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        found[block.a : block.a + block.size] = np.arange(block.b, block.b + block.size)
    return found


@dataclass(frozen=True)
class _Stream:
    """What was heard beside joint states.

    Attributes:
        when: (m,) of the messages [ns]: when they were measured where they say, else recorded.
        stamped: whether they say.
        values: by input: (m + 1, k); last what it is before anything was heard.
    """

    when: Stamps
    stamped: bool
    values: Mapping[str, Array]


def _stream(name: str, messages: Messages, meta: BundleMetadata) -> _Stream:
    """Messages as inputs, as the policy takes them: what is not usable is left out."""
    seen = sorted(i for i in meta.observation.inputs if TOPICS.get(i) == name)
    when, rows = [], []
    for time, message in messages if seen else ():
        if name == 'goal' and message.header.frame_id != meta.goal.frame:
            continue
        values = [_value(input_name, message) for input_name in seen]
        if np.isfinite(np.concatenate(values)).all():
            when.append(stamp_of(message) if name in STAMPED else time)
            rows.append(values)
    # Nobody asks for a velocity unless he says so; all else is not known until it is heard.
    nothing = 0.0 if name == 'velocity_goal' else np.nan
    values_of = {
        input_name: np.array(
            [*(row[k] for row in rows), np.full(INPUT_SIZES[input_name], nothing)]
        )
        for k, input_name in enumerate(seen)
    }
    return _Stream(np.array(when, dtype=np.int64), name in STAMPED, values_of)


def _value(name: str, message: Any) -> Array:
    """One input of a message."""
    if name == 'goal':
        return _xyz(message.pose.position)
    if name == 'velocity_goal':
        return np.array([message.linear.x, message.linear.y, message.angular.z])
    if name == 'base_position':
        return _xyz(message.pose.pose.position)
    if name in ('base_linear_velocity', 'base_angular_velocity'):
        return _xyz(getattr(message.twist.twist, name.split('_')[1]))
    if name == 'orientation':
        turned = message.orientation
        return np.array([turned.x, turned.y, turned.z, turned.w])
    if name == 'gravity':
        from sim2real_policy.conversions import downward  # needs the message packages

        return downward(message.orientation)
    return _xyz(getattr(message, name))


def _xyz(vector: Any) -> Array:
    return np.array([vector.x, vector.y, vector.z])


def _heard(
    stream: _Stream, frames: _Frames, said: Array32 | None, seeing: _Seeing
) -> dict[str, Array]:
    """What was known of a stream in each frame: inputs by name, (n, k).

    The newest before; where that is not what the policy published, what else was heard about
    then, or nothing, and is.

    Args:
        stream: what was heard.
        frames: with the inputs that are known already.
        said: (n, d) published.
        seeing: the observation code.
    """
    ours = frames.stamp if stream.stamped else frames.time
    rows = np.searchsorted(stream.when, ours, side='right') - 1

    def values(rows: Rows) -> dict[str, Array]:
        return {name: value[rows] for name, value in stream.values.items()}

    if said is not None and stream.values:
        columns = seeing.columns(frozenset(stream.values))
        seen = seeing.at_once({**frames.inputs, **values(rows)}, len(rows))
        for k in np.flatnonzero((seen != said)[:, columns].any(axis=1)):
            apart = np.abs(stream.when - ours[k])
            near = np.flatnonzero(apart <= APART)
            near = np.append(near[np.argsort(apart[near], kind='stable')], -1)
            rest = {
                name: np.repeat(value[k : k + 1], len(near), axis=0)
                for name, value in frames.inputs.items()
            }
            tried = seeing.at_once({**rest, **values(near)}, len(near))
            fits = np.flatnonzero(np.isclose(tried, said[k], RTOL, ATOL)[:, columns].all(axis=1))
            if fits.size:
                rows[k] = near[fits[0]]
    return values(rows)


def _run(
    frames: _Frames, meta: BundleMetadata, infer: Infer, said: Array32 | None, seeing: _Seeing
) -> tuple[Array32, Array32]:
    """Go through the frames as the policy did: observations (n, d) and actions (n, na)."""
    limited = ActionMap(meta.action, seeing.default).limited
    normal = meta.normalizer
    mean, std = (0.0, 1.0) if normal is None else (np.array(normal.mean), np.array(normal.std))
    count, width = len(frames.stamp), len(meta.action.scale)
    observation = np.full((count, meta.observation.size), np.nan, np.float32)
    actions = np.full((count, width), np.nan, np.float32)
    action = np.full((1, width), np.nan)
    assembler = seeing.assembler()
    for k in range(count):
        now = {name: value[k : k + 1] for name, value in frames.inputs.items()}
        if k == 0:  # what was before is not known
            assembler.update(
                {**{n: np.full_like(v, np.nan) for n, v in now.items()}, 'action': action}
            )
        elif frames.holes[k] > frames.holes[k - 1]:
            assembler.reset()
        seen = assembler.update({**now, 'action': action})[0]
        if said is not None and not np.array_equal(seen, said[k]):
            for begun in _begun(now, width, seeing):
                if np.allclose(begun.values[0], said[k], RTOL, ATOL):
                    assembler, seen = begun, begun.values[0]
                    break
        observation[k] = seen
        told = (seen if said is None else said[k])[None]
        if np.isfinite(told).all():
            scaled = told if normal is None else ((told - mean) / std).astype(np.float32)
            output = infer(scaled)[0].astype(np.float64)
            if np.isfinite(output).all():  # else the policy stopped and remembers the last
                action = limited(output)[None].copy()
                actions[k] = action[0]
    return observation, actions


def _begun(now: Mapping[str, Array], width: int, seeing: _Seeing) -> Iterator[Assembler]:
    """The observation code as it is if the policy begins in this very frame.

    It then goes on from the last command, or, where it was let go of, from where the robot is.
    """
    rest = now['position'] if seeing.position_command else np.zeros((1, width))
    for command in (now['command'], rest):
        assembler = seeing.assembler()
        assembler.update({**now, 'command': command, 'action': np.zeros((1, width))})
        yield assembler


def _runs(stamp: Stamps, kept: Flags, period: float) -> list[Rows]:
    """Kept frames that follow one another, one a control period."""
    rows = np.flatnonzero(kept)
    apart = np.diff(stamp[rows]) * 1e-9
    ends = (np.diff(rows) > 1) | (np.abs(apart - period) > 0.5 * period)
    runs = np.split(rows, np.flatnonzero(ends) + 1)
    return [run for run in runs if len(run) >= FEWEST]
