"""How well it went: task error and success over episodes, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim2real_learning.config import ReachTask

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Evaluation:
    """Outcome of n episodes.

    Attributes:
        error: (n,) mean tool distance over the last ``settle`` seconds [m].
        success: (n,) whether it stayed within the tolerance all that time.
        tool: (steps, n, 3) tool positions [m], in the base frame.
        goal: (n, 3) goals [m].
        period: time between the steps [s].
    """

    error: Array
    success: npt.NDArray[np.bool_]
    tool: Array
    goal: Array
    period: float

    def summary(self) -> dict[str, Any]:
        """Success rate, mean and median error [m], each with its 95 % interval."""
        return {
            'episodes': len(self.error),
            'success_rate': float(self.success.mean()),
            'success_rate_interval': success_interval(self.success),
            'task_error': float(self.error.mean()),
            'task_error_interval': bootstrap_interval(self.error, np.mean),
            'median_task_error': float(np.median(self.error)),
            'median_task_error_interval': bootstrap_interval(self.error, np.median),
        }


def judge(task: ReachTask, tool: Array, goal: Array, period: float) -> Evaluation:
    """Judge recorded episodes.

    Args:
        task: what counts.
        tool: (steps, n, 3) tool positions [m], one a period, from the moment the goal was given.
        goal: (n, 3) [m].
        period: [s].
    """
    distance = np.linalg.norm(tool - goal, axis=2)
    last = distance[-max(1, round(task.settle / period)) :]
    return Evaluation(last.mean(axis=0), (last < task.tolerance).all(axis=0), tool, goal, period)


def success_interval(success: npt.NDArray[np.bool_]) -> list[float]:
    """Wilson's 95 % interval of a success rate."""
    test = stats.binomtest(int(success.sum()), len(success))
    return [float(v) for v in test.proportion_ci(CONFIDENCE, method='wilson')]


def bootstrap_interval(values: Array, statistic: Callable[..., Any]) -> list[float]:
    """95 % percentile bootstrap interval of a statistic; the same values give the same one.

    By hand: SciPy names its generator differently from version to version.
    """
    if len(values) < 2 or np.ptp(values) == 0:
        return [float(statistic(values))] * 2
    rows = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    tail = (1.0 - CONFIDENCE) / 2.0
    ends = np.quantile(statistic(values[rows], axis=1), [tail, 1.0 - tail])
    return [float(end) for end in ends]
