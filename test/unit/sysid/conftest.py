"""Robots whose truth is known: moves and efforts computed, not simulated."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.follow import TrajectoryRuntime
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.estimator import OnlineIdentifier
from sim2real_sysid.excitation import excite

PENDULUM = """<robot name="pendulum">
  <link name="base"/>
  <link name="upper"><inertial><origin xyz="0 0.01 0.2"/><mass value="2"/>
    <inertia ixx="0.03" iyy="0.03" izz="0.004" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="lower"><inertial><origin xyz="0 0 0.15"/><mass value="1"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.001" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="tool"><inertial><origin xyz="0.02 0 0.05" rpy="0.3 0.2 0.1"/><mass value="0.5"/>
    <inertia ixx="0.002" iyy="0.001" izz="0.0015" ixy="0" ixz="0.0002" iyz="0"/></inertial></link>
  <joint name="hip" type="TYPE"><parent link="base"/><child link="upper"/>
    <axis xyz="0 1 0"/><limit lower="-3" upper="3" velocity="4" effort="60"/>
    <dynamics damping="0.5" friction="0.6"/></joint>
  <joint name="knee" type="revolute"><parent link="upper"/><child link="lower"/>
    <origin xyz="0 0 0.4"/><axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" velocity="4" effort="30"/>
    <dynamics damping="0.2" friction="0.3"/></joint>
  <joint name="flange" type="fixed"><parent link="lower"/><child link="tool"/>
    <origin xyz="0 0 0.3"/></joint>
</robot>"""
TRUTH = {
    'joint.hip.armature': 0.3,
    'joint.hip.viscous_friction': 0.9,
    'joint.hip.coulomb_friction': 1.5,
    'joint.hip.effort_offset': -0.8,
    'joint.hip.position_offset': 0.0,
    'joint.knee.armature': 0.1,
    'joint.knee.viscous_friction': 0.3,
    'joint.knee.coulomb_friction': 0.5,
    'joint.knee.effort_offset': 0.4,
    'joint.knee.position_offset': 0.0,
    'link.tool.mass': 1.2,
    'link.tool.com.x': 0.02,
    'link.tool.com.y': 0.0,
    'link.tool.com.z': 0.05,
    'actuator.hip.backlash': 0.0,
    'actuator.knee.backlash': 0.0,
}


@dataclass
class Recording:
    """Samples of a robot: ``stamp`` (n,), ``position`` and ``effort`` (n, nj)."""

    stamp: np.ndarray
    position: np.ndarray
    effort: np.ndarray

    def feed(self, identifier, until=np.inf):
        """Everything up to a time goes into the identifier; its estimate comes back."""
        for stamp, position, effort in zip(self.stamp, self.position, self.effort):
            if stamp > until:
                break
            identifier.update(stamp, position, effort)
        return identifier.estimate()


@dataclass
class Robot:
    """A robot that moves from one drawn pose to the next and has the parameters of TRUTH.

    Attributes:
        profile: what the identifier is told.
        truth: what is so.
        reach: size of the moves [rad].
        hold: time in each pose [s].
        one_way: every move goes up.
        stribeck: rise of the friction at low speed, as a share of Coulomb's, and its speed.
    """

    profile: object
    truth: dict = field(default_factory=lambda: dict(TRUTH))
    reach: float = 1.2
    hold: float = 0.3
    one_way: bool = False
    stribeck: tuple = (0.0, 0.05)

    def moves(self, stamp, seed=0):
        """Position, velocity and acceleration (n, nj) of minimum-jerk moves of about a second."""
        rng = np.random.default_rng(seed)
        nj = len(self.profile.joints)
        q, v, a = (np.zeros((len(stamp), nj)) for _ in range(3))
        pose, begin = np.zeros(nj), 0.0
        while begin < stamp[-1]:
            lasts = rng.uniform(0.7, 1.3)
            if self.one_way:
                goal = pose + rng.uniform(0.1, 0.5, nj) * self.reach
            else:
                goal = rng.uniform(-1, 1, nj) * self.reach
            part = (stamp >= begin) & (stamp < begin + lasts + self.hold)
            s = np.clip((stamp[part, None] - begin) / lasts, 0, 1)
            q[part] = pose + (goal - pose) * (10 * s**3 - 15 * s**4 + 6 * s**5)
            v[part] = (goal - pose) / lasts * (30 * s**2 - 60 * s**3 + 30 * s**4)
            a[part] = (goal - pose) / lasts**2 * (60 * s - 180 * s**2 + 120 * s**3)
            pose, begin = goal, begin + lasts + self.hold
        return q, v, a

    def record(self, duration=25.0, rate=200.0, seed=0, noise=(2e-5, 0.02), stamp=None):
        """Samples; ``noise``: standard deviations of position and effort."""
        if stamp is None:
            stamp = np.arange(1, int(duration * rate) + 1) / rate
        q, v, a = self.moves(stamp, seed)
        body, effort = RigidBody(self.profile), np.zeros_like(q)
        extra = self.truth[f'link.{self.profile.payload_link}.mass'] - body.payload_mass
        for k in range(len(stamp)):
            nominal, payload = body.efforts(q[k], v[k], a[k])
            effort[k] = nominal + extra * payload
        for j, name in enumerate(self.profile.joint_names):
            armature, viscous, coulomb, offset = (
                self.truth[f'joint.{name}.{what}']
                for what in ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset')
            )
            rise, speed = self.stribeck
            level = coulomb * (1 + rise * np.exp(-((v[:, j] / speed) ** 2)))
            effort[:, j] += armature * a[:, j] + viscous * v[:, j] + offset
            effort[:, j] += level * np.sign(v[:, j])
        rng = np.random.default_rng([seed, 1])
        q = q + [self.truth[f'joint.{j}.position_offset'] for j in self.profile.joint_names]
        q = q + noise[0] * rng.normal(size=q.shape)
        return Recording(stamp, q, effort + noise[1] * rng.normal(size=q.shape))


def write_profile(folder, urdf, joints, **keys):
    """Write a profile and its URDF and load it."""
    (folder / 'robot.urdf').write_text(urdf)
    lines = ['urdf: robot.urdf', 'joints:', *(f'  {name}: {{}}' for name in joints)]
    lines += [f'{key}: {value}' for key, value in keys.items()]
    (folder / 'robot.yaml').write_text('\n'.join(lines))
    return load_profile(folder / 'robot.yaml')


@pytest.fixture(name='profile_of')
def fixture_profile_of(tmp_path):
    """Makes a profile: ``profile_of(urdf, joints, **keys)``."""
    return lambda urdf, joints, **keys: write_profile(tmp_path, urdf, joints, **keys)


@pytest.fixture(name='pendulum')
def fixture_pendulum(profile_of):
    """A two-joint chain with a payload; the profile knows nothing of its armature."""
    urdf = PENDULUM.replace('TYPE', 'revolute')
    return profile_of(urdf, ('hip', 'knee'), payload_link='tool')


@pytest.fixture(name='wheel')
def fixture_wheel(profile_of):
    """The same, its first joint without limits."""
    urdf = PENDULUM.replace('TYPE', 'continuous')
    return profile_of(urdf, ('hip', 'knee'), payload_link='tool')


@pytest.fixture(name='lying')
def fixture_lying(profile_of):
    """The same, turning about upright axes."""
    urdf = PENDULUM.replace('TYPE', 'revolute').replace('xyz="0 1 0"', 'xyz="0 0 1"')
    return profile_of(urdf, ('hip', 'knee'), payload_link='tool')


@pytest.fixture(name='robot')
def fixture_robot(pendulum):
    """The pendulum, as it really is."""
    return Robot(pendulum)


@pytest.fixture(name='scores')
def fixture_scores():
    """Errors in standard deviations, by address, of what counts as identified."""

    def scores(estimate, truth):
        return {
            address: (found.mean - truth[address]) / found.std
            for address, found in estimate.identified.items()
        }

    return scores


@pytest.fixture(name='identifier')
def fixture_identifier(pendulum):
    """An identifier with the default settings."""
    return OnlineIdentifier(pendulum)


@pytest.fixture(name='excited_arms', scope='session')
def fixture_excited_arms():
    """Hidden arms on their own excitation: ``excited_arms(simulator)`` yields readings.

    The simulator is at its reset; between two readings its parameters may be changed.
    """
    profile = load_profile('arm6')
    trajectory = excite(profile).trajectory

    def run(simulator):
        runtime = TrajectoryRuntime(trajectory, profile)
        steps = round(1.0 / profile.rates.joint_state_rate / simulator.timestep)
        every = round(profile.rates.control_period / (steps * simulator.timestep))
        seen = np.zeros((1, len(profile.joints)))
        tick = 0
        while runtime.report()['motion'] != 'done':
            if tick % every == 0:
                simulator.command(np.tile(runtime.infer(seen), (simulator.nsim, 1)))
            yield simulator.read()
            simulator.step(steps)
            tick += 1

    return run
