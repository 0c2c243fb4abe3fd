"""ONNX files of all kinds become bundles: plain ones, bundles, those of mjlab and of LEAPP."""

import hashlib
import json

import numpy as np
import pytest

from sim2real_core.errors import InputError, Sim2RealError
from sim2real_core.files import find
from sim2real_core.profile import load_profile
from sim2real_policy.agreement import normalized
from sim2real_policy.bundle import load_bundle
from sim2real_policy.description import Description
from sim2real_policy.export import export_network
from sim2real_policy.observation import Assembler
from sim2real_policy.onnx_source import read_onnx
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
networks = pytest.importorskip('test.unit.policy.networks')

TOLD = {
    'control_period': 0.02,
    'observation': [{'kind': 'joint_position'}, {'kind': 'joint_velocity', 'history': 2}],
    'action': {'meaning': 'position', 'scale': 0.1 + 0.2},
}


def fields(caught):
    return [fault.field for fault in caught.value.faults]


def linear(size, actions, seed=0):
    weights = np.random.default_rng(seed).normal(size=(size, actions)).astype(np.float32)
    return onnx.helper.make_node('MatMul', ['obs', 'w'], ['actions']), {'w': weights}


def plain(path, size=6, actions=2, batch='n', **properties):
    node, weights = linear(size, actions)
    raw = networks.model([node], {'obs': [batch, size]}, {'actions': [batch, actions]}, weights)
    model = onnx.load_from_string(raw)
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return weights['w']


def export(source, out, profile, told):
    described = Description(told)
    network = read_onnx(source, profile, described.values)
    return export_network(network, described, profile, source, out)


def test_a_plain_model_becomes_a_bundle_that_says_where_it_comes_from(tmp_path, robot):
    source, out = tmp_path / 'net.onnx', tmp_path / 'a.onnx'
    weights = plain(source)
    made = export(source, out, robot(), TOLD)
    assert made.difference == 0.0 and load_bundle(out).meta == made.bundle.meta
    assert made.bundle.meta.action.scale == (0.1 + 0.2,) * 2
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert made.bundle.meta.training['source'] == {'file': 'net.onnx', 'sha256': digest}
    seen = np.arange(6, dtype=np.float32)[None]
    np.testing.assert_allclose(OnnxRuntime(made.bundle).infer(seen), seen @ weights, rtol=1e-5)
    assert [p.name for p in tmp_path.glob('*.part')] == []


def test_states_are_found_by_their_names(tmp_path, robot):
    source = tmp_path / 'net.onnx'
    raw, _, _ = networks.integrator(6, 2)
    source.write_bytes(raw)
    made = export(source, tmp_path / 'a.onnx', robot(), TOLD)
    (state,) = made.bundle.meta.state
    assert (state.input, state.output, state.shape) == ('h_in', 'h_out', (1, 3))
    assert made.difference == 0.0


def test_images_are_told(tmp_path, robot):
    source = tmp_path / 'net.onnx'
    raw, _ = networks.seeing(6, 2, (1, 4, 5))
    source.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', robot(), TOLD)
    assert 'model.inputs' in fields(caught)
    image = dict(name='camera', topic='eye', height=4, width=5, encoding='16UC1', scale=1e-4)
    made = export(source, tmp_path / 'a.onnx', robot(), TOLD | {'images': [image]})
    assert made.bundle.meta.images[0].shape == (1, 4, 5) and made.difference == 0.0


def test_a_bundle_is_written_anew_and_keeps_what_it_says(tmp_path):
    profile, source = load_profile('arm6'), find('policies', 'arm6', '.onnx')
    made = export(source, tmp_path / 'a.onnx', profile, {})
    old, new = load_bundle(source).meta, made.bundle.meta
    assert made.difference == 0.0
    for name in ('observation', 'action', 'limits', 'default_position', 'goal', 'profile'):
        assert getattr(new, name) == getattr(old, name), name
    slower = export(source, tmp_path / 'b.onnx', profile, {'control_period': 0.04})
    assert slower.bundle.meta.control_period == 0.04


@pytest.mark.parametrize('content', [b'', b'junk', b'\x08\x07'])
def test_a_file_that_is_no_model_is_bad_input(tmp_path, robot, content):
    source = tmp_path / 'net.onnx'
    source.write_bytes(content)
    with pytest.raises(InputError, match='give an ONNX model'):
        export(source, tmp_path / 'a.onnx', robot(), TOLD)


def test_nothing_is_written_for_a_robot_that_cannot_run_it(tmp_path, robot):
    source, out = tmp_path / 'net.onnx', tmp_path / 'a.onnx'
    plain(source)
    with pytest.raises(InputError) as caught:
        export(source, out, robot('velocity'), TOLD)
    assert fields(caught) == ['bundle.action.meaning']
    assert list(tmp_path.glob('a*')) == []


def test_nothing_is_written_that_differs_from_its_network(tmp_path, robot):
    class Other:
        def __init__(self, meta):
            self.meta = meta

        def reset(self):
            self.bias = 2e-5

        def infer(self, observation, others):
            return observation[:, :2] @ np.eye(2) * 0 + self.bias

    source, out = tmp_path / 'net.onnx', tmp_path / 'a.onnx'
    node, _ = linear(6, 2)
    zeros = {'w': np.zeros((6, 2), np.float32)}
    source.write_bytes(networks.model([node], {'obs': ['n', 6]}, {'actions': ['n', 2]}, zeros))
    profile, told = robot(), Description(TOLD)
    network = read_onnx(source, profile, TOLD)
    network = type(network)(network.model, network.described, Other)
    with pytest.raises(Sim2RealError, match='2.0e-05'):
        export_network(network, told, profile, source, out)
    assert list(tmp_path.glob('a*')) == []


@pytest.mark.parametrize('stacking', ['by_step', 'by_step_newest_first'])
def test_whole_observations_one_after_the_other_are_seen_as_in_training(tmp_path, robot, stacking):
    source, profile = tmp_path / 'net.onnx', robot()
    weights = plain(source, 12)
    mean = np.arange(12.0)
    told = TOLD | {
        'observation': [
            {'kind': 'joint_position', 'history': 3},
            {'kind': 'joint_velocity', 'history': 3},
        ],
        'stacking': stacking,
        'normalizer': {'mean': mean.tolist(), 'std': 2.0},
    }
    made = export(source, tmp_path / 'a.onnx', profile, told)
    assert made.difference < 1e-5
    meta, runtime = made.bundle.meta, OnnxRuntime(made.bundle)
    default = np.array(meta.default_position)
    assembler, past = Assembler(meta.observation, default), []
    rng = np.random.default_rng(0)
    for _ in range(5):
        position, velocity = rng.normal(size=(1, 2)), rng.normal(size=(1, 2))
        seen = assembler.update({'position': position, 'velocity': velocity})
        step = np.concatenate([position[0] - default, velocity[0]])
        past = [*past[1:], step] if past else [step] * 3
        whole = np.concatenate(past if stacking == 'by_step' else past[::-1])
        expected = ((whole - mean) / 2.0).astype(np.float32) @ weights
        action = runtime.infer(normalized(meta, seen))
        np.testing.assert_allclose(action[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('stacking', ['by_step', 'sideways', None, ['by_step']])
def test_a_stacking_that_cannot_be_is_named(tmp_path, robot, stacking):
    source = tmp_path / 'net.onnx'
    plain(source)
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', robot(), TOLD | {'stacking': stacking})
    assert fields(caught) == ['stacking']


# mjlab and BeyondMimic

MJLAB = dict(
    run_path='team/run',
    joint_names='turn,reach',
    joint_stiffness='20.000,40.179',
    joint_damping='1.000,2.558',
    default_joint_pos='0.250,0.500',
    command_names='twist',
    observation_names='joint_pos,joint_vel,actions,command',
    action_scale='0.548,0.439',
)


def test_metadata_of_mjlab_is_understood(tmp_path, robot):
    source = tmp_path / 'net.onnx'
    plain(source, 9, batch=1, **MJLAB)
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', robot(), {})
    assert fields(caught) == ['control_period']
    made = export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02})
    meta = made.bundle.meta
    kinds = [term.kind for term in meta.observation.terms]
    assert kinds == ['joint_position', 'joint_velocity', 'previous_action', 'velocity_command']
    assert meta.action.meaning == 'position' and meta.action.scale == (0.548, 0.439)
    assert meta.gains.stiffness == (20.0, 40.179) and meta.default_position == (0.25, 0.5)
    assert (meta.goal.kind, meta.goal.frame) == ('base_velocity', 'base')
    assert meta.training['run_path'] == 'team/run'
    assert any('three decimals' in remark for remark in made.remarks)


HISTORY = 'observation_terms_history_length'
PROCESSED = dict(  # as mjlab 1.6 writes them: elements of an entry with semicolons
    observation_terms_scale='1.000,0.050;0.100,1.000,2.000',
    observation_terms_flatten_history_dim='1.000,1.000,1.000,1.000',
    observation_terms_history_length='0.000,3.000,1.000,0.000',
    observation_terms_clip='-inf;inf,-inf;inf,-1.000;1.000,-inf;0.500',
)


def test_scales_clips_and_histories_of_mjlab_are_taken(tmp_path, robot):
    source = tmp_path / 'net.onnx'
    plain(source, 2 + 3 * 2 + 2 + 3, batch=1, **(MJLAB | PROCESSED))
    made = export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02})
    position, velocity, action, command = made.bundle.meta.observation.terms
    assert (position.scale, position.clip, position.history) == (1.0, None, 1)
    assert (velocity.scale, velocity.clip, velocity.history) == ((0.05, 0.1), None, 3)
    assert (action.scale, action.clip, action.history) == (1.0, (-1.0, 1.0), 1)
    # They clip before they scale: at most 0.5 there is at most 1.0 here.
    assert command.scale == 2.0 and command.clip[1] == 1.0 and command.clip[0] < -1e38
    assert not any('unscaled' in remark for remark in made.remarks)


@pytest.mark.parametrize(
    'changed, expected',
    [
        ({'observation_terms_scale': '1.000,2.000'}, ['observation_terms_scale']),
        ({'observation_terms_scale': '1.0,big,1.0,1.0'}, ['observation_terms_scale']),
        (
            {'observation_terms_clip': '-inf;inf,-1.000;1.000,-inf;inf,-inf;inf'},
            ['observation_terms_clip'],  # one range, and two scales
        ),
        ({'observation_terms_clip': '-1.0,-1.0,-1.0,-1.0'}, ['observation_terms_clip'] * 4),
        (
            {'observation_terms_flatten_history_dim': '1.000,False,1.000,1.000'},
            ['observation_terms_flatten_history_dim'],
        ),
        ({'observation_terms_history_length': '0.000,2.000,1.000,0.000'}, ['observation_names']),
        ({'observation_terms_history_length': 'inf,nan,1.5,0'}, [HISTORY] * 3),
        ({'observation_terms_history_length': '2;2,3.000,1,0'}, [HISTORY]),
    ],
)
def test_what_mjlab_says_of_terms_that_cannot_be_is_named(tmp_path, robot, changed, expected):
    source = tmp_path / 'net.onnx'
    plain(source, 2 + 3 * 2 + 2 + 3, batch=1, **(MJLAB | PROCESSED | changed))
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02})
    assert fields(caught) == expected


def test_one_number_and_nested_names_as_they_are_printed(tmp_path, robot):
    source = tmp_path / 'net.onnx'
    changed = dict(action_scale='0.5', observation_names="['joint_pos', 'joint_vel']")
    plain(source, 4, batch=1, **(MJLAB | changed))
    meta = export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02}).bundle.meta
    assert meta.action.scale == (0.5, 0.5) and meta.observation.size == 4


@pytest.mark.parametrize(
    'changed, size, expected',
    [
        ({'observation_names': 'joint_pos,motion_anchor_pos_b'}, 9, ['observation_names']),
        ({'command_names': 'motion'}, 9, ['observation_names']),
        ({}, 18, ['observation_names']),
        ({'default_joint_pos': '1.0,2.0,3.0'}, 9, ['default_joint_pos']),
        ({'action_scale': "{'.*': 0.5}"}, 9, ['action_scale']),
        ({'joint_stiffness': 'high'}, 9, ['joint_stiffness']),
    ],
)
def test_what_mjlab_says_that_has_no_counterpart_is_named(
    tmp_path, robot, changed, size, expected
):
    source = tmp_path / 'net.onnx'
    plain(source, size, batch=1, **(MJLAB | changed))
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02})
    assert fields(caught) == expected
    told = TOLD | {  # nothing of it needs to be read then
        'observation': [{'kind': 'velocity_command', 'history': size // 3}],
        'default_position': [0.0, 0.0],
        'gains': {'stiffness': 1},
    }
    assert export(source, tmp_path / 'a.onnx', robot(), told).difference == 0.0


def test_a_motion_of_beyondmimic_is_refused_by_name(tmp_path, robot):
    node, weights = linear(9, 2)
    step = onnx.helper.make_node('Identity', ['time_step'], ['joint_pos'])
    raw = networks.model(
        [node, step],
        {'obs': [1, 9], 'time_step': [1, 1]},
        {'actions': [1, 2], 'joint_pos': [1, 1]},
        weights,
    )
    source = tmp_path / 'net.onnx'
    model = onnx.load_from_string(raw)
    for key, value in MJLAB.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, source)
    with pytest.raises(InputError) as caught:
        export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02})
    assert fields(caught) == ['model.inputs']
    assert caught.value.faults[0].value == ['obs', 'time_step']


def test_the_metadata_of_others_stays_in_the_file(tmp_path, robot):
    source = tmp_path / 'net.onnx'
    plain(source, 9, batch=1, **MJLAB)
    made = export(source, tmp_path / 'a.onnx', robot(), {'control_period': 0.02})
    kept = {p.key: p.value for p in onnx.load_from_string(made.bundle.model).metadata_props}
    assert kept['joint_stiffness'] == MJLAB['joint_stiffness']
    assert json.loads(kept['sim2real.gains'])['stiffness'] == [20.0, 40.179]
