"""Clips as a versioned data set, and how it lies on disk."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import read_manifest
from sim2real_core.errors import InputError
from sim2real_learning import dataset_lerobot
from sim2real_learning.clips import clip_folders
from sim2real_learning.clips_episodes import Episode
from sim2real_learning.dataset import Case, Dataset, describe, ingest
from sim2real_learning.dataset_due import DueConfig, due
from sim2real_learning.dataset_similarity import nearest, signature
from sim2real_learning.network import Network
from sim2real_policy.observation import Term
from test.recorded import JOINT_STATE, joint_state

SECOND = 10**9
PARTS = ('stamp', 'observation', 'action', 'command')


def case(name, seed=0, count=60, noise=0.0, width=4, **changed):
    """A case whose observations are a smooth random course."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0.0, 3.0, count)[:, None]
    course = np.sin(time * rng.uniform(0.5, 3.0, width) + rng.uniform(0.0, 6.0, width))
    course = course + noise * np.random.default_rng(99).normal(size=course.shape)
    stamp = 100 * SECOND + np.arange(count) * 50_000_000
    whole = Episode(
        name,
        stamp,
        course.astype(np.float32),
        course[:, :2].astype(np.float32),
        course[:, :2] * np.pi,
    )
    values = dict(
        clip=name,
        sha256=f'{name:0>64}',
        created=f'2026-11-21T10:00:{len(name):02d}Z',
        bundle='b' * 64,
        label='',
        detectors=('tracking_error',),
        detail='elbow',
        severity=2.0,
        failed=101 * SECOND,
        episodes=(whole,),
    )
    return Case(**{**values, **changed})


def dataset(*cases, **changed):
    values = dict(
        robot='pair',
        period=0.05,
        observation=('a', 'b', 'c', 'd'),
        action=('x', 'y'),
        command=('x', 'y'),
        task='do it',
        cases=cases,
    )
    return Dataset(**{**values, **changed})


@pytest.fixture(scope='module')
def clips(arm6, bundle, tmp_path_factory):
    """Folder of three clips: two of the same failure, one of another."""
    from sim2real_sim.mujoco_simulator import MujocoSimulator
    from test.recorded import Stack

    folder = tmp_path_factory.mktemp('clips')
    for start, goal in ((0, (0.4, 0.1, 0.4)), (1000, (0.4, 0.1, 0.4)), (2000, (0.1, -0.4, 0.6))):
        simulator = MujocoSimulator(arm6, contacts=False, seed=start)
        stack = Stack(arm6, bundle, folder, simulator, start=start * SECOND)
        stack.goal(goal)
        stack.run(1.0)
        stack.trigger()
        stack.run(0.6).clips()
    return folder


@pytest.fixture
def ingested(clips, arm6, bundle):
    """Ingests those clips."""

    def make(base=None, labels=(), folders=None, **given):
        folders = list(clip_folders([clips])) if folders is None else folders
        base = base or describe(bundle, arm6)
        return ingest(base, folders, arm6, [Network(bundle)], dict(labels), **given)

    return make


def test_clips_that_repeat_one_another_are_left_out(ingested, clips):
    made, fates = ingested()
    first, second, third = sorted(clip_folders([clips]), key=lambda f: _start(f))
    assert {case.clip for case in made.cases} == {first.name, third.name}
    (copy,) = [fate for fate in fates if not fate.kept]
    assert copy.clip == second.name and f'is like {first.name}' in copy.reason
    assert made.frames == sum(fate.frames for fate in fates if fate.kept) > 100
    whole, _ = ingested(similar=0.0)
    assert len(whole.cases) == 3
    assert made.repeats == (second.name,) and whole.repeats == ()


def _start(folder):
    return json.loads((folder / MANIFEST).read_text())['first_stamp']


def test_the_same_clips_give_the_same_version_and_labels_another(ingested, clips):
    made, _ = ingested()
    again, _ = ingested(folders=list(clip_folders([clips]))[::-1])
    assert made.content_hash == again.content_hash and not made.parents
    labelled, _ = ingested(labels={made.cases[0].clip: 'real failure'})
    assert labelled.content_hash != made.content_hash


def test_labels_choose(ingested):
    made, _ = ingested(similar=0.0)
    names = [case.clip for case in made.cases]
    labels = {names[0]: 'false alarm', names[1]: 'real failure'}
    some, fates = ingested(labels=labels, similar=0.0)
    assert [case.clip for case in some.cases] == names[1:]
    assert [fate.reason for fate in fates if not fate.kept] == ['labelled false alarm']
    confirmed, _ = ingested(labels=labels, similar=0.0, confirmed=True)
    assert [(c.clip, c.label) for c in confirmed.cases] == [(names[1], 'real failure')]
    with pytest.raises(InputError, match='real failure'):
        ingested(labels={names[0]: 'good'})


def test_a_version_goes_on_from_another(ingested, clips, tmp_path):
    first, *rest = sorted(clip_folders([clips]), key=lambda f: _start(f))
    base, _ = ingested(folders=[first])
    dataset_lerobot.write(base, tmp_path / 'one')
    read = dataset_lerobot.read(tmp_path / 'one')
    assert read.content_hash == base.content_hash
    more, fates = ingested(read, folders=[first, *rest])
    assert more.parents == (base.content_hash,)
    assert 'is in it already' in fates[0].reason and 'is like' in fates[1].reason
    assert more.repeats == (rest[0].name,)
    both, _ = ingested()
    assert [case.clip for case in more.cases] == [case.clip for case in both.cases]
    # A case that turned out a false alarm leaves the next version.
    fewer, fates = ingested(read, labels={first.name: 'false alarm'}, folders=rest)
    assert first.name not in {case.clip for case in fewer.cases}
    assert fates[0].reason == 'labelled false alarm'


def test_what_cannot_be_used_is_told_and_hides_nothing(ingested, clips, tmp_path, arm6, bundle_of):
    folders = list(clip_folders([clips]))
    broken = tmp_path / folders[0].name
    broken.mkdir()
    for file in folders[0].iterdir():
        (broken / file.name).write_bytes(file.read_bytes()[:-1])
    made, fates = ingested(folders=[broken, *folders[1:]], similar=0.0)
    assert len(made.cases) == 2 and not fates[0].kept and fates[0].reason
    other = bundle_of(arm6, [Term(kind='joint_position')], seed=5)
    empty, fates = ingest(describe(other, arm6), folders, arm6, [Network(other)], {})
    assert not empty.cases and all('give its bundle' in fate.reason for fate in fates)
    with pytest.raises(InputError, match='begin another one'):
        ingested(describe(other, arm6))


def test_a_clip_without_a_joint_state_has_no_frame(ingested, stack):
    silent = stack()
    other = joint_state(0, ['gripper'], position=[0.0], velocity=[0.0], effort=[0.0])
    silent._record('/joint_states', JOINT_STATE, other)
    silent.trigger()
    (folder,) = silent.clips()
    made, (fate,) = ingested(folders=[folder])
    assert not made.cases and not fate.kept and 'no frame is left' in fate.reason


def test_a_clip_of_a_policy_in_shadow_has_no_frame(ingested, stack, tmp_path):
    rules = tmp_path / 'rules.yaml'
    rules.write_text('topics: {policy/action_applied: {exclude: true}}')
    shadow = stack(rules=str(rules)).run(0.5)  # it says what it sees, and sends nothing
    shadow.trigger()
    (folder,) = shadow.run(0.1).clips()
    assert '/policy/observation' in read_manifest(folder)['topics']
    made, (fate,) = ingested(folders=[folder])
    assert not made.cases and 'no frame is left: no command in it' in fate.reason


def test_clips_that_are_not_whole_or_of_another_schema_are_named(ingested, clips, tmp_path):
    whole = list(clip_folders([clips]))
    for folder in whole:
        copy = tmp_path / folder.name
        copy.mkdir()
        for file in folder.iterdir():
            if file.name != MANIFEST or folder is not whole[0]:  # the first was copied in part
                (copy / file.name).write_bytes(file.read_bytes())
    later = tmp_path / whole[1].name / MANIFEST
    later.write_text(json.dumps({**json.loads(later.read_text()), 'schema': 2}))
    folders = list(clip_folders([tmp_path]))
    assert {folder.name for folder in folders} == {folder.name for folder in whole}
    assert list(clip_folders([tmp_path / whole[0].name])) == [tmp_path / whole[0].name]
    made, fates = ingested(folders=folders, similar=0.0)
    assert [case.clip for case in made.cases] == [whole[2].name]
    why = {fate.clip: fate.reason for fate in fates if not fate.kept}
    assert MANIFEST in why[whole[0].name] and 'reads schema 1' in why[whole[1].name]


def test_another_clip_of_the_same_name_is_named(ingested, clips, tmp_path):
    first = next(clip_folders([clips]))
    copy = tmp_path / first.name
    copy.mkdir()
    for file in first.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    text = (copy / MANIFEST).read_text()
    about = json.loads(text)['files'][f'{first.name}_0.mcap']
    (copy / MANIFEST).write_text(text.replace(about['sha256'], 'f' * 64))
    made, fates = ingested(folders=[first, copy])
    assert len(made.cases) == 1 and 'another clip of this name' in fates[1].reason


def test_alike_is_what_moved_alike_and_failed_alike():
    one, same = case('one'), case('two', noise=0.01)
    other, joint = case('three', seed=1), case('four', noise=0.01, detail='wrist')
    found = nearest([signature(c) for c in (one, same, other, joint)], 0.1)
    assert [place for place, _ in found] == [None, 0, None, None]
    assert 0.0 < found[1][1] < 0.1
    assert nearest([], 0.1) == []


def test_a_clip_that_breaks_off_is_compared_over_what_it_has():
    short = case('short')
    (episode,) = short.episodes
    part = Episode('short', *(getattr(episode, name)[:30] for name in PARTS))
    assert (
        signature(replace(short, episodes=(part,))).course.shape == signature(short).course.shape
    )


def test_what_was_written_is_read_back(tmp_path):
    parts = case('b', seed=2)
    (whole,) = parts.episodes
    split = [
        Episode('b', *(getattr(whole, name)[rows] for name in PARTS))
        for rows in (slice(0, 20), slice(25, 60))
    ]
    cases = case('a'), replace(parts, episodes=tuple(split))
    made = dataset(*cases, parents=('p' * 64,), repeats=('z',))
    content = dataset_lerobot.write(made, tmp_path / 'set')
    read = dataset_lerobot.read(tmp_path / 'set')
    assert read.content_hash == made.content_hash == content and read.repeats == ('z',)
    assert [c.clip for c in read.cases] == ['a', 'b'] and len(read.cases[1].episodes) == 2
    for ours, theirs in zip(made.cases[1].episodes, read.cases[1].episodes):
        for name in PARTS:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    with pytest.raises(InputError, match='exists'):
        dataset_lerobot.write(made, tmp_path / 'set')


@pytest.mark.parametrize('width', [1, 4])
def test_the_layout_is_that_of_lerobot(tmp_path, width, monkeypatch):
    """As its documentation and its reader (v3.0) have it."""
    import pyarrow.parquet as pq

    monkeypatch.setattr(dataset_lerobot, 'FILE_MB', 0.004)  # several files
    names = tuple('abcd'[:width])
    cases = [case(n, seed=k, width=width) for k, n in enumerate('xyz')]
    folder = tmp_path / 'set'
    dataset_lerobot.write(
        dataset(*cases, observation=names, action=names[:2], command=names[:2]), folder
    )
    info = json.loads((folder / 'meta/info.json').read_text())
    assert (info['codebase_version'], info['robot_type'], info['fps']) == ('v3.0', 'pair', 20)
    assert (info['total_episodes'], info['total_frames'], info['total_tasks']) == (3, 180, 1)
    assert info['splits'] == {'train': '0:3'} and info['chunks_size'] == 1000
    episodes = pq.read_table(folder / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()
    assert [e['dataset_from_index'] for e in episodes] == [0, 60, 120]
    assert [e['dataset_to_index'] for e in episodes] == [60, 120, 180]
    assert len({e['data/file_index'] for e in episodes}) > 1
    tasks = pq.read_table(folder / 'meta/tasks.parquet')
    assert tasks.to_pylist() == [{'task_index': 0, 'task': 'do it'}]
    for number, episode in enumerate(episodes):
        place = {k: episode[f'data/{k}'] for k in ('chunk_index', 'file_index')}
        table = pq.read_table(folder / info['data_path'].format(**place))
        rows = [row for row in table.to_pylist() if row['episode_index'] == number]
        assert [row['frame_index'] for row in rows] == list(range(60)) and episode['length'] == 60
        assert [row['index'] for row in rows] == list(range(60 * number, 60 * number + 60))
        np.testing.assert_allclose(
            [row['timestamp'] for row in rows], np.arange(60) / 20, atol=1e-5
        )
        assert [row['next.done'] for row in rows] == [False] * 59 + [True]
        assert [row['failure'] for row in rows] == [False] * 20 + [True] * 40
        seen = np.array([row['observation.state'] for row in rows]).reshape(60, -1)
        np.testing.assert_array_equal(seen, cases[number].episodes[0].observation)
        assert episode['tasks'] == ['do it'] and episode['clip'] == 'xyz'[number]
    assert set(info['features']) == set(table.column_names)
    stats = json.loads((folder / 'meta/stats.json').read_text())
    whole = np.concatenate([c.episodes[0].observation for c in cases]).astype(float)
    np.testing.assert_allclose(stats['observation.state']['mean'], whole.mean(axis=0))
    np.testing.assert_allclose(stats['observation.state']['q90'], np.quantile(whole, 0.9, axis=0))
    assert stats['action']['count'] == [180] and info['features']['action']['shape'] == [
        min(width, 2)
    ]


def test_the_reader_of_lerobot_reads_it(tmp_path):
    """Where it is installed; `docs/decisions.md` says which version it was read with."""
    lerobot = pytest.importorskip('lerobot.datasets.lerobot_dataset')
    cases = [case('x'), case('y', seed=1)]
    dataset_lerobot.write(dataset(*cases), tmp_path / 'set')
    read = lerobot.LeRobotDataset(
        'own/set', root=tmp_path / 'set', delta_timestamps={'action': [0.0, 0.05]}
    )
    assert len(read) == 120 and read.num_episodes == 2
    item = read[70]
    np.testing.assert_array_equal(item['observation.state'], cases[1].episodes[0].observation[10])
    assert item['action'].shape == (2, 2) and item['task'] == 'do it'


def test_an_estimate_that_was_none_is_read_as_none(tmp_path):
    heard_wrong = {'error': 'no estimate'}  # as it was stored once
    dataset_lerobot.write(dataset(case('a', estimate=heard_wrong)), tmp_path / 'set')
    read = dataset_lerobot.read(tmp_path / 'set')
    assert due([], read, DueConfig()) == [] and read.cases[0].estimate == {}


def test_a_data_set_that_was_changed_is_refused(tmp_path):
    dataset_lerobot.write(dataset(case('a')), tmp_path / 'set')
    path = tmp_path / 'set' / dataset_lerobot.OWN
    own = json.loads(path.read_text())
    own['cases'][0]['label'] = 'false alarm'
    path.write_text(json.dumps(own))
    with pytest.raises(InputError, match='changed after it was written'):
        dataset_lerobot.read(tmp_path / 'set')
    own['cases'][0]['estimate'] = {'link.tool.mass': {'status': 'identified'}}
    path.write_text(json.dumps(own))
    with pytest.raises(InputError, match='estimate.link.tool.mass'):
        dataset_lerobot.read(tmp_path / 'set')
    with pytest.raises(InputError, match='capture export'):
        dataset_lerobot.read(tmp_path)
    with pytest.raises(InputError, match='nothing to write'):
        dataset_lerobot.write(dataset(), tmp_path / 'none')
    assert not (tmp_path / 'none').exists()
