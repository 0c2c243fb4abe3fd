"""Rigid bodies as columns of the efforts, and what ten numbers mean of a body.

Efforts are linear in the ten dynamic parameters of each body, ``phi = (m, m c, I)`` with ``I``
about the origin of its frame (Atkeson, An, Hollerbach 1986). Addresses name others: mass, centre
of mass in the link's frame, inertia about that centre in the axes of the URDF's inertial frame.

A body exists for phi only if its pseudo-inertia is positive definite::

    P = [tr(I) / 2 1 - I,  m c]
        [(m c)',            m ]

which says the same as a positive mass, a positive definite inertia and its triangle inequality
(Traversaro, Brossette, Escande, Nori 2016; Wensing, Kim, Slotine 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim2real_core.kinematics import Coordinates, build_model, link_frame
from sim2real_sysid.dynamics import Followers
from sim2real_sysid.torque_regressor import inertial_rpy

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

SIZE = 10
QUANTITIES = (
    'mass', 'com.x', 'com.y', 'com.z', 'inertia.xx', 'inertia.yy', 'inertia.zz', 'inertia.xy',
    'inertia.xz', 'inertia.yz',
)  # fmt: skip
"""Of a link, as addresses name them and in the order of vectors here."""
SHIFTED = 4
"""So many come first where the inertia follows the mass in proportion."""
_ENTRIES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of the addresses' inertia
_PINOCCHIO = ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))  # of the one in phi
AXES = ('xx', 'xy', 'yy', 'xz', 'yz', 'zz')
"""Names of the entries of the inertia in phi."""
LEAST_MASS = 0.1  # of a payload, for the size of its inertia [kg]
FLOOR = 1e-3  # share of the nominal pseudo-inertia that is always left


class Link:
    """A link's mass, centre of mass and inertia, and its dynamic parameters.

    Args:
        profile: the robot.
        name: of the link.

    Attributes:
        nominal: (10,) of ``QUANTITIES``, as the URDF has them.
    """

    def __init__(self, profile: RobotProfile, name: str) -> None:
        import pinocchio

        body = profile.urdf.links[name]
        self.nominal = np.array([body.mass, *body.com, *body.inertia], dtype=float)
        self._turn = np.asarray(pinocchio.rpy.rpyToMatrix(*inertial_rpy(profile, name)))
        units = np.zeros((6, 3, 3))
        for k, (i, j) in enumerate(_ENTRIES):
            units[k, i, j] = units[k, j, i] = 1.0
        self._units = self._turn @ units @ self._turn.T  # (6, 3, 3) in the link's axes

    def whole(self, values: Array) -> Array:
        """(10,) of all quantities, from these or from the first four of them."""
        if len(values) == SIZE:
            return np.asarray(values, dtype=float)
        mass = self.nominal[0]
        ratio = values[0] / mass if mass > 0 else 0.0
        return np.concatenate([values, ratio * self.nominal[SHIFTED:]])

    def dynamic(self, values: Array) -> Array:
        """(10,) dynamic parameters in the link's frame, of (4,) or (10,) values."""
        full = self.whole(values)
        mass, com = full[0], full[1:SHIFTED]
        own = np.einsum('k,kij->ij', full[SHIFTED:], self._units)
        return _stacked(mass, mass * com, own + mass * _parallel(com))

    def derivative(self, values: Array) -> Array:
        """(10, k) of the dynamic parameters, by k = 4 or 10 values."""
        mass, com = values[0], values[1:SHIFTED]
        columns = [_stacked(1.0, com, _parallel(com))]
        for axis in np.eye(3):
            across = np.outer(axis, com)
            columns.append(
                _stacked(
                    0.0, mass * axis, mass * (2.0 * (axis @ com) * np.eye(3) - across - across.T)
                )
            )
        columns += [_stacked(0.0, np.zeros(3), unit) for unit in self._units]
        slope = np.stack(columns, axis=1)
        if len(values) == SIZE:
            return slope
        if self.nominal[0] > 0:
            slope[:, 0] += slope[:, SHIFTED:] @ self.nominal[SHIFTED:] / self.nominal[0]
        return np.asarray(slope[:, :SHIFTED])

    def spread(self, values: Array, reach: float) -> Array:
        """(k,) standard deviations before any motion, of k = 4 or 10 values.

        Args:
            values: (k,).
            reach: how far a centre of mass may well be off [m].
        """
        mass = max(float(values[0]), LEAST_MASS)
        out = np.full(SIZE, mass * reach**2)
        out[0], out[1:SHIFTED] = np.inf, reach
        return out[: len(values)]

    def values(self, dynamic: Array) -> Array:
        """(10,) of ``QUANTITIES`` from dynamic parameters of a positive mass."""
        mass, com = dynamic[0], dynamic[1:SHIFTED] / dynamic[0]
        own = self._turn.T @ (tensor(dynamic) - mass * _parallel(com)) @ self._turn
        return np.array([mass, *com, *(own[i, j] for i, j in _ENTRIES)])

    def nearest(self, values: Array, covariance: Array) -> Array:
        """The physically possible values (10,) that are likeliest under a normal distribution.

        What is possible already stays as it is.

        Args:
            values: (10,) mean.
            covariance: (10, 10).
        """
        from scipy.optimize import least_squares

        if possible(self.dynamic(values)):
            return values
        floor = FLOOR * pseudo(self.dynamic(_some(self.nominal)))
        white = np.linalg.cholesky(np.linalg.inv(covariance)).T
        lower = np.tril_indices(4)

        def body(root: Array) -> Array:
            factor = np.zeros((4, 4))
            factor[lower] = root
            return self.values(from_pseudo(factor @ factor.T + floor))

        start = values.copy()
        start[0] = max(values[0], 1e-3)
        start[SHIFTED:] = self.whole(start[:SHIFTED])[SHIFTED:]
        begin = self.dynamic(_some(start))
        root = np.linalg.cholesky(pseudo(begin))[lower]
        found = least_squares(lambda x: white @ (body(x) - values), root, x_scale='jac')
        return body(found.x)


def possible(dynamic: Array) -> bool:
    """Whether a body with these dynamic parameters (10,) can exist."""
    return bool(np.linalg.eigvalsh(pseudo(dynamic))[0] > 0.0)


def _some(values: Array) -> Array:
    """Values (10,) with some inertia, where a URDF gives none."""
    full = values.copy()
    least = 1e-6 * max(full[0], 1e-3)
    full[0] = max(full[0], 1e-3)
    full[SHIFTED : SHIFTED + 3] += least
    return full


def _parallel(com: Array) -> Array:
    """Inertia (3, 3) of a kilogram at a point about the origin."""
    return np.asarray((com @ com) * np.eye(3) - np.outer(com, com))


def _stacked(mass: float, moment: Array, inertia: Array) -> Array:
    return np.array([mass, *moment, *(inertia[i, j] for i, j in _PINOCCHIO)])


def about_com(dynamic: Array) -> Array:
    """Mass, centre of mass and inertia (``AXES``) about it, (10,), in the body's own axes."""
    com = dynamic[1:SHIFTED] / dynamic[0]
    return _stacked(float(dynamic[0]), com, tensor(dynamic) - dynamic[0] * _parallel(com))


def tensor(dynamic: Array) -> Array:
    """Inertia (3, 3) about the origin."""
    out = np.empty((3, 3))
    for value, (i, j) in zip(dynamic[SHIFTED:], _PINOCCHIO):
        out[i, j] = out[j, i] = value
    return out


def pseudo(dynamic: Array) -> Array:
    """Pseudo-inertia (4, 4); see the module's text."""
    inertia = tensor(dynamic)
    out = np.empty((4, 4))
    out[:3, :3] = 0.5 * np.trace(inertia) * np.eye(3) - inertia
    out[:3, 3] = out[3, :3] = dynamic[1:SHIFTED]
    out[3, 3] = dynamic[0]
    return out


def from_pseudo(matrix: Array) -> Array:
    """Dynamic parameters (10,) of a pseudo-inertia (4, 4)."""
    second = matrix[:3, :3]
    return _stacked(float(matrix[3, 3]), matrix[:3, 3], np.trace(second) * np.eye(3) - second)


class Bodies:
    """Inverse dynamics of all bodies as columns.

    Args:
        profile: the robot.

    Attributes:
        names: (nb,) links, one for each moving body of pinocchio's model, which others may be
            fixed to.
        nominal: (10 nb,) dynamic parameters in the bodies' frames, as the URDF has them.
        payload: (10 nb, 10) what the payload link's dynamic parameters add to them.
        followers: friction beside them.

    Raises:
        MissingError: pinocchio is not installed.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._regressor = pinocchio.computeJointTorqueRegressor
        self._data = self._model.createData()
        self._coordinates = Coordinates(self._model, profile)
        self.followers = Followers(profile)
        inertias = list(self._model.inertias)[1:]
        self.nominal = np.concatenate([body.toDynamicParameters() for body in inertias])
        child = {joint.name: joint.child for joint in profile.urdf.joints.values()}
        self.names = tuple(child[name] for name in list(self._model.names)[1:])
        frame = self._model.frames[link_frame(self._model, profile.payload_link)]
        self.payload = np.zeros((len(self.nominal), SIZE))
        if frame.parentJoint:
            own = slice(SIZE * (frame.parentJoint - 1), SIZE * frame.parentJoint)
            for k, unit in enumerate(np.eye(SIZE)):
                self.payload[own, k] = _moved(unit, frame.placement)

    def columns(self, states: Array, of: Array) -> Array:
        """Efforts (n, nj, k) of k vectors ``of`` (10 nb, k) of dynamic parameters.

        Args:
            states: (n, 3, nj) positions [rad or m], velocities, accelerations.
            of: the vectors.
        """
        coordinates = self._coordinates
        rates = states[:, 1:] @ coordinates.map.T
        out = np.empty((len(states), self._model.nv, of.shape[1]))
        for k, (state, (velocity, acceleration)) in enumerate(zip(states, rates)):
            q = coordinates.configuration(state[0])
            rows = self._regressor(self._model, self._data, q, velocity, acceleration)
            out[k] = np.reshape(rows, (self._model.nv, -1)) @ of  # a single row comes flat
        return np.asarray(coordinates.map.T @ out)


def _moved(dynamic: Array, placement: object) -> Array:
    """Dynamic parameters (10,) in a frame that the body's is placed in."""
    turn = np.asarray(placement.rotation)  # type: ignore[attr-defined]
    shift = np.asarray(placement.translation)  # type: ignore[attr-defined]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, shift
    return from_pseudo(affine @ pseudo(dynamic) @ affine.T)
