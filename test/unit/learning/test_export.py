"""Networks of torch become bundles that act as they do."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sim2real_core.errors import InputError, MissingError, Sim2RealError
from sim2real_core.profile import load_profile
from sim2real_learning.export import exportable, read_torch
from sim2real_learning.torch_network import TorchNetwork
from sim2real_policy.agreement import normalized
from sim2real_policy.description import Description
from sim2real_policy.export import export_network
from sim2real_policy.runtime import OnnxRuntime

JOINTS, SIZE = 6, 15
TOLD = {
    'control_period': 0.02,
    'observation': [
        {'kind': 'joint_position'},
        {'kind': 'joint_velocity', 'scale': 0.05},
        {'kind': 'goal_position'},
    ],
    'action': {'meaning': 'position', 'scale': 0.25},
}
ELU = {'network': {'activation': 'elu'}}
OWN = 'from sim2real_core import errors'


@pytest.fixture(scope='module')
def arm6():
    return load_profile('arm6')


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def export(source, out, profile, told, file=None):
    described = Description(told)
    network = read_torch(str(source), described)
    return export_network(network, described, profile, file or source, out)


def perceptron(inputs=SIZE, outputs=JOINTS):
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, 32), torch.nn.ELU(), torch.nn.Linear(32, outputs)
    )


def normalizer(size=SIZE):
    mean, std = torch.randn(1, size), torch.rand(1, size) + 0.5
    return {'_mean': mean, '_std': std, '_var': std**2, 'count': torch.tensor(7)}


def prefixed(prefix, weights):
    return {f'{prefix}{name}': value for name, value in weights.items()}


def acted(module, made, steps=5):
    """Actions of the bundle, and of the module, for the same raw observations."""
    runtime, meta = OnnxRuntime(made.bundle), made.bundle.meta
    seen = np.random.default_rng(3).normal(size=(steps, SIZE)).astype(np.float32)
    given = seen
    if meta.normalizer is not None:
        given = (seen - np.array(meta.normalizer.mean)) / np.array(meta.normalizer.std)
    actions = [runtime.infer(row[None].astype(np.float32)).copy() for row in given]
    with torch.no_grad():
        expected = [module(torch.from_numpy(row[None])).numpy() for row in seen]
    return np.concatenate(actions), np.concatenate(expected)


def test_torchscript_becomes_a_bundle_for_any_number_of_robots(tmp_path, arm6):
    module = perceptron()
    source = tmp_path / 'net.pt'
    torch.jit.script(module).save(source)
    made = export(source, tmp_path / 'a.onnx', arm6, TOLD)
    assert made.difference < 1e-5
    np.testing.assert_allclose(*acted(module, made), atol=1e-5)
    assert not made.bundle.ends.single
    assert OnnxRuntime(made.bundle).infer(np.zeros((3, SIZE), np.float32)).shape == (3, JOINTS)


def test_a_module_at_hand_needs_no_file_of_its_own(tmp_path, arm6):
    module, here = perceptron().eval(), tmp_path / 'train.py'
    here.write_text('...')
    network = exportable(TorchNetwork(module))
    made = export_network(network, Description(TOLD), arm6, here, tmp_path / 'a.onnx')
    np.testing.assert_allclose(*acted(module, made), atol=1e-5)


def checkpoint_5(actor, norm):
    weights = prefixed('mlp.', actor) | prefixed('obs_normalizer.', norm)
    weights['distribution.log_std_param'] = torch.zeros(JOINTS)
    return {'actor_state_dict': weights, 'critic_state_dict': {}, 'iter': 3}


def checkpoint_3(actor, norm):
    weights = prefixed('actor.', actor) | prefixed('critic.', actor)
    weights |= prefixed('actor_obs_normalizer.', norm) | {'std': torch.ones(JOINTS)}
    return {'model_state_dict': weights, 'optimizer_state_dict': {}}


def checkpoint_2(actor, norm):
    weights = prefixed('actor.', actor) | prefixed('critic.', actor)
    return {'model_state_dict': weights, 'obs_norm_state_dict': norm}


@pytest.mark.parametrize('version', [checkpoint_5, checkpoint_3, checkpoint_2])
def test_checkpoints_of_every_rsl_rl_act_as_they_did_in_training(tmp_path, arm6, version):
    actor, norm, source = perceptron(), normalizer(), tmp_path / 'model_3.pt'
    torch.save(version(actor.state_dict(), norm), source)
    made = export(source, tmp_path / 'a.onnx', arm6, TOLD | ELU)
    assert made.difference < 1e-5

    def trained(seen):  # rsl_rl.modules.EmpiricalNormalization, then the actor
        return actor((seen - norm['_mean']) / (norm['_std'] + 1e-2))

    np.testing.assert_allclose(*acted(trained, made), atol=1e-5)
    np.testing.assert_array_equal(
        np.array(made.bundle.meta.normalizer.mean, np.float32), norm['_mean'].numpy()[0]
    )


GOLDEN = sorted((Path(__file__).parents[2] / 'golden' / 'rsl_rl').glob('*.pt'))


@pytest.mark.parametrize('source', GOLDEN, ids=lambda path: path.stem)
def test_checkpoints_that_rsl_rl_wrote_act_as_in_rsl_rl(tmp_path, arm6, source):
    """Of versions 1 to 5, with normalizers, memories and students; see make_rsl_rl.py."""
    told = {'activation': 'elu'}
    if source.stem.endswith('heteroscedastic'):
        told['distribution'] = 'heteroscedastic'
    made = export(source, tmp_path / 'a.onnx', arm6, TOLD | {'network': told})
    meta, expected = made.bundle.meta, np.load(source.with_suffix('.npz'))
    memories = {'lstm': 2, 'gru': 1}
    assert made.difference < 1e-5
    assert len(meta.state) == memories.get(source.stem.rpartition('_')[2], 0)
    assert (meta.normalizer is None) == source.stem.startswith('1.')
    runtime = OnnxRuntime(made.bundle)
    for seen, action in zip(expected['observations'], expected['actions']):
        given = runtime.infer(normalized(meta, seen[None]))[0]
        np.testing.assert_allclose(given, action, atol=1e-5)


def test_all_versions_of_rsl_rl_are_there():
    assert {path.stem.partition('.')[0] for path in GOLDEN} == set('12345')


def rsl_rl_model(kind, **more):
    from rsl_rl.models import MLPModel, RNNModel
    from tensordict import TensorDict

    seen = TensorDict({'policy': torch.zeros(1, SIZE)}, batch_size=[1])
    model = {'mlp': MLPModel, 'rnn': RNNModel}[kind](
        seen, {'actor': ['policy']}, 'actor', JOINTS, hidden_dims=[24, 16], activation='tanh',
        obs_normalization=True, **more,
    )  # fmt: skip
    model.train()
    for _ in range(3):
        batch = TensorDict({'policy': 2 + torch.randn(64, SIZE)}, batch_size=[64])
        model.update_normalization(batch)
    return model.eval()


@pytest.mark.parametrize('rnn', ['lstm', 'gru'])
@pytest.mark.parametrize('layers', [1, 2])
def test_recurrent_actors_of_rsl_rl_act_as_rsl_rl_lets_them(tmp_path, arm6, rnn, layers):
    model = rsl_rl_model('rnn', rnn_type=rnn, rnn_hidden_dim=20, rnn_num_layers=layers)
    checkpoint, script = tmp_path / 'model_9.pt', tmp_path / 'policy.pt'
    torch.save({'actor_state_dict': model.state_dict(), 'critic_state_dict': {}}, checkpoint)
    torch.jit.script(model.as_jit()).save(script)
    told = TOLD | {'network': {'activation': 'tanh'}}
    for source in (checkpoint, script):
        made = export(source, tmp_path / 'a.onnx', arm6, told)
        assert made.difference < 1e-5
        names = [state.input for state in made.bundle.meta.state]
        assert names == ['h_in', 'c_in'][: len(names)] and len(names) == 1 + (rnn == 'lstm')
        assert made.bundle.meta.state[0].shape == (layers, 1, 20)
        reference = torch.jit.load(script)
        actions, expected = acted(reference, made, steps=20)
        np.testing.assert_allclose(actions, expected, atol=1e-5)
        assert np.abs(np.diff(actions, axis=0)).max() > 1e-3


def test_the_mean_of_a_heteroscedastic_actor_is_its_action(tmp_path, arm6):
    config = {'class_name': 'HeteroscedasticGaussianDistribution', 'init_std': 1.0}
    model = rsl_rl_model('mlp', distribution_cfg=config)
    source = tmp_path / 'model_1.pt'
    torch.save({'actor_state_dict': model.state_dict(), 'critic_state_dict': {}}, source)
    told = TOLD | {'network': {'activation': 'tanh', 'distribution': 'heteroscedastic'}}
    made = export(source, tmp_path / 'a.onnx', arm6, told)
    np.testing.assert_allclose(*acted(model.as_jit(), made), atol=1e-5)


FUNCTION = """
import torch


class Seeing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.eye = torch.nn.Conv2d(3, 4, 3, stride=2)
        self.cell = torch.nn.GRUCell(4 + 15, 8)
        self.hand = torch.nn.Linear(8, 6)

    def forward(self, observation, camera, memory):
        seen = self.eye(camera).mean(dim=(2, 3))
        after = self.cell(torch.cat([observation, seen], dim=1), memory)
        return self.hand(after), after


def build():
    torch.manual_seed(4)
    return Seeing()


def nothing():
    return 3
"""


def test_a_function_gives_a_network_that_sees_and_remembers(tmp_path, arm6):
    file = tmp_path / 'nets.py'
    file.write_text(FUNCTION)
    image = dict(name='camera', topic='camera/image_raw', height=12, width=16, encoding='rgb8',
                 scale=1 / 255)  # fmt: skip
    state = dict(input='memory', output='after', shape=[1, 8])
    told = TOLD | {'images': [image], 'state': [state]}
    made = export(f'{file}:build', tmp_path / 'a.onnx', arm6, told, file)
    assert made.difference < 1e-5
    assert made.bundle.ends.inputs['camera'] == (1, 3, 12, 16)
    runtime = OnnxRuntime(made.bundle)
    bright = {'camera': np.ones((1, 3, 12, 16), np.float32)}
    dark = {'camera': np.zeros((1, 3, 12, 16), np.float32)}
    seen = np.zeros((1, SIZE), np.float32)
    first = runtime.infer(seen, bright).copy()
    assert not np.allclose(runtime.infer(seen, dark), first)
    runtime.reset()
    np.testing.assert_array_equal(runtime.infer(seen, bright), first)


@pytest.mark.parametrize('name', ['nothing', 'absent'])
def test_a_function_that_gives_no_network_is_bad_input(tmp_path, arm6, name):
    file = tmp_path / 'nets.py'
    file.write_text(FUNCTION)
    with pytest.raises(InputError, match='returns a torch module'):
        export(f'{file}:{name}', tmp_path / 'a.onnx', arm6, TOLD, file)


def test_what_is_no_network_is_named(tmp_path, arm6):
    source, out = tmp_path / 'a.pt', tmp_path / 'a.onnx'
    with pytest.raises(InputError, match='give an existing file'):
        export(source, out, arm6, TOLD)
    source.write_bytes(b'junk')
    with pytest.raises(InputError, match='give TorchScript'):
        export(source, out, arm6, TOLD)
    torch.save(perceptron(), source)
    with pytest.raises(InputError, match='could run anything'):
        export(source, out, arm6, TOLD)
    torch.save({'epoch': 3}, source)
    with pytest.raises(InputError, match='it has epoch'):
        export(source, out, arm6, TOLD)
    weights = prefixed('mlp.', perceptron().state_dict()) | {'cnn.0.weight': torch.zeros(1)}
    torch.save({'actor_state_dict': weights}, source)
    with pytest.raises(InputError) as caught:
        export(source, out, arm6, TOLD)
    said = {fault.field: fault.value for fault in caught.value.faults}
    assert said == {'source': 'cnn.0.weight', 'network.activation': None}


def gru(hidden=8):
    sizes = {'weight_ih': (SIZE,), 'weight_hh': (hidden,), 'bias_ih': (), 'bias_hh': ()}
    layer = {f'{name}_l0': torch.zeros(3 * hidden, *more) for name, more in sizes.items()}
    last = torch.nn.Linear(hidden, JOINTS).state_dict()
    return prefixed('memory_a.rnn.', layer) | prefixed('actor.0.', last)


CHECKPOINTS = {
    'mlp': prefixed('actor.', perceptron().state_dict())
    | prefixed('actor_obs_normalizer.', normalizer()),
    'gru': gru(),
}
SPOILED = [
    torch.zeros(()), torch.zeros(3), torch.zeros(7, 9), torch.zeros(2, 3, 4), 'x', None,
]  # fmt: skip


@pytest.mark.parametrize('kind', CHECKPOINTS)
def test_weights_that_make_no_network_are_named(tmp_path, arm6, kind):
    source, out, whole = tmp_path / 'a.pt', tmp_path / 'a.onnx', CHECKPOINTS[kind]

    def refused(weights):
        torch.save({'model_state_dict': weights}, source)
        with pytest.raises(InputError) as caught:
            export(source, out, arm6, TOLD | ELU)
        return str(caught.value)

    for name in whole:
        if name.endswith(('count', '_var')):
            continue  # nothing needs it
        for value in SPOILED:
            said = refused({**whole, name: value})
            assert 'normalizer' in said or name.split('.')[0] in said
        refused({key: value for key, value in whole.items() if key != name})
    assert not out.exists()
    torch.save({'model_state_dict': whole}, source)
    assert export(source, out, arm6, TOLD | ELU).difference < 1e-5


@pytest.mark.parametrize('found', [None, 3, [], 'x', {3: torch.zeros(1)}])
def test_a_checkpoint_without_weights_is_bad_input(tmp_path, arm6, found):
    source = tmp_path / 'a.pt'
    for whole in ({'model_state_dict': found}, {'model_state_dict': {}, 'metadata': found}, found):
        torch.save(whole, source)
        with pytest.raises(InputError):
            export(source, tmp_path / 'a.onnx', arm6, TOLD | ELU)


@pytest.mark.parametrize('network', [3, 'elu', ['elu'], {'activation': 'nix'}])
def test_a_network_that_is_told_wrongly_is_named(tmp_path, arm6, network):
    source = tmp_path / 'a.pt'
    torch.save({'model_state_dict': CHECKPOINTS['mlp']}, source)
    with pytest.raises(InputError, match='network'):
        export(source, tmp_path / 'a.onnx', arm6, TOLD | {'network': network})


def test_damaged_torchscript_is_bad_input(tmp_path, arm6):
    source = tmp_path / 'a.pt'
    torch.jit.script(perceptron()).save(source)
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for ending in ('.py', 'data.pkl'):
        damaged = [name for name in parts if name.endswith(ending)]
        assert damaged
        with zipfile.ZipFile(source, 'w') as archive:
            for name, content in parts.items():
                archive.writestr(name, content[:7] if name in damaged else content)
        with pytest.raises(InputError, match='torch.jit.save') as caught:
            read_torch(str(source), Description(TOLD))
        assert caught.value.faults[0].value == str(source)


@pytest.mark.parametrize('key', ['actor_state_dict', 'obs_norm_state_dict'])
@pytest.mark.parametrize('value', [torch.zeros(1), torch.zeros(3), 0, ''])
def test_what_is_no_mapping_of_weights_is_named(tmp_path, arm6, key, value):
    source = tmp_path / 'a.pt'
    torch.save({'actor_state_dict': CHECKPOINTS['mlp'], key: value}, source)
    with pytest.raises(InputError, match=f'{key} = .*must be a mapping'):
        export(source, tmp_path / 'a.onnx', arm6, TOLD | ELU)


@pytest.mark.parametrize('text', ['def f(:', 'def f(): return 1 / 0'])
def test_a_function_that_fails_is_named_with_its_error(tmp_path, arm6, text):
    file = tmp_path / 'nets.py'
    file.write_text(text)
    with pytest.raises(InputError, match=r'nets\.py:f.*it fails: \w+Error'):
        export(f'{file}:f', tmp_path / 'a.onnx', arm6, TOLD, file)


@pytest.mark.parametrize(
    'text, error, said',
    [
        ('import no_such_package', MissingError, r"nets\.py:f: .*'no_such_package': install it"),
        ('def f():\n    from no_such_package import g', MissingError, 'no_such_package'),
        (f'{OWN}\ndef f():\n    raise errors.MissingError("get it")', MissingError, '^get it$'),
        (f'{OWN}\ndef f():\n    raise errors.InputError(errors.Fault("x", 1, "y"))', InputError,
         '^x = 1: y$'),
    ],
)  # fmt: skip
def test_what_a_function_misses_or_says_of_its_input_is_passed_on(
    tmp_path, arm6, text, error, said
):
    file = tmp_path / 'nets.py'
    file.write_text(text)
    with pytest.raises(error, match=said):
        export(f'{file}:f', tmp_path / 'a.onnx', arm6, TOLD, file)


def test_a_network_that_gives_no_numbers_is_not_exported(tmp_path, arm6):
    source, net = tmp_path / 'a.pt', perceptron()
    torch.nn.init.constant_(net[0].weight, np.nan)
    torch.jit.script(net).save(source)
    with pytest.raises(Sim2RealError, match='not finite'):
        export(source, tmp_path / 'a.onnx', arm6, TOLD)


@pytest.mark.parametrize('inputs, outputs', [(SIZE + 1, JOINTS), (SIZE, JOINTS - 1)])
def test_a_network_of_another_size_is_named(tmp_path, arm6, inputs, outputs):
    source = tmp_path / 'net.pt'
    torch.jit.script(perceptron(inputs, outputs)).save(source)
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', arm6, TOLD)
    assert [fault.field for fault in caught.value.faults] in (['network'], ['model.output'])
