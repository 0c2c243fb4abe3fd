"""Least squares on filtered signals: every joint's effort as a sum of known columns.

All joints at once, since they share the payload; each joint's rows are weighted with the inverse
variance of its residuals. Sums are kept by blocks of time, from which come the covariance (scores
of whole blocks, so that residuals which hang together in time do not count as many) and the
cross-validation that chooses between models. Rows are in :mod:`sim2real_sysid.batch.regression`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.bodies import SHIFTED, SIZE, Link
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.models import LATENESS, Layout, coulomb, layout
from sim2real_sysid.batch.regression import Regression, Shared
from sim2real_sysid.regression import usual_speeds
from sim2real_sysid.stribeck import unseen_rise

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FOLDS = 5
CLEARLY = 2.0  # standard errors
COULOMB = 'coulomb_friction'
PRIOR = 10.0  # standard deviation of the prior, times what would exshape all of the effort
MATTERS = 0.05  # share of the effort that the smallest value exshapes that makes a difference
BOTH_WAYS = 0.1  # least share of the rarer direction
LEAST_BLOCKS = 6
STRIBECK_GRID = 15
RISE = 3.0  # standard deviations by which friction must rise towards rest
LEAST_SLOW = 20  # rows slower than the Stribeck velocity
ROUNDS = 4  # of weights, and of steps of what is not linear
SHIFT = 0.1  # standard deviation of a payload's centre of mass, of the robot's reach
ENDLESS = 1e60  # a value beyond explains nothing
LATEST = 0.01  # standard deviation of the lateness of efforts [s]
LEAST_MASS = 0.1  # of a payload, where one is divided by it [kg]


def hac(scores: Array) -> Array:
    """Covariance (p, p) of the sum of scores (n, p) that hang together with their neighbours.

    Bartlett's weights over a lag of ``n ** (1 / 3)`` (Newey and West 1987).
    """
    n = len(scores)
    total = scores.T @ scores
    lags = round(n ** (1.0 / 3.0))
    for lag in range(1, min(lags, n - 1) + 1):
        across = scores[lag:].T @ scores[:-lag]
        total = total + (1.0 - lag / (lags + 1.0)) * (across + across.T)
    return np.asarray(n / max(n - 1, 1) * total)


def nominal_values(layout: Layout, profile: RobotProfile) -> Array:
    """(p,) nominal parameters."""
    return np.array([nominal(profile, address) for address in layout.addresses])


def fit(regression: Regression, model: str, *, inertia: bool = False) -> Fitted:
    """Least squares for one model.

    Args:
        regression: the training data.
        model: of ``MODELS``.
        inertia: whether the payload's inertia is free; else it follows the mass.
    """
    profile = regression.profile
    payload = (SIZE if inertia else SHIFTED) if regression.reach else 0
    shape = layout(model, profile, payload)
    values = nominal_values(shape, profile)
    if shape.has('stribeck_velocity'):
        values = _search_stribeck(regression, shape, values)
        place = shape.place('stribeck_velocity')
        low, high = _speeds(regression)
        for _ in range(ROUNDS):
            found = _Sums(regression, shape, values).solve().mean
            # Friction that falls towards rest is none of Stribeck's; then there is no effect.
            rises = (shape.of(found, 'static_friction') > coulomb(shape, found)) & (
                shape.of(values, 'stribeck_velocity') > 0
            )
            found[place] = np.where(rises, np.clip(found[place], low, high), 0.0)
            values = found
        doubted = ~_Sums(regression, shape, values).solve().excited[place]
        values[place[doubted]] = 0.0  # else friction would be bent to what is not there
    if payload:  # the effort of a centre of mass goes with the mass: linearized likewise
        for _ in range(ROUNDS):
            values[shape.link] = _Sums(regression, shape, values).solve().mean[shape.link]
            values[shape.link.start] = max(values[shape.link.start], LEAST_MASS)
    return _possible(solve(regression, shape, values), regression.link)


def solve(regression: Regression, shape: Layout, values: Array) -> Fitted:
    """Least squares about values (p,) of what is not linear."""
    return _Sums(regression, shape, values).solve()


def _possible(found: Fitted, link: Shared) -> Fitted:
    """The likeliest parameters under which the payload is a body that can exist."""
    place = found.layout.link
    own = found.covariance[place, place]
    free = isinstance(link, Link) and found.layout.payload == SIZE
    if not free or not np.isfinite(own).all():
        return found
    assert isinstance(link, Link)
    values = link.nearest(found.mean[place], own)
    moved = np.linalg.solve(own, values - found.mean[place])
    mean = found.mean + found.covariance[:, place] @ moved
    mean[place] = values
    return replace(found, mean=mean)


def choose(regression: Regression, fits: Mapping[str, Fitted]) -> tuple[str, dict[str, float]]:
    """The model with the fewest parameters that is not clearly worse than the best.

    Each model is scored on folds of the training data that it was not fitted to. Clearly worse is
    by more than two standard errors of the difference, after Breiman et al. (Classification and
    Regression Trees, 1984).

    Args:
        regression: the training data.
        fits: by model, from few parameters to many.

    Returns:
        Its name; and each model's score: mean squared residual, each joint's in units of that of
        the first model.
    """
    weights: Array | None = None
    folds = {}
    for model, found in fits.items():
        sums = _Sums(regression, found.layout, found.mean)
        weights = sums.weighted()[1] if weights is None else weights
        folds[model] = sums.cross_validated(weights)
    scores = {model: float(values.mean()) for model, values in folds.items()}
    best = min(scores, key=lambda model: scores[model])
    for model, values in folds.items():
        worse = values - folds[best]
        error = float(worse.std(ddof=1) / np.sqrt(len(worse)))
        if float(worse.mean()) <= CLEARLY * error:
            return model, scores
    return best, scores


def with_inertia(
    regression: Regression, fits: Mapping[str, Fitted], chosen: str
) -> dict[str, Fitted]:
    """The fits, with the payload's inertia free where it clearly helps the chosen model."""
    if not regression.reach:
        return dict(fits)
    follows, free = fits[chosen], fit(regression, chosen, inertia=True)
    better, _ = choose(regression, {'follows': follows, 'free': free})
    if better == 'follows':
        return dict(fits)
    return {name: fit(regression, name, inertia=True) for name in fits}


class _Sums:
    """Normal equations of each joint and block at some values of the Stribeck velocities."""

    def __init__(self, regression: Regression, shape: Layout, values: Array) -> None:
        self._data, self._shape, self._values = regression, shape, values
        design = regression.design(shape, values)
        target = regression.effort - regression.bodies(shape, values)
        if shape.payload:  # linearized about the present values
            target = target + design[:, :, shape.local :] @ values[shape.link]
        if shape.has('stribeck_velocity'):  # linearized about the present value
            k = shape.quantities.index('stribeck_velocity')
            target = target + design[:, :, k] * shape.of(values, 'stribeck_velocity')
        full = np.concatenate([design, target[:, :, None]], axis=2) * regression.weight[:, :, None]
        edges = np.searchsorted(regression.block, np.arange(regression.blocks))
        self._sums = np.stack(  # (blocks, nj, k + 1, k + 1)
            [np.einsum('nja,njb->jab', part, part) for part in np.split(full, edges[1:])]
        )
        self._count = np.add.reduceat(regression.weight.astype(float), edges, axis=0)
        self._index = regression.index(shape)
        self._scaling()
        self._precision = np.where(self.known, PRIOR**-2, 1.0)
        if shape.has(LATENESS):
            late = shape.place(LATENESS)
            self._precision[late] += (self.scale[late] / LATEST) ** 2
        if shape.payload:
            spread = regression.link.spread(values[shape.link], SHIFT * regression.reach)
            self._precision[shape.link] += (self.scale[shape.link] / spread) ** 2

    def _scaling(self) -> None:
        """Value of each parameter that would exshape all of the effort by itself."""
        size = np.sqrt(np.einsum('jaa->ja', self._sums.sum(axis=0)))
        ratio = np.full((size.shape[0], size.shape[1] - 1), np.inf)
        np.divide(size[:, -1:], size[:, :-1], out=ratio, where=size[:, :-1] > 0)
        self.effect = np.full(len(self._shape.addresses), np.inf)
        np.minimum.at(self.effect, self._index, ratio)
        self.known = (self.effect > 0) & (self.effect < ENDLESS)
        self.scale = np.where(self.known, self.effect, 1.0)

    def _stack(self, sums: Array, weights: Array) -> tuple[Array, Array]:
        """Scaled normal equations with prior, from sums (nj, k + 1, k + 1)."""
        n = len(self.scale)
        start = self._start()
        normal, right = np.diag(self._precision), self._precision * start
        for j, index in enumerate(self._index):
            scale = self.scale[index]
            normal[np.ix_(index, index)] += weights[j] * sums[j, :-1, :-1] * np.outer(scale, scale)
            right[index] += weights[j] * sums[j, :-1, -1] * scale
        assert normal.shape == (n, n)
        return normal, right

    def _start(self) -> Array:
        shape, data = self._shape, self._data
        own = [nominal(data.profile, a) for a in shape.addresses[: shape.link.start]]
        return np.array([*own, *data.link.nominal[: shape.payload]]) / self.scale

    def squares(self, scaled: Array) -> Array:
        """(nj,) sums of squared residuals."""
        return self._squares(self._sums.sum(axis=0), scaled)

    def _squares(self, sums: Array, scaled: Array) -> Array:
        """(..., nj) sums of squared residuals from sums (..., nj, k + 1, k + 1)."""
        theta = (scaled * self.scale)[self._index]
        form = np.concatenate([-theta, np.ones((len(theta), 1))], axis=1)
        return np.maximum(np.einsum('ja,...jab,jb->...j', form, sums, form), 0.0)

    def _weights(self, scaled: Array) -> Array:
        total, count = self._sums.sum(axis=0), self._count.sum(axis=0)
        power = total[:, -1, -1]
        squares = np.maximum(self._squares(total, scaled), 1e-12 * power)
        weights = np.zeros_like(squares)
        np.divide(np.maximum(count, 1.0), squares, out=weights, where=squares > 0)
        return weights

    def weighted(self, sums: Array | None = None) -> tuple[Array, Array]:
        """Scaled parameters, and the joints' weights, from all or some of the sums."""
        total = self._sums.sum(axis=0) if sums is None else sums
        power = self._sums.sum(axis=0)[:, -1, -1]
        weights = np.zeros_like(power)
        np.divide(np.maximum(self._count.sum(axis=0), 1.0), power, out=weights, where=power > 0)
        scaled = np.zeros(len(self.scale))
        for _ in range(ROUNDS):
            scaled = np.asarray(np.linalg.solve(*self._stack(total, weights)), dtype=float)
            weights = self._weights(scaled)
        return scaled, weights

    def solve(self) -> Fitted:
        """Parameters and their covariance."""
        scaled, weights = self.weighted()
        normal, _ = self._stack(self._sums.sum(axis=0), weights)
        inverse = np.linalg.inv(normal)
        scores = np.zeros((len(self._sums), len(scaled)))
        theta = (scaled * self.scale)[self._index]
        form = np.concatenate([-theta, np.ones((len(theta), 1))], axis=1)
        slopes = np.einsum('bjac,jc->bja', self._sums[:, :, :-1], form)
        for j, index in enumerate(self._index):
            scores[:, index] += weights[j] * slopes[:, j] * self.scale[index]
        covariance = inverse @ (hac(scores) + np.diag(self._precision)) @ inverse
        scale = self.scale * self._few()
        covariance *= np.outer(scale, scale)
        covariance[~self.known, ~self.known] = np.inf
        mean, excited = scaled * self.scale, self.known & self._excited()
        if self._shape.has('stribeck_velocity'):  # of no effect: static is Coulomb friction
            self._doubt_stribeck(mean, covariance, excited)
            without = self._shape.of(self._values, 'stribeck_velocity') == 0
            mean[self._shape.place('stribeck_velocity')[without]] = 0.0
            mean[self._shape.place('static_friction')[without]] = coulomb(self._shape, mean)[
                without
            ]
        return Fitted(
            self._shape,
            mean,
            covariance,
            np.where(self.known, MATTERS * self.effect, np.inf),
            excited,
        )

    def _few(self) -> Array:
        """(p,) by how much scores of few blocks understate deviations.

        Degrees of freedom, of blocks in which a joint moved all the time.
        """
        rows = self._count.max(axis=0)
        blocks = np.divide(self._count.sum(axis=0), rows, out=np.ones_like(rows), where=rows > 0)
        own = self._index.shape[1]
        factor = np.sqrt(blocks / np.maximum(blocks - own, 1.0))
        out = np.full(len(self.scale), np.inf)
        np.minimum.at(out, self._index, factor[:, None])
        return out

    def _doubt_stribeck(self, mean: Array, covariance: Array, excited: Flags) -> None:
        """Take back a Stribeck effect whose rise does not stand out, or whose speed is a guess."""
        shape, low_high = self._shape, _speeds(self._data)
        static, speed = shape.place('static_friction'), shape.place('stribeck_velocity')
        dry = shape.place(next(q for q in shape.quantities if COULOMB in q))
        variance = np.diag(covariance)
        spread = np.sqrt(np.maximum(variance[static] + variance[dry], 0.0))
        rises = mean[static] - coulomb(shape, mean) > RISE * spread
        used = shape.of(self._values, 'stribeck_velocity')
        inside = (used > 1.01 * low_high[0]) & (used < 0.99 * low_high[1])
        slow = (np.abs(self._data.velocity) < used) & self._data.weight
        seen = rises & inside & (slow.sum(axis=0) >= LEAST_SLOW)
        excited[static] &= seen
        excited[speed] &= seen

    def _excited(self) -> Flags:
        """(p,) whether a joint moved long enough, and for friction in both directions.

        In one direction Coulomb friction and offset are the same thing.
        """
        data, shape = self._data, self._shape
        enough = (self._count > 0).sum(axis=0) >= LEAST_BLOCKS
        ways = [(data.weight & (s * data.velocity > 0)).sum(axis=0) for s in (-1.0, 1.0)]
        rarer, total = np.minimum(*ways), np.maximum(ways[0] + ways[1], 1)
        both = rarer >= BOTH_WAYS * total
        each = np.array([enough if q == 'armature' else enough & both for q in shape.quantities])
        flags = each.T.ravel()
        return np.append(flags, np.full(shape.payload, enough.any()))

    def cross_validated(self, weights: Array) -> Array:
        """(FOLDS,) weighted mean squared residual of rows that were left out.

        Args:
            weights: (nj,) of the joints.
        """
        fold = np.arange(len(self._sums)) * FOLDS // len(self._sums)
        total, scores = self._sums.sum(axis=0), []
        for k in range(FOLDS):
            out = self._sums[fold == k].sum(axis=0)
            scaled = np.asarray(np.linalg.solve(*self._stack(total - out, weights)), dtype=float)
            count = max(float(self._count[fold == k].sum()), 1.0)
            scores.append(float(np.dot(weights, self._squares(out, scaled))) / count)
        return np.array(scores)


def _speeds(regression: Regression) -> tuple[Array, Array]:
    """Smallest and largest Stribeck velocity (nj,) that this motion could show."""
    fastest = np.maximum(regression.fastest, 1e-9)
    return 1e-3 * fastest, 0.5 * fastest


def unseen_friction(regression: Regression) -> Array:
    """What a rise of friction too wide for any model here does to it: :func:`unseen_rise`."""
    usual = usual_speeds(regression.profile)
    return unseen_rise(usual, regression.velocity, regression.weight, _speeds(regression)[1])


def _search_stribeck(regression: Regression, shape: Layout, values: Array) -> Array:
    """Start: of a grid of Stribeck velocities those that leave the least, joint by joint.

    Those under which friction falls towards rest do not count; 0 where none is left.
    """
    low, high = _speeds(regression)
    dry = [q for q in shape.quantities if COULOMB in q]
    rising = ('stribeck_velocity', 'static_friction', *dry)
    best, chosen = np.full(shape.joints, np.inf), values.copy()
    for speed in [np.zeros(shape.joints), *np.geomspace(low, high, STRIBECK_GRID)]:
        trial = values.copy()
        trial[shape.place('stribeck_velocity')] = speed
        # Without a rise the derivative's column is zero, so the velocity stays where it is.
        trial[shape.place('static_friction')] = coulomb(shape, trial)
        sums = _Sums(regression, shape, trial)
        scaled, _ = sums.weighted()
        found = scaled * sums.scale
        found[shape.place('stribeck_velocity')] = speed
        rises = (shape.of(found, 'static_friction') > coulomb(shape, found)) | (speed == 0)
        left = np.where(rises, sums.squares(scaled), np.inf)
        better = left < best
        best = np.where(better, left, best)
        for quantity_ in rising:
            where = shape.place(quantity_)[better]
            chosen[where] = found[where]
    return chosen
