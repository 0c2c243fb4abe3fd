"""Where every joint of a URDF is when the actuated ones are somewhere.

Mimic joints follow, through any chain; whatever else can move is held where it rests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.urdf import MOVABLE, Urdf

Array = npt.NDArray[np.float64]


class Coupling(NamedTuple):
    """Positions of all movable joints: ``full = map @ q + shift``.

    Attributes:
        names: of the n movable joints, in file order.
        map: (n, nj) position per position of an actuated joint; a row of zeros is held.
        shift: (n,) position where the actuated joints are at zero [rad or m].
    """

    names: tuple[str, ...]
    map: Array
    shift: Array

    def moves(self, name: str) -> bool:
        """Whether a joint moves with the actuated ones."""
        return name in self.names and bool(self.map[self.names.index(name)].any())


def couple(urdf: Urdf, actuated: Sequence[str]) -> Coupling:
    """How a robot's joints hang together.

    A joint that is neither actuated nor follows one that is rests at zero, or where its mimic
    rule puts it, or at the limit next to that.

    Args:
        urdf: the robot; no mimic joints follow each other in a circle.
        actuated: names of the nj actuated joints, in command order.
    """
    rows: dict[str, tuple[Array, float]] = {
        name: (row, 0.0) for name, row in zip(actuated, np.eye(len(actuated)))
    }

    def settle(name: str) -> tuple[Array, float]:
        if name not in rows:
            joint = urdf.joints[name]
            row, shift = np.zeros(len(actuated)), 0.0
            if joint.mimic is not None:
                leader, offset = settle(joint.mimic.joint)
                row = joint.mimic.multiplier * leader
                shift = joint.mimic.multiplier * offset + joint.mimic.offset
            if joint.type not in MOVABLE:
                row, shift = np.zeros(len(actuated)), 0.0
            elif not row.any():
                shift = min(max(shift, joint.lower), joint.upper)
            rows[name] = row, shift
        return rows[name]

    names = tuple(joint.name for joint in urdf.joints.values() if joint.type in MOVABLE)
    settled = [settle(name) for name in names]
    return Coupling(
        names,
        np.array([row for row, _ in settled]).reshape(len(names), len(actuated)),
        np.array([shift for _, shift in settled]),
    )
