"""Recordings as arrays: what was logged, cleaned, on an even grid, in pieces without a break.

A sample that cannot be used (not finite, late, repeated) is left out; where too many lack in a
row, or the state jumps, a new segment begins. What was left out is said in ``notes``, and nothing
is made up across a break.

Example: 60 s of six joints at 250 Hz with one gap of a second become two segments of shapes
(n, 6), n adding up to about 14 750.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.joint_states import BACKWARD, shortest
from sim2real_core.profile import RobotProfile
from sim2real_sysid.quality_stamps import OTHER_UNIT

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LONGEST_GAP = 5.5  # sample periods that are bridged; the filters see no shorter than ten
SHORTEST = 100  # samples of a segment that the filters can be started and ended on
JUMP = 3.0  # times the speed limit
GLITCH = 10.0  # times the effort limit
EVEN = 0.01  # share of a period by which stamps may be off the grid and count as on it


@dataclass(frozen=True)
class RawRecording:
    """Samples as they were logged.

    Attributes:
        name: for people.
        stamp: (n,) of the joint states [s].
        position: (n, nj) in the profile's order [rad or m]; NaN where it is missing.
        effort: (n, nj) measured [N*m or N]; NaN where it is missing.
        command_stamp: (m,) of the commands [s].
        command: (m, nj) in the unit of the robot's interface.
    """

    name: str
    stamp: Array
    position: Array
    effort: Array
    command_stamp: Array
    command: Array


@dataclass(frozen=True)
class Segment:
    """Samples at even times, without a break.

    Attributes:
        start: time of the first sample [s].
        period: time between samples [s].
        position: (n, nj) [rad or m], continuous joints unwrapped.
        effort: (n, nj) [N*m or N]; whole columns are NaN where none is measured.
        command_stamp: (m,) of commands in force during the segment, the first one at its begin or
            before [s].
        command: (m, nj).
    """

    start: float
    period: float
    position: Array
    effort: Array
    command_stamp: Array
    command: Array

    def __len__(self) -> int:
        return len(self.position)

    @property
    def stamp(self) -> Array:
        """(n,) [s]."""
        return np.asarray(self.start + self.period * np.arange(len(self)))

    @property
    def duration(self) -> float:
        """[s]."""
        return len(self) * self.period

    def part(self, first: int, last: int) -> Segment:
        """Samples ``first`` to before ``last``."""
        start = self.start + first * self.period
        end = self.start + last * self.period
        keep = _in_force(self.command_stamp, start, end)
        return replace(
            self,
            start=start,
            position=self.position[first:last],
            effort=self.effort[first:last],
            command_stamp=self.command_stamp[keep],
            command=self.command[keep],
        )


@dataclass(frozen=True)
class Recording:
    """A cleaned recording.

    Attributes:
        name: for people.
        segments: in order of time, all of the same period.
        notes: what was left out, and why.
    """

    name: str
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()

    @property
    def period(self) -> float:
        """Time between samples [s]."""
        return self.segments[0].period

    @property
    def duration(self) -> float:
        """Of all segments together [s]."""
        return sum(segment.duration for segment in self.segments)

    @property
    def measured(self) -> Flags:
        """(nj,) whether the joint's effort was measured."""
        return np.asarray(np.isfinite(self.segments[0].effort).all(axis=0))

    @property
    def commanded(self) -> bool:
        """Whether there is a command for every segment."""
        return all(len(segment.command) for segment in self.segments)


def clean(raw: RawRecording, profile: RobotProfile) -> Recording:
    """Leave out what cannot be used, and cut where there is a break.

    Args:
        raw: as it was logged.
        profile: the robot.

    Raises:
        InputError: nothing usable is left; says why.
    """
    notes: list[str] = []
    keep = _advancing(raw.stamp, notes)
    finite: Flags = np.asarray(np.isfinite(raw.position).all(axis=1))
    _name_missing(raw, profile, finite, notes)
    keep &= finite
    stamp, position, effort = raw.stamp[keep], raw.position[keep], raw.effort[keep]
    if len(stamp) < SHORTEST:
        mend = f'must have at least {SHORTEST} usable samples; ' + '; '.join(notes)
        raise InputError(Fault(raw.name, len(stamp), mend))
    continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
    steps = shortest(np.diff(position, axis=0), continuous)
    counted = position[:1] + np.concatenate([np.zeros((1, len(continuous))), steps.cumsum(0)])
    position = np.where(continuous, counted, position)
    effort = _believable(effort, profile, notes)
    time = np.diff(stamp)
    period = float(np.median(time[time > 0]))
    rate = profile.rates.joint_state_rate
    if not 1.0 / OTHER_UNIT < period * rate < OTHER_UNIT:
        mend = f'stamps must be in seconds, about {1.0 / rate:.3g} s apart; is their unit right?'
        raise InputError(Fault(raw.name, period, mend))
    breaks = _breaks(time, steps, period, profile, notes)
    order = np.isfinite(raw.command).all(axis=1) & np.isfinite(raw.command_stamp)
    command_stamp, command = raw.command_stamp[order], raw.command[order]
    segments = []
    for part in np.split(np.arange(len(stamp)), breaks):
        if len(part) < SHORTEST:
            continue
        segments.append(
            _even(stamp[part], position[part], effort[part], period, command_stamp, command)
        )
    if not segments:
        mend = f'no {SHORTEST} samples in a row without a break; ' + '; '.join(notes)
        raise InputError(Fault(raw.name, len(stamp), mend))
    left = len(raw.stamp) - sum(map(len, segments))
    if left > 0.02 * len(raw.stamp):
        notes.append(f'{left} of {len(raw.stamp)} samples were of no use')
    return Recording(raw.name, tuple(segments), tuple(notes))


def _advancing(stamp: Array, notes: list[str]) -> Flags:
    """Stamps that are newer than all before them, or at which time starts over."""
    keep: Flags = np.asarray(np.isfinite(stamp))
    newest, restarts = -math.inf, 0
    for k in np.flatnonzero(keep):
        ahead = stamp[k] - newest
        keep[k] = ahead > 0 or ahead < -BACKWARD
        restarts += ahead < -BACKWARD
        newest = stamp[k] if keep[k] else newest
    late = len(stamp) - int(keep.sum())
    if late:
        notes.append(f'{late} stamps are repeated, barely older than the last, or not finite')
    if restarts:
        notes.append(f'time goes back {restarts} times')
    return keep


def _name_missing(
    raw: RawRecording, profile: RobotProfile, finite: Flags, notes: list[str]
) -> None:
    never: Flags = np.asarray(~np.isfinite(raw.position).any(axis=0))
    if never.any():
        names = ', '.join(n for n, flag in zip(profile.joint_names, never) if flag)
        mend = f'must have a position of every joint of {profile.name}; none of {names}'
        raise InputError(Fault(raw.name, names, mend))
    if not finite.all():
        notes.append(f'{int((~finite).sum())} samples lack a position, or it is not finite')


def _believable(effort: Array, profile: RobotProfile, notes: list[str]) -> Array:
    """Efforts with single missing ones bridged; a joint without believable ones has NaN."""
    effort = np.where(np.abs(effort) <= GLITCH * profile.array('effort'), effort, np.nan)
    out = np.full_like(effort, np.nan)
    place = np.arange(len(effort))
    for j, name in enumerate(profile.joint_names):
        good = np.isfinite(effort[:, j])
        share = good.mean()
        if share == 0.0 or np.ptp(effort[good, j]) == 0.0:
            if share > 0.0:
                notes.append(f'{name}: the effort never changes, so it is not measured')
            continue
        if share < 0.5:
            notes.append(f'{name}: {1 - share:.0%} of the efforts are missing or impossible')
            continue
        if share < 1.0:
            notes.append(f'{name}: {int((~good).sum())} efforts are missing or impossible')
        out[:, j] = np.interp(place, place[good], effort[good, j])
    return out


def _breaks(
    time: Array, steps: Array, period: float, profile: RobotProfile, notes: list[str]
) -> npt.NDArray[np.intp]:
    """Indices at which a new segment begins."""
    slack = 10.0 * profile.array('position_noise')
    fastest = np.where(np.isfinite(profile.array('velocity')), profile.array('velocity'), np.inf)
    allowed = JUMP * fastest * np.maximum(time, period)[:, None] + slack
    gap, jump = (time > LONGEST_GAP * period) | (time < 0), (np.abs(steps) > allowed).any(axis=1)
    if gap.any():
        lost = float(time[gap & (time > 0)].sum())
        notes.append(f'{int(gap.sum())} breaks in the stamps, {lost:.3g} s are missing')
    if jump.any():
        notes.append(f'{int(jump.sum())} jumps of the position, faster than the joint can be')
    return np.flatnonzero(gap | jump) + 1


def _in_force(stamp: Array, start: float, end: float) -> slice:
    """Commands in force from ``start`` to ``end``; none when the first comes after the start."""
    first = int(np.searchsorted(stamp, start, side='right')) - 1
    last = int(np.searchsorted(stamp, end, side='left'))
    return slice(first, last) if first >= 0 else slice(0, 0)


def _even(
    stamp: Array,
    position: Array,
    effort: Array,
    period: float,
    command_stamp: Array,
    command: Array,
) -> Segment:
    """A segment on an even grid; samples that lie on it already stay as they are."""
    from scipy.interpolate import CubicSpline

    n = round((stamp[-1] - stamp[0]) / period) + 1
    span = (stamp[-1] - stamp[0]) / (n - 1)
    grid = stamp[0] + span * np.arange(n)
    if n != len(stamp) or np.abs(grid - stamp).max() > EVEN * period:
        position = CubicSpline(stamp, position)(grid)
        effort = np.stack([np.interp(grid, stamp, column) for column in effort.T], axis=1)
    # Segments share one period, so that they share filters; what that is off adds up to less
    # than a sample.
    keep = _in_force(command_stamp, float(grid[0]), float(grid[-1]))
    return Segment(float(grid[0]), span, position, effort, command_stamp[keep], command[keep])


def split(
    recordings: Sequence[Recording], share: float, window: float = 1.0
) -> tuple[list[Recording], list[Recording]]:
    """Hold out the end of each recording.

    Args:
        recordings: at least one.
        share: of the time of each [0, 1).
        window: the cut is a whole number of these before the end [s].

    Returns:
        What is left to train on, and what is held out, in the same order.

    Raises:
        InputError: too little is left on one side.
    """
    train, heldout = [], []
    for recording in recordings:
        period = recording.period
        wanted = max(1, round(share * recording.duration / window)) * round(window / period)
        front: list[Segment] = []
        back: list[Segment] = []
        for segment in reversed(recording.segments):
            cut = max(0, len(segment) - wanted)
            wanted -= len(segment) - cut
            if len(segment) - cut >= SHORTEST:
                back.insert(0, segment.part(cut, len(segment)))
            if cut >= SHORTEST:
                front.insert(0, segment.part(0, cut))
        if not front or not back:
            mend = (
                f'{recording.duration:.3g} s are too short to hold out a part; give --heldout 0 '
                'or a bag of its own'
            )
            raise InputError(Fault('heldout', share, f'{recording.name}: {mend}'))
        train.append(replace(recording, segments=tuple(front)))
        heldout.append(replace(recording, segments=tuple(back), notes=()))
    return train, heldout
