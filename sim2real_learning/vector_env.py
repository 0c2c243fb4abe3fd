"""Thousands of differently parameterized robots as one rsl-rl environment.

Shapes, for ``n`` environments of a robot with ``nj`` joints::

    actions      (n, nj)   policy output; command = offset + scale * action, limited
    observations (n, size) as the bundle's layout says, the same code as on the robot
    rewards      (n,)
    dones        (n,)      True at the end of a goal: a time-out, never a failure

Each environment follows a chain of goals and keeps the world it drew for the whole training run,
unless its space changes worlds within an episode or lets ranges grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from sim2real_core.errors import Faults
from sim2real_core.profile import RobotProfile
from sim2real_learning.config import ReachTask
from sim2real_learning.reach import Goals, draw_goals, reward
from sim2real_learning.worlds import Worlds
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import BundleMetadata, Range
from sim2real_policy.guard_limiters import LIMITERS, EffortLimiter
from sim2real_policy.observation import Assembler
from sim2real_sim.mujoco_simulator import MujocoSimulator

Array = npt.NDArray[np.float64]
GOAL_POOL = 2048
INPUTS = frozenset(('position', 'velocity', 'effort', 'command', 'action', 'goal', 'tool'))
"""What a policy can observe here."""


class ReachEnv(VecEnv):
    """The reach task, vectorized on MuJoCo.

    Args:
        profile: the robot.
        metadata: observation layout, action meaning and limits of the policy.
        task: the task.
        worlds: of the environments; or address to values (n,), see ``Space.draw_many``.
        count: number of environments.
        seed: of goals, start poses and sensor noise.
        threads: physics threads.
        timestep: longest physics step [s], a whole number of which make a control period; the
            profile's when None.

    Raises:
        InputError: the policy observes what is not simulated here.
    """

    def __init__(
        self,
        profile: RobotProfile,
        metadata: BundleMetadata,
        task: ReachTask,
        worlds: Mapping[str, Array] | Worlds,
        count: int,
        *,
        seed: int = 0,
        threads: int = 1,
        timestep: float | None = None,
    ) -> None:
        self.num_envs = count
        self.num_actions = len(profile.joints)
        self.device = 'cpu'
        self.cfg: dict[str, object] = {}
        self.task = task
        self.profile = profile
        self._check(metadata)
        self.period = metadata.control_period
        longest = timestep or profile.rates.timestep
        # The quotient of 0.03 and 0.001, say, may be a little off the whole number.
        self.substeps = math.ceil(self.period / longest - 1e-9)
        self.simulator = MujocoSimulator(
            profile,
            nsim=count,
            nthread=threads,
            timestep=self.period / self.substeps,
            seed=seed,
            contacts=False,
        )
        self.worlds = worlds if isinstance(worlds, Worlds) else Worlds.fixed(worlds)
        if self.worlds.values:
            self.simulator.apply(self.worlds.values)
        self.max_episode_length = max(1, round(task.duration / self.period))
        self.episode_length_buf = torch.zeros(count, dtype=torch.long)
        self.on_step: Callable[[float], None] = lambda mean_reward: None
        self._rng = np.random.default_rng(seed)
        self._pool: Goals = draw_goals(profile, task, GOAL_POOL, self._rng)
        default = np.array(metadata.default_position)
        interface = profile.command.interface
        self._assembler = Assembler(
            metadata.observation,
            default,
            position_command=interface == 'position',
            n=count,
        )
        self._action = ActionMap(metadata.action, default)
        # The guard's own limiter: training sees the limits that act on the robot.
        self._limiter = LIMITERS[interface](metadata.limits, self.period, (count,))
        if isinstance(self._limiter, EffortLimiter):
            self._limiter.rate_step = profile.array('effort_rate') * self.period
        self._max_velocity = profile.array('velocity')
        self._seen_link = metadata.observation.tool_link or profile.tool_link
        self.goal = np.empty((count, 3))
        self._last_action = np.zeros((count, self.num_actions))
        self._low = np.full(metadata.observation.size, np.inf)
        self._high = np.full(metadata.observation.size, -np.inf)
        self.reset_all()

    def _check(self, metadata: BundleMetadata) -> None:
        faults = Faults()
        for name in sorted(metadata.observation.inputs - INPUTS):
            mend = f'is not simulated here; what is: {", ".join(sorted(INPUTS))}'
            faults.add('bundle.observation', name, mend)
        if metadata.joints != self.profile.joint_names:
            mend = f'must be in the order of {self.profile.name}: {self.profile.joint_names}'
            faults.add('bundle.joints', metadata.joints, mend)
        faults.check()

    def reset_all(self, goals: Goals | None = None) -> None:
        """Put every robot in a pose of the pool and give it a goal.

        Args:
            goals: (n + 1) of them to go through instead: environment i starts in the i-th
                configuration and is sent to the position after it.
        """
        count = self.num_envs
        if goals is None:
            start = self._pool.configuration[self._rng.integers(GOAL_POOL, size=count)]
            self.goal[:] = self._pool.position[self._rng.integers(GOAL_POOL, size=count)]
        else:
            start, self.goal[:] = goals.configuration[:-1], goals.position[1:]
        self.simulator.reset(position=start)
        self._limiter.reset(start)
        self.simulator.command(self._limiter.command)
        self._last_action[:] = 0.0
        self._assembler.reset()
        self.episode_length_buf[:] = 0
        self._sense()

    def _sense(self) -> None:
        self.reading = self.simulator.read()
        self.tool = self.simulator.link_position(self.profile.tool_link)
        self.distance = np.linalg.norm(self.tool - self.goal, axis=1)
        self.observation = self._assembler.update(
            {
                'position': self.reading.position,
                'velocity': self.reading.velocity,
                'effort': self.reading.effort,
                'command': self._limiter.command,
                'action': self._last_action,
                'goal': self.goal,
                'tool': self.simulator.link_position(self._seen_link),
            }
        )
        np.minimum(self._low, self.observation.min(axis=0), out=self._low)
        np.maximum(self._high, self.observation.max(axis=0), out=self._high)

    @property
    def seen(self) -> Range:
        """Of all observations so far."""
        return Range(low=tuple(self._low.tolist()), high=tuple(self._high.tolist()))

    def advance(self, action: Array) -> None:
        """Apply one action (n, nj) for a control period and sense what came of it."""
        action = self._action.limited(action)
        order = self._action.order(action, self._limiter.command)
        self._limiter.follow(order, self.reading.position, self.reading.velocity)
        self.simulator.command(self._limiter.command)
        self._enter(self.worlds.advance(self.period))
        self.simulator.step(self.substeps)
        self._last_action = action
        self._sense()

    def _enter(self, rows: npt.NDArray[np.intp]) -> None:
        """Environments enter the world they have now."""
        if rows.size:
            self.simulator.apply({a: v[rows] for a, v in self.worlds.values.items()}, rows)

    def get_observations(self) -> TensorDict:
        """Present observations, as rsl-rl wants them."""
        return TensorDict(
            {'policy': torch.from_numpy(np.array(self.observation, dtype=np.float32))},
            batch_size=[self.num_envs],
        )

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, object]]:
        """One control period of every environment. See :class:`rsl_rl.env.VecEnv`."""
        action = actions.numpy().astype(np.float64)
        change = action - self._last_action
        self.advance(action)
        rewards = reward(self.distance, change, self.reading.velocity / self._max_velocity)
        self.episode_length_buf += 1
        dones = self.episode_length_buf >= self.max_episode_length
        ended = np.flatnonzero(dones.numpy())
        if len(ended):
            self._enter(self.worlds.end(ended, self.distance[ended] < self.task.tolerance))
            self.goal[ended] = self._pool.position[self._rng.integers(GOAL_POOL, size=len(ended))]
            self.episode_length_buf[dones] = 0
            self._sense()
        self.on_step(float(rewards.mean()))
        return (
            self.get_observations(),
            torch.from_numpy(rewards.astype(np.float32)),
            dones,
            {'time_outs': dones},
        )
