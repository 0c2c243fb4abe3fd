"""Writes checkpoints of one version of rsl_rl to ``rsl_rl/``, as its runners save them.

Each lies beside what rsl_rl itself does with it: observations and actions of some steps. The
weights are random, the normalizers have seen some data. For each version, from its sources::

    git clone https://github.com/leggedrobotics/rsl_rl && cd rsl_rl
    git checkout v3.3.0
    PYTHONPATH=. python .../test/golden/make_rsl_rl.py 3.3.0

Made so of 1.0.2, 2.3.3, 3.3.0, 4.0.1 and 5.4.2.
"""

import inspect
import sys
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).with_name('rsl_rl')
SIZE, ACTIONS, STEPS, HIDDEN = 15, 6, 5, [8, 7]
MEMORY = {'rnn_hidden_dim': 6, 'rnn_hidden_size': 6, 'rnn_num_layers': 2}


def fitting(make, **values):
    """Call with those values that it knows."""
    known = inspect.signature(make.__init__).parameters
    return make(**{name: value for name, value in values.items() if name in known})


def observations(count):
    """As a version wants them, see below."""
    return 2.0 + 3.0 * torch.randn(count, SIZE)


def until_2(kind):
    """Versions 1 and 2: one module for everything, its normalizer beside it."""
    from rsl_rl import modules

    recurrent = kind in ('lstm', 'gru')
    name = 'ActorCriticRecurrent' if recurrent else 'ActorCritic'
    name = 'StudentTeacher' if kind == 'student' else name
    sizes = dict.fromkeys(
        ('num_actor_obs', 'num_critic_obs', 'num_student_obs', 'num_teacher_obs'), SIZE
    )
    hidden = {f'{who}_hidden_dims': HIDDEN for who in ('actor', 'critic', 'student', 'teacher')}
    policy = fitting(
        getattr(modules, name), num_actions=ACTIONS, activation='elu', rnn_type=kind,
        **sizes, **hidden, **MEMORY,
    )  # fmt: skip
    saved = {'model_state_dict': policy.state_dict(), 'optimizer_state_dict': {}, 'iter': 7}
    see = torch.nn.Identity()
    if hasattr(modules, 'EmpiricalNormalization'):
        see = modules.EmpiricalNormalization(shape=[SIZE], until=10**8)
        see(observations(100))
        see.eval()
        saved |= {'obs_norm_state_dict': see.state_dict()}
        saved |= {'privileged_obs_norm_state_dict': see.state_dict()}
    return saved, lambda seen: policy.act_inference(see(seen))


def of_3(kind):
    """Version 3: the normalizer is part of the module."""
    from rsl_rl import modules
    from tensordict import TensorDict

    name = 'ActorCriticRecurrent' if kind in ('lstm', 'gru') else 'ActorCritic'
    name = 'StudentTeacher' if kind == 'student' else name
    groups = {name: ['policy'] for name in ('policy', 'critic', 'teacher')}
    hidden = {f'{who}_hidden_dims': HIDDEN for who in ('actor', 'critic', 'student', 'teacher')}
    normalized = {f'{who}_obs_normalization': True for who in ('actor', 'critic', 'student')}
    policy = fitting(
        getattr(modules, name), obs=TensorDict({'policy': observations(1)}, [1]),
        obs_groups=groups, num_actions=ACTIONS, activation='elu', rnn_type=kind,
        state_dependent_std=kind == 'heteroscedastic', **hidden, **normalized, **MEMORY,
    )  # fmt: skip
    policy.update_normalization(TensorDict({'policy': observations(100)}, [100]))
    policy.eval()
    saved = {'model_state_dict': policy.state_dict(), 'optimizer_state_dict': {}, 'iter': 7}
    return saved, lambda seen: policy.act_inference(TensorDict({'policy': seen}, [1]))


def since_4(kind):
    """Versions 4 and 5: a model for each part."""
    from rsl_rl import models
    from tensordict import TensorDict

    name = 'RNNModel' if kind in ('lstm', 'gru') else 'MLPModel'
    distribution = 'Heteroscedastic' if kind == 'heteroscedastic' else ''
    model = fitting(
        getattr(models, name), obs=TensorDict({'policy': observations(1)}, [1]),
        obs_groups={'actor': ['policy']}, obs_set='actor', output_dim=ACTIONS,
        hidden_dims=HIDDEN, activation='elu', obs_normalization=True, stochastic=True,
        state_dependent_std=kind == 'heteroscedastic', rnn_type=kind,
        distribution_cfg={'class_name': f'{distribution}GaussianDistribution', 'init_std': 1.0},
        **MEMORY,
    )  # fmt: skip
    model.update_normalization(TensorDict({'policy': observations(100)}, [100]))
    model.eval()
    who = ('student', 'teacher') if kind == 'student' else ('actor', 'critic')
    saved = {f'{name}_state_dict': model.state_dict() for name in who}
    saved |= {'optimizer_state_dict': {}, 'iter': 7, 'infos': None}
    return saved, lambda seen: model(TensorDict({'policy': seen}, [1]))


def main(version):
    FOLDER.mkdir(exist_ok=True)
    major = int(version.split('.')[0])
    kinds = ['mlp', 'lstm', 'gru'] + ['student'] * (major > 1) + ['heteroscedastic'] * (major > 2)
    for kind in kinds:
        torch.manual_seed(0)
        saved, act = (until_2 if major < 3 else of_3 if major == 3 else since_4)(kind)
        stem = FOLDER / f'{version}_{kind}'
        torch.save(saved, f'{stem}.pt')
        seen = observations(STEPS)
        with torch.no_grad():
            actions = [act(row[None]).reshape(ACTIONS).numpy() for row in seen]
        np.savez_compressed(f'{stem}.npz', observations=seen.numpy(), actions=np.stack(actions))


if __name__ == '__main__':
    main(sys.argv[1])
