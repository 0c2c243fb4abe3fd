"""What LEAPP exports becomes a bundle: wiring, names, feedback."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_policy.agreement import normalized
from sim2real_policy.description import Description
from sim2real_policy.export import export_network
from sim2real_policy.foreign_leapp import read_leapp
from sim2real_policy.observation import Assembler
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
networks = pytest.importorskip('test.unit.policy.networks')
node = onnx.helper.make_node
GOLDEN = Path(__file__).parents[2] / 'golden'

OUTPUT = 'target/joint/position'
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
                node('Identity', ['kd_value'], ['kd']),
            ],
            {'features': [7]},
            {'turn_target': [1], 'reach_target': [1], 'kp': [2], 'kd': [2], 'both': [2]},
            {
                'w': weights,
                'kp_value': np.array([40, 30], np.float32),
                'kd_value': np.array([2, 1], np.float32),
            },
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
                        port('kd', [2], 'kd', [['reach', 'turn']]),
                        port('both', [2]),
                    ],
                },
            },
            'pipeline': {
                'data_flow': {'obs/features': ['policy/features']},
                'feedback_flow': {'obs/kept': ['obs/memory']},
                'inputs': {'obs': ['position', 'velocity', 'command']},
                'outputs': {'policy': ['turn_target', 'reach_target', 'kp', 'kd']},
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


@pytest.mark.parametrize('what, name', [('velocity', 'lin_vel'), ('acceleration', 'lin_acc')])
def test_what_is_told_in_the_world_frame_is_refused(leapp, robot, what, name):
    def change(data):
        data['models']['obs']['inputs'][2].update(
            kind=f'state/body/linear_{what}', isaaclab_connection=f'state:robot:root_{name}_w'
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


def starting(leapp, tmp_path, values, name='obs/memory'):
    """The pipeline, whose memory starts with these values."""
    about = {'dtype': 'F32', 'shape': list(values.shape), 'data_offsets': [0, values.nbytes]}
    header = json.dumps({name: about, '__metadata__': {'a': 'b'}}).encode()
    file = tmp_path / 'first.safetensors'
    file.write_bytes(len(header).to_bytes(8, 'little') + header + values.tobytes())
    return leapp(edit('pipeline', 'initial_values', value=file.name)), file


@pytest.mark.parametrize('start', [0.0, 0.5])
def test_what_is_fed_back_starts_with_what_was_exported(leapp, robot, tmp_path, start):
    (path, weights), _ = starting(leapp, tmp_path, np.full(7, start, np.float32))
    made = export(path, robot)
    assert made.difference == 0.0 and len(made.bundle.meta.state) == (2 if start else 1)
    runtime = OnnxRuntime(made.bundle)
    for _ in range(2):  # each reset starts anew
        runtime.reset()
        for step in range(3):
            given = runtime.infer(np.ones((1, 7), np.float32))[0]
            np.testing.assert_allclose(given, np.full(7, start + step + 1) @ weights, rtol=1e-5)


@pytest.mark.parametrize('values', [np.zeros(6, np.float32), np.full(7, np.nan, np.float32)])
def test_a_start_that_cannot_be_is_named(leapp, robot, tmp_path, values):
    (path, _), _ = starting(leapp, tmp_path, values)
    with pytest.raises(InputError) as caught:
        export(path, robot)
    assert fields(caught) == {'pipeline.initial_values'}


def test_a_start_of_what_is_not_fed_back_is_named(leapp, robot, tmp_path):
    (path, _), _ = starting(leapp, tmp_path, np.ones(7, np.float32), 'memory')
    with pytest.raises(InputError) as caught:
        export(path, robot)
    assert [(fault.field, fault.value) for fault in caught.value.faults] == [
        ('pipeline.initial_values', 'memory')
    ]
    (path, _), _ = starting(leapp, tmp_path, np.zeros(7, np.float32), 'memory')  # as without
    assert export(path, robot).difference == 0.0


def test_a_start_that_is_cut_off_is_named(leapp, robot, tmp_path):
    (path, _), file = starting(leapp, tmp_path, np.zeros(7, np.float32))
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match='safetensors'):
        export(path, robot)


def test_gains_are_taken_where_they_are_constants_for_all_joints(leapp, robot):
    made = export(leapp()[0], robot)
    gains = made.bundle.meta.gains
    assert gains.stiffness == (40.0, 30.0) and gains.damping == (1.0, 2.0)
    assert not any('is not used' in remark for remark in made.remarks)
    for index, value in ((3, [['turn']]), (4, [['turn', 'reach']])):  # too few; no constants
        ports = {3: 'kd', 4: 'both'}

        def change(data):
            outputs = data['models']['policy']['outputs']
            outputs[3]['kind'] = outputs[4]['kind'] = ''
            outputs[index].update(kind='kd', element_names=value)  # noqa: B023

        made = export(leapp(change)[0], robot)
        assert made.bundle.meta.gains is None
        assert f'output policy/{ports[index]} (kd) is not used' in made.remarks


def change_command(folder, change):
    """Changes the first model and the type of its input ``command``; the YAML tells the hash."""
    file, path = folder / 'obs.onnx', folder / 'pipeline.yaml'
    model = onnx.load(file)
    (given,) = (end for end in model.graph.input if end.name == 'command')
    change(model.graph, given.type.tensor_type)
    onnx.save(model, file)
    data = yaml.safe_load(path.read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    data['models']['obs']['parameters']['sha256sum'] = digest
    path.write_text(yaml.safe_dump(data))


def test_gains_are_found_where_a_dimension_has_a_name(leapp, robot, tmp_path):
    path, _ = leapp()

    def named(_, kind):
        kind.shape.dim[0].dim_param = 'n'

    change_command(tmp_path, named)
    assert export(path, robot).bundle.meta.gains.stiffness == (40.0, 30.0)


def test_gains_of_a_model_that_does_not_run_as_its_yaml_says_are_left_out(leapp, robot, tmp_path):
    path, _ = leapp()

    def of_four(graph, kind):  # found out only when it runs
        kind.shape.dim[0].dim_param = 'n'
        graph.node[0].input[2] = 'three'
        for name, value in (('four', [4]), ('none', [0]), ('three_', [3])):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        graph.node.insert(0, node('Slice', ['more', 'none', 'three_'], ['three']))
        graph.node.insert(0, node('Reshape', ['command', 'four'], ['more']))

    change_command(tmp_path, of_four)
    described = read_leapp(path, robot(), {}).described
    assert 'gains' not in described.values
    assert 'output policy/kp (kp) is not used' in described.remarks


def test_a_model_that_takes_integers_where_the_yaml_says_none_is_named(leapp, robot, tmp_path):
    path, _ = leapp()

    def of_integers(graph, kind):
        kind.elem_type = onnx.TensorProto.INT64
        graph.node[0].input[2] = 'cast'
        graph.node.insert(0, node('Cast', ['command'], ['cast'], to=onnx.TensorProto.FLOAT))

    change_command(tmp_path, of_integers)
    with pytest.raises(InputError) as caught:
        export(path, robot)
    assert [(f.field, f.value) for f in caught.value.faults] == [('obs/command.dtype', 'int64')]


@pytest.mark.parametrize('side, index', [('inputs', 2), ('outputs', 1)])
def test_ports_that_the_yaml_or_the_model_lacks_are_named(leapp, robot, side, index):
    def change(data):
        data['models']['obs'][side][index]['name'] = 'other'
        data['pipeline']['feedback_flow'] = {}

    with pytest.raises(InputError) as caught:
        export(leapp(change)[0], robot)
    (fault,) = caught.value.faults
    assert fault.field == f'models.obs.{side}' and 'obs/other' in fault.value


def test_commands_for_joints_that_the_robot_has_not_are_told(leapp, robot):
    change = edit('models', 'policy', 'outputs', 4, value=port('both', [2], OUTPUT, ['grip', 'x']))

    def further(data):
        change(data)
        data['pipeline']['outputs']['policy'].append('both')

    made = export(leapp(further)[0], robot)
    assert 'pair has no grip, x: their commands are not used' in made.remarks


ODD = [None, 7, 'x', [3], {'a': 1}, float('nan'), [[1]], [{}], ['a/b'], {3: [4]}, True, [None]]


def keys_of(data, here=()):
    """Where every value of a YAML is."""
    inside = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in inside:
        yield *here, key
        if isinstance(value, (dict, list)):
            yield from keys_of(value, (*here, key))


def test_whatever_stands_in_the_yaml_is_read_or_named(leapp, robot):
    path, _ = leapp()
    profile, text = robot(), path.read_text()
    values, named, read = itertools.cycle(ODD), 0, 0
    for keys in keys_of(yaml.safe_load(text)):
        for _ in range(2):  # of twelve: each key gets others than the next
            data = yaml.safe_load(text)
            edit(*keys, value=next(values))(data)
            path.write_text(yaml.safe_dump(data))
            try:
                read_leapp(path, profile, {})
                read += 1
            except InputError:
                named += 1
    assert named > 100 and read > 20


def test_projected_gravity_of_isaac_lab_is_known_by_its_connection(leapp, robot):
    def change(data):
        given = data['models']['obs']['inputs'][2]
        given.update(kind='state/vector3d', isaaclab_connection='state:robot:projected_gravity_b')

    with pytest.raises(InputError) as caught:
        export(leapp(change)[0], robot)
    (fault,) = caught.value.faults  # understood; but this robot has no IMU
    assert (fault.field, fault.value) == ('bundle.observation', 'projected_gravity')


def test_what_leapp_itself_exported_acts_as_in_its_own_runtime(tmp_path):
    """See ``test/golden/make_leapp.py``."""
    profile, file = load_profile('quadruped'), GOLDEN / 'leapp' / 'walk.yaml'
    network = read_leapp(file, profile, {})
    made = export_network(network, Description(), profile, file, tmp_path / 'a.onnx')
    meta, expected = made.bundle.meta, np.load(GOLDEN / 'leapp' / 'expected.npz')
    assert made.difference == 0.0 and meta.control_period == 0.02
    assert set(meta.gains.stiffness) == {25.0} and set(meta.gains.damping) == {0.5}
    order = [list(expected['joints']).index(joint) for joint in meta.joints]
    default = np.array(meta.default_position)
    assembler, runtime = Assembler(meta.observation, default), OnnxRuntime(made.bundle)
    steps = sum(name.endswith('/target') for name in expected)
    assert steps == 6
    for step in range(steps):
        sensed = {
            'position': expected[f'{step}/robot_joint_pos'][order],
            'velocity': expected[f'{step}/robot_joint_vel'][order],
            'orientation': expected[f'{step}/robot_root_quat_w'],
            'angular_velocity': expected[f'{step}/robot_root_ang_vel_b'],
            'velocity_goal': expected[f'{step}/base_velocity'],
        }
        seen = assembler.update({name: value[None] for name, value in sensed.items()})
        action = runtime.infer(normalized(meta, seen))[0]
        target = default + np.array(meta.action.offset) + np.array(meta.action.scale) * action
        np.testing.assert_allclose(target, expected[f'{step}/target'][order], atol=1e-5)


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
