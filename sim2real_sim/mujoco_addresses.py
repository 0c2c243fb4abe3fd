"""Where each parameter address lives in a batch of MuJoCo simulations.

An address names an object (``link.gripper``, ``joint.elbow``, ``world``) and one of its
quantities. An :class:`Owner` writes all quantities of one object at once, those given and, for
the others, the nominal ones: nothing ever accumulates, and coupled quantities (mass and
inertia, static and Coulomb friction) stay consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from sim2real_core.addresses import FLOOR, IMU_SENSORS, QUANTITIES, SENSED, Address
from sim2real_core.profile import RobotProfile
from sim2real_sim.impact import damping_ratio, restitution
from sim2real_sim.mujoco_model import CAMERA, LIGHT, RobotModel
from sim2real_sim.realism import Actuators, Disturbances, Friction, Sensors

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Index = tuple[int | slice, ...]
AXES = {'x': 0, 'y': 1, 'z': 2}
COLORS = {'r': 0, 'g': 1, 'b': 2}
INERTIA = {'xx': (0, 0), 'yy': (1, 1), 'zz': (2, 2), 'xy': (0, 1), 'xz': (0, 2), 'yz': (1, 2)}
DIRECTED = ('viscous_friction', 'coulomb_friction')
WAYS = {'.positive': 1.0, '.negative': -1.0}
INTEGERS = ('solver_iterations', 'integrator', 'friction_cone')
# Impedance of a contact whose stiffness is drawn: so small that the contact carries a load as a
# spring and a damper do, to within this share (MuJoCo's own default carries nine tenths rigidly).
COMPLIANT = 0.005
# A spring whose period is shorter than a dozen steps would not be resolved: (rate * step)^2.
STIFFEST = 0.25
# Rate of a contact that is to bounce and whose stiffness nobody gave, per step: as stiff as can be
# resolved, for gravity has a say in a bounce that takes long.
BOUNCING = 0.15


class Engine:
    """Per-simulation model fields of a batch, made per-simulation only when they differ.

    Attributes:
        stale: (nsim,) simulations whose derived constants must be computed anew.
        followers: called when these are, for what depends on them.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.followers: list[Callable[[], None]] = []
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
        for follow in self.followers:
            follow()


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
    """A joint. Static friction that is not given is Coulomb friction: no Stribeck effect.

    Where friction differs between the directions, the engine has their mean, and ``skew``
    (2, nsim) half the difference, of viscous and of Coulomb friction.
    """

    def __init__(
        self,
        engine: Engine,
        places: Mapping[str, Place],
        friction: Friction,
        dof: int,
        skew: Array,
    ) -> None:
        self._friction = friction
        self._dof = dof
        self._skew = skew
        super().__init__(engine, places)
        for quantity in DIRECTED:
            for way in WAYS:
                self.nominal[quantity + way] = self.nominal[quantity]

    def fault(self, values: Mapping[str, Array]) -> str:
        """See :class:`Owner`."""
        both = [q for q in DIRECTED if q in values and any(q + way in values for way in WAYS)]
        return f'give {both[0]} for both directions together, or for each' if both else ''

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        for quantity, skew in zip(DIRECTED, self._skew):
            same = values.get(quantity, self.nominal[quantity])
            forward, backward = (values.get(quantity + way, same) for way in WAYS)
            skew[rows] = 0.5 * (forward - backward)
            if any(quantity + way in values for way in WAYS):
                values = {**values, quantity: np.asarray(0.5 * (forward + backward))}
        if 'coulomb_friction' in values and 'static_friction' not in values:
            values = {**values, 'static_friction': values['coulomb_friction']}
        super().write(rows, values)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`. Where friction depends on speed, the engine has its level now."""
        for directed, skew in zip(DIRECTED, self._skew):
            for way, sign in WAYS.items():
                if quantity == directed + way:
                    return self.read(directed) + sign * skew
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


class SurfaceOwner(Owner):
    """What it is to touch a link: its friction, and a spring and damper in each contact.

    A drawn stiffness K and damping D act at each contact point as a spring and a damper do. The
    engine's direct ``solref`` is acceleration per penetration and per speed; its contact weighs
    what ``body_invweight0`` says, so K and D are multiplied with that. With the pyramidal cone
    contacts are softer, by a factor that depends on the friction.

    A restitution is a damping, that of :func:`damping_ratio`, such as the engine's steps make it;
    without a stiffness it comes with one of its own (``BOUNCING``). At a timestep of 1 ms and
    speeds of 1 to 4 m/s it is met within 4 % at 0.5, 1 % at 0.8, 12 % at 0.2.

    Nothing drawn leaves the engine's own contact as it is. Two links of equal K give K / 2, as
    springs in series do.
    """

    def __init__(self, engine: Engine, body: int, geoms: list[int]) -> None:
        self._body = body
        self._geoms = geoms
        self._own = engine.values('geom_solref')[0, geoms[0]].copy()
        self._impedance = engine.values('geom_solimp')[0, geoms[0]].copy()
        places: dict[str, Place] = {'friction': ('geom_friction', (geoms[0], 0))}
        super().__init__(engine, places)
        if not self._weight()[0] > 0:  # a link that stands still meets only such as move
            return
        time, ratio = self._own
        self.nominal['stiffness'] = 1.0 / (time * ratio) ** 2 / float(self._weight()[0])
        self.nominal['damping'] = 2.0 / time / float(self._weight()[0])
        self.nominal['restitution'] = 0.0
        n = engine.batch.nsim
        self._drawn = np.zeros(n, dtype=bool)
        self._stiffness = np.full(n, self.nominal['stiffness'])
        self._damping = np.full(n, self.nominal['damping'])
        self._ratio = np.full(n, np.nan)  # of the damping, where a restitution is drawn
        self._own_rate = np.zeros(n, dtype=bool)  # and no stiffness with it
        engine.followers.append(self._follow)

    def _weight(self) -> Array:
        """(nsim,) inverse weight of the body at a contact [1/kg]."""
        return np.asarray(self._engine.values('body_invweight0')[:, self._body, 0], dtype=float)

    def _step_length(self) -> Array:
        return np.asarray(self._engine.values('opt.timestep'), dtype=float).reshape(-1)

    def fault(self, values: Mapping[str, Array]) -> str:
        """See :class:`Owner`."""
        if values.get('restitution', np.zeros(1)).any() and 'damping' in values:
            return 'restitution is a matter of damping: give one of the two'
        stiffness = values.get('stiffness', np.ones(1))
        if (stiffness <= 0).any():
            return 'a contact needs some stiffness: give a positive one'
        step = float(self._step_length().max())
        most = STIFFEST / step**2 / float(self._weight()[0]) if 'stiffness' in values else np.inf
        if (stiffness > most).any():
            return f'at a timestep of {step:g} s a contact can have at most {most:.3g} N/m'
        return ''

    def write(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """See :class:`Owner`."""
        friction = values.get('friction', self.nominal['friction'])
        for geom in self._geoms:
            self._engine.put('geom_friction', rows, (geom, 0), friction)
        if 'stiffness' not in self.nominal:
            return
        for quantity, store in (('stiffness', self._stiffness), ('damping', self._damping)):
            store[rows] = values.get(quantity, self.nominal[quantity])
        bounce = np.broadcast_to(values.get('restitution', 0.0), rows.shape)
        self._ratio[rows] = np.where(bounce > 0, damping_ratio(bounce), np.nan)
        self._own_rate[rows] = (bounce > 0) & ('stiffness' not in values)
        self._drawn[rows] = (
            (self._stiffness[rows] != self.nominal['stiffness'])
            | (self._damping[rows] != self.nominal['damping'])
            | (bounce > 0)
        )

    def _follow(self) -> None:
        """Give the engine what was drawn, for bodies as heavy as they are now."""
        rows = np.arange(len(self._drawn))
        weight, step = self._weight(), self._step_length()
        rate = np.where(self._own_rate, BOUNCING / step, np.sqrt(self._stiffness * weight))
        # In steps that update the velocity first, the amplitude falls by 1 - damping * step
        # in two, where it should by exp(-2 ratio rate step).
        bounced = -np.expm1(-2.0 * self._ratio * rate * step) / step
        damping = np.where(np.isfinite(self._ratio), bounced, self._damping * weight)
        drawn = self._drawn[:, None]
        solref = np.where(drawn, np.stack([-(rate**2), -damping], axis=1), self._own)
        impedance = np.tile(self._impedance, (len(rows), 1))
        impedance[self._drawn, :2] = COMPLIANT
        for geom in self._geoms:
            self._engine.put('geom_solref', rows, (geom,), solref)
            self._engine.put('geom_solimp', rows, (geom,), impedance)

    def read(self, quantity: str) -> Array:
        """See :class:`Owner`."""
        if quantity == 'friction':
            return super().read(quantity)
        first, second = np.array(self._engine.values('geom_solref')[:, self._geoms[0]]).T
        direct, weight = first <= 0, self._weight()
        if quantity == 'restitution':
            step = self._step_length()
            with np.errstate(all='ignore'):
                ratio = -0.5 * np.log1p(second * step) / (np.sqrt(-first) * step)
            return np.where(direct, restitution(ratio), 0.0)
        own = self.nominal[quantity]
        return np.where(direct, -(first if quantity == 'stiffness' else second) / weight, own)


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
        skew: (2, nsim, nj) half of how much more viscous and Coulomb friction a joint has in
            positive than in negative direction.
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
        skew: Array,
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
        self._skew = skew
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
        places['solver_tolerance'] = ('opt.tolerance', ())
        places['integrator'] = ('opt.integrator', ())
        places['friction_cone'] = ('opt.cone', ())
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
        return JointOwner(self._engine, places, self._friction, dof, self._skew[:, :, j])

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
        body = self._robot.bodies[name]
        return [
            int(g)
            for g in np.flatnonzero(model.geom_bodyid == body)
            if bool(model.geom_contype[g]) is collides and g != model.geom(FLOOR).id
        ]

    def _surface(self, name: str) -> Owner | None:
        # Of the floor nothing counts: what touches it brings its own surface.
        if name == FLOOR or not self._contacts:
            return None
        geoms = self._geoms(name, True)
        return SurfaceOwner(self._engine, self._robot.bodies[name], geoms) if geoms else None

    def _visual(self, name: str) -> Owner | None:
        if name == FLOOR:  # its color is its texture
            return None
        geoms = self._geoms(name, False) or self._geoms(name, True)
        if not geoms:
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
