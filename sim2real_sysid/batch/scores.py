"""How good a fit is: efforts predicted, motion simulated, and whether what is left is noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.data import Recording
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.regression import Regression
from sim2real_sysid.batch.rollouts import Rollouts, cut

Array = npt.NDArray[np.float64]

SHORT = 1.0  # [s] of the windows that are simulated beside the whole
LAGS = 20  # of the test of whiteness
TWO_SIDED_90 = 1.6448536269514722


@dataclass(frozen=True)
class Scores:
    """Of one fit on one set of recordings.

    Attributes:
        effort_error: norm of the residual over that of the measured effort.
        by_joint: the same of each joint; NaN where no effort was measured.
        rmse: root mean square of simulated minus measured position [rad or m], of whole
            recordings (``open_loop``) and of windows of a second (``1s``); NaN where the
            simulation blew up.
        rmse_by_joint: likewise, (nj,) each.
        driven: by what the simulation was driven: ``effort`` or ``command``.
    """

    effort_error: float
    by_joint: dict[str, float]
    rmse: dict[str, float]
    rmse_by_joint: dict[str, dict[str, float]]
    driven: str

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            'effort_error': self.effort_error,
            'effort_error_per_joint': self.by_joint,
            'rmse': self.rmse,
            'rmse_per_joint': self.rmse_by_joint,
            'driven': self.driven,
        }


def effort_errors(
    regression: Regression, found: Fitted, names: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Relative error of the predicted efforts, in all and by joint."""
    measured = regression.measured
    residual = (regression.effort - regression.predicted(found.layout, found.mean))[:, measured]
    effort = regression.effort[:, measured]
    each = np.full(len(names), np.nan)
    each[measured] = np.linalg.norm(residual, axis=0) / np.linalg.norm(effort, axis=0)
    whole = float(np.linalg.norm(residual) / np.linalg.norm(effort)) if measured.any() else np.nan
    return whole, dict(zip(names, each.tolist()))


def simulated(
    profile: RobotProfile,
    recordings: Sequence[Recording],
    found: Fitted,
    chain: float,
    *,
    commanded: bool,
    threads: int,
) -> tuple[Array, Array, Array]:
    """Time (k,) [s], measured and simulated positions (k, nj) of all windows in a row."""
    windows = cut(recordings, chain)
    rollouts = Rollouts(
        profile, windows, found.layout.addresses, commanded=commanded, threads=threads
    )
    states, _ = rollouts(found.mean)
    positions = np.moveaxis(states[0, 0, :-1], 0, 1)
    time = windows.begin[:, None] + windows.period * np.arange(positions.shape[1])
    counts = windows.counts
    return time[counts], windows.position[counts], positions[counts]


def score(
    profile: RobotProfile,
    recordings: Sequence[Recording],
    regression: Regression,
    found: Fitted,
    *,
    commanded: bool,
    threads: int,
) -> Scores:
    """Score a fit.

    Args:
        profile: the robot.
        recordings: what to score on.
        regression: of the same recordings.
        found: the fit.
        commanded: driven by commands instead of measured efforts.
        threads: 0 for all processors.
    """
    whole, each = effort_errors(regression, found, profile.joint_names)
    rmse, by_joint = {}, {}
    for name, chain in (('open_loop', 0.0), ('1s', SHORT)):
        _, measured, positions = simulated(
            profile, recordings, found, chain, commanded=commanded, threads=threads
        )
        squares = np.mean(np.square(positions - measured), axis=0)
        rmse[name] = float(np.sqrt(squares.mean()))
        by_joint[name] = dict(zip(profile.joint_names, np.sqrt(squares).tolist()))
    return Scores(whole, each, rmse, by_joint, 'command' if commanded else 'effort')


@dataclass(frozen=True)
class Residuals:
    """What is left of a joint's effort, and whether it is noise.

    Attributes:
        values: (rows,) measured minus predicted [N*m or N].
        correlation: (LAGS,) autocorrelation at lags 1, 2, ...
        statistic: of Ljung and Box (1978).
        probability: of a statistic so large, were the residuals white.
        inside: share of the held-out residuals within the 90 % interval of those of the training
            data: 0.9 where the fit is as good there, NaN where nothing was held out.
    """

    values: Array
    correlation: Array
    statistic: float
    probability: float
    inside: float


def whiteness(values: Array, heldout: Array) -> Residuals:
    """Test residuals (rows,) of the training data, and held-out ones against them."""
    from scipy.stats import chi2

    n = len(values)
    centred = values - values.mean()
    power = max(float(centred @ centred), 1e-300)
    lags = min(LAGS, n - 1)
    correlation = np.array([centred[k:] @ centred[:-k] / power for k in range(1, lags + 1)])
    weights = n - np.arange(1, lags + 1)
    statistic = float(n * (n + 2) * np.sum(correlation**2 / weights))
    inside = math.nan
    if len(heldout):
        inside = float(np.mean(np.abs(heldout) <= TWO_SIDED_90 * values.std()))
    return Residuals(values, correlation, statistic, float(chi2.sf(statistic, lags)), inside)
