"""Draws as lines of JSON, and back."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from sim2real_core.errors import InputError
from sim2real_core.records import Draw
from sim2real_randomizer.draw_log import append, files, find, read

MASS, VISCOUS = 'link.gripper.mass', 'joint.elbow.viscous_friction'
FIRST = Draw(
    3, 7, 1, {MASS: 1 / 3, VISCOUS: 0.1}, {MASS: 'verified', VISCOUS: 'failed'}, 'space', 'robot'
)
LATER = dataclasses.replace(FIRST, step=4, values={MASS: 1 / 3, VISCOUS: 0.7})
NEXT = dataclasses.replace(FIRST, episode=4)
OTHER = dataclasses.replace(FIRST, environment=2, episode=9)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / 'new' / 'draws.jsonl'
    append(path, FIRST, 0.5)
    append(path, OTHER, 0.6)
    append(path, LATER, 0.9, only={VISCOUS})
    append(path, NEXT, 1.5)
    return path


def test_whole_worlds_come_back_to_the_bit(log):
    assert list(read(log)) == [FIRST, OTHER, LATER, NEXT]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line['stamp'] for line in lines] == [0.5, 0.6, 0.9, 1.5]
    assert lines[2]['values'] == {VISCOUS: 0.7}


@pytest.mark.parametrize(
    ('wanted', 'draw'),
    [
        ({}, NEXT),
        ({'episode': 3}, LATER),
        ({'episode': 3, 'step': 0}, FIRST),
        ({'environment': 2}, OTHER),
    ],
)
def test_find(log, wanted, draw):
    assert find(log, **wanted) == draw


def test_a_single_draw_is_a_file_too(tmp_path):
    path = tmp_path / 'draw.json'
    path.write_text(json.dumps({'values': {MASS: 2.0}}, indent=2))
    assert list(read(path)) == [Draw(0, 0, values={MASS: 2.0})]


def test_the_last_line_may_be_cut_off(log):
    log.write_text(log.read_text()[:-40])
    assert list(read(log)) == [FIRST, OTHER, LATER]


@pytest.mark.parametrize(
    ('line', 'mend'),
    [
        ('{"schema": 9, "values": {}}', 'not a draw'),
        ('{"values": {"link.gripper.mass": "x"}}', 'not a draw'),
        ('{"values": {"gripper.mass": 1}}', 'must start with'),
        ('{"values": {}, "outcomes": {"link.gripper.mass": "fine"}}', 'not a draw'),
        ('[]', 'not a draw'),
        ('{"values": {}, "episode": 5, "step": 2}', 'changes a world'),
        ('rubbish', 'no line of JSON'),
    ],
)
def test_faults_have_a_line(log, line, mend):
    log.write_text(f'{log.read_text()}{line}\n' + '{"values": {}}\n')
    with pytest.raises(InputError) as error:
        list(read(log))
    (fault,) = error.value.faults
    assert (fault.file, fault.line) == (str(log), 5)
    assert mend in fault.mend


def test_none_matches(log, tmp_path):
    with pytest.raises(InputError, match='4 draws'):
        find(log, episode=99)
    with pytest.raises(InputError, match='readable'):
        find(tmp_path / 'none.jsonl')


def test_a_log_of_many_files_is_read_as_one(tmp_path):
    path = tmp_path / 'draws.jsonl'
    assert files(path) == [path]
    draws = [dataclasses.replace(FIRST, episode=e, step=s) for e in range(12) for s in (0, 1)]
    for draw in draws:
        append(path, draw, 0.0, {VISCOUS} if draw.step else None, 500)
    log = files(path)
    assert len(log) > 9 and log[1].name == 'draws.2.jsonl' and log[-1] == path
    assert all(file.stat().st_size < 500 + 300 for file in log)
    assert list(read(path)) == draws
    assert find(path, episode=0, step=1) == draws[1]
    path.unlink()  # the next one is not begun
    assert list(read(path)) == draws[: len(list(read(path)))] != []
    (tmp_path / 'draws.3.jsonl').write_text('rubbish\n')
    with pytest.raises(InputError, match=r'draws\.3\.jsonl'):
        list(read(path))


def test_those_who_write_to_one_log_lose_nothing(tmp_path):
    path = tmp_path / 'draws.jsonl'

    def write(writer):
        for episode in range(40):
            draw = dataclasses.replace(FIRST, environment=writer, episode=episode)
            append(path, draw, 0.0, size=900)

    with ThreadPoolExecutor(4) as pool:  # locks are of an open file: threads are as processes
        list(pool.map(write, range(4)))
    found = sorted((draw.environment, draw.episode) for draw in read(path))
    assert found == [(writer, episode) for writer in range(4) for episode in range(40)]
    assert len(files(path)) > 10
