"""Runs a policy in the embedded simulator, without exploration, and judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_learning.config import ReachTask
from sim2real_learning.metrics import Evaluation, judge
from sim2real_learning.reach import Goals
from sim2real_learning.vector_env import ReachEnv
from sim2real_learning.worlds import Worlds
from sim2real_policy.bundle import BundleMetadata

Array = npt.NDArray[np.float64]


def evaluate(
    profile: RobotProfile,
    metadata: BundleMetadata,
    infer: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
    task: ReachTask,
    worlds: Mapping[str, Array] | Worlds,
    goals: Goals,
    *,
    seed: int = 0,
    threads: int = 1,
    timestep: float | None = None,
) -> Evaluation:
    """Run a policy without exploration, all episodes side by side.

    Args:
        profile: the robot.
        metadata: the policy's.
        infer: observations (n, size) to actions (n, nj).
        task: what to reach.
        worlds: one an episode; or address to (n,) values, empty for the nominal one.
        goals: n + 1 of them; episode i starts in the i-th configuration and is sent to the next.
        seed: of the sensor noise.
        threads: physics threads.
        timestep: physics step; the profile's when None.
    """
    count = len(goals.position) - 1
    env = ReachEnv(
        profile, metadata, task, worlds, count, seed=seed, threads=threads, timestep=timestep
    )
    env.reset_all(goals)
    size = metadata.observation.size
    mean, std = np.zeros(size), np.ones(size)
    if metadata.normalizer is not None:
        mean, std = np.array(metadata.normalizer.mean), np.array(metadata.normalizer.std)
    tool = np.empty((int(env.max_episode_length), count, 3))
    for step in range(len(tool)):
        seen = ((env.observation - mean) / std).astype(np.float32)
        env.advance(infer(seen).astype(np.float64))
        tool[step] = env.tool
    return judge(task, tool, goals.position[1:], env.period)
