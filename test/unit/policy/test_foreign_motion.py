"""Policies that follow a motion, with inputs, outputs and metadata as BeyondMimic writes them."""

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_policy.description import Description
from sim2real_policy.export import export_network
from sim2real_policy.foreign_motion import WXYZ, XYZW, products, rotation
from sim2real_policy.onnx_source import read_onnx
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
networks = pytest.importorskip('test.unit.policy.networks')
node = onnx.helper.make_node

JOINTS, STEPS, BODIES = 12, 4, 2
TERMS = ['command', 'motion_anchor_ori_b', 'base_ang_vel', 'joint_pos', 'joint_vel', 'actions']
SIZE = 2 * JOINTS + 6 + 3 + 3 * JOINTS
SENSED = 4 + 3 + 3 * JOINTS
RNG = np.random.default_rng(8)
TABLES = {
    'joint_pos': RNG.normal(size=(STEPS, JOINTS)),
    'joint_vel': RNG.normal(size=(STEPS, JOINTS)),
    'body_quat_w': RNG.normal(size=(STEPS, BODIES, 4)),
}


@pytest.fixture(scope='module')
def quadruped():
    return load_profile('quadruped')


@pytest.fixture
def motion(tmp_path, quadruped):
    """Writes such a file; weights (SIZE, JOINTS), tables of the motion, metadata."""

    def make(weights, tables=TABLES, **changed):
        nodes = [
            node('MatMul', ['obs', 'w'], ['actions']),  # before what its input will be made of
            node('Cast', ['time_step'], ['whole'], to=onnx.TensorProto.INT64),
            node('Reshape', ['whole', 'flat'], ['index']),
            node('Min', ['index', 'last'], ['clamped']),
            *(node('Gather', [f'{name}_table', 'clamped'], [name]) for name in tables),
        ]
        values = {f'{name}_table': table.astype(np.float32) for name, table in tables.items()}
        values |= {'flat': np.array([1]), 'last': np.array(STEPS - 1)}
        values['w'] = weights.astype(np.float32)
        shapes = {
            'joint_pos': [1, JOINTS],
            'joint_vel': [1, JOINTS],
            'body_quat_w': [1, BODIES, 4],
        }
        raw = networks.model(
            nodes, {'obs': [1, SIZE], 'time_step': [1, 1]}, {'actions': [1, JOINTS], **shapes},
            values,
        )  # fmt: skip
        model = onnx.load_from_string(raw)
        each = ','.join(['1.000'] * JOINTS)
        properties = dict(
            run_path='team/run', joint_names=','.join(quadruped.joint_names),
            joint_stiffness=each, joint_damping=each, default_joint_pos=default_pose(quadruped),
            command_names='motion', observation_names=','.join(TERMS), action_scale=each,
            anchor_body_name='torso', body_names='pelvis,torso',
        )  # fmt: skip
        for key, value in (properties | changed).items():
            model.metadata_props.add(key=key, value=value)
        path = tmp_path / 'motion.onnx'
        onnx.save(model, path)
        return path

    return make


def default_pose(profile):
    return ','.join(f'{value:.3f}' for value in profile.array('default_position'))


def export(path, profile, **told):
    described = Description({'control_period': 0.02, **told})
    network = read_onnx(path, profile, described.values)
    return export_network(network, described, profile, path, path.parent / 'a.onnx')


def turned(yaw, order=XYZW):
    """About the vertical; x, y, z, w are where the order says."""
    found = np.zeros(4)
    found[[order[2], order[3]]] = np.sin(yaw / 2), np.cos(yaw / 2)
    return found


def sensing(orientation):
    return np.concatenate([orientation, np.zeros(SENSED - 4)]).astype(np.float32)[None]


def test_it_acts_as_the_model_does_beside_its_motion(motion, quadruped):
    made = export(motion(RNG.normal(size=(SIZE, JOINTS))), quadruped)
    meta = made.bundle.meta
    assert made.difference < 1e-5 and meta.observation.size == SENSED
    assert [term.kind for term in meta.observation.terms] == [
        'imu_orientation', 'imu_angular_velocity', 'joint_position', 'joint_velocity',
        'previous_action',
    ]  # fmt: skip
    assert [state.input for state in meta.state] == ['time_in', 'heading_in']
    assert meta.training['run_path'] == 'team/run'
    assert any('fixed to torso' in remark for remark in made.remarks)


@pytest.mark.parametrize('robot, begin', [(0.0, 0.0), (2.5, -1.0), (-3.0, 3.0)])
def test_the_motion_begins_with_the_heading_of_the_robot(motion, quadruped, robot, begin):
    weights = np.zeros((SIZE, JOINTS))
    weights[2 * JOINTS + np.arange(6), np.arange(6)] = 1.0  # shows the anchor's orientation
    yaws = begin + np.array([0.0, 0.3, 0.6, 0.9])
    bodies = np.array([[turned(5.0, WXYZ), turned(yaw, WXYZ)] for yaw in yaws])
    made = export(motion(weights, {**TABLES, 'body_quat_w': bodies}), quadruped)
    runtime = OnnxRuntime(made.bundle)
    for _ in range(2):  # each reset begins anew
        runtime.reset()
        for step, turn in enumerate([0.0, 0.1, 0.2, 0.3]):  # the robot turns less than it should
            shown = runtime.infer(sensing(turned(robot + turn)))[0, :6].reshape(3, 2)
            lag = 0.3 * step - turn
            cosine, sine = np.cos(lag), np.sin(lag)
            expected = [[cosine, -sine], [sine, cosine], [0, 0]]
            np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_each_step_shows_what_the_motion_is_then(motion, quadruped):
    weights = np.zeros((SIZE, JOINTS))
    weights[np.arange(6), np.arange(6)] = weights[JOINTS + np.arange(6), 6 + np.arange(6)] = 1.0
    runtime = OnnxRuntime(export(motion(weights), quadruped).bundle)
    runtime.reset()
    for step in [0, 1, 2, 3, 3, 3]:  # it stays where the motion ends
        shown = runtime.infer(sensing(turned(0.4)))[0]
        np.testing.assert_allclose(shown[:6], TABLES['joint_pos'][step, :6], atol=1e-5)
        np.testing.assert_allclose(shown[6:], TABLES['joint_vel'][step, :6], atol=1e-5)


@pytest.mark.parametrize(
    'changed, told, expected',
    [
        ({'anchor_body_name': 'head'}, {}, 'anchor_body_name'),
        ({'observation_names': 'command,motion_anchor_pos_b'}, {}, 'observation_names'),
        ({'observation_terms_scale': '1.000,1.000,0.200'}, {}, 'observation_terms_scale'),
        ({}, {'observation': [{'kind': 'joint_position'}]}, 'observation'),
    ],
)
def test_what_cannot_be_followed_is_named(motion, quadruped, changed, told, expected):
    with pytest.raises(InputError) as caught:
        export(motion(np.zeros((SIZE, JOINTS)), **changed), quadruped, **told)
    assert [fault.field for fault in caught.value.faults] == [expected]


def changed_input(path, name, change):
    """Changes the type of an input of a model."""
    model = onnx.load(path)
    (end,) = (end for end in model.graph.input if end.name == name)
    change(model.graph, end.type.tensor_type)
    onnx.save(model, path)
    return path


def any_number(_, kind):
    kind.shape.dim[0].dim_param = 'n'


def whole_numbers(graph, kind):
    kind.elem_type = onnx.TensorProto.INT64
    del kind.shape.dim[0]  # and of rank one


@pytest.mark.parametrize('name, change', [('obs', any_number), ('time_step', whole_numbers)])
def test_other_exporters_of_such_a_policy_are_understood(motion, quadruped, name, change):
    path = motion(RNG.normal(size=(SIZE, JOINTS)))
    assert export(changed_input(path, name, change), quadruped).difference < 1e-5


def wider(_, kind):
    kind.shape.dim[1].dim_value += 1


def two_at_once(_, kind):
    kind.shape.dim[0].dim_value = 2


def of_type(name):
    def change(_, kind):
        kind.elem_type = onnx.TensorProto.DataType.Value(name)

    return change


@pytest.mark.parametrize(
    'name, change',
    [
        ('obs', wider),
        ('obs', two_at_once),
        ('obs', of_type('INT64')),
        ('obs', of_type('DOUBLE')),
        ('time_step', wider),
        ('time_step', of_type('INT32')),
        ('time_step', of_type('DOUBLE')),
    ],
)
def test_inputs_that_its_metadata_do_not_fit_are_named(motion, quadruped, name, change):
    path = changed_input(motion(np.zeros((SIZE, JOINTS))), name, change)
    with pytest.raises(InputError) as caught:
        export(path, quadruped)
    assert [fault.field for fault in caught.value.faults] == [f'model.input[{name}]']


@pytest.mark.parametrize('names', ['[', '[[]]', ',,', "['command', '']"])
def test_names_of_nothing_are_left_out(motion, quadruped, names):
    with pytest.raises(InputError, match='observation_names'):
        export(motion(np.zeros((SIZE, JOINTS)), observation_names=names), quadruped)


def test_matrices_of_quaternions_are_the_same_by_either_way():
    for quaternion in np.random.default_rng(3).normal(size=(20, 4)):
        unit = quaternion / np.linalg.norm(quaternion)
        expected = rotation(3.0 * quaternion)
        np.testing.assert_allclose(expected @ expected.T, np.eye(3), atol=1e-12)
        pairs = np.outer(unit, unit).ravel()
        np.testing.assert_allclose((pairs @ products(XYZW)).reshape(3, 3), expected, atol=1e-12)
        pairs = np.outer(np.roll(unit, 1), np.roll(unit, 1)).ravel()
        np.testing.assert_allclose((pairs @ products(WXYZ)).reshape(3, 3), expected, atol=1e-12)
    np.testing.assert_allclose(rotation(turned(np.pi / 2)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
