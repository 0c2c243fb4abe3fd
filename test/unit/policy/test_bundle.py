import dataclasses
import json
import math

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import (
    BundleMetadata,
    Goal,
    ImageInput,
    Normalizer,
    RecurrentState,
    check_robot,
    load_bundle,
    write_bundle,
)
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.guard import Limits
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy

onnx = pytest.importorskip('onnx')


def write(meta, path):
    return random_policy(meta, path, np.random.default_rng(0), hidden=(4,))


def fields(caught):
    return {fault.field for fault in caught.value.faults}


def test_metadata_survives_bit_for_bit(tmp_path, metadata):
    size = metadata().observation.size
    awkward = [0.1 + 0.2, 1 / 3, 5e-324, -0.0, 1.7976931348623157e308, math.pi, 2.0**-1074, 1e22]
    mean = tuple((awkward * size)[:size])
    meta = metadata(
        normalizer=Normalizer(mean=mean, std=tuple(abs(v) or 0.7 for v in mean)),
        control_period=0.1 + 0.2,
    )
    written = write(meta, tmp_path / 'a.onnx')
    loaded = load_bundle(tmp_path / 'a.onnx')
    assert loaded.meta == meta
    assert repr(loaded.meta.normalizer) == repr(meta.normalizer)  # tells 0.0 from -0.0
    assert repr(loaded.meta.action) == repr(meta.action)
    assert repr(loaded.meta.observation) == repr(meta.observation)
    assert (
        loaded.meta.limits.lower[0] == -math.inf and loaded.meta.limits.acceleration[0] == math.inf
    )
    assert loaded.content_hash == written.content_hash
    assert loaded.model == (tmp_path / 'a.onnx').read_bytes()


def test_same_policy_same_file(tmp_path, metadata):
    first, second = write(metadata(), tmp_path / 'a.onnx'), write(metadata(), tmp_path / 'b.onnx')
    assert first.model == second.model
    other = write(metadata(space='t' * 64), tmp_path / 'c.onnx')
    assert other.content_hash != first.content_hash


def tampered_weight(model):
    model.graph.initializer[0].raw_data = b'\1' + model.graph.initializer[0].raw_data[1:]


def tampered_metadata(model):
    entry = next(p for p in model.metadata_props if p.key == 'sim2real.control_period')
    entry.value = '0.04'


def added_metadata(model):
    model.metadata_props.add(key='note', value='harmless')


@pytest.mark.parametrize('tamper', [tampered_weight, tampered_metadata, added_metadata])
def test_refuses_what_was_changed_afterwards(tmp_path, metadata, tamper):
    path = tmp_path / 'a.onnx'
    write(metadata(), path)
    model = onnx.load(path)
    tamper(model)
    onnx.save(model, path)
    with pytest.raises(InputError, match='changed after it was written') as caught:
        load_bundle(path)
    assert fields(caught) == {'sim2real.content_hash'}


def test_an_unchanged_copy_is_accepted(tmp_path, metadata):
    bundle = write(metadata(), tmp_path / 'a.onnx')
    onnx.save(onnx.load(tmp_path / 'a.onnx'), tmp_path / 'b.onnx')
    assert load_bundle(tmp_path / 'b.onnx').content_hash == bundle.content_hash


def test_rewriting_replaces_the_metadata(tmp_path, metadata):
    write(metadata(), tmp_path / 'a.onnx')
    other = metadata(space='u' * 64)
    assert write_bundle(tmp_path / 'a.onnx', other, tmp_path / 'b.onnx').meta == other


@pytest.mark.parametrize('content', [b'', b'not a model', None])
def test_refuses_what_is_no_bundle(tmp_path, content):
    path = tmp_path / 'a.onnx'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r'a\.onnx'):
        load_bundle(path)


def test_refuses_a_network_of_another_size(tmp_path, metadata):
    write(metadata(), tmp_path / 'a.onnx')
    other = metadata(terms=[Term(kind='joint_position')])
    with pytest.raises(InputError) as caught:
        write_bundle(tmp_path / 'a.onnx', other, tmp_path / 'b.onnx')
    assert fields(caught) == {'model.input'}
    assert not (tmp_path / 'b.onnx').exists()


def test_names_every_fault_of_metadata(metadata):
    properties = metadata().to_properties()
    del properties['sim2real.robot']
    properties['sim2real.schema'] = '99'
    properties['sim2real.surprise'] = '1'
    properties['sim2real.control_period'] = 'soon'
    limits = json.loads(properties['sim2real.limits'])
    properties['sim2real.limits'] = json.dumps(limits | {'velocity': [1.0, -1.0]})
    properties['sim2real.goal'] = '{"kind": "moon", "frame": "base"}'
    properties['sim2real.observation'] = '[{"kind": "joint_position"}]'
    properties['somebody.else'] = 'is none of our business'
    with pytest.raises(InputError) as caught:
        BundleMetadata.from_properties(properties, file='a.onnx')
    assert fields(caught) == {
        'sim2real.robot',
        'sim2real.schema',
        'sim2real.surprise',
        'sim2real.control_period',
        'sim2real.limits.velocity[1]',
        'sim2real.goal.kind',
        'sim2real.observation[0]',
    }
    assert all(fault.file == 'a.onnx' for fault in caught.value.faults)


def test_an_empty_file_of_metadata_names_every_field():
    with pytest.raises(InputError) as caught:
        BundleMetadata.from_properties({})
    missing = {'sim2real.' + f.name for f in dataclasses.fields(BundleMetadata)}
    assert missing | {'sim2real.schema'} <= fields(caught)


def test_names_what_does_not_fit_together(metadata):
    with pytest.raises(InputError) as caught:
        dataclasses.replace(
            metadata(),
            default_position=(0.0,),
            action=Action(meaning='position', scale=(1.0,) * 3),
            normalizer=Normalizer(mean=(0.0,), std=(1.0,)),
            goal=Goal(),
            control_period=0.0,
            training={'f': print},
        )
    assert fields(caught) == {
        'default_position',
        'action.scale',
        'normalizer.mean',
        'normalizer.std',
        'goal.kind',
        'control_period',
        'training',
    }


def test_robot_that_fits_gives_the_tighter_limits(metadata, robot):
    meta = metadata()
    narrower = Limits(
        lower=(-1.0, -9.0), upper=(1.0, 9.0), velocity=(9.0, 1.0), effort=(1.0, 99.0),
        acceleration=(math.inf, 3.0),
    )  # fmt: skip
    limits = check_robot(dataclasses.replace(meta, limits=narrower), robot())
    assert limits == Limits(
        lower=(-1.0, -0.5), upper=(1.0, 1.0), velocity=(2.0, 1.0), effort=(1.0, 20.0),
        acceleration=(math.inf, 3.0),
    )  # fmt: skip


def test_joint_order_of_a_bundle_is_its_own(metadata, robot):
    meta = metadata()
    turned = dataclasses.replace(
        meta,
        joints=meta.joints[::-1],
        observation=meta.observation.terms,
        limits=Limits(
            **{f.name: getattr(meta.limits, f.name)[::-1] for f in dataclasses.fields(Limits)}
        ),
        default_position=meta.default_position[::-1],
    )
    assert check_robot(turned, robot()).lower == (-0.5, -math.inf)


def test_names_every_reason_why_a_robot_does_not_fit(metadata, robot):
    meta = dataclasses.replace(
        metadata(meaning='velocity', terms=[Term(kind='imu_angular_velocity')]),
        goal=Goal(kind='tool_position', frame='moon'),
        robot='trio',
        joints=('turn', 'grip'),
        observation=[Term(kind='imu_angular_velocity'), Term(kind='tool_position', source='hand')],
        control_period=5.0,
    )
    with pytest.raises(InputError) as caught:
        check_robot(meta, robot())
    said = str(caught.value)
    assert 'pair has no such joint; it has: turn, reach' in said
    assert 'reach of pair gets no command' in said
    assert fields(caught) == {
        'bundle.robot',
        'bundle.joints',
        'bundle.action.meaning',
        'bundle.control_period',
        'bundle.goal.frame',
        'bundle.observation.source',
        'bundle.observation',
    }


def test_a_robot_that_talks_too_slowly_or_moves_elsewhere(metadata, robot):
    limits = Limits(
        lower=(-1.0, 2.0), upper=(1.0, 3.0), velocity=(1.0, 1.0), effort=(1.0, 1.0),
        acceleration=(1.0, 1.0),
    )  # fmt: skip
    meta = dataclasses.replace(metadata(), limits=limits, control_period=0.001)
    with pytest.raises(InputError) as caught:
        check_robot(meta, robot())
    assert fields(caught) == {'bundle.control_period', 'bundle.limits.lower[1]'}
    outside = dataclasses.replace(metadata(), default_position=(0.0, 7.0))
    with pytest.raises(InputError) as caught:
        check_robot(outside, robot())
    assert fields(caught) == {'bundle.default_position[1]'}


def test_no_part_of_a_file_can_be_cut_off_or_changed(tmp_path, metadata):
    path = tmp_path / 'a.onnx'
    whole = write(metadata(), path).model
    rng = np.random.default_rng(8)
    for length in rng.integers(0, len(whole), 40):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r'a\.onnx'):
            load_bundle(path)
    for place in rng.integers(0, len(whole), 40):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        with pytest.raises(InputError, match='sim2real.content_hash'):
            load_bundle(path)
    path.write_bytes(whole + b'\0')
    with pytest.raises(InputError, match='changed after it was written'):
        load_bundle(path)


def test_model_and_metadata_must_tell_of_the_same_inputs_and_outputs(tmp_path, metadata):
    networks = pytest.importorskip('test.unit.policy.networks')
    meta = metadata()
    size = meta.observation.size
    model, _, _ = networks.integrator(size, 2)
    right = RecurrentState(input='h_in', output='h_out', shape=(1, 3))
    image = ImageInput(name='eye', topic='eye', height=2, width=2, encoding='mono8')
    for changed, expected in (
        ({}, {'model.inputs', 'model.outputs'}),
        (
            {'state': (dataclasses.replace(right, shape=(1, 4)),)},
            {'model.input[h_in]', 'model.output[h_out]'},
        ),
        (
            {'state': (dataclasses.replace(right, shape=(1, 3, 1)),)},
            {'model.input[h_in]', 'model.output[h_out]'},
        ),
        (
            {'state': (dataclasses.replace(right, input='h0'),)},
            {'model.inputs', 'model.input[h0]'},
        ),
        ({'state': (right,), 'images': (image,)}, {'model.input[eye]'}),
    ):
        with pytest.raises(InputError) as caught:
            write_bundle(model, dataclasses.replace(meta, **changed), tmp_path / 'b.onnx')
        assert fields(caught) == expected
    ends = write_bundle(model, dataclasses.replace(meta, state=(right,)), tmp_path / 'c.onnx').ends
    assert (ends.observation, ends.action, ends.single) == ('obs', 'actions', True)
    assert ends.inputs == {'obs': (1, size), 'h_in': (1, 3)}


@pytest.mark.parametrize('kind', ['DOUBLE', 'FLOAT16', 'INT64'])
def test_a_type_that_is_not_float32_is_named(tmp_path, metadata, kind):
    networks = pytest.importorskip('test.unit.policy.networks')
    meta = metadata()
    kind = getattr(onnx.TensorProto, kind)
    nodes = [
        onnx.helper.make_node('Cast', ['obs'], ['cast'], to=networks.FLOAT),
        onnx.helper.make_node('Slice', ['cast', 'first', 'last', 'axis'], ['actions']),
    ]
    weights = {'first': np.array([0]), 'last': np.array([2]), 'axis': np.array([1])}
    inputs = {'obs': ['n', meta.observation.size]}
    model = networks.model(nodes, inputs, {'actions': ['n', 2]}, weights, {'obs': kind})
    with pytest.raises(InputError, match=r'must be tensor\(float\)') as caught:
        write_bundle(model, meta, tmp_path / 'a.onnx')
    assert fields(caught) == {'model.input'}


def test_a_bundle_that_sees_the_tool_of_another_robot_is_refused_by_name(metadata):
    meta = metadata()
    assert 'tool' in meta.observation.inputs
    with pytest.raises(InputError) as caught:
        tool_position(meta, load_profile('arm6'))
    assert {'bundle.robot', 'bundle.joints'} <= {fault.field for fault in caught.value.faults}
