"""PPO (rsl-rl) on the vectorized environment: from scratch, or from a checkpoint.

A checkpoint holds actor, critic and the bundle's metadata, so that fine-tuning goes on with
exactly the observation and action that the policy was trained with.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rsl_rl.runners import OnPolicyRunner

from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.config import ReachTask, TrainConfig
from sim2real_learning.vector_env import ReachEnv
from sim2real_learning.worlds import Worlds
from sim2real_policy.bundle import BundleMetadata

Array = npt.NDArray[np.float64]
HIDDEN = (128, 128)


def runner_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings as rsl-rl wants them."""
    return {
        'num_steps_per_env': config.steps,
        'save_interval': 10**9,
        'obs_groups': {'actor': ['policy'], 'critic': ['policy']},
        'algorithm': {
            'class_name': 'PPO',
            'learning_rate': config.learning_rate,
            'schedule': 'adaptive',
            'desired_kl': config.desired_kl,
            'entropy_coef': config.entropy,
            'gamma': 0.97,
            'lam': 0.95,
            'num_learning_epochs': 3,
            'num_mini_batches': 4,
            'clip_param': 0.2,
            'max_grad_norm': 1.0,
            'value_loss_coef': 1.0,
        },
        'actor': {
            'class_name': 'MLPModel',
            'hidden_dims': list(HIDDEN),
            'activation': 'elu',
            'distribution_cfg': {
                'class_name': 'GaussianDistribution',
                'init_std': config.noise,
                'std_type': 'log',
            },
        },
        'critic': {'class_name': 'MLPModel', 'hidden_dims': list(HIDDEN), 'activation': 'elu'},
    }


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes:
        checkpoint: of actor, critic and curriculum.
        rewards: mean one of each iteration.
        metadata: with the range of all observations, those of earlier trainings included.
    """

    checkpoint: dict[str, Any]
    rewards: list[float]
    metadata: BundleMetadata


def train(
    profile: RobotProfile,
    metadata: BundleMetadata,
    task: ReachTask,
    worlds: Mapping[str, Array] | Worlds,
    config: TrainConfig,
    *,
    seed: int = 0,
    start: Mapping[str, Any] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """Train a policy.

    Args:
        profile: the robot.
        metadata: its observation and action.
        task: what to reach.
        worlds: of the environments; or address to (environments,) values, empty for the nominal
            one.
        config: how.
        seed: of everything random.
        start: a checkpoint to go on from.
        progress: called after each iteration with its number and the mean reward.
    """
    # The updates get the processors that the physics threads leave idle meanwhile.
    torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    rewards: list[float] = []
    seen = {'steps': 0, 'sum': 0.0}

    env = ReachEnv(
        profile,
        metadata,
        task,
        worlds,
        config.environments,
        seed=seed,
        threads=config.threads,
        timestep=config.timestep,
    )

    def on_step(mean_reward: float) -> None:
        seen['steps'] += 1
        seen['sum'] += mean_reward
        if seen['steps'] % config.steps == 0:
            rewards.append(seen['sum'] / config.steps)
            seen['sum'] = 0.0
            if progress is not None:
                progress(len(rewards), rewards[-1])

    env.on_step = on_step
    # rsl-rl prints its networks and a page for every iteration; progress is ours.
    with contextlib.redirect_stdout(io.StringIO()):
        runner = OnPolicyRunner(env, runner_settings(config), log_dir=None, device='cpu')
        if start is not None:
            runner.alg.load(dict(start), {'actor': True, 'critic': True}, strict=True)
            with torch.no_grad():
                log_std = runner.alg.get_policy().distribution.log_std_param
                log_std.clamp_(max=float(np.log(config.noise)))
        env.episode_length_buf = torch.randint(int(env.max_episode_length), (env.num_envs,))
        _fit_critic(runner, config.critic_only)
        runner.learn(config.iterations - config.critic_only)
    state = runner.alg.save()
    checkpoint = {key: state[key] for key in ('actor_state_dict', 'critic_state_dict')}
    before = metadata.training_range
    metadata = replace(metadata, training_range=env.seen.union(before) if before else env.seen)
    checkpoint['metadata'] = metadata.to_properties()
    if curriculum := env.worlds.state():
        checkpoint['curriculum'] = curriculum
    return Trained(checkpoint, rewards, metadata)


def _fit_critic(runner: OnPolicyRunner, iterations: int) -> None:
    """Let the critic learn a world it has not seen, before it judges changes of the actor."""
    if iterations == 0:
        return
    algorithm = runner.alg
    parameters = list(algorithm.get_policy().parameters())
    schedule = algorithm.schedule
    for parameter_ in parameters:
        parameter_.requires_grad_(False)
    algorithm.schedule = 'fixed'  # a policy that does not move would drive the step size up
    runner.learn(iterations)
    algorithm.schedule = schedule
    for parameter_ in parameters:
        parameter_.requires_grad_(True)


def save_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + '.part')
    torch.save(dict(checkpoint), part)
    os.replace(part, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only: nothing in it can run).

    Raises:
        InputError: not a checkpoint.
    """
    try:
        found = dict(torch.load(path, map_location='cpu', weights_only=True))
        missing = {'actor_state_dict', 'critic_state_dict', 'metadata'} - set(found)
    except Exception as error:  # torch has no error of its own for what it cannot read
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            Fault('checkpoint', str(path), f'give one of sim2real train ({why})')
        ) from error
    if missing:
        mend = f'give one of sim2real train; it lacks {", ".join(sorted(missing))}'
        raise InputError(Fault('checkpoint', str(path), mend))
    return found
