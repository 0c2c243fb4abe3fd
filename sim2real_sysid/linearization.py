"""About what the efforts of the bodies are taken as linear in the zeros of the encoders.

Joints whose encoders show too much have the efforts of other poses. A column each says so to the
first order, about zeros that are taken for granted. Once it is known that these are so far off
that what is not linear is more than what is uncertain, what was summed up is of no use, and the
motion is learned anew about better ones; few robots ever get there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_sysid.dynamics import RigidBody

Array = npt.NDArray[np.float64]

SURE = 3.0  # standard deviations
MOST = 3  # times that is learned anew
OTHER = 0.01  # kg*m by which a payload's first moments must differ to be taken


class Linearization:
    """What is taken for granted.

    Args:
        body: whose efforts they are; it is told of the payload's centre of mass.
        joints: their number, nj.

    Attributes:
        zero: (nj,) what encoders show too much [rad or m].
    """

    def __init__(self, body: RigidBody, joints: int) -> None:
        self._body = body
        self.zero = np.zeros(joints)
        self._moments = np.zeros(3)
        self._left = MOST

    def improve(self, off: Array, std: Array, moments: Array) -> bool:
        """Take what is known by now, where that makes a difference.

        Args:
            off: (k,) what the zeros of ``body.zeros`` differ from ``zero`` by [rad or m].
            std: (k,) their standard deviations.
            moments: (3,) of the payload beyond the nominal ones [kg*m]; (0,) where they are
                unknown.

        Returns:
            Whether ``zero`` changed, so that the motion must be learned anew.
        """
        if len(moments) and (np.abs(moments - self._moments) > OTHER).any():
            self._moments = moments.copy()
            self._body.shift(moments)
        wrong = 0.5 * np.square(off)
        far = (wrong > std) & (np.abs(off) > SURE * std)
        if not far.any() or not self._left:
            return False
        self._left -= 1
        self.zero[self._body.zeros] += off
        return True
