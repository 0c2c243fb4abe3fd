"""What a replay gives: estimates over time, events, what the policy did; as JSON.

Nothing in it depends on when or how fast it was computed: two replays give the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.records import Change, Estimate, Event

Array = npt.NDArray[np.float64]


@dataclass
class Result:
    """Collects what came out of a replay.

    Attributes:
        start: stamp of the first sample [ns]; times in the result count from here.
        elements: names of what is commanded: joints, or elements of a twist.
        estimates: in order of arrival.
        events: in order of arrival.
        actions: stamp [ns] to what the policy sent, (n,).
        recorded: stamp [ns] to what the bag says was sent, (n,).
        samples: sensor samples played.
        last: stamp of the last one [ns].
    """

    start: int
    elements: tuple[str, ...] = ()
    estimates: list[Estimate] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    actions: dict[int, Array] = field(default_factory=dict)
    recorded: dict[int, Array] = field(default_factory=dict)
    samples: int = 0
    last: int = 0

    def add_event(self, event: Event) -> None:
        """Note an event; it is announced again, with its clip, when that was written."""
        known = {(e.stamp, e.detector, e.detail) for e in self.events}
        if (event.stamp, event.detector, event.detail) not in known:
            self.events.append(event)

    def seconds(self, stamp: float) -> float:
        """A stamp [s] as seconds since the start, to the microsecond.

        A float of seconds since 1970 is not finer than a quarter of one.
        """
        return round(stamp * 1e6 - self.start / 1e3) / 1e6

    def as_json(self) -> dict[str, Any]:
        """The result.

        Returns:
            ``final`` (address to mean, std, status), ``timeline`` (t [s], estimates), ``changes``
            (t, address, before, after, score), ``events`` (t, detector, score, threshold,
            detail), ``policy`` (commands; where the bag has what was sent then, the difference
            per joint or element of a twist), ``samples``, ``duration`` [s].
        """
        timeline = [
            {'t': self.seconds(estimate.stamp), 'estimates': estimate.as_json()}
            for estimate in self.estimates
        ]
        return {
            'final': timeline[-1]['estimates'] if timeline else {},
            'timeline': timeline,
            'changes': [
                {
                    't': self.seconds(change.stamp),
                    'address': change.address,
                    'before': change.before,
                    'after': change.after,
                    'score': change.score,
                }
                for change in self._changes()
            ],
            'events': [
                {
                    't': self.seconds(event.stamp),
                    'detector': event.detector,
                    'score': event.score,
                    'threshold': event.threshold,
                    'detail': event.detail,
                }
                for event in self.events
            ],
            'policy': self._policy(),
            'samples': self.samples,
            'duration': (self.last - self.start) / 1e9,
        }

    def _changes(self) -> list[Change]:
        """Each once: an estimate repeats the latest."""
        return list(dict.fromkeys(c for estimate in self.estimates for c in estimate.changes))

    def _policy(self) -> dict[str, Any]:
        both = [stamp for stamp in self.actions if stamp in self.recorded]
        compared: dict[str, Mapping[str, float]] = {}
        if both:
            difference = np.array([self.actions[s] - self.recorded[s] for s in both])
            rms, most = np.sqrt((difference**2).mean(axis=0)), np.abs(difference).max(axis=0)
            compared = {
                name: {'rms': float(rms[j]), 'max': float(most[j])}
                for j, name in enumerate(self.elements)
            }
        return {'commands': len(self.actions), 'compared': len(both), 'difference': compared}
