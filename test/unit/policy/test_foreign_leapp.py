"""What LEAPP exports becomes a bundle: wiring, names, feedback."""

import hashlib
import json

import numpy as np
import pytest
import yaml

from sim2real_core.errors import InputError
from sim2real_policy.description import Description
from sim2real_policy.export import export_network
from sim2real_policy.foreign_leapp import read_leapp
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
networks = pytest.importorskip('test.unit.policy.networks')
node = onnx.helper.make_node

DEFAULT = np.array([0.25, 0.5])  # of the robot: turn, reach


def port(name, shape, kind='', names=None, **more):
    found = {'name': name, 'dtype': 'float32', 'shape': shape, 'type': 'tensor', **more}
    said = {'kind': kind, 'element_names': names}
    return found | {key: value for key, value in said.items() if value}


@pytest.fixture
def leapp(tmp_path):
    """Two models: features of joints and memory, then targets. Positions come reach first."""

    def make(change=lambda data: None):
        features = networks.model(
            [
                node('Concat', ['position', 'velocity', 'command'], ['seen'], axis=0),
                node('Add', ['memory', 'seen'], ['kept']),
                node('Identity', ['kept'], ['features']),
            ],
            {'position': [2], 'velocity': [2], 'command': [3], 'memory': [7]},
            {'features': [7], 'kept': [7]},
        )
        weights = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
        hand = networks.model(
            [
                node('MatMul', ['features', 'w'], ['both']),
                node('Split', ['both'], ['turn_target', 'reach_target'], axis=0, num_outputs=2),
                node('Identity', ['kp_value'], ['kp']),
            ],
            {'features': [7]},
            {'turn_target': [1], 'reach_target': [1], 'kp': [2]},
            {'w': weights, 'kp_value': np.ones(2, np.float32)},
        )
        models = {'obs': features, 'policy': hand}
        for name, model in models.items():
            proto = onnx.load_from_string(model)
            proto.opset_import[0].version = 18
            (tmp_path / f'{name}.onnx').write_bytes(proto.SerializeToString())
        data = {
            'models': {
                'obs': {
                    'inputs': [
                        port('position', [2], 'state/joint/position', [['reach', 'turn']]),
                        port('velocity', [2], 'state/joint/velocity', ['turn', 'reach']),
                        port('command', [3], 'command/body/velocity'),
                        port('memory', [7]),
                    ],
                    'outputs': [port('features', [7]), port('kept', [7])],
                },
                'policy': {
                    'inputs': [port('features', [7])],
                    'outputs': [
                        port('turn_target', [1], 'target/joint/position', 'turn'),
                        port('reach_target', [1], 'target/joint/position', [['reach']]),
                        port('kp', [2], 'kp', [['turn', 'reach']]),
                    ],
                },
            },
            'pipeline': {
                'data_flow': {'obs/features': ['policy/features']},
                'feedback_flow': {'obs/kept': ['obs/memory']},
                'inputs': {'obs': ['position', 'velocity', 'command']},
                'outputs': {'policy': ['turn_target', 'reach_target', 'kp']},
                'configs': {'frequency': 50},
            },
            'system information': {'leapp version': '0.7.1', 'leapp config version': '1.3'},
        }
        for name, model in data['models'].items():
            file = tmp_path / f'{name}.onnx'
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            model['parameters'] = {
                'backend': 'onnx', 'model_path': file.name, 'sha256sum': digest,
            }  # fmt: skip
        change(data)
        path = tmp_path / 'pipeline.yaml'
        path.write_text(yaml.safe_dump(data))
        return path, weights

    return make


def export(path, robot, told=()):
    profile = robot()
    network = read_leapp(path, profile, dict(told))
    return export_network(network, Description(dict(told)), profile, path, path.parent / 'a.onnx')


def fields(caught):
    return {fault.field for fault in caught.value.faults}


def test_models_become_one_that_acts_as_they_do(leapp, robot):
    path, weights = leapp()
    made = export(path, robot)
    assert made.difference == 0.0
    meta = made.bundle.meta
    assert meta.control_period == 0.02 and meta.joints == ('turn', 'reach')
    assert [term.kind for term in meta.observation.terms] == [
        'joint_position', 'joint_velocity', 'velocity_command',
    ]  # fmt: skip
    # Positions there are absolute: what counts from the default pose here must give them back.
    np.testing.assert_array_equal(np.array(meta.observation.terms[0].offset), -DEFAULT)
    np.testing.assert_array_equal(np.array(meta.action.offset), -DEFAULT)
    runtime = OnnxRuntime(made.bundle)
    memory = np.zeros(7, np.float32)
    for seen in np.random.default_rng(5).normal(size=(4, 7)).astype(np.float32):
        memory += np.concatenate([seen[[1, 0]], seen[2:]])  # they take reach before turn
        np.testing.assert_allclose(runtime.infer(seen[None])[0], memory @ weights, rtol=1e-4)
    assert any('kp' in remark for remark in made.remarks)
    assert any('linear.x' in remark for remark in made.remarks)


def test_outputs_are_put_in_the_order_of_the_robot(leapp, robot):
    first, _ = leapp()
    before = export(first, robot).bundle

    def turned(data):
        data['pipeline']['outputs']['policy'] = ['reach_target', 'turn_target']

    after = export(leapp(turned)[0], robot).bundle
    seen = np.random.default_rng(6).normal(size=(1, 7)).astype(np.float32)
    np.testing.assert_array_equal(OnnxRuntime(before).infer(seen), OnnxRuntime(after).infer(seen))


def edit(*keys, value):
    """Changes one value of the YAML."""

    def change(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    'change, expected',
    [
        (edit('models', 'obs', 'inputs', 0, 'kind', value='state/wrench'), 'obs/position.kind'),
        (edit('models', 'obs', 'inputs', 0, 'dtype', value='int64'), 'obs/position.dtype'),
        (edit('models', 'obs', 'inputs', 0, 'shape', value=[-1]), 'obs/position.shape'),
        (
            edit('models', 'obs', 'inputs', 0, 'element_names', value=[['reach', 'grip']]),
            'obs/position.element_names',
        ),
        (
            edit('models', 'obs', 'inputs', 1, 'element_names', value=None),
            'obs/velocity.element_names',
        ),
        (
            edit('models', 'policy', 'outputs', 0, 'element_names', value=['__temporal_axis__']),
            'policy/turn_target.element_names',
        ),
        (
            edit('models', 'policy', 'outputs', 0, 'kind', value='target/joint/velocity'),
            'pipeline.outputs',
        ),
        (edit('pipeline', 'outputs', value={'policy': ['turn_target']}), 'pipeline.outputs'),
        (
            edit('models', 'policy', 'parameters', 'sha256sum', value='0' * 64),
            'models.policy.parameters.sha256sum',
        ),
        (
            edit('models', 'policy', 'parameters', 'model_path', value='gone.onnx'),
            'models.policy.parameters.model_path',
        ),
        (
            edit('models', 'policy', 'parameters', 'backend', value='jit'),
            'models.policy.parameters.backend',
        ),
        (edit('pipeline', 'feedback_flow', value={'obs/x': ['obs/y']}), 'pipeline.feedback_flow'),
    ],
)
def test_what_cannot_be_understood_is_named(leapp, robot, change, expected):
    path, _ = leapp(change)
    with pytest.raises(InputError) as caught:
        export(path, robot)
    assert expected in fields(caught)
    assert {fault.file for fault in caught.value.faults} == {str(path)}


def test_a_velocity_in_the_world_frame_is_refused(leapp, robot):
    def change(data):
        data['models']['obs']['inputs'][2].update(
            kind='state/body/linear_velocity', isaaclab_connection='state:robot:root_lin_vel_w'
        )

    with pytest.raises(InputError) as caught:
        export(leapp(change)[0], robot)
    assert fields(caught) == {'obs/command.isaaclab_connection'}


def test_the_period_is_asked_for_where_it_is_not_said(leapp, robot):
    path, _ = leapp(edit('pipeline', 'configs', value={}))
    with pytest.raises(InputError) as caught:
        export(path, robot)
    assert fields(caught) == {'control_period'}
    assert export(path, robot, {'control_period': 0.01}).bundle.meta.control_period == 0.01


@pytest.mark.parametrize('start', [0.0, 0.5])
def test_what_is_fed_back_must_start_at_zero(leapp, robot, tmp_path, start):
    values = np.full(7, start, np.float32)
    about = {'dtype': 'F32', 'shape': [7], 'data_offsets': [0, 28]}
    header = json.dumps({'obs/memory': about, '__metadata__': {'a': 'b'}}).encode()
    raw = len(header).to_bytes(8, 'little') + header + values.tobytes()
    (tmp_path / 'first.safetensors').write_bytes(raw)
    path, _ = leapp(edit('pipeline', 'initial_values', value='first.safetensors'))
    if start == 0.0:
        assert export(path, robot).difference == 0.0
        return
    with pytest.raises(InputError) as caught:
        export(path, robot)
    assert fields(caught) == {'pipeline.initial_values'}
    (tmp_path / 'first.safetensors').write_bytes(raw[:20])
    with pytest.raises(InputError, match='safetensors'):
        export(path, robot)


def test_a_default_pose_of_its_own_would_shift_absolute_positions(leapp, robot):
    path, _ = leapp()
    with pytest.raises(InputError) as caught:
        export(path, robot, {'default_position': [0.0, 0.0]})
    assert fields(caught) == {'default_position'}


def test_another_yaml_is_no_export_of_leapp(tmp_path, robot):
    path = tmp_path / 'a.yaml'
    path.write_text('name: arm6\n')
    with pytest.raises(InputError, match='not a file of LEAPP'):
        read_leapp(path, robot(), {})
