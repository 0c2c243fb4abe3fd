"""Output error: parameters under which simulated outputs come closest to the measured ones.

Gauss-Newton with damping over batched rollouts. Least squares give the start and stay in as a wide
prior: what the outputs do not tell is left where the efforts put it. It is wide because both learn
from the same samples, and where the model is not the robot they rightly differ.

Multiple shooting (Bock 1983): a chain of windows is simulated as one trajectory, but each window
from a state of its own for the derivatives, all at once. The windows' states are condensed to the
first of the chain, which is unknown within what the filtered measurement leaves open and is
eliminated::

    dX[w+1] = A[w] dX[w] + B[w] dtheta

Derivatives are differences over a step that matters, not over the smallest one: a joint turns at a
time step, so outcomes are rough in the parameters below what changes its speed within one. They
take most of the time, so they are used again as long as they still lead downhill and the point has
hardly moved.

Shapes: P vectors, W windows, n samples, m outputs, p free parameters, s = 2 nj states. With
p = 28, W = 48 and six joints they ask for 1 + 28 + 12 rollouts of each window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.data import Recording
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.least_squares import hac
from sim2real_sysid.batch.regression import BLOCK
from sim2real_sysid.batch.rollouts import Rollouts, Windows, cut
from sim2real_sysid.batch.signals import noise

Array = npt.NDArray[np.float64]
Progress = Callable[[float, str], None]

WINDOW = 1.0  # [s], of a chain; a matter of speed alone
WIDE = 10.0  # standard deviation of the prior, in those of least squares
STEP = 0.3  # of a difference, in standard deviations of least squares
LEAST_STEP = 0.2  # at least, in values that make a difference
START_STEP = 1e-2  # likewise of an initial state, as a share of the range seen
DAMPING = (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # tried at once; shares of the diagonal
SMALL = 1e-3  # relative decrease of the cost that is worth another step
MOVED = 0.3  # likewise, after which derivatives are taken anew
ROBUST = 3.0  # standard deviations from which on a chain counts less (Huber)
ASTRAY = 1e6  # residual of a simulation that blew up


@dataclass(frozen=True)
class Point:
    """Where the search is.

    Attributes:
        theta: (p_all,) all parameters.
        first: (2, C, nj) states that the chains begin with.
        states: (2, n + 1, C, nj) positions and velocities simulated from there.
        residual: (C, n, m) simulated minus measured outputs, 0 where nothing was measured.
    """

    theta: Array
    first: Array
    states: Array
    residual: Array


class OutputError:
    """Residuals of rollouts along recordings, their derivatives and normal equations.

    Args:
        profile: the robot.
        recordings: the training data.
        prior: what least squares found.
        chain: time after which the measured state is begun with anew [s]; 0 for never.
        commanded: driven by the recorded commands instead of the measured efforts.
        threads: 0 for all processors.
    """

    def __init__(
        self,
        profile: RobotProfile,
        recordings: Sequence[Recording],
        prior: Fitted,
        *,
        chain: float = 0.0,
        commanded: bool = False,
        threads: int = 0,
    ) -> None:
        self.prior = prior
        addresses = prior.layout.addresses
        self.chains = cut(recordings, chain)
        self.windows = cut(recordings, chain, WINDOW)
        self._whole = Rollouts(
            profile, self.chains, addresses, commanded=commanded, threads=threads
        )
        self._parts = Rollouts(
            profile,
            self.windows,
            addresses,
            commanded=commanded,
            threads=threads,
        )
        # An inertia by itself is not free here: not all numbers are one.
        # Nor does it matter to commands how late efforts are measured.
        fixed = ('.inertia.', 'sensor.') if commanded else ('.inertia.',)
        moves = np.array([not any(f in address for f in fixed) for address in addresses])
        usable = np.isfinite(prior.std) & (prior.std > 0)
        self.free = np.flatnonzero(prior.excited & usable & moves)
        matters = prior.matters[self.free]
        self.step = np.maximum(STEP * prior.std[self.free], LEAST_STEP * matters)
        known = prior.covariance[np.ix_(self.free, self.free)]
        self.precision = np.linalg.inv(WIDE**2 * known)
        self.count = self.chains.counts.sum(axis=1)
        self._efforts = np.isfinite(self.chains.effort).all(axis=(0, 1)) & commanded
        self.spread = noise(self.chains.segments[0])  # (2, nj)
        reach = np.stack(
            [np.ptp(self.chains.position, axis=(0, 1)), np.abs(self.windows.start[1]).max(axis=0)]
        )
        self.nudge = np.maximum(START_STEP * reach, self.spread)

    def points(self, thetas: Array, firsts: Array | None = None) -> list[Point]:
        """Simulate chains under parameters (P, p_all), from states (P, 2, C, nj)."""
        if firsts is None:
            firsts = np.broadcast_to(self.chains.start, (len(thetas), *self.chains.start.shape))
        states, efforts = self._whole(thetas, firsts)
        residual = self._outputs(states, efforts) - self._measured(self.chains)
        residual *= self.chains.counts[:, :, None]
        residual = np.nan_to_num(residual, nan=ASTRAY, posinf=ASTRAY, neginf=-ASTRAY)
        return [Point(*values) for values in zip(thetas, firsts, states, residual)]

    def _outputs(self, states: Array, efforts: Array) -> Array:
        """(P, W, n, m) simulated positions, then efforts where these are outputs."""
        position = np.moveaxis(states[:, 0, :-1], 1, 2)
        return np.concatenate([position, efforts[..., self._efforts]], axis=3)

    def _measured(self, windows: Windows) -> Array:
        position, effort = windows.position, windows.effort
        return np.concatenate([position, np.nan_to_num(effort[..., self._efforts])], axis=2)

    def sizes(self, point: Point) -> Array:
        """(m,) standard deviations of the residuals; chains that went astray count less."""
        squares = np.square(point.residual).sum(axis=1) / self.count[:, None]
        typical = np.median(squares, axis=0)
        limited = np.minimum(squares, ROBUST**2 * np.maximum(typical, 1e-300))
        return np.sqrt(np.maximum(np.average(limited, axis=0, weights=self.count), 1e-24))

    def _rms(self, residual: Array, sizes: Array) -> Array:
        """(C,) of a chain's residuals, in their standard deviations."""
        squares = np.square(residual / sizes).sum(axis=(1, 2))
        return np.sqrt(squares / (self.count * residual.shape[2]))

    def cost(self, point: Point, sizes: Array) -> float:
        """What is minimized: squares, Huber's beyond, and what the priors take."""
        rms = self._rms(point.residual, sizes)
        rho = np.where(rms <= ROBUST, rms**2, 2.0 * ROBUST * rms - ROBUST**2)
        away = (point.theta - self.prior.mean)[self.free]
        moved = (point.first - self.chains.start) / self.spread[:, None]
        squares = float(rho @ self.count) * len(sizes) + float(np.square(moved).sum())
        return squares + float(away @ self.precision @ away)

    def derivatives(self, point: Point) -> tuple[Array, Array, Array, Array]:
        """Differences over each window by itself.

        Returns:
            Of outputs (p, W, n, m) and of the states behind (p, 2, W, nj) by free parameters, and
            the same (s, ...) by the state that a window begins with.
        """
        starts = self._starts(point)
        p, s, nj = len(self.free), starts[:, 0].size, starts.shape[2]
        thetas = np.tile(point.theta, (1 + p + s, 1))  # the first one as it is
        moved = np.broadcast_to(starts, (1 + p + s, *starts.shape)).copy()
        thetas[1 + np.arange(p), self.free] += self.step
        for k in range(s):
            moved[1 + p + k, k // nj, :, k % nj] += self.nudge.flat[k]
        states, efforts = self._parts(thetas, moved)
        width = np.concatenate([self.step, self.nudge.ravel()])[:, None, None, None]
        outputs, ends = self._outputs(states, efforts), states[:, :, -1]
        outputs = np.nan_to_num(outputs[1:] - outputs[0]) / width
        ends = np.nan_to_num(ends[1:] - ends[0]) / width
        return outputs[:p], ends[:p], outputs[p:], ends[p:]

    def _starts(self, point: Point) -> Array:
        """(2, W, nj) states along the chains, where the windows begin."""
        n = self.windows.counts.shape[1]
        starts = np.empty_like(self.windows.start)
        for c, chain in enumerate(self.windows.chains):
            starts[:, list(chain)] = point.states[:, : n * len(chain) : n, c]
        return starts

    def slopes(self, point: Point) -> list[Array]:
        """Derivatives (p + s, n, m) of each chain's outputs: by parameters, by its first state.

        The latter in units of the state's spread.
        """
        by_theta, ends_theta, by_state, ends_state = self.derivatives(point)
        p, s = len(self.free), self.spread.size
        found = []
        for chain in self.windows.chains:
            change = np.zeros((s, p + s))  # of a window's first state
            change[:, p:] = np.diag(self.spread.ravel())
            rows = []
            for w in chain:
                n = int(self.windows.counts[w].sum())
                row = np.einsum('sk,snm->knm', change, by_state[:, w, :n])
                row[:p] += by_theta[:, w, :n]
                rows.append(row)
                change = ends_state[:, :, w].reshape(s, s).T @ change
                change[:, :p] += ends_theta[:, :, w].reshape(p, s).T
            found.append(np.concatenate(rows, axis=1))
        return found

    def sensitivity(self, point: Point) -> Array:
        """Derivatives (p, C, n, m) of the chains' outputs by the free parameters."""
        out = np.zeros((len(self.free), *point.residual.shape))
        for c, slope in enumerate(self.slopes(point)):
            out[:, c, : slope.shape[1]] = slope[: len(self.free)]
        return out

    def normal(self, point: Point, sizes: Array, slopes: list[Array]) -> Normal:
        """Normal equations of the free parameters; the chains' first states are eliminated."""
        p, s = len(self.free), self.spread.size
        weight = np.minimum(1.0, ROBUST / np.maximum(self._rms(point.residual, sizes), 1e-12))
        matrix = self.precision.copy()
        right = -self.precision @ (point.theta - self.prior.mean)[self.free]
        block = max(1, round(BLOCK / self.windows.period)) * len(sizes)
        scores, follow = [], []
        for c, slope in enumerate(slopes):
            root = np.sqrt(weight[c]) / sizes
            stacked = (slope * root).reshape(p + s, -1)
            theta, first = stacked[:p], stacked[p:]
            residual = (point.residual[c, : self.count[c]] * root).ravel()
            moved = ((point.first - self.chains.start)[:, c] / self.spread).ravel()
            sides = np.column_stack([first @ theta.T, first @ residual + moved])
            solved = np.linalg.solve(first @ first.T + np.eye(s), sides)
            left, residual = theta - solved[:, :p].T @ first, residual - first.T @ solved[:, p]
            matrix += theta @ left.T
            right -= theta @ residual
            edges = np.arange(0, theta.shape[1], block)
            scores.append(np.add.reduceat(left * residual, edges, axis=1).T)
            follow.append(-solved)
        return Normal(matrix, right, np.concatenate(scores), np.array(follow), self.spread)


@dataclass(frozen=True)
class Normal:
    """Normal equations of p free parameters.

    Attributes:
        matrix: (p, p), with prior.
        right: (p,).
        scores: (blocks, p) of blocks of time; they add up to the data's part of ``right``.
        follow: (C, 2 nj, p + 1) change of the chains' first states, in units of ``spread``, by
            the parameters and on its own.
        spread: (2, nj).
    """

    matrix: Array
    right: Array
    scores: Array
    follow: Array
    spread: Array

    def change(self, damping: float) -> tuple[Array, Array]:
        """Change of the parameters (p,) and of the first states (2, C, nj)."""
        damped = self.matrix + damping * np.diag(np.diag(self.matrix))
        theta = np.asarray(np.linalg.solve(damped, self.right), dtype=float)
        moved = self.follow[:, :, :-1] @ theta + self.follow[:, :, -1]
        states = moved.reshape(-1, *self.spread.shape) * self.spread
        return theta, states.transpose(1, 0, 2)


def refine(problem: OutputError, iterations: int, progress: Progress | None = None) -> Fitted:
    """Output error from where least squares ended.

    Args:
        problem: the training data.
        iterations: most steps.
        progress: told the share done, and what to say.

    Returns:
        Parameters and their covariance: the inverse of the normal matrix about scores of whole
        blocks, as residuals hang together in time (Newey and West 1987).
    """
    prior = problem.prior
    if not len(problem.free):
        return replace(prior, method='output_error')
    point, slopes = problem.points(prior.mean[None])[0], None
    for k in range(iterations):
        if progress is not None:
            rms = np.sqrt(np.mean(point.residual**2))
            progress(k / iterations, f'root mean square {rms:.4g}')
        fresh = slopes is None
        if slopes is None:
            slopes = problem.slopes(point)
        point, gain = _step(problem, point, slopes)
        if fresh and gain < SMALL:
            break
        if not SMALL <= gain < MOVED:
            slopes = None
    return finished(problem, point, 'output_error', slopes)


def finished(
    problem: OutputError, point: Point, method: str, slopes: list[Array] | None = None
) -> Fitted:
    """What a search found, with the covariance there, from derivatives that still count."""
    slopes = problem.slopes(point) if slopes is None else slopes
    normal = problem.normal(point, problem.sizes(point), slopes)
    inverse = np.linalg.inv(normal.matrix)
    covariance = problem.prior.covariance.copy()
    covariance[np.ix_(problem.free, problem.free)] = (
        inverse @ (hac(normal.scores) + problem.precision) @ inverse
    )
    return replace(problem.prior, mean=point.theta, covariance=covariance, method=method)


def _step(problem: OutputError, point: Point, slopes: list[Array]) -> tuple[Point, float]:
    """The best of some damped steps, and by what share the cost fell."""
    sizes = problem.sizes(point)
    normal = problem.normal(point, sizes, slopes)
    thetas, firsts = [], []
    for damping in DAMPING:
        change, moved = normal.change(damping)
        theta = point.theta.copy()
        theta[problem.free] += change
        thetas.append(theta)
        firsts.append(point.first + moved)
    points = problem.points(np.array(thetas), np.array(firsts))
    costs = [problem.cost(candidate, sizes) for candidate in points]
    before, best = problem.cost(point, sizes), int(np.argmin(costs))
    if not costs[best] < before:
        return point, 0.0
    return points[best], 1.0 - costs[best] / before
