"""The frames of a clip: joint states that a policy answered, and what was known of the rest then.

A frame is a joint state that the policy answered, stamp s::

    joint state s                 position, velocity, effort, tool
    applied action before         command (what the policy's guard sent last)
    newest goal, newest IMU ...   goal, angular velocity, linear acceleration ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_learning.clips import Clip, Messages, Stamps, stamp_of
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.observation import COMMANDED, INPUT_SIZES, KINDS, TOPICS, Assembler
from sim2real_policy.vectors import downward, xyz

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

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


@dataclass
class Frames:
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

    def chosen(self, rows: Flags) -> Frames:
        """Some of them."""
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        return Frames(
            self.stamp[rows], self.time[rows], inputs, self.command[rows], self.holes[rows]
        )


class Seeing:
    """A bundle's observation code, and which of its elements are made of what."""

    def __init__(self, meta: BundleMetadata, profile: RobotProfile) -> None:
        self.layout = meta.observation
        self.goal_frame = meta.goal.frame
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


def answered(clip: Clip, profile: RobotProfile, meta: BundleMetadata) -> Frames:
    """Answered joint states with what they, and the command before, say."""
    order = [profile.joint_names.index(name) for name in meta.joints]
    needed = ['position', *sorted(JOINTS & meta.observation.inputs - {'position'})]
    usable = np.isfinite([clip.state(name).sum(axis=1) for name in needed]).all(axis=0)
    stamps = clip.states.stamp[usable]
    # A command that was repeated without a new joint state answers none.
    answers, rows = np.unique(clip.applied.stamp, return_index=True)
    rows = rows[np.isin(answers, stamps)]
    answers = clip.applied.stamp[rows]
    state = np.searchsorted(stamps, answers)
    inputs = {name: clip.state(name)[usable][state][:, order] for name in needed}
    tool = tool_position(meta, profile)
    if tool is not None:
        inputs['tool'] = np.array([tool(q) for q in inputs['position']]).reshape(-1, 3)
    commands = clip.applied.values
    told = [profile.command_names.index(name) for name in meta.command_names]
    inputs['command'] = np.where(rows[:, None] > 0, commands[rows - 1], np.nan)[:, told]
    late = np.diff(stamps, prepend=stamps[:1]) > profile.guard.stale_after * 1e9
    holes = np.asarray(np.cumsum(late, dtype=np.int64)[state])
    return Frames(answers, clip.applied.time[rows], inputs, commands[rows], holes)


def published(frames: Frames, seen: Array32, seeing: Seeing) -> Rows:
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


def add_streams(
    frames: Frames, clip: Clip, profile: RobotProfile, said: Array32 | None, seeing: Seeing
) -> None:
    """Add to the inputs of frames what was heard beside joint states.

    Args:
        frames: gets them.
        clip: where they are.
        profile: of the robot.
        said: (n, d) what the policy published to have seen.
        seeing: the observation code.
    """
    topics = {name: getattr(profile.topics, name) for name in STREAMS} | seeing.layout.topics
    for name in STREAMS:
        stream = _stream(name, clip.on(topics[name]), seeing)
        frames.inputs.update(_heard(stream, frames, said, seeing))


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


def _stream(name: str, messages: Messages, seeing: Seeing) -> _Stream:
    """Messages as inputs, as the policy takes them: what is not usable is left out."""
    seen = sorted(i for i in seeing.layout.inputs if TOPICS.get(i) == name)
    when, rows = [], []
    for time, message in messages if seen else ():
        if name == 'goal' and message.header.frame_id != seeing.goal_frame:
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
        return xyz(message.pose.position)
    if name == 'velocity_goal':
        return np.array([message.linear.x, message.linear.y, message.angular.z])
    if name == 'base_position':
        return xyz(message.pose.pose.position)
    if name in ('base_linear_velocity', 'base_angular_velocity'):
        return xyz(getattr(message.twist.twist, name.split('_')[1]))
    if name == 'orientation':
        turned = message.orientation
        elements = np.array([turned.x, turned.y, turned.z, turned.w])
        # No quaternion, as of drivers that do not know the orientation: as in ``downward``.
        return elements if 0.25 < elements @ elements < 4.0 else np.full(4, np.nan)
    if name == 'gravity':
        return downward(message.orientation)
    return xyz(getattr(message, name))


def _heard(
    stream: _Stream, frames: Frames, said: Array32 | None, seeing: Seeing
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
