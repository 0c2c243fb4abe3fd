"""What rviz shows beside the robot, as plain shapes: target, tool poses, trails, estimates."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sim2real_core.records import Estimate, ParameterEstimate

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float, float]

PLANNED: Colour = (0.95, 0.65, 0.15, 0.6)
TARGET: Colour = (0.90, 0.25, 0.20, 0.9)
COMMANDED: Colour = (0.25, 0.50, 0.95, 0.9)
MEASURED: Colour = (0.20, 0.75, 0.35, 0.9)
CHANGED: Colour = (0.95, 0.35, 0.25, 1.0)
SHOWN = 30.0  # s for which a change is shown
OF_STATUS: dict[str, Colour] = {
    'identified': (0.95, 0.95, 0.95, 1.0),
    'not_identified': (0.55, 0.55, 0.55, 1.0),
    'stale': (0.95, 0.80, 0.30, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One marker.

    Attributes:
        group: with ``number``, what identifies it: the next of the same replaces it.
        number: see ``group``.
        kind: ``sphere``, ``line`` or ``text``.
        frame: that positions are given in.
        size: diameter of a sphere, width of a line, height of text [m].
        colour: red, green, blue, opacity, 0 to 1.
        position: (3,) [m]; of spheres and text.
        points: (n, 3) [m]; of lines.
        text: of text.
    """

    group: str
    kind: str
    frame: str
    size: float
    colour: Colour
    number: int = 0
    position: Array = field(default_factory=lambda: np.zeros(3))
    points: Array = field(default_factory=lambda: np.zeros((0, 3)))
    text: str = ''


class Trail:
    """The last positions of a point.

    Args:
        length: how long they are kept [s].
    """

    def __init__(self, length: float) -> None:
        self._length = length
        self._points: deque[tuple[float, Array]] = deque()

    def add(self, stamp: float, position: Array) -> None:
        """Add a position (3,) [m] at a stamp [s].

        The same stamp replaces the last position; one that goes back begins anew.
        """
        if self._points and stamp == self._points[-1][0]:
            self._points.pop()
        elif self._points and stamp < self._points[-1][0]:
            self._points.clear()
        self._points.append((stamp, position))
        while stamp - self._points[0][0] > self._length:
            self._points.popleft()

    @property
    def last(self) -> Array | None:
        """The newest position (3,)."""
        return self._points[-1][1] if self._points else None

    def points(self) -> Array:
        """All, (n, 3), oldest first."""
        return np.array([point for _, point in self._points]).reshape(-1, 3)


def tool(group: str, trail: Trail, frame: str, colour: Colour, size: float) -> list[Shape]:
    """A tool's position and where it came from; nothing before its first position."""
    if trail.last is None:
        return []
    shapes = [
        Shape(
            group=group, kind='sphere', frame=frame, size=size, colour=colour, position=trail.last
        )
    ]
    points = trail.points()
    if len(points) > 1:
        line = (*colour[:3], 0.5)
        shapes.append(
            Shape(
                group=f'{group} trail',
                kind='line',
                frame=frame,
                size=size / 4,
                colour=line,
                points=points,
            )
        )
    return shapes


def way(points: Array, frame: str, size: float) -> Shape:
    """The way (n, 3) that a tool is to go [m]."""
    return Shape(
        group='trajectory', kind='line', frame=frame, size=size, colour=PLANNED, points=points
    )


def target(position: Array, frame: str, size: float) -> Shape:
    """Where the tool shall be."""
    return Shape(
        group='target', kind='sphere', frame=frame, size=size, colour=TARGET, position=position
    )


def estimate_line(address: str, known: ParameterEstimate) -> str:
    """``joint.elbow.viscous_friction 1.20 ± 0.05 N*m*s/rad``."""
    tied = f'not told from {", ".join(known.confounded)}' if known.confounded else ''
    if not math.isfinite(known.std):
        return f'{address} unknown' + (f' ({tied})' if tied else '')
    digits = max(0, 1 - math.floor(math.log10(known.std))) if known.std > 0 else 6
    number = f'{known.mean:.{min(digits, 9)}f} ± {known.std:.2g} {known.unit}'
    why = '' if known.status == 'identified' else f' ({tied or known.status})'
    return f'{address} {number}{why}'


def estimates(
    estimate: Estimate, frame: str, corner: Sequence[float], most: int, height: float
) -> list[Shape]:
    """Estimates as lines of text below a corner: changes first, then what is identified.

    Args:
        estimate: what is known; changes are shown for half a minute.
        frame: of the corner.
        corner: where the first line is, (3,) [m].
        most: so many lines at most.
        height: of a line [m].
    """
    order = list(OF_STATUS)
    rows = [(c.said, CHANGED) for c in estimate.changes if estimate.stamp - c.stamp < SHOWN]
    known = sorted(estimate.parameters.items(), key=lambda item: order.index(item[1].status))
    rows += [(estimate_line(address, p), OF_STATUS[p.status]) for address, p in known]
    return [
        Shape(
            group='estimates',
            number=i,
            kind='text',
            frame=frame,
            size=height,
            colour=colour,
            position=np.array([corner[0], corner[1], corner[2] - 1.4 * height * i]),
            text=text,
        )
        for i, (text, colour) in enumerate(rows[:most])
    ]
