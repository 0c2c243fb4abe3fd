"""What fails, counted."""

import json

import numpy as np
import pytest

from sim2real_capture.clip import MANIFEST
from sim2real_core.errors import InputError
from sim2real_core.records import Draw
from sim2real_learning.clips import Known, known_of
from sim2real_learning.failures import Failure, read_failures, report
from sim2real_learning.failures_report import write_report

MASS, GAIN = 'link.gripper.mass', 'actuator.elbow.gain'


def failure(number, *detectors, label='', severity=2.0, **values):
    return Failure(
        clip=f'c{number}',
        created=f'2026-11-21T10:{number % 60:02d}:00Z',
        label=label,
        detectors=detectors or ('tracking_error',),
        details=('elbow',),
        severity=severity,
        values={MASS: 1.0, **values},
        episode=(7, number, 0),
    )


def event(detector, score, threshold, detail):
    values = {'score': score, 'threshold': threshold, 'detail': detail}
    return {'detector': detector, 'stamp': 1.0, **values}


def test_detectors_are_counted_with_intervals():
    found = report(
        [
            *(failure(k) for k in range(6)),
            failure(6, 'imu_shock', 'tracking_error', severity=9.0),
            *(failure(k, 'imu_shock', label='false alarm') for k in (7, 8)),
            failure(9, 'imu_shock', label='real failure', severity=np.nan),
        ]
    )
    tracking, shock = found.detectors
    assert (tracking.detector, tracking.clips.count, tracking.clips.of) == (
        'tracking_error',
        7,
        10,
    )
    assert (shock.clips.count, shock.false_alarms.count, shock.false_alarms.of) == (4, 2, 3)
    # Wilson's interval of 7 of 10, as published.
    np.testing.assert_allclose(tracking.clips.interval, [0.3968, 0.8922], atol=1e-4)
    assert shock.worst == 9.0 and tracking.details == (('elbow', 7),)
    assert found.labels == {'not labelled': 7, 'false alarm': 2, 'real failure': 1}


def test_the_address_that_makes_it_fail_is_found_and_no_other():
    rng = np.random.default_rng(3)
    draws = [
        Draw(k, 7, values={MASS: m, GAIN: g, 'world.gravity_z': -9.81})
        for k, (m, g) in enumerate(zip(rng.uniform(0.5, 2.0, 300), rng.uniform(0.8, 1.2, 300)))
    ]
    # Heavy grippers fail in most episodes; nothing else matters.
    fails = [d for d in draws if rng.random() < (0.8 if d.values[MASS] > 1.6 else 0.05)]
    failures = [failure(d.episode, **d.values) for d in fails]
    found = report(failures, draws)
    assert found.episodes == 300
    mass, gain = found.addresses
    assert mass.address == MASS and mass.matters and not gain.matters
    assert mass.effect > 0.8 and abs(gain.effect - 0.5) < 0.15
    assert [part.failed.of for part in mass.bins] == [60] * 5
    assert sum(part.failed.count for part in mass.bins) == len(fails)
    low, high = mass.bins[0].failed, mass.bins[-1].failed
    assert low.interval[1] < high.interval[0]
    assert mass.bins[-1].low < 1.75 < mass.bins[-1].high


def test_without_a_log_only_where_the_failures_lie_is_told():
    found = report([failure(k, **{MASS: 1.0 + 0.01 * k, GAIN: 1.0}) for k in range(21)])
    (row,) = found.addresses  # the gain never varied
    assert row.address == MASS and row.median == pytest.approx(1.1) and not row.bins
    assert row.interval[0] < 1.1 < row.interval[1] and not row.matters
    json.dumps(found.as_json())


def test_a_false_alarm_is_no_failure_of_a_world():
    draws = [Draw(k, 7, values={MASS: float(k)}) for k in range(40)]
    some = [
        failure(k, label='false alarm' if k % 2 else '', **{MASS: float(k)}) for k in range(40)
    ]
    (row,) = report(some, draws).addresses
    assert sum(part.failed.count for part in row.bins) == 20


def test_nothing_to_count():
    empty = report([])
    assert empty.detectors == empty.addresses == () and empty.clips == 0


def test_manifests_are_read_and_damaged_ones_told(tmp_path):
    good = {
        'schema': 1, 'clip': 'good', 'created': '2026-11-21T10:00:00Z', 'end': 'complete',
        'messages': 3, 'first_stamp': 0, 'last_stamp': 1, 'topics': {},
        'files': {n: {'sha256': 'a' * 64, 'size': 1} for n in ('good_0.mcap', 'metadata.yaml')},
        'events': [event('operator', 0.0, 0.0, ''), event('tracking_error', 3.0, 1.5, 'wrist')],
        'draw': {'seed': 1, 'episode': 2, 'environment': 0, 'values': {MASS: 1.5}},
    }  # fmt: skip
    torn = {**good, 'estimate': {MASS: {'status': 'identified'}}}
    for name, manifest in (('good', good), ('bad', {'schema': 1}), ('torn', torn)):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST).write_text(json.dumps(manifest))
    folders = [tmp_path / name for name in ('good', 'bad', 'torn')]
    found, skipped = read_failures(folders, {'good': 'real failure'})
    (one,) = found
    assert list(skipped) == [str(folder) for folder in folders[1:]] and one.label == 'real failure'
    assert (one.severity, one.episode, one.values) == (2.0, (1, 2, 0), {MASS: 1.5})
    assert one.detectors == ('operator', 'tracking_error')


SURE = {'mean': 1.0, 'std': 0.1, 'status': 'identified'}


def test_what_a_clip_knows_of_the_world_is_taken_over():
    told = {'draw': {'values': {MASS: 1.5}}, 'estimate': {MASS: SURE, GAIN: {'status': 'stale'}}}
    known = known_of(told, 'manifest.json')
    assert (known.values, known.episode) == ({MASS: 1.5}, None)
    assert known.estimate == told['estimate']
    assert known_of({'draw': None, 'estimate': {}}, '') == Known({}, None, {})
    heard_wrong = {'draw': {'error': 'no draw'}, 'estimate': {'error': 'no estimate'}}
    assert known_of(heard_wrong, '') == Known({}, None, {})


@pytest.mark.parametrize(
    ('told', 'field'),
    [
        ({'draw': float('nan')}, 'draw.values'),
        ({'draw': {'values': {MASS: None}}}, 'draw.values'),
        ({'draw': {'values': {MASS: 10**400}}}, 'draw.values'),
        ({'draw': {'values': {MASS: float('nan')}}}, 'draw.values'),
        ({'draw': {'seed': {}, 'episode': 1, 'environment': 1}}, 'draw'),
        ({'estimate': [SURE]}, 'estimate.'),
        ({'estimate': {MASS: 1.0}}, f'estimate.{MASS}'),
        ({'estimate': {MASS: {**SURE, 'std': 'x'}}}, f'estimate.{MASS}'),
        ({'estimate': {MASS: {**SURE, 'mean': float('nan')}}}, f'estimate.{MASS}'),
        ({'estimate': {MASS: {**SURE, 'std': float('inf')}}}, f'estimate.{MASS}'),
        ({'estimate': {MASS: {'mean': 1.0, 'status': 'identified'}}}, f'estimate.{MASS}'),
    ],
)
def test_what_is_no_knowledge_of_the_world_is_named(told, field):
    with pytest.raises(InputError) as caught:
        known_of(told, 'manifest.json')
    (fault,) = caught.value.faults
    assert (fault.field, fault.file) == (field, 'manifest.json')


def test_a_clip_that_is_there_twice_counts_once(tmp_path):
    about = {
        'schema': 1,
        'clip': 'one',
        'created': '2026-11-21T10:00:00Z',
        'end': 'complete',
        'messages': 1,
        'first_stamp': 0,
        'last_stamp': 1,
        'topics': {},
        'events': [event('operator', 0.0, 0.0, '')],
        'files': {
            name: {'sha256': 'a' * 64, 'size': 1} for name in ('one_0.mcap', 'metadata.yaml')
        },
    }
    folders = [tmp_path / name / 'one' for name in ('spool', 'clips')]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text(json.dumps(about))
    found, skipped = read_failures(folders, {})
    assert len(found) == 1 and skipped == {str(folders[1]): f'is one again, as in {folders[0]}'}


@pytest.mark.parametrize('logged', [True, False])
def test_the_report_is_one_page(tmp_path, logged):
    rng = np.random.default_rng(0)
    draws = [Draw(k, 7, values={MASS: float(m)}) for k, m in enumerate(rng.uniform(0, 1, 60))]
    failures = [failure(d.episode, **d.values) for d in draws[:20]]
    found = report(failures, draws if logged else (), {'broken': '<no manifest>'})
    path = tmp_path / 'out' / 'failures.html'
    write_report(found, path)
    page = path.read_text()
    assert page.count('<svg') == 2 and 'src=' not in page and '<?xml' not in page
    assert 'currentColor' in page and '#010203' not in page and 'viewport' in page
    assert MASS in page and '&lt;no manifest&gt;' in page and ('of draws' in page) == logged
    write_report(report([]), path)
    assert 'What fails' in path.read_text()
