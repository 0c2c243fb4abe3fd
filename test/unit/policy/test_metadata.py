import dataclasses
import json
import math

import pytest

from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_policy.action import Action
from sim2real_policy.bundle import load_bundle
from sim2real_policy.description import Description, metadata_of
from sim2real_policy.guard import Limits
from sim2real_policy.images import ImageInput
from sim2real_policy.metadata import (
    SCHEMA,
    BundleMetadata,
    Gains,
    Goal,
    Normalizer,
    Range,
    RecurrentState,
)
from sim2real_policy.observation import Term
from sim2real_policy.onnx_source import describe

PREFIX = 'sim2real.'
ADDED = ('commands', 'images', 'state', 'gains', 'training_range', 'suite_version')


def fields(caught):
    return {fault.field for fault in caught.value.faults}


def as_schema_1(properties):
    """What the first version of this suite wrote."""
    terms = json.loads(properties['sim2real.observation'])
    for term in terms:
        del term['topic']
    old = {k: v for k, v in properties.items() if k.removeprefix(PREFIX) not in ADDED}
    return old | {'sim2real.schema': '1', 'sim2real.observation': json.dumps(terms)}


def full(metadata):
    meta = metadata()
    size = meta.observation.size
    return dataclasses.replace(
        meta,
        images=(
            ImageInput(name='camera', topic='camera/image_raw', height=4, width=6,
                       encoding='rgb8', scale=(1 / 3, 0.1, 1e-9), offset=127.5),
        ),
        state=(RecurrentState(input='h_in', output='h_out', shape=(2, 1, 8)),),
        gains=Gains(stiffness=(0.1 + 0.2, 1e3), damping=(0.0, 5e-324)),
        training_range=Range(low=(-math.pi,) * size, high=(math.nextafter(2, 3),) * size),
        suite_version='9.8.7',
    )  # fmt: skip


def test_everything_survives_bit_for_bit(metadata):
    meta = full(metadata)
    again = BundleMetadata.from_properties(meta.to_properties())
    assert again == meta
    assert repr(again) == repr(meta)


def test_schema_1_loads_with_defaults_for_what_it_lacks(metadata):
    meta = dataclasses.replace(metadata(), gains=None, suite_version='')
    old = as_schema_1(meta.to_properties())
    assert BundleMetadata.from_properties(old) == meta
    assert json.loads(meta.to_properties()['sim2real.schema']) == SCHEMA == 2


def test_the_shipped_schema_1_bundle_reads_as_it_always_did():
    import onnxruntime

    path = find('policies', 'arm6', '.onnx')
    bundle = load_bundle(path)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    written = session.get_modelmeta().custom_metadata_map
    assert written['sim2real.schema'] == '1'
    new = bundle.meta.to_properties()
    kept = [key for key in as_schema_1(new) if key != 'sim2real.schema']
    assert len(kept) == len(written) - 2  # all but schema and hash
    for key in kept:
        assert json.loads(as_schema_1(new)[key]) == json.loads(written[key]), key
    assert bundle.meta.command_names == bundle.meta.joints
    assert not bundle.ends.single


@pytest.mark.parametrize('schema', ['3', '0', '"2"', 'null'])
def test_an_unknown_schema_is_named(metadata, schema):
    with pytest.raises(InputError) as caught:
        BundleMetadata.from_properties(metadata().to_properties() | {'sim2real.schema': schema})
    assert fields(caught) == {'sim2real.schema'}


def test_faults_of_the_new_fields_are_all_named(metadata):
    properties = full(metadata).to_properties()
    image = json.loads(properties['sim2real.images'])[0]
    properties['sim2real.images'] = json.dumps([image | {'encoding': 'jpeg'}, {'name': 'x'}])
    properties['sim2real.state'] = '[{"input": "h", "output": "", "shape": [1, 0]}]'
    properties['sim2real.gains'] = '{"stiffness": [-1, 2], "damping": [1, "a"]}'
    properties['sim2real.training_range'] = '{"low": [2], "high": [1]}'
    properties['sim2real.commands'] = '"linear.x"'
    with pytest.raises(InputError) as caught:
        BundleMetadata.from_properties(properties)
    assert fields(caught) == {
        'sim2real.images[0].encoding',
        'sim2real.images[1]',
        'sim2real.state[0].output',
        'sim2real.state[0].shape',
        'sim2real.gains.stiffness[0]',
        'sim2real.gains.damping[1]',
        'sim2real.training_range.low[0]',
        'sim2real.commands',
    }


def test_names_what_does_not_fit_together(metadata):
    meta = full(metadata)
    with pytest.raises(InputError) as caught:
        dataclasses.replace(
            meta,
            images=(meta.images[0], meta.images[0]),
            state=(RecurrentState(input='camera', output='h_out', shape=(1,)),) * 2,
            gains=Gains(stiffness=(1.0,), damping=(1.0,) * 3),
            training_range=Range(low=(0.0,), high=(1.0,)),
            normalizer=Normalizer(mean=(0.0,), std=(1.0,)),
            commands=('linear.x',),
        )
    assert fields(caught) == {
        'images',
        'state',
        'gains.stiffness',
        'gains.damping',
        'training_range.low',
        'training_range.high',
        'normalizer.mean',
        'normalizer.std',
        'commands',
        'action.scale',
        'limits.lower',
        'observation',
    }


def twist(**changed):
    endless = (math.inf,) * 2
    values = dict(
        robot='rover',
        joints=('left', 'right', 'lift'),
        commands=('linear.x', 'angular.z'),
        observation=[
            Term(kind='joint_velocity'),
            Term(kind='velocity_command', topic='wanted'),
            Term(kind='previous_action', history=2),
        ],
        action=Action(meaning='twist', scale=(1.0, 2.0)),
        limits=Limits(lower=(-math.inf,) * 2, upper=endless, velocity=(1.0, 2.0), effort=endless,
                      acceleration=endless),
        default_position=(0.0,) * 3,
        control_period=0.05,
        goal=Goal(kind='base_velocity', frame='base'),
    )  # fmt: skip
    return BundleMetadata(**(values | changed))


def test_a_twist_has_its_own_elements():
    meta = twist()
    assert meta.command_names == ('linear.x', 'angular.z')
    assert meta.observation.labels[3:] == (
        'velocity_command.linear.x',
        'velocity_command.linear.y',
        'velocity_command.angular.z',
        'previous_action.linear.x[-1]',
        'previous_action.angular.z[-1]',
        'previous_action.linear.x[0]',
        'previous_action.angular.z[0]',
    )
    assert meta.observation.topics == {'velocity_goal': 'wanted'}
    assert BundleMetadata.from_properties(meta.to_properties()) == meta


def test_only_a_twist_commands_something_else_than_joints():
    with pytest.raises(InputError) as caught:
        twist(action=Action(meaning='velocity', scale=(1.0, 2.0)))
    assert fields(caught) == {'commands'}
    with pytest.raises(InputError) as caught:
        twist(commands=('linear.x', 'sideways'))
    assert 'commands' in fields(caught)


JUNK = (
    None, True, -1, 1.5, 10**400, math.inf, math.nan, '', 'x', [], {}, [[]], [None], {'a': 1},
    ['x'] * 2, {'kind': []},
)  # fmt: skip


def spoiled(value):
    """The value with junk instead of it, and instead of each thing in it."""
    yield from JUNK
    lists = range(len(value)) if isinstance(value, list) else ()
    for key in value if isinstance(value, dict) else lists:
        for junk in spoiled(value[key]):
            copy = value.copy()
            copy[key] = junk
            yield copy


def test_whatever_stands_in_a_file_is_read_or_named(metadata):
    properties = full(metadata).to_properties()
    named = 0
    for key, text in properties.items():
        texts = [json.dumps(value) for value in spoiled(json.loads(text))]
        for wrong in (*texts, '', '{', '[' * 100_000, '\0'):
            try:
                BundleMetadata.from_properties({**properties, key: wrong})
            except InputError as error:
                named += 1
                assert all(fault.field.startswith(PREFIX) for fault in error.faults)
    assert named > 1000


def test_whatever_stands_in_a_description_is_read_or_named(metadata, robot):
    profile = robot()
    values = dict(describe(full(metadata)).values)
    named = 0
    for key, value in values.items():
        for wrong in spoiled(value):
            try:
                metadata_of(Description({**values, key: wrong}), profile)
            except InputError:
                named += 1
    assert named > 800
