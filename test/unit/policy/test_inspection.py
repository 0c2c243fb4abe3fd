import dataclasses
import json

import numpy as np
import pytest

from sim2real_policy.bundle import Gains, ImageInput, Range, RecurrentState, write_bundle
from sim2real_policy.inspection import as_mapping, remarks, tables, verdict
from sim2real_policy.random_policy import random_policy

networks = pytest.importorskip('test.unit.policy.networks')


def cells(bundle, title):
    table = next(t for t in tables(bundle) if t.title.startswith(title))
    return {row[0]: dict(zip(table.columns, row)) for row in table.rows}


def test_shows_every_field_of_the_metadata(metadata, tmp_path):
    meta = metadata()
    size = meta.observation.size
    meta = dataclasses.replace(
        meta,
        gains=Gains(stiffness=(350.25, 60.0), damping=(50.0, 6.0)),
        training_range=Range(low=(-1.5,) * size, high=(2.5,) * size),
    )
    bundle = random_policy(meta, tmp_path / 'a.onnx', np.random.default_rng(0), hidden=(4,))
    whole = as_mapping(bundle)
    assert {field.name for field in dataclasses.fields(meta)} <= set(whole)
    assert whole['action']['scale'] == list(meta.action.scale)  # all digits
    assert json.loads(json.dumps(whole))['content_hash'] == bundle.content_hash
    joints = cells(bundle, 'joints')
    assert list(joints) == ['turn', 'reach']
    assert joints['turn']['stiffness'] == '350.25' and joints['reach']['effort'] == '20'
    terms = {row['term']: row for row in cells(bundle, 'observation').values()}
    assert list(terms) == [term.kind for term in meta.observation.terms]
    assert terms['joint_velocity']['elements'] == '2:8'
    assert terms['joint_velocity']['history'] == '3'
    assert terms['goal_error']['source'] == '<goal>'
    assert terms['previous_action']['trained on'] == '-1.5 to 2.5'
    assert cells(bundle, 'bundle')['robot']['value'] == 'pair'


def test_shows_images_and_state(metadata, tmp_path):
    meta = metadata()
    image = ImageInput(name='camera', topic='eye', height=2, width=5, encoding='mono8')
    model, _ = networks.seeing(meta.observation.size, 2, image.shape)
    seeing = write_bundle(model, dataclasses.replace(meta, images=(image,)), tmp_path / 'a.onnx')
    assert cells(seeing, 'images')['camera']['size'] == '5 x 2'
    model, _, _ = networks.integrator(meta.observation.size, 2)
    state = RecurrentState(input='h_in', output='h_out', shape=(1, 3))
    keeps = write_bundle(model, dataclasses.replace(meta, state=(state,)), tmp_path / 'b.onnx')
    table = next(t for t in tables(keeps) if t.title.startswith('model'))
    assert ('input', 'h_in', '(1, 3)', 'state, from h_out') in [tuple(row) for row in table.rows]


def test_says_whether_a_robot_can_run_it(metadata, robot):
    meta = metadata()
    judged = verdict(meta, robot())
    assert judged.pop('guard_off')['acceleration_limit'] == 'not given for turn'
    assert judged == {'robot': 'pair', 'fits': True, 'faults': [], 'remarks': []}
    judged = verdict(dataclasses.replace(meta, robot='other'), robot())
    assert not judged['fits'] and judged['guard_off'] == {}
    assert [fault['field'] for fault in judged['faults']] == ['bundle.robot']


def test_remarks_what_differs_from_the_training(metadata, robot):
    profile = robot()
    meta = dataclasses.replace(metadata(), profile='f' * 64, control_period=0.04)
    found = remarks(meta, profile)
    assert len(found) == 2
    assert 'another version of profile pair' in found[0] and '0.04' in found[1]
