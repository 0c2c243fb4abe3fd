"""Whether the joints' positions come in the order of their names, as commands tell it.

A joint that goes where another one is sent, and not where it is sent itself, has that one's
values. It takes two or more to be mixed up, and each must follow the command of one of the others
as closely as joints follow their own, with motion that differs between them. Held against each
other are ways: of half a block, so that what a change of order does to a position is soon forgot.

A joint may lag behind its own command, and where all move at one frequency (a gait, a circle) it
goes like another one then. Its command now and a quarter of a block before explain its ways
whatever the phase of such a motion is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.findings import Findings
from sim2real_sysid.quality_windows import Block

Array = npt.NDArray[np.float64]

MEMORY = 0.92  # what a block leaves of those before it
LEAST = 8.0  # blocks
FOLLOWS, STRAYS = 0.3, 0.6  # unexplained share of a way, at the most and at the least
ALIKE = 1.5  # times as far as the command goes, or one over it
DELTA = 0.02  # of the range or, without one, of a radian or metre: a way worth the name
JUMP = 0.3  # of all that a joint moves in a block, from one sample to the next


class OrderCheck:
    """Holds the positions of a robot whose commands are positions against all of them.

    Args:
        profile: the robot.
        findings: where to note what is wrong.
    """

    def __init__(self, profile: RobotProfile, findings: Findings) -> None:
        nj = len(profile.joints)
        self._findings, self._names = findings, profile.joint_names
        self._tells = profile.command.drives == 'position' and nj > 1
        span = profile.array('upper') - profile.array('lower')
        self._least = DELTA * np.where(np.isfinite(span), np.minimum(span, 1.0), 1.0)
        self._sums = np.zeros((3 * nj, 3 * nj))  # of ways: positions, commands, those before
        self._blocks = 0.0

    def push(self, block: Block) -> None:
        """Take a block."""
        if not self._tells:
            return
        half = len(block.stamp) // 2
        known = np.isfinite(block.position).all(axis=0) & np.isfinite(block.command).all(axis=0)
        quarter = half // 2
        if quarter == 0 or known.sum() < 2:
            return
        position, command = (np.where(known, x, 0.0) for x in (block.position, block.command))
        steps = np.abs(np.diff(position, axis=0)).max(axis=0)
        whole = np.ptp(position, axis=0)
        if ((steps > JUMP * whole) & (whole > self._least)).any():
            return
        before = command[:-quarter]
        values = np.concatenate([position[quarter:], command[quarter:], before], axis=1)
        ways = values[half:] - values[:-half]
        self._sums = MEMORY * self._sums + ways.T @ ways / len(ways)
        self._blocks = MEMORY * self._blocks + 1.0
        if self._blocks >= LEAST:
            self._judge(block)

    def _judge(self, block: Block) -> None:
        nj = len(self._names)
        moments = self._sums / self._blocks
        goes, sent, _ = np.split(np.sqrt(np.maximum(np.diag(moments), 1e-30)), 3)
        alike = np.clip(moments[:nj, nj : 2 * nj], 0.0, None) / np.outer(goes, sent)
        left = 1.0 - alike**2  # (position, command)
        size = goes[:, None] / sent
        follows = (left < FOLLOWS) & (size < ALIKE) & (size > 1.0 / ALIKE)
        own = np.array([_unexplained(moments[j::nj, j::nj]) for j in range(nj)])
        strays = (own > STRAYS) & (goes > self._least)
        other = follows & strays[:, None] & strays
        once = other & (other.sum(axis=0) == 1) & (other.sum(axis=1, keepdims=True) == 1)
        if not once.any():
            return
        for j in np.flatnonzero(strays):  # whose values the others have nobody knows
            evidence = 'it does not go where it is sent'
            if once[j].any():
                evidence += f', but where {self._names[int(once[j].argmax())]} is'
            self._findings.note(self._names[j], 'position_order', *block.span, evidence)


def _unexplained(moments: Array) -> float:
    """Share of a position's ways that two commands leave; ``moments`` (3, 3): of all three."""
    size = np.sqrt(np.maximum(np.diag(moments), 1e-30))
    scaled = moments / np.outer(size, size)
    told = np.linalg.solve(scaled[1:, 1:] + 1e-6 * np.eye(2), scaled[1:, 0])
    return float(1.0 - scaled[0, 1:] @ told)
