"""Stamps of a log: order, restarts, gaps, jitter and what is missing between them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim2real_core.joint_states import BACKWARD, UNSTAMPED
from sim2real_sysid.findings import Findings

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

MEMORY = 0.9  # what a block of samples leaves of those before it
LEAST_INTERVALS = 100.0  # before shares mean something
MOST_DROPPED = 0.05
MOST_JITTER = 0.25  # of the period
MOST_DISORDER = 0.002
GAP = 10.0  # periods
SHORTEST_GAP = 0.25  # [s]
OTHER_UNIT = 100.0  # times the period there should be, or one over it


class StampChecks:
    """Looks at stamps and cuts a log where time starts over.

    Args:
        findings: where to note what is wrong.
        usual: time between samples that the robot's profile has [s].

    Attributes:
        period: usual time between samples [s]; 0 before it is known.
    """

    def __init__(self, findings: Findings, usual: float) -> None:
        self._findings = findings
        self._usual = usual
        self._newest = -math.inf
        self.period = 0.0
        # Sums with memory: intervals, their lengths, squares of robust deviations, samples,
        # samples out of order.
        self._intervals = self._length = self._jitter = self._samples = self._disorder = 0.0
        self._longest = 0.0

    @property
    def longest_gap(self) -> float:
        """Time between samples from which on there is a gap [s]."""
        return max(GAP * self.period, SHORTEST_GAP)

    def segments(self, stamps: Array) -> list[tuple[Rows, bool]]:
        """Rows whose stamps advance, in pieces between which time started over.

        Args:
            stamps: (n,) in order of arrival [s].

        Returns:
            Rows of each piece, and whether it goes on from what came before.
        """
        forget = MEMORY
        for name in ('_intervals', '_length', '_jitter', '_samples', '_disorder'):
            setattr(self, name, forget * getattr(self, name))
        self._samples += len(stamps)
        whole = np.isfinite(stamps).all() and (np.diff(stamps) > 0).all()
        if whole and len(stamps) and stamps[0] > self._newest:
            pieces = [(np.arange(len(stamps)), math.isfinite(self._newest))]
        else:
            pieces = self._sort(stamps)
        for rows, follows in pieces:
            before = [self._newest] if follows else []
            self._intervals_of(np.concatenate([before, stamps[rows]]))
            self._newest = float(stamps[rows[-1]])
        self._judge()
        return pieces

    def _sort(self, stamps: Array) -> list[tuple[Rows, bool]]:
        """As :meth:`segments`, stamp by stamp."""
        pieces: list[tuple[list[int], bool]] = []
        newest = self._newest
        for row, stamp in enumerate(stamps.tolist()):
            if not math.isfinite(stamp):
                self._findings.note('', 'stamp_invalid', newest, newest, f'a stamp is {stamp:g}')
                continue
            ahead = stamp - newest
            if ahead < -BACKWARD:
                evidence = f'time went back by {-ahead:.3g} s'
                self._findings.note('', 'stamp_restart', stamp, stamp, evidence)
                pieces.append(([], False))
            elif ahead <= 0:
                if stamp == newest == 0.0:
                    self._findings.note('', 'stamp_invalid', 0.0, 0.0, UNSTAMPED)
                self._disorder += 1
                continue
            elif not pieces:
                pieces.append(([], math.isfinite(newest)))
            pieces[-1][0].append(row)
            newest = stamp
        return [(np.array(rows), follows) for rows, follows in pieces]

    def _intervals_of(self, stamps: Array) -> None:
        steps = np.diff(stamps)
        if not len(steps):
            return
        period = float(np.median(steps))
        self.period = period if len(steps) >= 20 or self.period == 0 else self.period
        gaps = steps > self.longest_gap
        if gaps.any() and self._intervals + len(steps) > 20:
            k = int(np.argmax(gaps))
            self._longest = max(self._longest, float(steps.max()))
            evidence = f'nothing for up to {self._longest:.3g} s'
            self._findings.note('', 'stamp_gaps', float(stamps[k]), float(stamps[-1]), evidence)
        steps = steps[~gaps]
        if not len(steps):
            return
        self._intervals += len(steps)
        self._length += float(steps.sum())
        near = steps[steps < 1.5 * self.period]
        spread = 1.4826 * float(np.median(np.abs(near - self.period))) if len(near) else 0.0
        self._jitter += len(steps) * spread

    def _judge(self) -> None:
        now = self._newest
        if self._disorder >= 3 and self._disorder > MOST_DISORDER * self._samples:
            share = self._disorder / self._samples
            evidence = f'{share:.1%} of the stamps repeat or go back'
            self._findings.note('', 'stamp_order', now, now, evidence)
        if self._intervals < LEAST_INTERVALS:
            return
        if not 1.0 / OTHER_UNIT < self.period / self._usual < OTHER_UNIT:
            evidence = f'stamps are {self.period:.3g} s apart, not {self._usual:.3g} s'
            self._findings.note('', 'stamp_units', now, now, evidence)
        dropped = 1.0 - self.period * self._intervals / self._length
        if dropped > MOST_DROPPED:
            evidence = f'{dropped:.0%} of the messages are missing'
            self._findings.note('', 'messages_dropped', now, now, evidence)
        jitter = self._jitter / self._intervals
        if jitter > MOST_JITTER * self.period:
            evidence = f'stamps jitter by {jitter * 1e3:.2g} ms at {self.period * 1e3:.3g} ms'
            self._findings.note('', 'stamp_jitter', now, now, evidence)
