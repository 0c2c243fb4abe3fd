"""Episodes of a simulated robot as detectors see them: nominal ones, and ones with a fault."""

import numpy as np

from sim2real_capture.detection import Trial
from sim2real_capture.signals import Sample, Seen
from sim2real_core.files import find
from sim2real_learning.config import ReachTask
from sim2real_learning.reach import draw_goals
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import load_bundle
from sim2real_policy.guard import LIMITERS, Limits
from sim2real_policy.observation import Assembler
from sim2real_policy.runtime import OnnxRuntime
from sim2real_sim.mujoco_simulator import MujocoSimulator

GOAL_TIME = 1.5  # s; then the next goal
PUSH_TIME = 0.2  # s


class Episodes(list):
    """Signals of episodes side by side."""

    episodes = 0


class Reaching:
    """A shipped policy that reaches for goals."""

    def __init__(self, profile, name, count, rng):
        bundle = load_bundle(find('policies', name, '.onnx'))
        self.meta, self.rng, self.count = bundle.meta, rng, count
        default = np.array(self.meta.default_position)
        self.assembler = Assembler(self.meta.observation, default, n=count)
        self.action_map = ActionMap(self.meta.action, default)
        self.runtime = OnnxRuntime(bundle)
        self.goals = draw_goals(profile, ReachTask(), 1024, rng)
        self.start = self.goals.configuration[rng.integers(1024, size=count)]
        self.action = np.zeros((count, len(default)))

    def aim(self):
        self.goal = self.goals.position[self.rng.integers(1024, size=self.count)]

    def order(self, reading, command, tool):
        seen = self.assembler.update(
            {
                'position': reading.position,
                'velocity': reading.velocity,
                'effort': reading.effort,
                'command': command,
                'action': self.action,
                'goal': self.goal,
                'tool': tool,
            }
        )
        self.action = self.action_map.limited(self.runtime.infer(seen).astype(float))
        return self.action_map.order(self.action, command), np.array(seen, dtype=float)


class Wandering:
    """Joint targets drawn from half the range; for robots that no policy is shipped for."""

    def __init__(self, profile, count, rng):
        self.rng, middle = rng, profile.array('default_position')
        lower = np.maximum(profile.array('lower'), middle - np.pi)
        upper = np.minimum(profile.array('upper'), middle + np.pi)
        self.low, self.high = middle + 0.5 * (lower - middle), middle + 0.5 * (upper - middle)
        self.shape = (count, len(middle))
        self.start = rng.uniform(self.low, self.high, self.shape)

    def aim(self):
        self.goal = self.rng.uniform(self.low, self.high, self.shape)

    def order(self, reading, command, tool):
        order = command + np.clip(0.1 * (self.goal - command), -0.02, 0.02)
        return order, np.concatenate([reading.position, self.goal], axis=1)


class Fault:
    """Something done to the simulator, in each episode from a moment of its own on.

    ``at``: (count,) when it takes effect: for what shows in motion only (friction, delay), once
    a joint that it concerns moves at five percent of its speed limit, else at once.
    """

    def __init__(self, kind, magnitude, profile, begin, rng, rated):
        self.kind, self.magnitude, self.profile, self.rng = kind, magnitude, profile, rng
        self.begin, self.rated = begin, rated
        self.at = np.full(len(begin), np.inf)
        self.joint = rng.integers(len(profile.joints), size=len(begin))
        self.done = np.zeros(len(begin), dtype=bool)
        self.over = np.zeros(len(begin), dtype=bool)

    def step(self, simulator, now):
        due = np.flatnonzero(~self.done & (now >= self.begin))
        if due.size:
            self.done[due] = True
            self.apply(simulator, due)
        moving = np.abs(simulator.state()[1]) > 0.05 * self.profile.array('velocity')
        felt = moving.any(axis=1)
        if self.kind == 'friction_one':
            felt = moving[np.arange(len(felt)), self.joint]
        if self.kind not in ('friction', 'friction_one', 'delay'):
            felt[:] = True
        self.at[self.done & felt & np.isinf(self.at)] = now
        over = np.flatnonzero(self.done & ~self.over & (now >= self.begin + PUSH_TIME))
        if self.kind == 'push' and over.size:
            self.over[over] = True
            self.wrench(simulator, over, np.zeros((over.size, 3)))

    def wrench(self, simulator, rows, force):
        link = self.profile.payload_link
        names = [f'disturbance.{link}.wrench.force.{axis}' for axis in 'xyz']
        simulator.apply(dict(zip(names, force.T)), rows)

    def apply(self, simulator, rows):
        magnitude, joints = self.magnitude, self.profile.joint_names
        if self.kind == 'payload':
            address = f'link.{self.profile.payload_link}.mass'
            mass = simulator.nominal(address) + magnitude * self.rated
            simulator.apply({address: np.full(rows.size, mass)}, rows)
        elif self.kind == 'push':
            way = self.rng.normal(size=(rows.size, 3))
            self.wrench(simulator, rows, magnitude * way / np.linalg.norm(way, axis=1)[:, None])
        elif self.kind in ('delay', 'friction'):
            # At once: what is applied takes the place of what was applied before.
            every = [self.values(simulator, name, rows.size) for name in joints]
            simulator.apply({a: v for values in every for a, v in values.items()}, rows)
        else:
            for index, name in enumerate(joints):
                chosen = rows[self.joint[rows] == index]
                if chosen.size:
                    simulator.apply(self.values(simulator, name, chosen.size), chosen)

    def values(self, simulator, name, count):
        if self.kind == 'frozen':
            lost = (f'sensor.{name}_position.dropout', f'sensor.{name}_velocity.dropout')
            return {address: np.ones(count) for address in lost}
        if self.kind == 'delay':
            address = f'actuator.{name}.delay'
            return {address: np.full(count, simulator.nominal(address) + self.magnitude)}
        kinds = ('static_friction', 'coulomb_friction', 'viscous_friction')
        addresses = [f'joint.{name}.{kind}' for kind in kinds]
        return {a: np.full(count, self.magnitude * simulator.nominal(a)) for a in addresses}


def episodes(profile, count, seed, *, policy='', fault=None, duration=3.0, timestep=0.002,
             rated=4.0):  # fmt: skip
    """Run episodes side by side.

    Args:
        profile: the robot.
        count: how many.
        seed: of goals, poses, noise and faults.
        policy: name of a shipped one; targets at random if empty.
        fault: (kind, magnitude), or None.
        duration: [s].
        timestep: [s].
        rated: payload of the robot [kg].

    Returns:
        The episodes, and a Trial of them where there is a fault.
    """
    rng = np.random.default_rng(seed)
    simulator = MujocoSimulator(profile, count, timestep=timestep, seed=seed, contacts=False)
    period = profile.rates.control_period
    pilot = Reaching(profile, policy, count, rng) if policy else Wandering(profile, count, rng)
    limiter = LIMITERS['position'](Limits.of(profile), period, (count,))
    simulator.reset(position=pilot.start)
    limiter.reset(pilot.start)
    simulator.command(limiter.command)
    begin = rng.uniform(0.4, duration - 1.2, count)
    trouble = Fault(*fault, profile, begin, rng, rated) if fault else None
    sample_steps = round(1.0 / profile.rates.joint_state_rate / timestep)
    made = Episodes()
    made.episodes = count
    steps = round(duration / timestep)
    goal_steps, command_steps = round(GOAL_TIME / timestep), round(period / timestep)
    for step in range(steps):
        now = step * timestep
        if step % goal_steps == 0:
            pilot.aim()
        if step % command_steps == 0:
            reading = simulator.read()
            order, seen = pilot.order(
                reading, limiter.command, simulator.link_position(profile.tool_link)
            )
            limiter.follow(order, reading.position, reading.velocity)
            simulator.command(limiter.command)
            made.append(Seen(now, seen))
            command = limiter.command.copy()
        if trouble is not None and step % sample_steps == 0:
            trouble.step(simulator, now)
        left = sample_steps - step % sample_steps
        simulator.step(1)
        if left == 1:
            reading = simulator.read()
            made.append(
                Sample(
                    now + timestep,
                    reading.position,
                    command,
                    reading.position,
                    reading.velocity,
                    reading.effort,
                )
            )
    if trouble is None:
        return made
    felt = np.isfinite(trouble.at) & (trouble.at < duration - 0.55)
    return chosen(made, felt), Trial(chosen(made, felt), *fault, begin[felt], trouble.at[felt])


def chosen(made, rows):
    """Some of the episodes."""

    def cut(value):
        return value[rows] if isinstance(value, np.ndarray) else value

    picked = Episodes(type(s)(**{k: cut(v) for k, v in vars(s).items()}) for s in made)
    picked.episodes = int(np.sum(rows))
    return picked
