"""The sim-to-real gap, measured fairly.

*Excess* is the task error of a policy on the robot minus that of an oracle: a policy trained with
the robot's true parameters, under the same budget and over the same goals. What even the oracle
cannot do is not counted against the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_learning.metrics import Evaluation, bootstrap_interval


@dataclass(frozen=True)
class Gap:
    """One policy, measured in simulation and on the robot, beside the oracle.

    Attributes:
        simulation: the policy in the simulator it was trained in.
        robot: the policy on the robot, over the same goals as the oracle.
        oracle: the oracle on the robot.
    """

    simulation: Evaluation
    robot: Evaluation
    oracle: Evaluation

    @property
    def excess(self) -> npt.NDArray[np.float64]:
        """(n,) paired excess error of each episode [m]."""
        return self.robot.error - self.oracle.error

    def as_json(self) -> dict[str, Any]:
        """Numbers for a report."""
        return {
            'simulation': self.simulation.summary(),
            'robot': self.robot.summary(),
            'oracle': self.oracle.summary(),
            'excess': [float(v) for v in self.excess],
            'median_excess': float(np.median(self.excess)),
            'median_excess_interval': bootstrap_interval(self.excess, np.median),
            'mean_excess': float(np.mean(self.excess)),
        }
