"""The index of a folder of clips: made from it, kept with it, made again when it is lost."""

import json
import shutil
import sqlite3
import subprocess
import sys

import pytest

from sim2real_capture.catalogue import FILE, LABEL, Catalogue, labels, set_label, severity
from sim2real_capture.clip import MANIFEST
from sim2real_capture.store import RECEIVED
from sim2real_core.errors import InputError


@pytest.fixture
def folder(clip):
    """Of three clips."""
    for name, robot in (('clip-2', 'arm7'), ('clip-3', 'rover')):
        copy = clip.parent / name
        shutil.copytree(clip, copy)
        (copy / 'clip-1_0.mcap').rename(copy / f'{name}_0.mcap')
        manifest = {**json.loads((clip / MANIFEST).read_text()), 'clip': name}
        manifest['created'] = f'2026-11-2{name[-1]}T00:00:00+00:00'
        manifest['files'][f'{name}_0.mcap'] = manifest['files'].pop('clip-1_0.mcap')
        (copy / MANIFEST).write_text(json.dumps(manifest))
        received = {'robot': robot, 'at': 'then', 'clock_offset': -0.25}
        (copy / RECEIVED).write_text(json.dumps(received))
    return clip.parent


def test_what_it_says_of_a_clip(folder):
    catalogue = Catalogue(folder)
    entry = catalogue.entry('clip-2')
    assert (entry.robot, entry.received, entry.clock_offset) == ('arm7', 'then', -0.25)
    assert entry.clock_offset_error is None and entry.detectors == 'tracking_error'
    assert entry.severity == pytest.approx((1 / 3) / 0.25) and entry.detail == 'elbow'
    assert entry.duration == pytest.approx(1.99) and entry.messages == 201 and entry.label == ''
    assert catalogue.entry('clip-9') is None
    catalogue.close()


def test_labels_are_kept_beside_the_clips(folder):
    assert labels(folder) == {'clip-1': '', 'clip-2': '', 'clip-3': ''}
    set_label(folder, 'clip-2', 'false alarm', 'anna')
    set_label(folder, 'clip-3', 'duplicate')
    set_label(folder, 'clip-3', '')
    expected = {'clip-1': '', 'clip-2': 'false alarm', 'clip-3': ''}
    assert labels(folder) == expected
    assert json.loads((folder / 'clip-2' / LABEL).read_text())['by'] == 'anna'
    for lost in (lambda file: file.unlink(), lambda file: file.write_bytes(b'spoiled' * 1000)):
        lost(folder / FILE)
        assert labels(folder) == expected


@pytest.mark.parametrize(
    ('name', 'label'), [('clip-9', ''), ('../clip-1', ''), ('clip-1', 'real'), ('clip-1', None)]
)
def test_only_labels_that_there_are_for_clips_that_there_are(folder, name, label):
    with pytest.raises(InputError):
        set_label(folder, name, label)
    assert set(labels(folder).values()) == {''}


def test_clips_that_come_and_go(folder):
    catalogue = Catalogue(folder)
    shutil.rmtree(folder / 'clip-1')
    shutil.move(folder / 'clip-3', folder / 'elsewhere.part')
    catalogue.refresh()
    assert [entry.clip for entry in catalogue.entries()] == ['clip-2']
    shutil.move(folder / 'elsewhere.part', folder / 'clip-3')
    catalogue.add(folder / 'clip-3')
    assert [entry.clip for entry in catalogue.entries()] == ['clip-3', 'clip-2']
    catalogue.close()


def test_choosing_and_counting(folder):
    set_label(folder, 'clip-2', 'real failure')
    catalogue = Catalogue(folder)
    chosen = {
        'all': catalogue.entries(),
        'labelled': catalogue.entries(label='real failure'),
        'not': catalogue.entries(label=''),
        'text': catalogue.entries(text='ROVER'),
        'wild': catalogue.entries(text='%'),
        'quoted': catalogue.entries(text="' OR 1=1 --"),
        'turned': catalogue.entries(first=1, most=1),
    }
    found = {key: [entry.clip for entry in entries] for key, entries in chosen.items()}
    assert found == {
        'all': ['clip-3', 'clip-2', 'clip-1'],
        'labelled': ['clip-2'],
        'not': ['clip-3', 'clip-1'],
        'text': ['clip-3'],
        'wild': [],
        'quoted': [],
        'turned': ['clip-2'],
    }
    assert catalogue.count() == {'real failure': 1, 'false alarm': 0, 'duplicate': 0, '': 2}
    assert catalogue.count('rover')[''] == 1
    catalogue.close()


def test_several_processes_may_label(folder):
    program = (
        'import sys; from sim2real_capture.catalogue import set_label\n'
        'for i in range(20): set_label(sys.argv[1], sys.argv[2], "duplicate")'
    )
    workers = [
        subprocess.Popen([sys.executable, '-c', program, str(folder), name])
        for name in ('clip-1', 'clip-2')
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert list(labels(folder).values()).count('duplicate') == 2


def test_a_catalogue_of_another_version_is_made_anew(folder):
    with sqlite3.connect(folder / FILE) as base:
        base.execute('CREATE TABLE clips (clip TEXT, other TEXT)')
    assert set(labels(folder)) == {'clip-1', 'clip-2', 'clip-3'}


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match='folder'):
        Catalogue(tmp_path / 'nothing')


@pytest.mark.parametrize(
    ('events', 'expected'),
    [
        ([], None),
        ([{'score': 3.0, 'threshold': 2.0}, {'score': 8.0, 'threshold': 4.0}], 2.0),
        ([{'score': 3.0, 'threshold': 0.0}], None),
        ([{'score': 'x', 'threshold': 1.0}, {'score': float('nan'), 'threshold': 1.0}], None),
    ],
)
def test_severity(events, expected):
    assert severity(events) == expected
