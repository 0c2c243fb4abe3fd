"""Several robots by a runtime that takes one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sim2real_core.errors import Fault, InputError

if TYPE_CHECKING:
    from sim2real_policy.bundle import Bundle
    from sim2real_policy.runtime import Array32, Runtime


def in_turn(
    runtime: Runtime, bundle: Bundle, observation: Array32, others: Mapping[str, Array32]
) -> Array32:
    """Actions (n, a), one robot after the other; arguments as of ``Runtime.infer``.

    Raises:
        InputError: the policy is recurrent: its state is that of one robot.
    """
    if bundle.meta.state and len(observation) > 1:
        mend = 'a recurrent policy runs for one robot at a time here'
        raise InputError(Fault('observation', observation.shape, mend))
    rows = []
    for row in range(len(observation)):
        mine = {name: image[row : row + 1] for name, image in others.items()}
        rows.append(runtime.infer(observation[row : row + 1], mine).copy())
    return np.concatenate(rows)
