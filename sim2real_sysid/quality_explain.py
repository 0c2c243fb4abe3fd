"""Whether the motion of a joint can explain its effort: the unit and the sign of it.

What a joint's effort must do is known up to a few unknowns that cannot be negative::

    effort = k * rigid body + mass * payload + armature*a + viscous*v + coulomb*sign(v) + offset

with ``mass``, ``armature`` and ``coulomb`` at least 0 and ``k`` about 1, between a quarter and
four, since URDFs are wrong, too. ``viscous`` may have any sign: a stiff drive answers each step
of its command within milliseconds, which slow samples miss, always at the same phase, and what is
left looks like friction that pushes.

Four readings of the log are compared by what they leave unexplained: as it is, with the other
sign, and both with ``k`` free. A verdict falls only where one of the others explains several times
more than the log as it is; any motion that the log as it is can explain acquits it.

Products of twins are summed (see :mod:`sim2real_sysid.quality_windows`), so that noise in velocity
and acceleration does not pass for smaller terms.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from sim2real_sysid.quality_windows import Motion

Array = npt.NDArray[np.float64]

TERMS = 5  # rigid body, payload, acceleration, velocity, direction
SIGNED = [0, 1, 2, 4]  # all but the velocity's coefficient cannot be negative
ONE, EFFORT = TERMS, TERMS + 1
MEMORY = 600.0  # windows of motion
FEWEST = 40  # windows of motion,
FEWEST_WAY = 8  # in each direction
LOW, HIGH = 0.25, 4.0  # times the rigid body effort
BETTER = 0.1  # unexplained share, compared with the log as it is
UNEXPLAINED = 0.1  # of the variance of the effort, before anything is wrong
RIDGE = 1e-6
SUBSETS = np.array(list(itertools.product((0.0, 1.0), repeat=TERMS)))


class Explanations:
    """Collects windows of motion and compares readings of the efforts.

    Args:
        joints: their number, nj.

    Attributes:
        since: (nj,) time of the first window [s].
    """

    def __init__(self, joints: int) -> None:
        p = TERMS + 2
        self._sums = np.zeros((joints, p, p))
        self._ways = np.zeros((2, joints))
        self.since = np.full(joints, np.inf)
        self._verdicts: dict[int, tuple[str, str]] = {}

    def add(self, motion: Motion) -> None:
        """Take the windows in which a joint moves."""
        windows, direction = motion.windows, motion.direction
        ones = np.ones_like(windows.effort)
        both = np.broadcast_to(direction, ones.shape)
        rows = np.stack(
            [
                motion.bodies[:, 0], motion.bodies[:, 1], windows.acceleration, windows.velocity,
                both, ones, windows.effort,
            ],
            axis=-1,
        )  # fmt: skip
        usable = (direction != 0) & np.isfinite(rows).all(axis=(0, 3))
        rows = np.where(usable[..., None], rows, 0.0)
        products = np.einsum('mja,mjb->jab', rows[0], rows[1])
        count = usable.sum(axis=0)
        keep = np.exp(-count / MEMORY)
        self._sums *= keep[:, None, None]
        self._sums += 0.5 * (products + products.transpose(0, 2, 1))
        self._ways *= keep
        self._ways[0] += (direction * usable > 0).sum(axis=0)
        self._ways[1] += (direction * usable < 0).sum(axis=0)
        self.since = np.where(count > 0, np.minimum(self.since, windows.stamp[0]), self.since)

    def judge(self, joint: int) -> tuple[str, str] | None:
        """What is wrong with a joint's effort, and the evidence; None where nothing must be.

        A verdict stays until the log as it is explains the effort: pushes and contacts, which
        nothing here explains, do not lift it.
        """
        ways = self._ways[:, joint]
        if ways.sum() < FEWEST or ways.min() < FEWEST_WAY:
            return None
        sums = self._sums[joint]
        mean = sums[ONE] / sums[ONE, ONE]
        centred = sums - np.outer(mean, mean) * sums[ONE, ONE]
        size = np.sqrt(np.maximum(np.diag(centred), 0.0))
        if size[EFFORT] <= 0:
            return None
        scale = np.where(size > 0, size, 1.0)
        unit = centred / np.outer(scale, scale)
        normal, right = unit[:TERMS, :TERMS] + RIDGE * np.eye(TERMS), unit[:TERMS, EFFORT]
        problem = _Problem(normal, right, size[:TERMS] > 0)
        known = size[0] > 0
        to_k = scale[0] / scale[EFFORT]  # value of the first coefficient where k is one
        low, high = (LOW * to_k, HIGH * to_k) if known else (0.0, np.inf)
        as_is, _ = problem.least(1.0, low, high)
        if as_is < UNEXPLAINED:
            self._verdicts.pop(joint, None)
            return None
        verdict = self._compare(problem, as_is, to_k, bool(known))
        if verdict is not None:
            self._verdicts[joint] = verdict
        return self._verdicts.get(joint)

    @staticmethod
    def _compare(
        problem: _Problem, as_is: float, to_k: float, known: bool
    ) -> tuple[str, str] | None:
        """The reading that explains the effort much better than the log as it is."""
        low, high = (LOW * to_k, HIGH * to_k) if known else (0.0, np.inf)
        turned, _ = problem.least(-1.0, low, high)
        scaled, factor = problem.least(1.0, 0.0, np.inf)
        if turned < BETTER * as_is and turned < scaled:
            return 'effort_sign', 'the effort is against what inertia, weight and friction ask for'
        if known and scaled < BETTER * as_is:
            times = factor / to_k
            return 'effort_units', f'the effort is {times:.2g} times what the masses ask for'
        other, factor = problem.least(-1.0, 0.0, np.inf)
        if other < BETTER * min(as_is, scaled):
            size = f'{factor / to_k:.2g} times ' if known else ''
            return 'effort_sign', f'the effort is {size}the opposite of what the masses ask for'
        return None


class _Problem:
    """Least squares without negative coefficients; so few that all sets of them can be tried.

    Args:
        normal: (n, n) normal matrix.
        right: (n,) right side; the effort has length one.
        known: (n,) whether a term occurs at all.
    """

    def __init__(self, normal: Array, right: Array, known: npt.NDArray[np.bool_]) -> None:
        self._normal, self._right = normal, right
        self._sets = SUBSETS[(known >= SUBSETS).all(axis=1)]
        pairs = self._sets[:, :, None] * self._sets[:, None, :]
        matrices = np.where(pairs > 0, normal, np.eye(TERMS))
        self._inverses = np.linalg.inv(matrices) * pairs

    def least(self, sign: float, low: float, high: float) -> tuple[float, float]:
        """Least unexplained share with the first coefficient within [low, high].

        Args:
            sign: of the effort.
            low: at least 0.
            high: may be infinite.

        Returns:
            The share, and the first coefficient.
        """
        right = sign * self._right
        best, first = 1.0, 0.0
        without = self._sets[:, 0] == 0
        tries = [(np.inf, self._inverses)]
        if low > 0.0:
            best = np.inf
            tries += [(k, self._inverses[without]) for k in (low, high)]
        for fixed, inverses in tries:
            free = np.isinf(fixed)
            theta = inverses @ (right if free else right - fixed * self._normal[:, 0])
            if not free:
                theta[:, 0] = fixed
            good = (theta[:, SIGNED] >= 0).all(axis=1)
            good &= (theta[:, 0] >= low) & (theta[:, 0] <= high)
            shares = 1.0 - 2.0 * theta @ right
            shares += np.einsum('sa,ab,sb->s', theta, self._normal, theta)
            shares[~good] = np.inf
            k = int(np.argmin(shares))
            if shares[k] < best:
                best, first = float(shares[k]), float(theta[k, 0])
        return max(best, 0.0), first
