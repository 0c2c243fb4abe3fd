"""Where each parameter address lives in a batch of MuJoCo simulations.

An address names an object (``link.gripper``, ``joint.elbow``, ``world``) and one of its
quantities. An :class:`Owner` writes all quantities of one object at once, those given and, for
the others, the nominal ones: nothing ever accumulates, and coupled quantities (mass and
inertia, static and Coulomb friction) stay consistent.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from sim2real_core.addresses import FLOOR, IMU_SENSORS, QUANTITIES, SENSED, Address
from sim2real_core.profile import RobotProfile
from sim2real_sim.mujoco_model import CAMERA, LIGHT, RobotModel
from sim2real_sim.realism import Actuators, Disturbances, Friction, Sensors

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Index = tuple[int | slice, ...]
AXES = {'x': 0, 'y': 1, 'z': 2}
COLORS = {'r': 0, 'g': 1, 'b': 2}
INERTIA = {'xx': (0, 0), 'yy': (1, 1), 'zz': (2, 2), 'xy': (0, 1), 'xz': (0, 2), 'yz': (1, 2)}
INTEGERS = ('solver_iterations',)


class Engine:
    """Per-simulation model fields of a batch, made per-simulation only when they differ.

    Attributes:
        stale: (nsim,) simulations whose derived constants must be computed anew.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.stale = np.zeros(batch.nsim, dtype=bool)

    def values(self, field: str) -> npt.NDArray[np.generic]:
        """(nsim, ...) present values of a model field; not to be written."""
        values = self.batch.expanded(field)
        if values is None:
            model = self.batch.model
            shared = getattr(model.opt, field[4:]) if field.startswith('opt.') else None
            shared = np.asarray(getattr(model, field) if shared is None else shared)
            values = np.broadcast_to(shared, (self.batch.nsim, *shared.shape))
        return values

    def put(self, field: str, rows: Rows, index: Index, value: npt.ArrayLike) -> None:
        """Write elements of a model field; equal values leave the engine untouched."""
        place = (rows, *index)
        present = self.values(field)[place]
        value = np.broadcast_to(np.asarray(value, dtype=present.dtype), present.shape)
        if np.array_equal(present, value):
            return
        self.batch.expand(field)[place] = value
        if field in mujoco.MjModel._setconst_inputs:
            self.stale[rows] = True

    def settle(self) -> None:
        """Compute the constants that follow from what was written."""
        if self.stale.any():
            self.batch.set_const(np.flatnonzero(self.stale))
            self.stale[:] = False


Place = tuple[str | Array, Index]


class Owner:
    """An object whose quantities are elements of engine fields or of realism arrays.

    Attributes:
        nominal: its quantities and their nominal values.

    Args:
        engine: the engine.
        places: quantity to (model field or (nsim, ...) array, index behind the first axis).
    """

    def __init__(self, engine: Engine, places: Mapping[str, Place]) -> None:
        self._engine = engine
        self._places = places
        # Only an owner writes its quantities, so before the first write they are nominal.
        self.nominal = {quantity: float(self.read(quantity)[0]) for quantity in places}

    def fault(self, values: Mapping[str, Array]) -> str:
        """What would be right, when these values cannot be together; else ``''``."""
        return ''

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """Give simulations these values (n,) and nominal ones for the rest."""
        for quantity in self._places:
            self._put(rows, quantity, values.get(quantity, self.nominal[quantity]))

    def _put(self, rows: Rows, quantity: str, value: Array | float) -> None:
        source, index = self._places[quantity]
        if isinstance(source, str):
            self._engine.put(source, rows, index, value)
        else:
            place = (rows, *index)
            # Some quantities are shared by three axes.
            source[place] = value if source[place].ndim == 1 else np.reshape(value, (-1, 1))

    def read(self, quantity: str) -> Array:
        """(nsim,) value that the engine has."""
        source, index = self._places[quantity]
        values = self._engine.values(source) if isinstance(source, str) else source
        place = (slice(None), *index)
        values = values[place]
        return np.array(values.reshape(len(values), -1)[:, 0], dtype=float)


class JointOwner(Owner):
    """A joint. Static friction that is not given is Coulomb friction: no Stribeck effect."""

    def __init__(
        self,
        engine: Engine,
        places: Mapping[str, Place],
        friction: Friction,
        dof: int,
    ) -> None:
        self._friction = friction
        self._dof = dof
        super().__init__(engine, places)

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        if 'coulomb_friction' in values and 'static_friction' not in values:
            values = {**values, 'static_friction': values['coulomb_friction']}
        super().write(rows, values)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`. Where friction depends on speed, the engine has its level now."""
        value = super().read(quantity)
        if quantity == 'coulomb_friction' and not self._friction.active:
            value = np.array(self._engine.values('dof_frictionloss')[:, self._dof], dtype=float)
        return value


class LinkOwner(Owner):
    """A link's mass, centre of mass (link frame) and inertia (about it, in the URDF's axes).

    The inertia follows the mass in proportion, except where it is given itself.
    """

    def __init__(
        self, engine: Engine, body: int, axes: Array, nominal_inertia: tuple[float, ...] | None
    ) -> None:
        places: dict[str, Place] = {'mass': ('body_mass', (body,))}
        for axis, k in AXES.items():
            places[f'com.{axis}'] = ('body_ipos', (body, k))
        self._body = body
        self._axes = axes
        super().__init__(engine, places)
        model = engine.batch.model
        self._principal = model.body_inertia[body].copy()
        self._quat = model.body_iquat[body].copy()
        for k, key in enumerate(INERTIA):
            quantity = f'inertia.{key}'
            given = nominal_inertia[k] if nominal_inertia else float(self.read(quantity)[0])
            self.nominal[quantity] = given

    def _tensors(self, values: Mapping[str, Array]) -> Array:
        """(n, 3, 3) inertias that the values mean."""
        n = max((len(v) for v in values.values()), default=1)
        heavier = np.ones(n)
        if 'mass' in values and self.nominal['mass'] > 0:
            heavier = values['mass'] / self.nominal['mass']
        tensor = np.empty((n, 3, 3))
        for key, (i, j) in INERTIA.items():
            quantity = f'inertia.{key}'
            value = values.get(quantity, self.nominal[quantity] * heavier)
            tensor[:, i, j] = tensor[:, j, i] = value
        return tensor

    def fault(self, values: Mapping[str, Array]) -> str:
        """See :class:`Owner`."""
        if self.nominal['mass'] > 0 and 'mass' in values and (values['mass'] <= 0).any():
            return 'a mass must be positive'
        if any(quantity.startswith('inertia') for quantity in values):
            moments = np.linalg.eigvalsh(self._tensors(values))
            slack = 1e-9 * moments[:, 2]
            if (moments[:, 0] <= 0).any():
                return 'the inertia must be positive definite'
            if (moments[:, 2] > moments[:, 0] + moments[:, 1] + slack).any():
                return 'no body has this inertia: one principal moment exceeds the other two'
        return ''

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        super().write(rows, values)
        principal = np.tile(self._principal, (len(rows), 1))
        quat = np.tile(self._quat, (len(rows), 1))
        if any(quantity.startswith('inertia') for quantity in values):
            tensors = self._tensors(values)
            for k in np.flatnonzero((tensors != self._tensors({})).any(axis=(1, 2))):
                principal[k], quat[k] = _principal(self._axes @ tensors[k] @ self._axes.T)
        elif 'mass' in values and self.nominal['mass'] > 0:
            principal *= np.reshape(values['mass'] / self.nominal['mass'], (-1, 1))
        self._engine.put('body_inertia', rows, (self._body,), principal)
        self._engine.put('body_iquat', rows, (self._body,), quat)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`."""
        if not quantity.startswith('inertia'):
            return super().read(quantity)
        principal = self._engine.values('body_inertia')[:, self._body]
        quat = self._engine.values('body_iquat')[:, self._body]
        turn = np.empty((len(quat), 9))
        for k, q in enumerate(quat):
            mujoco.mju_quat2Mat(turn[k], q)
        turn = self._axes.T @ turn.reshape(-1, 3, 3)
        i, j = INERTIA[quantity[len('inertia.') :]]
        return np.asarray((turn[:, i] * principal * turn[:, j]).sum(axis=1))


def _principal(tensor: Array) -> tuple[Array, Array]:
    """Principal moments (3,) and the orientation (w, x, y, z) of their axes."""
    moments, axes = np.linalg.eigh(tensor)
    axes[:, 2] *= np.linalg.det(axes)
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(axes).ravel())
    return moments, quat


class LightOwner(Owner):
    """A light: what the engine gets is color times intensity."""

    def __init__(self, engine: Engine, light: int) -> None:
        places: dict[str, Place] = {
            f'direction.{axis}': ('light_dir', (light, k)) for axis, k in AXES.items()
        }
        super().__init__(engine, places)
        self._light = light
        self._intensity = np.ones(engine.batch.nsim)
        color = engine.batch.model.light_diffuse[light]
        self._color = np.tile(color.astype(float), (engine.batch.nsim, 1))
        self.nominal.update({f'color.{c}': float(color[k]) for c, k in COLORS.items()})
        self.nominal['intensity'] = 1.0

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        super().write(rows, values)
        self._intensity[rows] = values.get('intensity', 1.0)
        for color, k in COLORS.items():
            value = values.get(f'color.{color}', self.nominal[f'color.{color}'])
            self._color[rows, k] = value
            lit = value * self._intensity[rows]
            self._engine.put('light_diffuse', rows, (self._light, k), lit)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`."""
        if quantity == 'intensity':
            return self._intensity.copy()
        if quantity.startswith('color'):
            k, on = COLORS[quantity[-1]], self._intensity > 0
            lit = np.asarray(self._engine.values('light_diffuse')[:, self._light, k], dtype=float)
            # A light that is off shows no color.
            return np.divide(lit, self._intensity, out=self._color[:, k].copy(), where=on)
        return super().read(quantity)


class Addresses:
    """Finds the owner of every address.

    Args:
        profile: the robot.
        robot: its model.
        engine: the batch's fields.
        actuators: commands to efforts.
        sensors: (nsim, 3 nj) positions, velocities and efforts.
        imu: (nsim, 6) angular velocity and acceleration, or None.
        friction: Coulomb and static friction.
        load: (nsim, nj) constant effort that each joint must overcome.
        disturbances: forces on bodies, and the air.
        contacts: whether contacts are simulated.
    """

    def __init__(
        self,
        profile: RobotProfile,
        robot: RobotModel,
        engine: Engine,
        *,
        actuators: Actuators,
        sensors: Sensors,
        imu: Sensors | None,
        friction: Friction,
        load: Array,
        disturbances: Disturbances,
        contacts: bool,
    ) -> None:
        self._profile = profile
        self._robot = robot
        self._engine = engine
        self._actuators = actuators
        self._sensors = sensors
        self._imu = imu
        self._friction = friction
        self._load = load
        self._disturbances = disturbances
        self._contacts = contacts
        self._owners: dict[tuple[str, str], Owner | None] = {}

    def owner(self, address: Address) -> Owner | None:
        """The owner of an address; None when this simulator does not have it."""
        key = address.kind, address.name
        if key not in self._owners:
            self._owners[key] = getattr(self, f'_{address.kind}')(address.name)
        owner = self._owners[key]
        return owner if owner is not None and address.quantity in owner.nominal else None

    def _world(self, name: str) -> Owner:
        places: dict[str, Place] = {
            f'gravity.{axis}': ('opt.gravity', (k,)) for axis, k in AXES.items()
        }
        places['timestep'] = ('opt.timestep', ())
        places['solver_iterations'] = ('opt.iterations', ())
        air = self._disturbances
        places.update({f'wind.{axis}': (air.wind, (k,)) for axis, k in AXES.items()})
        places.update({'gust': (air.gust, ()), 'gust_time': (air.gust_time, ())})
        return Owner(self._engine, places)

    def _link(self, name: str) -> Owner:
        body, link = self._robot.bodies[name], self._profile.urdf.links[name]
        mended = self._engine.batch.model.body_mass[body] != link.mass
        return LinkOwner(
            self._engine,
            body,
            self._robot.inertial_axes[name],
            None if mended else link.inertia,
        )

    def _joint(self, name: str) -> Owner:
        j = self._profile.joint_names.index(name)
        dof, joint = int(self._robot.dof[j]), int(self._robot.joint_ids[j])
        places: dict[str, Place] = {
            'viscous_friction': ('dof_damping', (dof,)),
            'armature': ('dof_armature', (dof,)),
            'stiffness': ('jnt_stiffness', (joint,)),
            'coulomb_friction': (self._friction.coulomb, (j,)),
            'static_friction': (self._friction.static, (j,)),
            'stribeck_velocity': (self._friction.speed, (j,)),
            'position_offset': (self._actuators.parameters['position_offset'], (j,)),
            'effort_offset': (self._load, (j,)),
            'wear': (self._friction.wear, (j,)),
        }
        return JointOwner(self._engine, places, self._friction, dof)

    def _actuator(self, name: str) -> Owner:
        j = self._profile.joint_names.index(name)
        parameters = self._actuators.parameters
        places: dict[str, Place] = {
            quantity: (parameters[quantity], (j,)) for quantity in QUANTITIES['actuator']
        }
        return Owner(self._engine, places)

    def _sensor(self, name: str) -> Owner | None:
        joint, _, measured = name.rpartition('_')
        columns: int | slice
        if joint in self._profile.joint_names and measured in SENSED:
            sensors = self._sensors
            columns = SENSED.index(measured) * len(self._profile.joints)
            columns += self._profile.joint_names.index(joint)
        elif self._imu is not None and name in IMU_SENSORS:
            sensors = self._imu
            columns = slice(0, 3) if measured == 'gyro' else slice(3, 6)
        else:
            return None
        places: dict[str, Place] = {
            quantity: (values, (columns,)) for quantity, values in sensors.parameters.items()
        }
        return Owner(self._engine, places)

    def _geoms(self, name: str, collides: bool) -> list[int]:
        model = self._engine.batch.model
        if name == FLOOR:
            return [model.geom(FLOOR).id]
        body = self._robot.bodies[name]
        return [
            int(g)
            for g in np.flatnonzero(model.geom_bodyid == body)
            if bool(model.geom_contype[g]) is collides and g != model.geom(FLOOR).id
        ]

    def _surface(self, name: str) -> Owner | None:
        geoms = self._geoms(name, True)
        if not geoms or not self._contacts:
            return None
        return Spread(
            [Owner(self._engine, {'friction': ('geom_friction', (g, 0))}) for g in geoms]
        )

    def _visual(self, name: str) -> Owner | None:
        geoms = self._geoms(name, False) or self._geoms(name, True)
        if not geoms or name == FLOOR:  # the floor's color is its texture
            return None
        places = [{f'color.{c}': ('geom_rgba', (g, k)) for c, k in COLORS.items()} for g in geoms]
        return Spread([Owner(self._engine, p) for p in places])

    def _light(self, name: str) -> Owner | None:
        return LightOwner(self._engine, 0) if name == LIGHT else None

    def _camera(self, name: str) -> Owner | None:
        if name != CAMERA:
            return None
        camera = int(self._engine.batch.model.camera(CAMERA).id)
        places: dict[str, Place] = {
            f'position.{axis}': ('cam_pos', (camera, k)) for axis, k in AXES.items()
        }
        return CameraOwner(self._engine, places, camera)

    def _disturbance(self, name: str) -> Owner:
        body = self._robot.bodies[name]
        forces = self._disturbances
        places: dict[str, Place] = {
            f'wrench.{what}.{axis}': (forces.wrench, (body, 3 * k + AXES[axis]))
            for k, what in enumerate(('force', 'torque'))
            for axis in AXES
        }
        for quantity in ('period', 'impulse', 'duration', 'drag_area'):
            places[quantity] = (getattr(forces, quantity), (body,))
        return Owner(self._engine, places)


class Spread(Owner):
    """Several owners of the same quantities that get the same values; the first is read."""

    def __init__(self, owners: list[Owner]) -> None:
        self._owners = owners
        self.nominal = owners[0].nominal

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        for owner in self._owners:
            owner.write(rows, values)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`."""
        return self._owners[0].read(quantity)


class CameraOwner(Owner):
    """A camera; the field of view is the vertical one, in degrees in the engine."""

    def __init__(self, engine: Engine, places: Mapping[str, Place], camera: int) -> None:
        super().__init__(engine, places)
        self._camera = camera
        self.nominal['field_of_view'] = float(self.read('field_of_view')[0])

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        super().write(rows, values)
        view = np.degrees(values.get('field_of_view', self.nominal['field_of_view']))
        self._engine.put('cam_fovy', rows, (self._camera,), view)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`."""
        if quantity == 'field_of_view':
            degrees = self._engine.values('cam_fovy')[:, self._camera]
            return np.radians(np.asarray(degrees, dtype=float))
        return super().read(quantity)
