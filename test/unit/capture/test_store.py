"""The receiver's folder: how much may be in it."""

import errno
import json
import os
import shutil

import pytest

from sim2real_capture.clip import MANIFEST
from sim2real_capture.store import INCOMING, FullError, Store, TooLargeError
from test.clips import copy_of


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())


def keep(shelf, clip, robot='arm7'):
    """Send a clip as a whole."""
    body = (clip / MANIFEST).read_bytes()
    assert set(shelf.announce(robot, clip.name, body).values()) == {0}
    for name in json.loads(body)['files']:
        shelf.append(robot, clip.name, name, 0).write((clip / name).read_bytes())
    return shelf.commit(robot, clip.name, {})


def announce(shelf, clip, robot='arm7'):
    return shelf.announce(robot, clip.name, (clip / MANIFEST).read_bytes())


@pytest.fixture
def clips(clip):
    """Five of about the same size."""
    return [clip, *(copy_of(clip, f'clip-{i}') for i in range(2, 6))]


@pytest.fixture
def shelf(tmp_path, clips):
    """With room for three of them."""
    (tmp_path / 'library').mkdir()
    return Store(tmp_path / 'library', 1 << 20, 3 * size_of(clips[0]) + 1000)


def test_what_is_promised_counts_so_that_all_under_way_can_be_finished(shelf, clips):
    keep(shelf, clips[0])
    for one in clips[1:3]:
        announce(shelf, one)
    for one in clips[3:]:
        with pytest.raises(FullError, match='store_bytes'):
            announce(shelf, one)
    assert shelf.usage.full and shelf.usage.used <= shelf.usage.most
    for one in clips[:3]:
        announce(shelf, one)  # again: its room is its own
    keep(shelf, clips[1])
    keep(shelf, clips[2])
    assert size_of(shelf.folder) <= shelf.usage.most
    assert shelf.usage.used == size_of(shelf.folder)


def test_room_comes_back_with_what_is_forgotten_or_deleted(shelf, clips):
    kept = [keep(shelf, one) for one in clips[:2]]
    announce(shelf, clips[2])
    with pytest.raises(FullError):
        announce(shelf, clips[3])
    assert shelf.forget_older(1e12) == 1  # what was under way
    announce(shelf, clips[3])
    assert not shelf.usage.full
    with pytest.raises(FullError):
        announce(shelf, clips[4])
    shutil.rmtree(kept[0])
    assert shelf.usage.full
    shelf.recount()
    assert not shelf.usage.full
    announce(shelf, clips[4])
    assert kept[1].is_dir()


def test_room_is_taken_from_what_stood_still_for_longest_and_no_more_than_needed(shelf, clips):
    for age, one in zip((10.0, 30.0, 20.0), clips, strict=False):
        announce(shelf, one)
        arriving = shelf.folder / INCOMING / 'arm7' / one.name
        for path in (arriving / MANIFEST, arriving):
            os.utime(path, (1000.0 - age, 1000.0 - age))
    assert shelf.make_room(2000.0) == 0  # nobody was turned away
    with pytest.raises(FullError):
        announce(shelf, clips[3])
    assert shelf.make_room(970.0) == 0  # none stood still that long
    assert shelf.make_room(985.0) == 1 and not shelf.usage.full
    left = {path.name for path in (shelf.folder / INCOMING / 'arm7').iterdir()}
    assert left == {clips[0].name, clips[2].name}
    announce(shelf, clips[3])


def test_a_restart_counts_what_is_there(shelf, clips):
    keep(shelf, clips[0])
    announce(shelf, clips[1])
    shelf.append('arm7', 'clip-2', 'metadata.yaml', 0).write(b'abc')
    again = Store(shelf.folder, 1 << 20, shelf.usage.most)
    assert again.usage == shelf.usage
    announce(again, clips[2])
    with pytest.raises(FullError):
        announce(again, clips[3])


@pytest.mark.parametrize('torn', ['', '{"schema": 1, "cli', '{}', 'null'])
def test_a_manifest_torn_by_a_power_cut_is_forgotten(shelf, clips, torn):
    announce(shelf, clips[0])
    announce(shelf, clips[1])
    arriving = shelf.folder / INCOMING / 'arm7' / 'clip-2'
    (arriving / MANIFEST).write_text(torn)
    again = Store(shelf.folder, 1 << 20, shelf.usage.most)
    assert not arriving.exists() and 0 < again.usage.used < shelf.usage.used
    keep(again, clips[1])


def test_an_announcement_the_disk_cuts_short_leaves_no_manifest(shelf, clips, monkeypatch):
    def full(path, body):
        path.open('wb').write(body[:9])
        raise OSError(errno.ENOSPC, 'full')

    with monkeypatch.context() as patch, pytest.raises(OSError, match='full'):
        patch.setattr(type(clips[0]), 'write_bytes', full)
        announce(shelf, clips[0])
    assert not (shelf.folder / INCOMING / 'arm7' / clips[0].name / MANIFEST).exists()
    keep(shelf, clips[0])


def test_what_would_never_fit_is_refused_for_good(tmp_path, clip):
    (tmp_path / 'library').mkdir()
    shelf = Store(tmp_path / 'library', 1 << 20, 1000)
    with pytest.raises(TooLargeError, match='1000 B'):
        announce(shelf, clip)
    assert list((tmp_path / 'library' / INCOMING).iterdir()) == []


def test_no_limit_is_none(tmp_path, clips):
    (tmp_path / 'library').mkdir()
    shelf = Store(tmp_path / 'library', 1 << 20)
    for one in clips:
        announce(shelf, one)
    assert (shelf.usage.most, shelf.usage.full) == (0, False) and shelf.usage.used > 0
