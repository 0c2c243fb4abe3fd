"""The embedded simulator: many differently parameterized robots, stepped by MuJoCo in C.

Implements :class:`sim2real_sim.simulator.Simulator`. Same seed and same commands give the same
bits, at any number of threads, whatever ran before the reset and however many simulations run
beside.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from sim2real_core.addresses import parse_address, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.nominal import STRIBECK_VELOCITY
from sim2real_core.profile import RobotProfile
from sim2real_sim.frames import conjugate, rotate
from sim2real_sim.mujoco_addresses import INTEGERS, Addresses, Engine, Owner
from sim2real_sim.mujoco_model import CAMERA, RobotModel, build_model
from sim2real_sim.realism import Actuators, Disturbances, Friction, Sensors, compiled
from sim2real_sim.simulator import BodyReading, Ids, ImuReading, JointReading

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
DIVERGED = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
]


class Rigid:
    """Bodies as rigid parts of the robot: what moves together, and how fast.

    Args:
        model: the engine's model.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._together = (model.body_weldid[:, None] == model.body_weldid).astype(float)
        self._root = model.body_rootid.astype(np.intp)

    def mass(self, mass: Array, bodies: Rows) -> Array:
        """Mass (nsim, m) of all that moves rigidly with each body; never zero.

        Args:
            mass: (nsim, nbody) of every body.
            bodies: (m,) which.
        """
        return np.maximum(mass @ self._together[:, bodies], np.finfo(float).tiny)

    def velocity(self, batch: Batch, bodies: Rows) -> Array:
        """Velocity (nsim, m, 3) of the bodies' centres of mass, in the world's axes [m/s].

        The engine's ``cvel`` is that of the point of each body that is at the centre of mass of
        its kinematic tree.
        """
        out = np.empty((batch.nsim, len(bodies), 3))
        cvel, xipos, com = batch.bind('cvel'), batch.bind('xipos'), batch.bind('subtree_com')
        compiled.centre_velocity(cvel, xipos, com, bodies, self._root[bodies], out)
        return out


class MujocoSimulator:
    """``nsim`` simulations of one robot. See :class:`sim2real_sim.simulator.Simulator`.

    Args:
        profile: the robot.
        nsim: number of simulations.
        nthread: threads that step them; 0 for all processors.
        timestep: physics step [s]; the profile's when None.
        seed: of the sensor noise.
        contacts: False leaves contacts out, as a free-moving arm needs none.
        imu: simulate the IMU on the profile's ``imu_link``.
        image_size: largest (width, height) that will be rendered [pixel]; None for none.

    Attributes:
        profile: the robot.
        robot: its compiled model, with notes on how the URDF was taken.
        batch: the engine's simulations.

    Raises:
        InputError: the robot cannot be simulated.
    """

    def __init__(
        self,
        profile: RobotProfile,
        nsim: int = 1,
        nthread: int = 1,
        timestep: float | None = None,
        seed: int = 0,
        contacts: bool = True,
        *,
        imu: bool = False,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        self.profile = profile
        self.robot: RobotModel = build_model(
            profile, timestep=timestep, contacts=contacts, imu=imu, image_size=image_size
        )
        robot, model = self.robot, self.robot.model
        self.batch = Batch(model, nsim, nthread)
        self._engine = Engine(self.batch)
        self._seed = seed
        self._timestep = float(model.opt.timestep)
        self._nj = nj = len(profile.joints)
        self._actuators = Actuators(
            profile.command.drives,
            robot.stiffness,
            robot.damping,
            profile.array('effort'),
            nsim,
            robot.brake,
            np.array([1.0 if j.type == 'prismatic' else 2.0 * np.pi for j in profile.joints]),
        )
        self._sensors = Sensors((nsim, 3 * nj), parts=3)
        noise = [profile.array(f'{m}_noise') for m in ('position', 'velocity', 'effort')]
        self._sensors.parameters['noise'][:] = np.concatenate(noise)
        self._imu = Sensors((nsim, 6), tag=1) if imu and profile.imu_link else None
        self._friction = Friction(profile.array('coulomb_friction'), STRIBECK_VELOCITY, nsim)
        self._load = np.zeros((nsim, nj))
        self._skew = np.zeros((2, nsim, nj))
        self._loaded = self._skewed = False
        self._frictionloss = self._engine.values('dof_frictionloss')
        self._disturbances = Disturbances(nsim, model.nbody)
        self._rigid = Rigid(model)
        self._addresses = Addresses(
            profile,
            robot,
            self._engine,
            actuators=self._actuators,
            sensors=self._sensors,
            imu=self._imu,
            friction=self._friction,
            load=self._load,
            skew=self._skew,
            disturbances=self._disturbances,
            contacts=contacts,
        )
        self._baseline: dict[str, float] = {}
        self._touched: set[Owner] = set()
        self._qpos, self._qvel = self.batch.bind('qpos'), self.batch.bind('qvel')
        self._applied_force = self.batch.bind('qfrc_applied')
        self._wrench = self.batch.bind('xfrc_applied')
        self._bias = self.batch.bind('qfrc_bias')
        self._xpos = self.batch.bind('xpos')
        self._xquat = self.batch.bind('xquat')
        self._q, self._dof = _columns(robot.qpos), _columns(robot.dof)
        self._kinematics_current = False
        self._unread = np.ones(nsim, dtype=bool)
        self._reading = np.zeros((nsim, 3 * nj))
        self._refresh()
        self.reset()

    @property
    def nsim(self) -> int:
        """Number of simulations."""
        return int(self.batch.nsim)

    @property
    def timestep(self) -> float:
        """Nominal length of a physics step [s]; ``get('world.timestep')`` has the present ones."""
        return self._timestep

    @property
    def diverged(self) -> npt.NDArray[np.bool_]:
        """(nsim,) whether a simulation blew up since its reset; its values mean nothing then."""
        return np.asarray(self.batch.warning[:, DIVERGED].any(axis=(1, 2)))

    def _rows(self, ids: Ids) -> Rows:
        if ids is None:
            return np.arange(self.nsim)
        rows = np.asarray(ids)
        if rows.dtype == bool:
            if rows.shape != (self.nsim,):
                raise InputError(Fault('ids', rows.shape, f'a mask must be of ({self.nsim},)'))
            return np.flatnonzero(rows)
        rows = rows.reshape(-1).astype(np.intp)
        if rows.size and not (rows.min() >= 0 and rows.max() < self.nsim):
            raise InputError(Fault('ids', rows.tolist(), f'must be within 0..{self.nsim - 1}'))
        return rows

    def _joint_values(self, name: str, values: npt.ArrayLike, n: int) -> Array:
        array = np.asarray(values, dtype=float)
        if array.shape not in ((self._nj,), (n, self._nj)):
            raise InputError(
                Fault(name, array.shape, f'must be of ({self._nj},) or ({n}, {self._nj})')
            )
        if not np.isfinite(array).all():
            raise InputError(Fault(name, array.tolist(), 'must be finite'))
        return array

    def reset(
        self,
        ids: Ids = None,
        *,
        position: npt.ArrayLike | None = None,
        velocity: npt.ArrayLike | None = None,
        seed: int | npt.ArrayLike | None = None,
        body: BodyReading | None = None,
    ) -> None:
        """See :meth:`Simulator.reset`.

        A mobile robot is put where ``body`` says, with that motion, arrays of (n, ...) each or of
        (1, ...) for all; where its own frame is, at rest, without it.

        Until the first command, a position loop is commanded to stay where the robot is put (and
        gives way to its weight); joints commanded otherwise are held as by brakes.
        """
        rows = self._rows(ids)
        n, robot = len(rows), self.robot
        if position is None:
            position = self.profile.array('default_position')
        q = np.broadcast_to(self._joint_values('position', position, n), (n, self._nj))
        v = np.zeros((n, self._nj))
        if velocity is not None:
            v[:] = self._joint_values('velocity', velocity, n)
        if n == 0:
            return
        self.batch.reset(np.unique(rows), stage=mujoco.mjtStage.mjSTAGE_NONE)
        self.batch.warning[rows] = 0
        self._qpos[rows] = robot.home
        self._qpos[rows[:, None], robot.moving_qpos] = q @ robot.map.T + robot.shift
        self._qvel[rows[:, None], robot.moving_dof] = v @ robot.map.T
        if body is not None:
            self._put(rows, body)
        wrench = self._disturbances.wrench
        if wrench.any():
            self.batch.bind('xfrc_applied')[rows] = wrench[rows]
        seeds = np.empty(n, dtype=np.uint64)
        seeds[:] = self._seed if seed is None else np.asarray(seed)
        self._actuators.reset(rows, q, v)
        self._friction.reset(rows)
        self._disturbances.reset(rows, seeds)
        measured = self._actuators.measured[:, rows]
        self._sensors.reset(rows, np.concatenate(measured, axis=1), seeds)
        # What the brakes carry must be known before the first step.
        self.batch.forward(np.unique(rows), stage=mujoco.mjtStage.mjSTAGE_VEL)
        if self._imu is not None:
            self.batch.forward(np.unique(rows))
            self._imu.reset(rows, self._imu_values()[rows], seeds)
        self._unread[rows] = True
        self._kinematics_current = False

    def _put(self, rows: Rows, body: BodyReading) -> None:
        """Place and motion of the bodies of mobile robots."""
        place, speed = self._free_joint()
        quat = np.roll(body.orientation, 1, axis=1)
        quat = quat / np.linalg.norm(quat, axis=1, keepdims=True)
        linear = rotate(quat, body.linear_velocity)
        self._qpos[rows, place : place + 7] = np.concatenate([body.position, quat], axis=1)
        self._qvel[rows, speed : speed + 6] = np.concatenate(
            [linear, body.angular_velocity], axis=1
        )

    def _free_joint(self) -> tuple[int, int]:
        """Where place and motion of a mobile robot's body begin in the engine's state.

        Raises:
            InputError: the robot stands on a base.
        """
        body = self.profile.body_link
        if not body:
            raise InputError(Fault('floating', False, f'{self.profile.name} stands on a base'))
        model = self.robot.model
        joint = int(model.body_jntadr[self.robot.bodies[body]])
        return int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])

    def command(self, values: npt.ArrayLike, ids: Ids = None) -> None:
        """See :meth:`Simulator.command`."""
        rows = self._rows(ids)
        self._actuators.command(
            slice(None) if ids is None else rows, self._joint_values('command', values, len(rows))
        )

    def prime(self, commands: Array) -> None:
        """Let the drives have heard commands before now, while the robots stay where they are.

        What is late or lags then goes on from there, as in the middle of a motion.

        Args:
            commands: (n, nsim, nj), one a physics step, the oldest first; in force ever before.
        """
        rows = np.arange(self.nsim)
        self._actuators.settle(rows, commands[0])
        for values in commands:
            self._actuators.command(slice(None), values)
            self._actuators.drive(self._load_now)

    def hold(self) -> None:
        """Keep all robots where they are measured to be, until the next command."""
        self._actuators.hold(self._weight)

    def _load_now(self) -> Array:
        """Effort (nsim, nj) that balances what the engine found to act on the joints last."""
        robot = self.robot
        return self._bias[:, robot.moving_dof] @ robot.map + self._load

    def _weight(self) -> Array:
        """Effort (nsim, nj) that carries the robots here, at rest."""
        moving = self._qvel.copy()
        self._qvel[:] = 0.0
        self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL)
        weight = self._load_now()
        self._qvel[:] = moving
        self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL)
        return weight

    @property
    def commanded(self) -> Array:
        """The command in force, (nsim, nj); zero where brakes hold."""
        return self._actuators.commanded

    def step(self, n: int = 1) -> None:
        """See :meth:`Simulator.step`."""
        actuators, sensors, imu = self._actuators, self._sensors, self._imu
        disturbances, time = self._disturbances, self.batch.bind('time')
        velocity = self._qvel[:, self._dof].copy()
        for left in reversed(range(n)):
            if left == n - 1:
                effort = actuators.drive(self._load_now)
            applied = effort - self._load if self._loaded else effort
            if self._skewed:  # what friction takes beyond the mean of both directions
                applied = applied - self._skew[0] * np.abs(velocity) - self._skew[1]
            self._applied_force[:, self._dof] = applied
            if self._friction.active:
                self._frictionloss[:, self._dof] = self._friction.level(velocity)
            if disturbances.bodies.size:
                self._wrench[:, self._disturbed] = self._disturb()
            self.batch.step()
            # Copied once: in the engine's memory every simulation's values lie apart.
            position, velocity = self._qpos[:, self._q].copy(), self._qvel[:, self._dof].copy()
            if left:
                effort = actuators.measure_and_drive(position, velocity, self._load_now)
            else:
                actuators.measure(position, velocity)
            if sensors.delays:
                sensors.record(actuators.measured, time)
            if imu is not None and imu.delays:
                imu.record([self._imu_values()], time)
        if n > 0:
            self._unread[:] = True
            self._kinematics_current = False

    def rollout(self, efforts: Array) -> tuple[Array, Array]:
        """Apply efforts to the joints, past drives and sensors, as fast as the engine can.

        What drives and sensors remember is not kept up to date: reset before anything else.

        Args:
            efforts: (n, nsim, nj), one a physics step.

        Returns:
            True positions and velocities (n, nsim, nj) after each step.
        """
        self._unread[:], self._kinematics_current = True, False
        n, dofs = len(efforts), self.robot.dof
        given = efforts - (self._load + self._skew[1])
        if not (self._skew[0].any() or self._friction.active or self._disturbances.bodies.size):
            applied = np.zeros((self.nsim, n, self.robot.model.nv))
            applied[:, :, dofs] = np.moveaxis(given, 0, 1)
            spec = int(mujoco.mjtState.mjSTATE_QFRC_APPLIED)
            states = self.batch.rollout(n, applied, spec, record=('qpos', 'qvel'))
            position, velocity = states['qpos'][:, :, self.robot.qpos], states['qvel'][:, :, dofs]
            return np.moveaxis(position, 1, 0), np.moveaxis(velocity, 1, 0)
        out = np.empty((2, *efforts.shape))
        velocity = self._qvel[:, self._dof]
        for k, effort in enumerate(given):
            self._applied_force[:, self._dof] = effort - self._skew[0] * np.abs(velocity)
            if self._friction.active:
                self._frictionloss[:, self._dof] = self._friction.level(velocity)
            if self._disturbances.bodies.size:
                self.batch.bind('xfrc_applied')[:, self._disturbances.bodies] = self._disturb()
            self.batch.step()
            velocity = out[1, k] = self._qvel[:, self._dof]
            out[0, k] = self._qpos[:, self._q]
        return out[0], out[1]

    def _disturb(self) -> Array:
        """Wrenches (nsim, n, 6) on the disturbed bodies in the next step."""
        dragged, velocity = self._disturbances.dragged, np.zeros((self.nsim, 0, 3))
        if dragged.size:
            velocity = self._rigid.velocity(self.batch, dragged)
        return self._disturbances.step(velocity, self._dragged_mass)

    def read(self) -> JointReading:
        """See :meth:`Simulator.read`."""
        if self._unread.any():
            rows = np.flatnonzero(self._unread)
            if not self._sensors.delays:
                self._sensors.record(self._actuators.measured, self.batch.bind('time'))
            self._reading[rows] = self._sensors.sample(rows)
            self._unread[rows] = False
        position, velocity, effort = np.split(self._reading.copy(), 3, axis=1)
        return JointReading(self.batch.bind('time').copy(), position, velocity, effort)

    def _imu_values(self) -> Array:
        return np.array(self.batch.bind('sensordata')[:, 4:10])

    def read_imu(self) -> ImuReading:
        """What the IMU says of the last step; each call is a new sample.

        Raises:
            InputError: the simulator was made without ``imu`` or the profile names no IMU link.
        """
        if self._imu is None:
            raise InputError(Fault('imu_link', self.profile.imu_link, 'simulate it: imu=True'))
        if not self._imu.delays:
            self._imu.record([self._imu_values()], self.batch.bind('time'))
        sample = self._imu.sample(np.arange(self.nsim))
        w, x, y, z = self.batch.bind('sensordata')[:, :4].T
        return ImuReading(np.stack([x, y, z, w], axis=1), sample[:, :3], sample[:, 3:])

    def read_body(self) -> BodyReading:
        """Where the body of a mobile robot is, and how it moves.

        Raises:
            InputError: the robot stands on a base.
        """
        at, moving = self._free_joint()
        place, speed = self._qpos[:, at : at + 7].copy(), self._qvel[:, moving : moving + 6].copy()
        quat = place[:, 3:]  # the engine has linear velocities in the world's axes
        linear = rotate(conjugate(quat), speed[:, :3])
        return BodyReading(place[:, :3], np.roll(quat, -1, axis=1), linear, speed[:, 3:])

    def state(self) -> tuple[Array, Array]:
        """See :meth:`Simulator.state`."""
        return np.array(self._qpos[:, self._q]), np.array(self._qvel[:, self._dof])

    def link_position(self, link: str) -> Array:
        """See :meth:`Simulator.link_position`."""
        return self.link_pose(link)[0]

    def link_pose(self, link: str) -> tuple[Array, Array]:
        """True position (nsim, 3) [m] and orientation (nsim, 4) (w, x, y, z) in the base frame.

        Raises:
            InputError: no such link.
        """
        bodies = self.robot.bodies
        if link not in bodies:
            raise InputError(Fault('link', link, f'no such link; has: {", ".join(bodies)}'))
        if not self._kinematics_current:
            self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_POS)
            self._kinematics_current = True
        position = self._xpos[:, bodies[link]].copy()
        quat = self._xquat[:, bodies[link]].copy()
        base = bodies[self.profile.base_link]
        if self.profile.base_link != self.profile.urdf.root:
            for k in range(self.nsim):
                inverse = np.empty(4)
                mujoco.mju_negQuat(inverse, self._xquat[k, base])
                mujoco.mju_rotVecQuat(position[k], position[k] - self._xpos[k, base], inverse)
                mujoco.mju_mulQuat(quat[k], inverse, quat[k].copy())
        return position, quat

    def camera_pose(self) -> tuple[Array, Array]:
        """Position (nsim, 3) [m] and orientation (nsim, 4) (w, x, y, z) of the camera.

        Where it stands in the world, its z axis along the view and its y axis down.
        """
        camera = int(self.robot.model.camera(CAMERA).id)
        position = np.array(self._engine.values('cam_pos')[:, camera], dtype=float)
        w, x, y, z = np.array(self._engine.values('cam_quat')[:, camera], dtype=float).T
        # The engine's camera looks along -z, with y up: half a turn about x.
        return position, np.stack([-x, w, z, -y], axis=1)

    def nominal(self, address: str) -> float:
        """See :meth:`Simulator.nominal`.

        Raises:
            InputError: unknown address, or one that this simulator does not have.
        """
        return self._owner(address).nominal[parse_address(address).quantity]

    def get(self, address: str) -> Array:
        """See :meth:`Simulator.get`.

        Raises:
            InputError: unknown address, or one that this simulator does not have.
        """
        return self._owner(address).read(parse_address(address).quantity)

    def has(self, address: str) -> bool:
        """Whether this simulator has an address."""
        try:
            self._owner(address)
        except InputError:
            return False
        return True

    def _owner(self, address: str) -> Owner:
        quantity(address, self.profile)
        owner = self._addresses.owner(parse_address(address))
        if owner is None:
            raise InputError(Fault('address', address, 'MuJoCo does not have it'))
        return owner

    def set_baseline(self, values: Mapping[str, float]) -> dict[str, str]:
        """Make a robot that differs from its nominal model: draws start from these values.

        Args:
            values: address to absolute SI value.

        Returns:
            Outcomes, as :meth:`apply`.

        Raises:
            InputError: as :meth:`apply`; the baseline is then as before.
        """
        outcomes = self._apply(values, np.arange(self.nsim))
        self._baseline = dict(values)
        return outcomes

    def apply(
        self, values: Mapping[str, float | npt.ArrayLike], ids: Ids = None
    ) -> dict[str, str]:
        """See :meth:`Simulator.apply`."""
        outcomes = self._apply({**self._baseline, **values}, self._rows(ids))
        return {address: outcomes[address] for address in values}

    def _apply(self, values: Mapping[str, float | npt.ArrayLike], rows: Rows) -> dict[str, str]:
        wanted, outcomes = self._checked(values, len(rows))
        for owner in self._touched - set(wanted):
            owner.write(rows, {})
        for owner, given in wanted.items():
            owner.write(rows, {q: value for q, (_, value) in given.items()})
        self._touched |= set(wanted)
        self._refresh()
        for owner, given in wanted.items():
            for q, (address, value) in given.items():
                # The engine keeps colors in single precision.
                exact = 1e-9 if parse_address(address).kind not in ('visual', 'light') else 1e-6
                same = np.allclose(owner.read(q)[rows], value, rtol=exact, atol=1e-12)
                outcomes[address] = 'verified' if same else 'failed'
        self._unread[rows] = True
        return outcomes

    def _checked(
        self, values: Mapping[str, float | npt.ArrayLike], n: int
    ) -> tuple[dict[Owner, dict[str, tuple[str, Array]]], dict[str, str]]:
        """Owners with what they are to be given, and outcomes of what is not supported."""
        faults = Faults()
        wanted: dict[Owner, dict[str, tuple[str, Array]]] = {}
        outcomes: dict[str, str] = {}
        for address, given in values.items():
            try:
                limits = quantity(address, self.profile)
            except InputError as error:
                faults.extend(error)
                continue
            parsed = parse_address(address)
            value = np.asarray(given, dtype=float)
            mend = ''
            if value.shape not in ((), (1,), (n,)):
                mend = f'must be one number or ({n},)'
            if not mend and not np.isfinite(value).all():
                mend = 'must be finite'
            if not mend and not ((limits.low <= value) & (value <= limits.high)).all():
                mend = f'must be within [{limits.low:g}, {limits.high:g}] {limits.unit}'
            if mend:
                faults.add(address, given, mend)
                continue
            owner = self._addresses.owner(parsed)
            if owner is None:
                outcomes[address] = 'unsupported'
                continue
            if parsed.quantity in INTEGERS:
                value = np.round(value)
            spread = np.broadcast_to(value, (n,))
            wanted.setdefault(owner, {})[parsed.quantity] = (address, spread)
        for owner, assigned in wanted.items():
            mend = owner.fault({q: v for q, (_, v) in assigned.items()})
            if mend:
                for address, value in assigned.values():
                    faults.add(address, value.tolist() if n > 1 else float(value[0]), mend)
        faults.check()
        return wanted, outcomes

    def _refresh(self) -> None:
        """Take over what was written to the engine and to the realism's parameters."""
        self._engine.settle()
        step_length = np.asarray(self._engine.values('opt.timestep'), dtype=float).reshape(-1, 1)
        self._actuators.update(step_length)
        self._sensors.update(step_length)
        if self._imu is not None:
            self._imu.update(step_length)
        self._friction.update(step_length)
        self._disturbances.update(step_length)
        self._dragged_mass = self._rigid.mass(
            np.asarray(self._engine.values('body_mass'), dtype=float), self._disturbances.dragged
        )
        dofs = self.robot.dof
        if self._friction.active:
            self._frictionloss = self.batch.expand('dof_frictionloss')
        else:
            for j, dof in enumerate(dofs):
                self._engine.put(
                    'dof_frictionloss',
                    np.arange(self.nsim),
                    (int(dof),),
                    self._friction.coulomb[:, j],
                )
        self._disturbed = _columns(self._disturbances.bodies)
        self._loaded = bool(self._load.any())
        self._skewed = bool(self._skew.any())
        force = self.batch.bind('xfrc_applied')
        wrench = self._disturbances.wrench
        if wrench.any() or force.any():
            force[:] = wrench

    def model(self, sim: int, into: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """One simulation's model as MuJoCo's own, to render it or look at it."""
        return self.batch.get_model(sim, into)

    def data(self, sim: int, into: mujoco.MjData | None = None) -> mujoco.MjData:
        """One simulation's state; run ``mj_forward`` before looking at anything derived."""
        return self.batch.get_data(sim, into)


def _columns(index: Rows) -> slice | Rows:
    """The same columns as a slice where they are consecutive: a view instead of a copy."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
