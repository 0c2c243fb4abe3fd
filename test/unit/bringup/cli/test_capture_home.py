"""``sim2real capture export|stats``: what happens to clips at home."""

import json

import pytest

from sim2real_bringup.cli import main
from sim2real_capture.catalogue import set_label
from sim2real_core.files import find
from sim2real_core.profile import load_profile
from sim2real_policy.bundle import load_bundle
from sim2real_sim.mujoco_simulator import MujocoSimulator
from test.clips import copy_of
from test.recorded import Stack

POLICY = str(find('policies', 'arm6', '.onnx'))


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """Two clips of the shipped robot and policy."""
    folder, profile = tmp_path_factory.mktemp('clips'), load_profile('arm6')
    for start, goal in ((0, (0.4, 0.1, 0.4)), (100, (0.1, -0.4, 0.6))):
        simulator = MujocoSimulator(profile, contacts=False, seed=start)
        stack = Stack(profile, load_bundle(POLICY), folder, simulator, start=start * 10**9)
        stack.draw({'link.gripper.mass': 1.0 + start})
        stack.goal(goal)
        stack.run(1.0)
        stack.trigger()
        stack.run(0.6).clips()
    return folder


def told(tmp_path, *words):
    """Exit status and JSON of a verb."""
    file = tmp_path / 'told.json'
    file.unlink(missing_ok=True)
    status = main(['capture', *map(str, words), '--json', str(file)])
    return status, json.loads(file.read_text()) if file.exists() else None


def test_clips_become_a_data_set_and_that_another_version(clips, tmp_path, capsys):
    given = ['--robot', 'arm6', '--bundle', POLICY]
    first = min(clips.glob('2*'))
    status, one = told(tmp_path, 'export', first, *given, '--out', tmp_path / 'one')
    assert status == 0 and one['clips'] == 1 and one['frames'] > 50
    base = ['--base', tmp_path / 'one']
    status, two = told(tmp_path, 'export', clips, *given, *base, '--out', tmp_path / 'two')
    assert status == 0 and two['clips'] == 2 and two['parents'] == [one['content_hash']]
    assert 'is in it already' in capsys.readouterr().out
    assert told(tmp_path, 'export', clips, *given, '--out', tmp_path / 'two')[0] == 2
    assert 'name a new folder' in capsys.readouterr().err


def test_labels_keep_clips_out(clips, tmp_path):
    folders = list(clips.glob('2*'))
    for folder in folders:
        set_label(clips, folder.name, 'false alarm')
    given = ['--robot', 'arm6', '--bundle', POLICY, '--out', tmp_path / 'none']
    try:
        status, said = told(tmp_path, 'export', clips, *given)
        assert status == 1 and said['clips'] == 0
        assert ['false alarm' in fate['reason'] for fate in said['fates']] == [True, True]
        status, found = told(tmp_path, 'stats', clips)
    finally:
        for folder in folders:
            set_label(clips, folder.name, '')
    assert status == 0 and found['labels'] == {'false alarm': 2}
    assert not (tmp_path / 'none').exists()


def test_what_fails_is_counted_and_reported(clips, tmp_path):
    log = tmp_path / 'draws.jsonl'
    lines = [
        {'seed': 0, 'episode': k, 'values': {'link.gripper.mass': float(k)}} for k in range(9)
    ]
    log.write_text('\n'.join(map(json.dumps, lines)))
    page = tmp_path / 'failures.html'
    status, found = told(tmp_path, 'stats', clips, '--draws', log, '--report', page)
    assert status == 0 and found['clips'] == 2 and found['episodes'] == 9
    assert found['detectors'][0]['detector'] == 'operator'
    assert found['detectors'][0]['clips']['count'] == 2
    assert [row['address'] for row in found['addresses']] == ['link.gripper.mass']
    assert '<svg' in page.read_text()


def test_robots_in_one_store_are_counted_one_by_one(clips, tmp_path, capsys):
    ours, theirs = sorted(clips.glob('2*'))
    copy_of(ours, 'ours', tmp_path)
    copy_of(theirs, 'theirs', tmp_path, profile='rover')
    status, found = told(tmp_path, 'stats', tmp_path)
    assert status == 0 and found['clips'] == 2
    assert 'counts arm6, rover together' in capsys.readouterr().err
    status, found = told(tmp_path, 'stats', tmp_path, '--robot', 'rover')
    assert status == 0 and found['clips'] == 1 and not capsys.readouterr().err


def test_what_is_no_clip_is_refused(tmp_path, capsys):
    assert told(tmp_path, 'stats', tmp_path / 'nowhere')[0] == 2
    assert 'existing folder' in capsys.readouterr().err


def test_due_says_yes_or_no(clips, tmp_path):
    assert told(tmp_path, 'due', clips)[0] == 1
    status, found = told(tmp_path, 'due', clips, '--count', 2)
    assert status == 0 and found['due'] and found['reasons'][0]['rule'] == 'count'
    given = ['--robot', 'arm6', '--bundle', POLICY, '--out', tmp_path / 'set']
    assert told(tmp_path, 'export', clips, *given)[0] == 0
    status, found = told(tmp_path, 'due', clips, '--count', 1, '--dataset', tmp_path / 'set')
    assert status == 1 and found['new'] == 0


def test_what_was_copied_in_part_is_listed_and_counted_nowhere(clips, tmp_path, capsys):
    whole, half = sorted(clips.glob('2*'))
    for folder in (whole, half):
        copy = tmp_path / 'copies' / folder.name
        copy.mkdir(parents=True)
        for file in folder.iterdir():
            if folder is whole or file.name != 'manifest.json':
                (copy / file.name).write_bytes(file.read_bytes())
    status, found = told(tmp_path, 'ls', tmp_path / 'copies')
    assert status == 0
    ends = {clip['clip']: clip['end'] for clip in found['clips']}
    assert ends == {whole.name: 'complete', half.name: 'damaged'}
    status, found = told(tmp_path, 'stats', tmp_path / 'copies', clips)
    assert status == 0 and found['clips'] == 2 and len(found['skipped']) == 2
    assert 'was not counted' in capsys.readouterr().err
    assert told(tmp_path, 'show', tmp_path / 'copies' / half.name)[0] == 2


def test_a_clip_is_replayed_and_what_cannot_be_is_refused(clips, tmp_path, capsys):
    folder = next(clips.glob('2*_operator_*'))  # the other robot raised an alarm before
    picture = tmp_path / 'again.png'
    given = ['reproduce', folder, '--robot', 'arm6', '--lead', '0.3', '--plot', picture]
    status, found = told(tmp_path, *given, '--set', 'link.gripper.mass=1.5@-0.1')
    assert status == 0 and found['recurs'] is None  # a person asked for this clip
    assert [world['world'] for world in found['worlds']] == ['nominal', 'draw', 'given']
    assert picture.stat().st_size > 10_000
    for wrong in ('link.gripper.mass=nan', 'link.gripper.mass=1@inf', 'link.gripper.mass'):
        with pytest.raises(SystemExit) as left:
            main(['capture', *map(str, given), '--set', wrong])
        assert left.value.code == 2
    assert told(tmp_path, 'reproduce', folder, '--robot', 'slider')[0] == 2
    assert 'profile of that robot' in capsys.readouterr().err
