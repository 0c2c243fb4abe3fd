"""From a robot profile to a compiled MuJoCo model.

The URDF's tree is kept link by link, so that every link is a body of its own name. What the
profile says of a joint (limits, friction, armature) replaces what the URDF says; joints that the
profile does not list are held where :class:`sim2real_core.coupling.Coupling` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.addresses import FLOOR
from sim2real_core.errors import Fault, Faults, InputError, MissingError
from sim2real_core.profile import Joint, RobotProfile
from sim2real_core.urdf import resolve_mesh
from sim2real_sim.meshes import mesh_data

Array = npt.NDArray[np.float64]
LIGHT, CAMERA = 'sun', 'camera'
COLLISION_GROUP = 3  # of shapes that are not drawn, as their link has others that are
# A body that moves must weigh something; this much changes nothing that can be measured.
LEAST_MASS, LEAST_INERTIA = 1e-6, 1e-9
# Friction acts fully within this share of what would stop the joint in one step (MuJoCo's
# impedance): near 1, so that a joint at rest does not creep.
FRICTION_IMPEDANCE = (0.999, 0.9999, 0.001, 0.5, 2.0)
FRICTION_TO_NORMAL = 10.0  # so many times harder is friction than the contact: it creeps less
SERVO_FREQUENCY = 4.0  # Hz, of a drive whose gains nobody gave
STABLE = 4.0  # see _worst_mode


@dataclass(frozen=True)
class RobotModel:
    """A compiled model and where to find the robot in it.

    Attributes:
        model: the engine's model.
        qpos: (nj,) index into ``qpos`` of each actuated joint, in command order.
        dof: (nj,) index into ``qvel``.
        joint_ids: (nj,) joint ids.
        bodies: link name to body id.
        inertial_axes: link name to the rotation (3, 3) from the URDF's inertial axes to the
            link's.
        moving_qpos: (nm,) index into ``qpos`` of the joints that move: actuated ones and those
            that follow them.
        moving_dof: (nm,) index into ``qvel``.
        map: (nm, nj) their positions: ``map @ q + shift``.
        shift: (nm,).
        home: (nq,) default pose of everything.
        stiffness: (nj,) gain of the drives' position loop.
        damping: (nj,) gain of their velocity loop.
        brake: ((nj,), (nj,)) stiffness and damping of what holds a joint that is commanded by
            velocity or effort while there is no command.
        notes: what a user should know about how the URDF was taken.
    """

    model: mujoco.MjModel
    qpos: npt.NDArray[np.intp]
    dof: npt.NDArray[np.intp]
    joint_ids: npt.NDArray[np.intp]
    bodies: dict[str, int]
    inertial_axes: dict[str, Array]
    moving_qpos: npt.NDArray[np.intp]
    moving_dof: npt.NDArray[np.intp]
    map: Array
    shift: Array
    home: Array
    stiffness: Array
    damping: Array
    brake: tuple[Array, Array]
    notes: tuple[str, ...]


def build_model(
    profile: RobotProfile,
    *,
    timestep: float | None = None,
    contacts: bool = True,
    imu: bool = False,
    image_size: tuple[int, int] | None = None,
) -> RobotModel:
    """Compile the robot's model: its URDF, a floor, a light and a camera that sees it.

    Args:
        profile: the robot.
        timestep: physics step [s]; the profile's when None.
        contacts: False leaves contacts out altogether.
        imu: add an IMU to the profile's ``imu_link``.
        image_size: largest (width, height) that will be rendered [pixel]; when None, meshes that
            are only drawn are not loaded.

    Raises:
        InputError: the URDF cannot be simulated; the message says why.
    """
    builder = _Builder(profile, contacts, image_size is not None)
    return builder.build(
        profile.rates.timestep if timestep is None else timestep, imu, image_size or (0, 0)
    )


def rotation_from_rpy(rpy: tuple[float, float, float]) -> Array:
    """Rotation matrix (3, 3) of URDF's fixed-axis roll, pitch, yaw [rad]."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


class _Builder:
    def __init__(self, profile: RobotProfile, contacts: bool, visible: bool) -> None:
        self.profile = profile
        self.contacts = contacts
        self.visible = visible
        self.files: dict[Path, str] = {}
        self.notes: list[str] = []
        self.assets: dict[str, bytes] = {}
        self.fixed_root = profile.urdf.root != 'world'

    def build(self, timestep: float, imu: bool, image_size: tuple[int, int]) -> RobotModel:
        tree = etree.fromstring(
            self.profile.urdf.text.encode(), etree.XMLParser(remove_comments=True)
        )
        axes = {e.get('name'): _inertial_axes(e) for e in tree.findall('link')}
        spec = self._parse(tree)
        self._options(spec, timestep)
        self._joints(spec)
        self._masses(spec)
        self._geoms(spec)
        if imu and self.profile.imu_link:
            self._imu(spec)
        self._surroundings(spec, image_size)
        model = self._compiled(spec)
        home = self._home(model)
        self._place(spec, model, home)
        if self.contacts:
            self._exclude(spec, model, home)
        model = self._compiled(spec)
        return self._indexed(model, self._home(model), axes)

    def _fault(self, field: str, value: object, mend: str) -> InputError:
        return InputError(Fault(field, value, mend, str(self.profile.urdf.path)))

    def _parse(self, tree: etree._Element) -> mujoco.MjSpec:
        self._meshes(tree)
        for extension in tree.findall('mujoco'):
            tree.remove(extension)
        compiler = etree.SubElement(etree.SubElement(tree, 'mujoco'), 'compiler')
        # Nothing merged, nothing left out, nothing mended behind the user's back.
        compiler.set('fusestatic', 'false')
        compiler.set('discardvisual', 'false')
        compiler.set('balanceinertia', 'false')
        compiler.set('strippath', 'false')
        if self.fixed_root:  # else MuJoCo drops the root link's inertia
            etree.SubElement(tree, 'link').set('name', 'world')
            joint = etree.SubElement(tree, 'joint', name='world_mount', type='fixed')
            etree.SubElement(joint, 'parent').set('link', 'world')
            etree.SubElement(joint, 'child').set('link', self.profile.urdf.root)
        try:
            spec = mujoco.MjSpec.from_string(etree.tostring(tree).decode(), assets=self.assets)
        except ValueError as error:
            raise self._fault('urdf', str(error).strip(), 'mend what MuJoCo names') from error
        spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
        return spec

    def _compiled(self, spec: mujoco.MjSpec) -> mujoco.MjModel:
        try:
            return spec.compile()
        except ValueError as error:
            raise self._fault('urdf', str(error).strip(), 'mend what MuJoCo names') from error

    def _meshes(self, tree: etree._Element) -> None:
        """Give the engine each mesh as data, under a name of its own.

        Meshes that nobody will see or touch are left out; so are visual ones that cannot be
        read, with a note.
        """
        wanted = {'visual': self.visible, 'collision': self.contacts or self.visible}
        faults = Faults(str(self.profile.urdf.path))
        for kind, want in wanted.items():
            for element in list(tree.iter(kind)):
                mesh = element.find('geometry/mesh')
                if mesh is None:
                    continue
                uri, link = mesh.get('filename', ''), element.getparent()
                try:
                    if want:
                        mesh.set('filename', self._asset(uri))
                        continue
                except (InputError, MissingError) as error:
                    if kind == 'collision' and self.contacts:
                        faults.add(f'{link.get("name")}.{kind}', uri, str(error))
                        continue
                    self.notes.append(f'{kind} mesh of {link.get("name")} left out: {error}')
                link.remove(element)
        faults.check()

    def _asset(self, uri: str) -> str:
        path = resolve_mesh(uri, self.profile.urdf.path)
        if path not in self.files:
            suffix, data = mesh_data(path)
            self.files[path] = f'mesh{len(self.files)}_{path.stem}{suffix}'
            self.assets[self.files[path]] = data
        return self.files[path]

    def _options(self, spec: mujoco.MjSpec, timestep: float) -> None:
        spec.option.timestep = timestep
        # Friction is then the same in every direction, and holds: a pyramid lets go at 1/sqrt(2)
        # of it along its diagonals.
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.impratio = FRICTION_TO_NORMAL
        # A diverged simulation must be seen, not restarted silently.
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        if not self.contacts:
            spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT

    def _joints(self, spec: mujoco.MjSpec) -> None:
        actuated = {joint.name: joint for joint in self.profile.joints}
        coupling = self.profile.coupling
        followers = {name for name in coupling.names if coupling.moves(name)} - set(actuated)
        for equality in list(spec.equalities):
            if equality.name1 not in followers:
                spec.delete(equality)
            else:
                equality.solref = [2.0 * spec.option.timestep, 1.0]
        for joint in list(spec.joints):
            if joint.type == mujoco.mjtJoint.mjJNT_FREE:
                continue
            given = actuated.get(joint.name)
            if given is None and joint.name not in followers:
                self._lock(spec, joint)
                continue
            joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
            joint.solref_friction = [2.0 * spec.option.timestep, 1.0]
            joint.solimp_friction = FRICTION_IMPEDANCE
            if given is not None:
                _apply_joint(joint, given)

    def _lock(self, spec: mujoco.MjSpec, joint: mujoco.MjsJoint) -> None:
        name, body = joint.name, joint.parent
        coupling = self.profile.coupling
        rest = float(coupling.shift[coupling.names.index(name)])
        if rest:
            # A body is placed by its joint: turn or move it there for good.
            turn, move = np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3)
            if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
                mujoco.mju_axisAngle2Quat(turn, np.array(joint.axis), rest)
            else:
                mujoco.mju_rotVecQuat(move, rest * np.array(joint.axis), np.array(body.quat))
            placed = np.zeros(4)
            mujoco.mju_mulQuat(placed, np.array(body.quat), turn)
            body.pos, body.quat = np.array(body.pos) + move, placed
        self.notes.append(f'joint {name} is not in the profile: held at {rest:g}')
        spec.delete(joint)

    def _masses(self, spec: mujoco.MjSpec) -> None:
        """Give moving bodies without mass the least that the engine takes."""
        moving = [link for link in self.profile.urdf.links if link != self.profile.urdf.root]
        if not any(self.profile.urdf.links[link].mass > 0 for link in moving):
            raise self._fault('links', moving, 'none has a mass: give each an <inertial>')
        for body in spec.bodies:
            body.simple = 0  # its centre of mass may be moved later
            if not body.joints or body.name == 'world':
                continue
            if not _rigid_mass(body) > 0:
                self.notes.append(f'{body.name} moves but weighs nothing: {LEAST_MASS:g} kg taken')
            elif body.mass > 0 and np.linalg.eigvalsh(_full(body.fullinertia))[0] > 0:
                continue
            if not body.mass > 0:
                body.mass, body.ipos, body.explicitinertial = LEAST_MASS, [0.0] * 3, True
                body.fullinertia = [LEAST_INERTIA] * 3 + [0.0] * 3
            else:
                tensor = _full(body.fullinertia) + LEAST_INERTIA * np.eye(3)
                body.fullinertia = [*np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]]

    def _geoms(self, spec: mujoco.MjSpec) -> None:
        for mesh in spec.meshes:
            # Open and thin meshes are common where only the surface is drawn.
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
        for body in spec.bodies:
            drawn = any(not geom.contype for geom in body.geoms)
            for index, geom in enumerate(body.geoms):
                geom.name = f'{body.name}#{index}'  # names in a URDF need not be unique
                if geom.contype:
                    # A robot's own friction counts, not the larger one of the floor.
                    geom.priority = 1
                    geom.group = COLLISION_GROUP if drawn else 0

    def _imu(self, spec: mujoco.MjSpec) -> None:
        link = self.profile.imu_link
        body = spec.body(link) if link != 'world' else spec.worldbody
        body.add_site(name='imu')
        for name, kind in (
            ('imu_orientation', mujoco.mjtSensor.mjSENS_FRAMEQUAT),
            ('imu_gyro', mujoco.mjtSensor.mjSENS_GYRO),
            ('imu_accelerometer', mujoco.mjtSensor.mjSENS_ACCELEROMETER),
        ):
            spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname='imu')

    def _surroundings(self, spec: mujoco.MjSpec, image_size: tuple[int, int]) -> None:
        world = spec.worldbody
        spec.add_texture(
            name='checker',
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
            rgb1=[0.80, 0.81, 0.83],
            rgb2=[0.72, 0.73, 0.75],
            width=256,
            height=256,
        )
        material = spec.add_material(name='checker', texrepeat=[2.0, 2.0], texuniform=True)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = 'checker'
        world.add_geom(
            name=FLOOR,
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[0.0, 0.0, 0.1],
            material='checker',
            contype=int(self.contacts),
            conaffinity=int(self.contacts),
        )
        spec.add_texture(
            name='sky',
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            rgb1=[0.93, 0.95, 0.97],
            rgb2=[0.70, 0.76, 0.83],
            width=64,
            height=384,
        )
        world.add_light(
            name=LIGHT,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=[0.0, 0.0, 4.0],
            dir=[-0.3, 0.4, -1.0],
            diffuse=[0.8, 0.8, 0.8],
            castshadow=False,  # several times faster where the processor renders
        )
        world.add_camera(name=CAMERA, fovy=45.0)
        width, height = image_size
        spec.visual.global_.offwidth = max(width, 640)
        spec.visual.global_.offheight = max(height, 480)
        spec.visual.quality.offsamples = 2

    def _home(self, model: mujoco.MjModel) -> Array:
        """Everything in the default pose, (nq,)."""
        home: Array = model.qpos0.copy()
        moving, position, shift = self._moving()
        for name, where in zip(moving, position @ self.profile.array('default_position') + shift):
            home[model.jnt_qposadr[model.joint(name).id]] = where
        return home

    def _moving(self) -> tuple[list[str], Array, Array]:
        """Names (nm,) of the joints that move, and their positions: map (nm, nj), shift (nm,)."""
        coupling = self.profile.coupling
        moving = [coupling.moves(name) for name in coupling.names]
        names = [name for name, moves in zip(coupling.names, moving) if moves]
        return names, coupling.map[moving], coupling.shift[moving]

    def _place(self, spec: mujoco.MjSpec, model: mujoco.MjModel, home: Array) -> None:
        """Put the floor under the robot (a floating one on the floor), the camera before it."""
        data = mujoco.MjData(model)
        data.qpos[:] = home
        mujoco.mj_kinematics(model, data)
        low, high = np.full(3, math.inf), np.full(3, -math.inf)
        for geom in range(model.ngeom):
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE:
                continue
            turn = data.geom_xmat[geom].reshape(3, 3)
            middle = data.geom_xpos[geom] + turn @ model.geom_aabb[geom, :3]
            reach = np.abs(turn) @ model.geom_aabb[geom, 3:]
            low, high = np.minimum(low, middle - reach), np.maximum(high, middle + reach)
        if not np.isfinite(low).all():  # nothing but frames: take those
            low, high = data.xpos.min(axis=0) - 0.1, data.xpos.max(axis=0) + 0.1
        floating = [j for j in spec.joints if j.type == mujoco.mjtJoint.mjJNT_FREE]
        if floating:
            body = floating[0].parent
            body.pos = np.array(body.pos) - [0.0, 0.0, low[2]]
            high[2], low[2] = high[2] - low[2], 0.0
        else:
            spec.geom(FLOOR).pos = [0.0, 0.0, min(0.0, float(low[2]) - 1e-3)]
        middle, size = 0.5 * (low + high), float(np.linalg.norm(high - low))
        camera = spec.camera(CAMERA)
        back = np.array([1.0, -1.4, 0.6]) / np.linalg.norm([1.0, -1.4, 0.6])
        camera.pos = middle + 1.6 * size * back
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(back, right), back], axis=1)
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, turn.ravel())
        camera.quat = quat

    def _exclude(self, spec: mujoco.MjSpec, model: mujoco.MjModel, home: Array) -> None:
        """Let links that touch in the default pose, and neighbours, never collide."""
        data = mujoco.MjData(model)
        data.qpos[:] = home
        mujoco.mj_forward(model, data)
        pairs = set()
        floor = model.geom(FLOOR).id
        for contact in data.contact[: data.ncon]:
            if floor not in (contact.geom1, contact.geom2):
                bodies = model.geom_bodyid[contact.geom1], model.geom_bodyid[contact.geom2]
                pairs.add((int(min(bodies)), int(max(bodies))))
        for body in range(1, model.nbody):
            if not model.body_jntnum[body]:
                continue
            # The engine spares parent and child, but not where the parent stands still.
            ours = np.flatnonzero(model.body_weldid == model.body_weldid[body])
            parent = model.body_weldid[model.body_parentid[body]]
            if parent == 0:
                still = np.flatnonzero(model.body_weldid == 0)
                pairs |= {(int(a), int(b)) for a in still if a for b in ours}
        for one, other in sorted(pairs):
            spec.add_exclude(bodyname1=model.body(one).name, bodyname2=model.body(other).name)

    def _indexed(self, model: mujoco.MjModel, home: Array, axes: dict[str, Array]) -> RobotModel:
        joints = [model.joint(name).id for name in self.profile.joint_names]
        moving, spread, shift = self._moving()
        ids = np.array([model.joint(name).id for name in moving], dtype=np.intp)
        dofs = model.jnt_dofadr[ids].astype(np.intp)
        stiffness, damping, brake = self._servo(model, home, dofs, spread)
        return RobotModel(
            model=model,
            qpos=model.jnt_qposadr[joints].astype(np.intp),
            dof=model.jnt_dofadr[joints].astype(np.intp),
            joint_ids=np.array(joints, dtype=np.intp),
            bodies={name: model.body(name).id for name in self.profile.link_names},
            inertial_axes=axes,
            moving_qpos=model.jnt_qposadr[ids].astype(np.intp),
            moving_dof=dofs,
            map=spread,
            shift=shift,
            home=home,
            stiffness=stiffness,
            damping=damping,
            brake=brake,
            notes=tuple(self.notes),
        )

    def _servo(
        self, model: mujoco.MjModel, home: Array, dofs: npt.NDArray[np.intp], spread: Array
    ) -> tuple[Array, Array, tuple[Array, Array]]:
        """Gains of the drives: stiffness, damping, and those of the brakes.

        Where none are given: a critically damped loop of 4 Hz on the joint's inertia in the
        default pose, slower where that would not be stable.
        """
        stiffness, damping = self.profile.array('stiffness'), self.profile.array('damping')
        interface = self.profile.command.drives
        data = mujoco.MjData(model)
        data.qpos[:] = home
        mujoco.mj_forward(model, data)
        full = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, full)
        # Actuated joints with what follows them, then a floating base.
        free = np.setdiff1d(np.arange(model.nv), dofs)
        basis = np.zeros((model.nv, len(stiffness) + len(free)))
        basis[dofs, : len(stiffness)] = spread
        basis[free, len(stiffness) :] = np.eye(len(free))
        inertia = basis.T @ full @ basis
        h = float(model.opt.timestep)
        everywhere = np.ones(len(stiffness), dtype=bool)
        brake = _guess(inertia, everywhere, h, 0.0)
        if interface == 'effort':
            return stiffness, damping, brake
        if interface == 'velocity':
            stiffness = np.zeros_like(stiffness)
        self._check_stable(inertia, h, stiffness, damping)
        missing = (damping == 0) & (stiffness == 0)
        worst = _worst_mode(inertia, h, stiffness, damping)[0]
        guessed = _guess(inertia, missing, h, worst)
        full_rate = 4.0 * math.pi * SERVO_FREQUENCY * np.diag(inertia)[: len(missing)]
        slower = (guessed[1] < 0.99 * full_rate)[missing].any()
        soft = ' (more would not be stable: give the joints their armature)' if slower else ''
        if interface == 'position':
            stiffness = stiffness + guessed[0]
        damping = damping + guessed[1]
        for index in np.flatnonzero(missing):
            self.notes.append(
                f'joint {self.profile.joint_names[index]} has no servo gains in the profile: '
                f'stiffness {stiffness[index]:.3g}, damping {damping[index]:.3g} taken{soft}'
            )
        return stiffness, damping, brake

    def _check_stable(self, inertia: Array, h: float, stiffness: Array, damping: Array) -> None:
        """Refuse gains that blow up: the servo acts once per physics step."""
        worst, shape = _worst_mode(inertia, h, stiffness, damping)
        if worst < STABLE:
            return
        index = int(np.argmax(np.abs(shape)))
        joint = self.profile.joints[index]
        raise InputError(
            Fault(
                f'joints.{joint.name}.damping',
                float(damping[index]),
                f'with stiffness {stiffness[index]:g} too much for its inertia at a timestep of '
                f'{h:g} s: lower the gains, give its armature, or take a timestep of at most '
                f'{1.8 * h / worst:.1g} s',
                str(self.profile.path),
            )
        )


def _worst_mode(inertia: Array, h: float, stiffness: Array, damping: Array) -> tuple[float, Array]:
    """Largest ``2 h d + h^2 k`` of a mode of stiffness k and damping d per inertia; its shape.

    A mode is stable in the engine's Euler steps of length h where that is below 4.
    """
    gains = np.zeros(len(inertia))
    gains[: len(damping)] = 2.0 * h * damping + h**2 * stiffness
    modes, shapes = np.linalg.eig(np.linalg.solve(inertia, np.diag(gains)))
    worst = int(np.argmax(modes.real))
    return float(modes.real[worst]), shapes[: len(damping), worst]


def _guess(
    inertia: Array, missing: npt.NDArray[np.bool_], h: float, worst: float
) -> tuple[Array, Array]:
    """Stiffness and damping (nj,) of drives whose gains nobody gave; zero for the others.

    Args:
        inertia: mass matrix, of the actuated joints first.
        missing: (nj,) whose gains they are.
        h: physics step [s].
        worst: mode of the gains that were given, which stays stable with these.
    """
    rate = 2.0 * math.pi * SERVO_FREQUENCY
    own = np.where(missing, np.diag(inertia)[: len(missing)], 0.0)
    mode = _worst_mode(inertia, h, rate**2 * own, 2.0 * rate * own)[0]
    # The inertia of a joint whose neighbours stand still says nothing of modes that twist light
    # links against each other. Modes of sums are at most sums of modes.
    rate *= min(1.0, 0.5 * (STABLE - worst) / mode) if mode > 0 else 1.0
    return rate**2 * own, 2.0 * rate * own


def _apply_joint(joint: mujoco.MjsJoint, given: Joint) -> None:
    limited = math.isfinite(given.lower) and math.isfinite(given.upper)
    joint.limited = (
        mujoco.mjtLimited.mjLIMITED_TRUE if limited else mujoco.mjtLimited.mjLIMITED_FALSE
    )
    if limited:
        joint.range = [given.lower, given.upper]
    joint.damping = [given.viscous_friction, 0.0, 0.0]
    joint.frictionloss = given.coulomb_friction
    joint.armature = given.armature


def _rigid_mass(body: mujoco.MjsBody) -> float:
    """Mass of a body and of all that is fixed to it."""
    return float(body.mass) + sum(_rigid_mass(b) for b in body.bodies if not b.joints)


def _full(inertia: npt.ArrayLike) -> Array:
    xx, yy, zz, xy, xz, yz = np.nan_to_num(np.asarray(inertia, dtype=float))
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _inertial_axes(link: etree._Element) -> Array:
    origin = link.find('inertial/origin')
    text = '0 0 0' if origin is None else origin.get('rpy', '0 0 0')
    roll, pitch, yaw = (float(v) for v in text.split())
    return rotation_from_rpy((roll, pitch, yaw))
