"""What the numbers that come out of a policy mean."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults

Array = npt.NDArray[np.float64]

MEANINGS = {
    'position': 'position',
    'delta': 'position',
    'velocity': 'velocity',
    'effort': 'effort',
    'twist': 'twist',
}
"""Meaning of an action -> the command interface that it needs."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """How an action becomes an order; one element for each joint, of a twist for each element.

    ========  ==============================================================
    position  ``default position + offset + scale * action`` [rad or m]
    delta     ``last command + offset + scale * action`` [rad or m]
    velocity  ``offset + scale * action`` [rad/s or m/s]
    effort    ``offset + scale * action`` [N*m or N]
    twist     ``offset + scale * action`` of the base [m/s or rad/s]
    ========  ==============================================================

    Attributes:
        meaning: one of the above.
        scale: (a,) in the unit of the order.
        offset: (a,) in the unit of the order; zeros when empty.
        clip: the network's output is first limited to +/- this; None leaves it alone.
    """

    meaning: str
    scale: tuple[float, ...]
    offset: tuple[float, ...] = ()
    clip: float | None = None

    def __post_init__(self) -> None:
        faults = Faults()
        one_of(faults, 'meaning', self.meaning, MEANINGS)
        object.__setattr__(self, 'scale', vector(faults, 'scale', self.scale))
        offset = vector(faults, 'offset', self.offset)
        object.__setattr__(self, 'offset', offset or (0.0,) * len(self.scale))
        if len(self.offset) != len(self.scale):
            faults.add('offset', self.offset, f'must have {len(self.scale)} elements, as scale')
        if self.clip is not None and not (is_number(self.clip) and 0 < self.clip < math.inf):
            faults.add('clip', self.clip, 'must be a positive finite number, or left out')
        faults.check()


class ActionMap:
    """Turns actions into orders, for any number of robots at once.

    Args:
        action: what an action means.
        default_position: (nj,) pose that a position action counts from [rad or m].
    """

    def __init__(self, action: Action, default_position: Array) -> None:
        self.meaning = action.meaning
        self._clip = action.clip
        self._scale = np.array(action.scale)
        self._offset = np.array(action.offset)
        if action.meaning == 'position':
            self._offset = self._offset + default_position

    def limited(self, action: Array) -> Array:
        """A finite action after ``clip``: what the ``previous_action`` observation shows."""
        return action if self._clip is None else np.clip(action, -self._clip, self._clip)

    def order(self, action: Array, command: Array) -> Array:
        """Orders for actions that went through :meth:`limited`.

        Args:
            action: (..., a) network output.
            command: (..., a) the last command that was really sent.

        Returns:
            (..., a) in the unit of the command interface.
        """
        order = action * self._scale
        order += self._offset
        if self.meaning == 'delta':
            order += command
        return order


def is_number(value: object) -> bool:
    """Whether a value is a plain or NumPy number that a float can hold (a bool is none)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return not isinstance(value, int) or abs(value) <= sys.float_info.max


def one_of(faults: Faults, field: str, value: object, choices: Iterable[str]) -> bool:
    """Whether a value is one of these words; the fault when it is not."""
    right = isinstance(value, str) and value in choices
    if not right:
        faults.add(field, value, f'must be one of {", ".join(choices)}')
    return right


def vector(
    faults: Faults, field: str, values: object, *, finite: bool = True, low: float = -math.inf
) -> tuple[float, ...]:
    """A sequence as a tuple of plain floats; whatever is wrong with it goes to ``faults``.

    Args:
        faults: collects.
        field: name in the fault.
        values: any sequence of numbers.
        finite: infinities are refused too (NaN always is).
        low: smallest admissible value.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, '__iter__'):
        faults.add(field, values, 'must be a list of numbers')
        return ()
    found = []
    for index, value in enumerate(values):
        if not is_number(value) or math.isnan(value) or (finite and math.isinf(value)):
            kind = 'a finite number' if finite else 'a number'
            faults.add(f'{field}[{index}]', value, f'must be {kind}')
        elif value < low:
            faults.add(f'{field}[{index}]', value, f'must be at least {low:g}')
        else:
            found.append(float(value))
    return tuple(found)
