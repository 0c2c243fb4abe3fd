"""The worlds that a clip tells of: parameters of the simulated robot over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim2real_capture.clip import MANIFEST
from sim2real_core.errors import Fault, InputError
from sim2real_learning.clips import Clip, known_of


@dataclass(frozen=True)
class World:
    """Parameters over time.

    Attributes:
        name: for people.
        changes: from when on [ns] which ``{address: value}`` holds; in order, the first from the
            beginning.
    """

    name: str
    changes: tuple[tuple[int, Mapping[str, float]], ...]

    def at(self, time: int) -> Mapping[str, float]:
        """What holds at a time [ns]."""
        held = [values for since, values in self.changes if since <= time]
        return held[-1] if held else self.changes[0][1]


def worlds_of(clip: Clip, given: Sequence[tuple[float, str, float]] = ()) -> list[World]:
    """The worlds that a clip tells of; the nominal one first.

    Args:
        clip: what was recorded.
        given: hypotheses: time after the alarm [s], address and value; on top of all else.

    Raises:
        InputError: the clip has no joint states, or its draw or estimate is not what capture
            writes.
    """
    if not len(clip.states.stamp):
        mend = 'must hold joint states of this robot: give the profile of the one that moved'
        raise InputError(Fault('clip', str(clip.folder), mend))
    known = known_of(clip.manifest, clip.folder / MANIFEST)
    begin = int(clip.states.stamp[0])
    draws = list(clip.draws)
    if not draws or draws[0][0] > begin:
        # Before the first that was heard it was nominal, or as the clip says for all of it.
        draws = [(begin, {} if draws else known.values), *draws]
    estimate = {
        address: float(about['mean'])
        for address, about in known.estimate.items()
        if about['status'] == 'identified'
    }
    worlds = [World('nominal', ((begin, {}),))]
    drawn = any(values for _, values in draws)
    if drawn:
        worlds.append(World('draw', tuple(draws)))
    if estimate:
        worlds.append(World('estimate', ((begin, estimate),)))
    if drawn and estimate:
        both = tuple((time, {**estimate, **values}) for time, values in draws)
        worlds.append(World('estimate and draw', both))
    if given:
        worlds.append(World('given', _given(worlds[-1], given, alarm_of(clip))))
    return worlds


def _given(
    under: World, given: Sequence[tuple[float, str, float]], alarm: int
) -> tuple[tuple[int, Mapping[str, float]], ...]:
    """Hypotheses on top of a world."""
    since = [(alarm + round(after * 1e9), {a: v}) for after, a, v in given if after > -math.inf]
    always = {a: v for after, a, v in given if after == -math.inf}
    times = sorted({time for time, _ in (*under.changes, *since)})
    changes = []
    for time in times:
        added = dict(always)
        for begin, values in since:
            if begin <= time:
                added.update(values)
        changes.append((time, {**under.at(time), **added}))
    return tuple(changes)


def alarm_of(clip: Clip) -> int:
    """Stamp of the first alarm [ns]; the middle of a clip without one."""
    if 'stamp' in clip.event:
        return round(float(clip.event['stamp']) * 1e9)
    return int(clip.states.stamp[len(clip.states.stamp) // 2])
