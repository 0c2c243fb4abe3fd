"""From a robot and a space to a bundle, and from a bundle to figures: what the commands call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.config import ReachTask, TrainConfig
from sim2real_learning.evaluate import evaluate
from sim2real_learning.export import export
from sim2real_learning.metrics import Evaluation
from sim2real_learning.reach import Goals, draw_goals, reach_metadata
from sim2real_learning.train import load_checkpoint, save_checkpoint, train
from sim2real_learning.worlds import Worlds, in_turn
from sim2real_policy.bundle import BundleMetadata, check_robot, load_bundle
from sim2real_policy.runtime import OnnxRuntime
from sim2real_randomizer.space import Space

Array = npt.NDArray[np.float64]
# Episodes of an evaluation are drawn with another key than the environments of a training.
EVALUATION = 1_000_000


def task_of(metadata: BundleMetadata, changes: Mapping[str, Any] | None = None) -> ReachTask:
    """The task a policy was trained for.

    Args:
        metadata: of the policy; the task's own defaults where it does not say.
        changes: fields to replace.
    """
    trained = metadata.training.get('task', {})
    return ReachTask.from_mapping({**trained, **(changes or {})}, path=('task',))


def train_bundle(
    profile: RobotProfile,
    space: Space | None,
    out: Path,
    config: TrainConfig,
    *,
    seed: int = 0,
    start: Path | None = None,
    task: Mapping[str, Any] | None = None,
    progress: Callable[[int, float], None] | None = None,
    worlds: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """Train a reach policy, from scratch or from a checkpoint, and write it.

    Args:
        profile: the robot.
        space: what varies between the environments; None for the nominal world.
        out: the bundle to write; the checkpoint is written beside it with the ending ``.pt``.
        config: how to train.
        seed: of everything random.
        start: checkpoint to go on from.
        task: fields of the task that differ from what the checkpoint was trained for, or from
            the defaults.
        progress: see :func:`sim2real_learning.train.train`.
        worlds: given ones, address to (n,) values, one an environment in turn; instead of a
            space.

    Returns:
        Rewards of every iteration and parity of the export, ready for JSON.
    """
    space_hash = space.content_hash if space is not None else ''
    checkpoint = None
    if start is None:
        reach = ReachTask(**(task or {}))
        metadata = reach_metadata(profile, reach, space=space_hash)
    else:
        checkpoint = load_checkpoint(start)
        trained = BundleMetadata.from_properties(checkpoint['metadata'], file=str(start))
        check_robot(trained, profile)
        reach = task_of(trained, task)
        metadata = replace(trained, space=space_hash, profile=profile.content_hash)
    metadata = replace(metadata, training={**metadata.training, 'task': asdict(reach)})
    lived: Worlds | dict[str, Array]
    if worlds is not None:
        lived = in_turn(worlds, config.environments)
    else:
        state = (checkpoint or {}).get('curriculum')
        lived = Worlds(space, config.environments, seed, grows=True, state=state)
    trained_result = train(
        profile,
        metadata,
        reach,
        lived,
        config,
        seed=seed,
        start=checkpoint,
        progress=progress,
    )
    save_checkpoint(trained_result.checkpoint, out.with_suffix('.pt'))
    parity = export(trained_result.checkpoint, trained_result.metadata, out)
    return {
        'bundle': str(out),
        'iterations': config.iterations,
        'environments': config.environments,
        'seed': seed,
        'rewards': trained_result.rewards,
        'parity': parity,
    }


def evaluate_bundle(
    path: Path,
    profile: RobotProfile,
    space: Space | None,
    episodes: int,
    *,
    seed: int = 0,
    task: Mapping[str, Any] | None = None,
    goals: Goals | None = None,
    threads: int = 1,
    timestep: float | None = None,
    worlds: Mapping[str, Array] | None = None,
) -> Evaluation:
    """Evaluate a bundle in the embedded simulator, one drawn world an episode.

    Args:
        path: the bundle.
        profile: the robot.
        space: what varies; None for the nominal world.
        episodes: how many.
        seed: of worlds, goals and sensor noise.
        task: fields of the task that differ from what the policy was trained for.
        goals: (episodes + 1) goals; drawn from the seed when None.
        threads: physics threads.
        timestep: physics step [s]; the profile's when None.
        worlds: given ones, address to (n,) values, gone through in turn; instead of a space.
    """
    if episodes < 1:
        raise InputError(Fault('episodes', episodes, 'must be at least 1'))
    bundle = load_bundle(path)
    check_robot(bundle.meta, profile)
    reach = task_of(bundle.meta, task)
    if goals is None:
        goals = draw_goals(profile, reach, episodes + 1, np.random.default_rng(seed))
    return evaluate(
        profile,
        bundle.meta,
        OnnxRuntime(bundle, warm_up=0).infer,
        reach,
        Worlds(space, episodes, seed, EVALUATION) if worlds is None else in_turn(worlds, episodes),
        goals,
        seed=seed,
        threads=threads,
        timestep=timestep,
    )
