"""The one mechanism of every detector: a score, a threshold, persistence and hysteresis.

A scorer turns a signal (a joint state, an observation, a diagnostics message) into a score per
element (a joint, a topic, a status). Its *level* is what the score stayed at or above for the
whole persistence; an alarm is raised when the level exceeds the threshold, and the element is
armed again when its score falls below ``rearm`` times the threshold. With a threshold of 1, a
persistence of 0.1 s and samples every 0.05 s::

    stamp   0.00  0.05  0.10  0.15  0.20  0.25
    score   0.2   3.0   2.0   1.5   0.9   0.4
    level   -     -     0.2   1.5   0.9   0.4
    raised                    yes               armed again at 0.25 (rearm 0.5)

Episodes of nominal motion are calibrated on the largest level they reach, see ``calibration``:
so what is calibrated and what raises the alarm are the same number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim2real_capture.signals import Sample, Signal
from sim2real_core.errors import Faults
from sim2real_core.joint_states import is_late
from sim2real_core.records import Event

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Scorer(Protocol):
    """What makes one detector differ from another."""

    @property
    def takes(self) -> type:
        """The class of signals it scores."""
        ...

    @property
    def elements(self) -> Sequence[str]:
        """Names of the score's elements, e.g. the joints; may grow."""
        ...

    @property
    def suggested(self) -> Array | None:
        """Thresholds (k,) or () without calibration, or None when there are none to suggest."""
        ...

    def score(self, signal: Any) -> Array | None:
        """Scores (*batch, k) at this instant, stamps increasing; None when it says nothing."""
        ...

    def reset(self) -> None:
        """Forget all history; settings and what was learned stay."""
        ...


class Level:
    """The largest value that a score stayed at or above for a time.

    Args:
        persistence: that time [s]; 0 gives the score itself.
    """

    def __init__(self, persistence: float) -> None:
        self._persistence = persistence
        self.reset()

    def reset(self) -> None:
        """Forget all scores."""
        self._stamps: list[float] = []
        self._rows = np.zeros((0, 0))
        self._first = 0

    def update(self, stamp: float, score: Array) -> Array:
        """The level (as the score), minus infinity until the first persistence has passed."""
        if self._persistence <= 0.0:
            return score
        if self._stamps and self._rows.shape[1:] != score.shape:
            self._widen(score)
        if not self._stamps:
            self._rows = np.empty((64, *score.shape))
            self._first = 0
        elif self._first + len(self._stamps) == len(self._rows):
            kept = self._rows[self._first :]
            rows = (
                self._rows
                if self._first > len(kept)
                else np.empty((2 * len(self._rows), *score.shape))
            )
            rows[: len(kept)] = kept
            self._rows, self._first = rows, 0
        self._rows[self._first + len(self._stamps)] = score
        self._stamps.append(stamp)
        # The newest record that is as old as the persistence closes the window. A stamp is a
        # rounded number: what differs by less than a nanosecond is the same time.
        begin = stamp - self._persistence + 1e-9
        gone = 0
        while gone + 1 < len(self._stamps) and self._stamps[gone + 1] <= begin:
            gone += 1
        del self._stamps[:gone]
        self._first += gone
        if self._stamps[0] > begin:
            return np.full(score.shape, -np.inf)
        window = self._rows[self._first : self._first + len(self._stamps)]
        return np.asarray(window.min(axis=0))

    def _widen(self, score: Array) -> None:
        """Elements were added; they had no score so far."""
        rows = np.full((len(self._rows), *score.shape), -np.inf)
        rows[..., : self._rows.shape[-1]] = self._rows
        self._rows = rows


class Alarm:
    """Threshold, persistence and hysteresis of a score, for any number of robots at once.

    Args:
        threshold: (k,) or one for all elements.
        persistence: how long the score must stay above it [s].
        rearm: part of the threshold below which an element is armed again.

    Raises:
        InputError: values that are not positive, or out of range.
    """

    def __init__(
        self, threshold: float | npt.ArrayLike, *, persistence: float = 0.0, rearm: float = 0.5
    ) -> None:
        faults = Faults()
        self.threshold = np.asarray(threshold, dtype=float)
        if not (self.threshold > 0).all():  # infinite: never
            faults.add('threshold', threshold, 'must be positive')
        if not (math.isfinite(persistence) and persistence >= 0.0):
            faults.add('persistence', persistence, 'must be finite and at least 0')
        if not (math.isfinite(rearm) and 0.0 < rearm <= 1.0):
            faults.add('rearm', rearm, 'must be positive, finite and at most 1')
        faults.check()
        self.persistence = persistence
        self.rearm = rearm
        self._level = Level(persistence)
        self.reset()

    def reset(self) -> None:
        """Forget all history."""
        self._level.reset()
        self._armed: Mask | None = None

    def update(self, stamp: float, score: Array) -> Mask:
        """Which elements (*batch, k) raise the alarm now.

        Args:
            stamp: of the signal [s], later than the last.
            score: (*batch, k).
        """
        level = self._level.update(stamp, score)
        if self._armed is None:
            self._armed = np.ones(score.shape, dtype=bool)
        elif self._armed.shape != score.shape:
            armed = np.ones(score.shape, dtype=bool)
            armed[..., : self._armed.shape[-1]] = self._armed
            self._armed = armed
        self._armed |= score < self.rearm * self.threshold
        raised: Mask = self._armed & (level > self.threshold)
        self._armed &= ~raised
        return raised


class Detector:
    """A scorer with its alarm: signals in, events out.

    Args:
        name: what its events and clips are called after.
        scorer: makes the score.
        threshold: (k,) or one for all elements, in the score's unit.
        persistence: how long the score must stay above the threshold [s].
        rearm: part of the threshold below which an element is armed again.

    Raises:
        InputError: sizes that do not fit, or values out of range.
    """

    def __init__(
        self,
        name: str,
        scorer: Scorer,
        threshold: float | npt.ArrayLike,
        *,
        persistence: float = 0.0,
        rearm: float = 0.5,
    ) -> None:
        self.name = name
        self.scorer = scorer
        self.alarm = Alarm(threshold, persistence=persistence, rearm=rearm)
        if self.threshold.ndim and self.threshold.shape != (len(scorer.elements),):
            faults = Faults()
            elements = ', '.join(scorer.elements)
            mend = f'give one value, or {len(scorer.elements)}: {elements}'
            faults.add('threshold', threshold, mend)
            faults.check()
        self._stamp = -math.inf
        self._score = np.zeros(0)  # of the newest signal

    @property
    def threshold(self) -> Array:
        """The thresholds: (k,), or () where one holds for all elements."""
        return self.alarm.threshold

    def reset(self) -> None:
        """Forget all history."""
        self._stamp = -math.inf
        self.scorer.reset()
        self.alarm.reset()

    def raised(self, signal: Signal) -> Mask | None:
        """Take one signal of its kind; which elements (*batch, k) raise the alarm now.

        A stamp that went back starts anew; a late or repeated sample changes nothing. (All other
        signals are stamped as they are received, several perhaps alike.)

        Returns:
            None when the signal tells nothing.
        """
        if isinstance(signal, Sample) and is_late(signal.stamp, self._stamp):
            return None
        if signal.stamp < self._stamp:
            self.reset()
        self._stamp = signal.stamp
        self._score = np.zeros(0)
        score = self.scorer.score(signal)
        if score is None:
            return None
        # What is no number is no reason to stay quiet.
        self._score = np.where(np.isnan(score), np.inf, score)
        return self.alarm.update(signal.stamp, self._score)

    @property
    def score(self) -> Array:
        """Of the newest signal; empty when that told nothing."""
        return self._score

    def update(self, signal: Signal) -> Event | None:
        """Take one signal of one robot; an event naming the elements that raise the alarm."""
        raised = self.raised(signal)
        if raised is None or not raised.any():
            return None
        score = self._score
        threshold = np.broadcast_to(self.threshold, score.shape)
        worst = int(np.argmax(np.where(raised, score / threshold, -1.0)))
        return Event(
            stamp=float(signal.stamp),
            detector=self.name,
            score=float(score[worst]),
            threshold=float(threshold[worst]),
            detail=' '.join(name for name, up in zip(self.scorer.elements, raised) if up),
        )
