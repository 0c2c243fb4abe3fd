"""What efforts tell of all bodies: base parameters, and bodies that they may come from.

Only combinations of the ten parameters of each body, and of the rotors, show in the efforts. Of
the regressor's columns some are sums of those before; what they stand for adds to a base parameter
(Gautier and Khalil 1990; from numbers, as Gautier 1991)::

    W phi = W[:, independent] base,    base = sums @ phi

That is found on random states, so that it belongs to the robot, not to the motion. What the motion
tells of each is another matter, and says whether it is identified. Columns are taken from the tool
inwards, rotors last.

Single bodies follow as the likeliest that can exist, about those of the URDF. A pseudo-inertia
``P = L (1 + E)(1 + E)' L'`` with the URDF's ``L L'`` and a lower triangle E is positive definite
whatever E is; E is small in the prior, whose measure does not depend on units or frames (cf. Lee,
Wensing, Park 2020). Most of a single body is not identified, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.bodies import AXES, SIZE, Bodies, about_com, from_pseudo, pseudo
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.least_squares import solve
from sim2real_sysid.batch.models import Layout
from sim2real_sysid.batch.regression import Regression
from sim2real_sysid.batch.steps import with_step_timing

Array = npt.NDArray[np.float64]

STATES = 300  # random ones, at least
DEPENDENT = 1e-7  # share of a column that those before it do not explain
NEGLIGIBLE = 1e-6  # coefficient of a sum that is none
SPREAD = 0.3  # standard deviation of E
LIGHT = 1e-6  # [kg], a body of less is none
AT_ONCE = 4  # bodies whose columns are in memory at once
TERMS = ('mass', *(f'moment.{axis}' for axis in 'xyz'), *(f'inertia.{axes}' for axes in AXES))
"""A body's dynamic parameters, about the frame of the joint that moves it [kg, kg*m, kg*m^2]."""


@dataclass(frozen=True)
class BaseParameter:
    """A combination that shows in the efforts.

    Attributes:
        terms: coefficient of each: ``forearm.moment.x``, say, of a link and all that is fixed to
            it, or ``joint.elbow.armature``.
        nominal: as URDF and profile have it.
        mean: as it was found.
        std: its standard deviation.
        status: ``identified`` or ``not_identified``.
    """

    terms: Mapping[str, float]
    nominal: float
    mean: float
    std: float
    status: str


@dataclass(frozen=True)
class Body:
    """A link and all that is fixed to it, as one body that can exist.

    Attributes:
        mass: [kg].
        com: (3,) in the frame of the joint that moves it [m].
        inertia: (6,) about it: xx, xy, yy, xz, yz, zz [kg*m^2].
        std: (10,) standard deviations of all these.
        status: of ``mass``, ``com`` and ``inertia``: ``identified`` or ``not_identified``.
    """

    mass: float
    com: tuple[float, ...]
    inertia: tuple[float, ...]
    std: tuple[float, ...]
    status: Mapping[str, str]


class _Combinations:
    """Base parameters in the place of a payload: linear, and without prior."""

    def __init__(self, nominal: Array) -> None:
        self.nominal = nominal

    def dynamic(self, values: Array) -> Array:
        return values

    def derivative(self, values: Array) -> Array:
        return np.eye(len(values))

    def spread(self, values: Array, reach: float) -> Array:
        return np.full(len(values), np.inf)


@dataclass(frozen=True)
class Whole:
    """All bodies of a robot.

    Attributes:
        base: base parameters.
        bodies: link to the body that it moves with.
    """

    base: tuple[BaseParameter, ...]
    bodies: Mapping[str, Body]


def independent(regressor: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """Take columns from the first on, those that are no sum of the ones before.

    Args:
        regressor: (rows, p), rows > p.

    Returns:
        Their indices (b,), and (b, p): what each column adds to each of them.
    """
    size = np.linalg.norm(regressor, axis=0)
    size[size <= NEGLIGIBLE * size.max()] = 0.0
    scaled = regressor * np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    columns = np.flatnonzero(np.abs(np.diag(np.linalg.qr(scaled, mode='r'))) > DEPENDENT)
    sums = np.linalg.lstsq(scaled[:, columns], scaled, rcond=None)[0]
    sums *= size / size[columns, None]
    largest = np.abs(sums).max(axis=1, keepdims=True)
    return columns, np.where(np.abs(sums) > NEGLIGIBLE * largest, sums, 0.0)


def whole(
    regression: Regression, bodies: Bodies, found: Fitted, relative_std: float, timing: Array
) -> Whole:
    """Base parameters and bodies from recordings.

    Args:
        regression: the training data.
        bodies: the inverse dynamics.
        found: friction and rotors with the URDF's bodies; the friction is estimated once more.
        relative_std: see :class:`sim2real_sysid.batch.config.FitConfig`.
        timing: (nj,) of the steps of the efforts, see :mod:`sim2real_sysid.batch.steps` [s].
    """
    profile = regression.profile
    count, nj = len(bodies.names), len(profile.joints)
    inwards = (SIZE * np.arange(count)[::-1, None] + np.arange(SIZE)).ravel()
    rng = np.random.default_rng(0)
    states = rng.uniform(-1.5, 1.5, (max(STATES, 40 * count // nj), 3, nj))
    of_bodies = bodies.columns(states, np.eye(SIZE * count)[:, inwards])
    rotors = states[:, 2, :, None] * np.eye(nj)
    columns, sums = independent(
        np.concatenate([of_bodies, rotors], axis=2).reshape(len(states) * nj, -1)
    )
    nominal = np.concatenate([bodies.nominal[inwards], profile.array('armature')])
    fitted = _fitted(regression, bodies, found, columns, sums @ nominal, inwards)
    fitted = with_step_timing(fitted, profile, timing, sums[:, len(inwards) :])
    place = fitted.layout.link
    mean, covariance = fitted.mean[place], fitted.covariance[place, place]
    names = [f'{bodies.names[k // SIZE]}.{TERMS[k % SIZE]}' for k in inwards]
    names += [f'joint.{joint}.armature' for joint in profile.joint_names]
    certain = fitted.certain(relative_std)[place]
    base = tuple(
        BaseParameter(
            {names[k]: float(row[k]) for k in np.flatnonzero(row)},
            float(row @ nominal),
            float(mean[b]),
            float(np.sqrt(covariance[b, b])),
            'identified' if certain[b] else 'not_identified',
        )
        for b, row in enumerate(sums)
    )
    back = np.argsort(inwards)  # as pinocchio has them
    sums = np.concatenate([sums[:, back], sums[:, len(inwards) :]], axis=1)
    return Whole(base, _bodies(bodies, profile, sums, mean, covariance, relative_std))


def _fitted(
    regression: Regression,
    bodies: Bodies,
    found: Fitted,
    columns: npt.NDArray[np.intp],
    nominal: Array,
    inwards: npt.NDArray[np.intp],
) -> Fitted:
    """Friction and base parameters by least squares."""
    before = found.layout
    quantities = tuple(q for q in before.quantities if q != 'armature')
    friction = [
        address
        for k, address in enumerate(before.addresses[: before.link.start])
        if before.quantities[k % before.local] != 'armature'
    ]
    base = [f'base.{k}' for k in range(len(columns))]
    shape = Layout(before.model, quantities, (*friction, *base), before.joints, len(base))
    values = np.zeros(len(shape.addresses))
    for quantity in quantities:
        values[shape.place(quantity)] = before.of(found.mean, quantity)
    values[shape.link] = nominal
    own = columns[columns < len(inwards)]
    rotors = columns[columns >= len(inwards)] - len(inwards)
    parts = []
    for motion in regression.motions:
        states = np.stack([motion.position, motion.velocity, motion.acceleration], axis=1)
        unit = np.eye(len(inwards))[:, inwards[own]]
        added = [
            motion.decimated(bodies.columns(states, unit[:, k : k + SIZE * AT_ONCE]))
            for k in range(0, unit.shape[1], SIZE * AT_ONCE)
        ]
        each = motion.acceleration[:, :, None] * np.eye(before.joints)[:, rotors]
        parts.append(np.concatenate([*added, motion.decimated(each)], axis=2))
    added_all = np.concatenate(parts)
    # What the URDF's bodies and rotors ask for is what their base parameters do.
    following = [m.decimated(bodies.followers.efforts(m.velocity)) for m in regression.motions]
    rigid = added_all @ nominal + np.concatenate(following)
    data = regression.about(_Combinations(nominal), added_all, rigid)
    return solve(data, shape, values)


def _bodies(
    bodies: Bodies,
    profile: RobotProfile,
    sums: Array,
    mean: Array,
    covariance: Array,
    relative_std: float,
) -> dict[str, Body]:
    """The likeliest bodies that can exist, by their links."""
    from scipy.optimize import least_squares

    blocks = bodies.nominal.reshape(-1, SIZE)
    heavy = [k for k, block in enumerate(blocks) if block[0] > LIGHT]
    roots = [np.linalg.cholesky(_regular(pseudo(blocks[k]))) for k in heavy]
    lower, rotors = np.tril_indices(4), profile.array('armature')
    size = SIZE * len(heavy)

    def dynamic(x: Array) -> Array:
        out = blocks.copy()
        for k, root, entries in zip(heavy, roots, x[:size].reshape(-1, SIZE)):
            change = np.eye(4)
            change[lower] += SPREAD * entries
            out[k] = from_pseudo(root @ change @ change.T @ root.T)
        return out

    known = np.isfinite(np.diag(covariance))
    white = np.linalg.cholesky(np.linalg.inv(covariance[np.ix_(known, known)])).T

    def residual(x: Array) -> Array:
        every = np.concatenate([dynamic(x).ravel(), rotors * (1.0 + SPREAD * x[size:])])
        return np.concatenate([white @ (sums @ every - mean)[known], x])

    found = least_squares(residual, np.zeros(size + len(rotors)), x_scale='jac')
    left = np.linalg.inv(found.jac.T @ found.jac)[:size, :size]

    def told(x: Array) -> Array:
        return np.concatenate([about_com(block) for block in dynamic(x)[heavy]])

    step = 1e-5
    slope = np.stack(
        [
            (told(found.x + step * unit) - told(found.x - step * unit)) / (2.0 * step)
            for unit in np.eye(size, len(found.x))
        ],
        axis=1,
    )
    std = np.sqrt(np.einsum('ij,jk,ik->i', slope, left, slope)).reshape(-1, SIZE)
    values, out = told(found.x).reshape(-1, SIZE), {}
    for k, one, deviation in zip(heavy, values, std):
        out[bodies.names[k]] = Body(
            float(one[0]),
            tuple(one[1:4].tolist()),
            tuple(one[4:].tolist()),
            tuple(deviation.tolist()),
            _status(one, deviation, relative_std),
        )
    return out


def _regular(matrix: Array) -> Array:
    """A pseudo-inertia (4, 4) as that of a body, where a URDF gives less."""
    least = 1e-6 * max(float(np.trace(matrix)), LIGHT)
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T)


def _status(values: Array, std: Array, relative_std: float) -> dict[str, str]:
    """Of mass, centre of mass and inertia (10,), by what each is large compared with."""
    inertia = values[4:]
    largest = float(np.abs(inertia).max())
    sizes = {
        'mass': (slice(0, 1), values[0]),
        'com': (slice(1, 4), float(np.sqrt(largest / values[0]) + np.linalg.norm(values[1:4]))),
        'inertia': (slice(4, 10), largest),
    }
    return {
        name: 'identified' if (std[part] <= relative_std * size).all() else 'not_identified'
        for name, (part, size) in sizes.items()
    }
