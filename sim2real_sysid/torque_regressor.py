"""What a motion tells of a robot's parameters: the regressor of its efforts, through pinocchio.

Efforts are linear in what shall be identified: ``effort = W(q, v, a) parameters``. Of 6 joints at
64 instants, with armature, friction, offset and a payload, W is (64, 6, 4 * 6 + 10), less what
cannot be told from the columns before it: the inertia about a joint's own axis from the armature,
say. What remains are base parameters (Gautier and Khalil 1990), found from the numbers of random
states as in Gautier 1991: a column that is a sum of those before it has nothing left in the
triangle of a QR decomposition.

Rows are shares of the joints' effort limits, columns shares of what random motion within the
limits would give; so a condition number compares joints and parameters of different size and
unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.kinematics import Coordinates, build_model, link_frame

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

OWN = ('viscous_friction', 'coulomb_friction', 'effort_offset', 'armature')
INERTIAL = (
    'mass', 'com.x', 'com.y', 'com.z', 'inertia.xx', 'inertia.xy', 'inertia.yy', 'inertia.xz',
    'inertia.yz', 'inertia.zz',
)  # fmt: skip
"""Pinocchio's order; the centres of mass times the mass, inertia about the joint's origin."""
SIZE = len(INERTIAL)
DEPENDENT = 1e-6  # share of a column that the columns before it do not explain
STEP = 1e-6  # of the finite differences [rad, rad/s, ...]
LOW_SPEED = 0.02  # share of the speed limit about which dry friction changes sign
STATES = 400  # random ones


class States(NamedTuple):
    """Position, velocity and acceleration (n, nj) at n instants, SI units."""

    position: Array
    velocity: Array
    acceleration: Array


class Seen(NamedTuple):
    """What a motion gives at n instants.

    Attributes:
        regressor: (n, nj, p), scaled as the module's text says.
        effort: (n, nj) nominal ones, without dry friction [N*m or N].
        dry: (n, nj) nominal dry friction.
        rigid: (n, nj, 10 nb) of all bodies, unscaled.
    """

    regressor: Array
    effort: Array
    dry: Array
    rigid: Array


class TorqueRegressor:
    """Regressor of a robot, nominal efforts, and the derivatives of both.

    Args:
        profile: the robot.
        bodies: of ``excitation_config.BODIES``.
        reference: random states within the robot's limits; gives the scales.

    Attributes:
        names: of the p columns.
        left_out: of those that cannot be told from others.
        speed: (nj,) about which dry friction changes sign.

    Raises:
        InputError: pinocchio does not take the URDF.
        MissingError: pinocchio is not installed.
    """

    def __init__(self, profile: RobotProfile, bodies: str, reference: States) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._regressor = pinocchio.computeJointTorqueRegressor
        self._data = self._model.createData()
        self._coordinates = Coordinates(self._model, profile)
        spread = self._coordinates.map
        self._follows = None if np.array_equal(spread, np.eye(len(spread))) else spread
        self._nj = len(profile.joints)
        self._nominal = np.concatenate(
            [self._model.inertias[i].toDynamicParameters() for i in range(1, self._model.njoints)]
        )
        self._armature = profile.array('armature')
        self._viscous = profile.array('viscous_friction')
        self._coulomb = profile.array('coulomb_friction')
        limit = profile.array('velocity')
        fastest = np.abs(reference.velocity).max(axis=0)
        self.speed = LOW_SPEED * np.where(np.isfinite(limit), limit, fastest)
        names, chosen = self._chosen(profile, bodies)
        names = [f'joint.{j}.{what}' for j in profile.joint_names for what in OWN] + names
        self._columns, self._pick = np.arange(len(names)), chosen
        self._rows, self._scale = np.ones(self._nj), np.ones(len(names))
        raw = self.see(reference)
        effort = profile.array('effort')
        typical = np.sqrt(np.mean((raw.effort + raw.dry) ** 2, axis=0)) + 1e-9
        self._rows = np.where(np.isfinite(effort), effort, typical)
        scaled = raw.regressor / self._rows[:, None]
        size = np.sqrt(np.mean(np.sum(scaled**2, axis=1), axis=0))
        self._scale = np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 0.0)
        triangle = np.linalg.qr((scaled * self._scale).reshape(-1, len(names)), mode='r')
        left = np.abs(np.diag(triangle)) / np.sqrt(len(reference.position))
        self._columns = np.flatnonzero(left > DEPENDENT)
        self.names = tuple(names[c] for c in self._columns)
        self.left_out = tuple(n for c, n in enumerate(names) if c not in self._columns)

    def _chosen(self, profile: RobotProfile, bodies: str) -> tuple[list[str], Array]:
        """Names of the body columns, and how they are made of pinocchio's (10 nb, k)."""
        model, link = self._model, profile.payload_link
        frame = model.frames[link_frame(model, link)]
        joint = frame.parentJoint
        identity = np.eye(SIZE * (model.njoints - 1))
        block = slice(SIZE * (joint - 1), SIZE * joint)
        if bodies == 'bodies':
            body_names = list(model.names)[1:]
            # From the tool inwards: of two that cannot be told apart, the tool's own is kept.
            order = [SIZE * b + k for b in reversed(range(len(body_names))) for k in range(SIZE)]
            return [f'body.{body_names[c // SIZE]}.{INERTIAL[c % SIZE]}' for c in order], identity[
                :, order
            ]
        if joint == 0:  # the payload is fixed to the ground
            return [], identity[:, :0]
        if bodies == 'payload':
            return [f'link.{link}.{what}' for what in INERTIAL], identity[:, block]
        per_kilogram = np.zeros((len(identity), 1))
        per_kilogram[block, 0] = _per_kilogram(profile, frame)
        return [f'link.{link}.mass'], per_kilogram

    def see(self, states: States) -> Seen:
        """Regressor and nominal efforts of states."""
        rigid = np.array([self._rigid(*state) for state in zip(*states)])
        _, velocity, acceleration = states
        n, nj = velocity.shape
        dry = np.tanh(velocity / self.speed)
        own = np.zeros((n, nj, nj, len(OWN)))
        joint = np.arange(nj)
        for k, column in enumerate((velocity, dry, np.ones((n, nj)), acceleration)):
            own[:, joint, joint, k] = column
        full = np.concatenate([own.reshape(n, nj, -1), rigid @ self._pick], axis=2)
        scaled = full[:, :, self._columns] * self._scale[self._columns] / self._rows[:, None]
        effort = rigid @ self._nominal
        effort += self._armature * acceleration + self._viscous * velocity
        return Seen(scaled, effort, self._coulomb * dry, rigid)

    def pull(
        self, states: States, seen: Seen, regressor: Array, effort: Array, dry: Array
    ) -> States:
        """Derivative of a scalar with respect to states, from those with respect to what is seen.

        Args:
            states: where.
            seen: what :meth:`see` gave there.
            regressor: (n, nj, p) derivative with respect to the regressor.
            effort: (n, nj) to the effort.
            dry: (n, nj) to the dry friction.
        """
        n, nj = effort.shape
        full = np.zeros((n, nj, nj * len(OWN) + self._pick.shape[1]))
        full[:, :, self._columns] = regressor * self._scale[self._columns] / self._rows[:, None]
        joint = np.arange(nj)
        own = full[:, :, : nj * len(OWN)].reshape(n, nj, nj, len(OWN))[:, joint, joint]
        slope = (1.0 - np.tanh(states.velocity / self.speed) ** 2) / self.speed
        velocity = own[..., 0] + slope * (own[..., 1] + self._coulomb * dry)
        velocity += self._viscous * effort
        acceleration = own[..., 3] + self._armature * effort
        position = np.zeros((n, nj))
        bodies = full[:, :, nj * len(OWN) :] @ self._pick.T
        bodies += effort[:, :, None] * self._nominal
        for i in range(n):
            state = [part[i] for part in states]
            for part, total in enumerate((position, velocity, acceleration)):
                for j in range(nj):
                    moved = [
                        values.copy() if p == part else values for p, values in enumerate(state)
                    ]
                    moved[part][j] += STEP
                    change = self._rigid(*moved) - seen.rigid[i]
                    total[i, j] += np.vdot(bodies[i], change) / STEP
        return States(position, velocity, acceleration)

    def _rigid(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        """Regressor (nj, 10 nb) of the bodies' inertial parameters."""
        q, spread = self._coordinates.configuration(position), self._follows
        if spread is None:  # every joint of the model is an actuated one
            rows = self._regressor(self._model, self._data, q, velocity, acceleration)
            return np.array(rows).reshape(self._nj, -1)  # a single row comes flat
        rows = self._regressor(
            self._model, self._data, q, spread @ velocity, spread @ acceleration
        )
        return np.asarray(spread.T @ rows.reshape(len(spread), -1))


def _per_kilogram(profile: RobotProfile, frame: Any) -> Array:
    """Dynamic parameters (10,) of one kilogram of the payload in its joint's frame."""
    import pinocchio

    link = profile.urdf.links[profile.payload_link]
    com = np.array(link.com)
    turn = pinocchio.rpy.rpyToMatrix(*inertial_rpy(profile, profile.payload_link))
    xx, yy, zz, xy, xz, yz = link.inertia
    tensor = turn @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ turn.T
    mass = link.mass if link.mass > 0 else 1.0
    inertia = pinocchio.Inertia(1.0, com, tensor / mass)
    return np.asarray(frame.placement.act(inertia).toDynamicParameters())


def inertial_rpy(profile: RobotProfile, name: str) -> tuple[float, float, float]:
    """Roll, pitch, yaw of a link's inertial frame, as the URDF gives them."""
    from lxml import etree

    root = etree.fromstring(profile.urdf.text.encode(), etree.XMLParser(resolve_entities=False))
    for link in root.findall('link'):
        origin = link.find('inertial/origin')
        if link.get('name') == name and origin is not None:
            roll, pitch, yaw = (float(v) for v in origin.get('rpy', '0 0 0').split())
            return roll, pitch, yaw
    return 0.0, 0.0, 0.0
