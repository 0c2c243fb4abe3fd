"""Power is lost at any instant of a recording: what the disk then holds is recovered.

A :class:`Disk` notes, at every open, rename, unlink, mkdir and fsync under the spool, what would
survive: of a file what it held when it was last synced, of a folder the entries it had when it
was last synced. Between that and what the kernel knew, a disk may keep any part; only a rename
is whole or not at all.
"""

import os
import sys
from datetime import datetime, timezone

import numpy as np
import pytest

from sim2real_capture import clip as clip_module
from sim2real_capture.clip import Context, Journal, discard
from sim2real_capture.clip_sealing import recover, seal
from sim2real_capture.library import list_clips, read_manifest, verify
from sim2real_core.records import Event

NOTED = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir')


class Disk:
    """What a folder would hold after a power cut, at every step of a recording."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.steps = []  # (durable, newest): each (folders, files)
        self._held = {}  # inode -> descriptor, so that no number is used again
        self._synced = {}, {}
        self._on = True
        self._fsync = os.fsync
        monkeypatch.setattr(clip_module.os, 'fsync', self.fsync)
        disk = self

        def hook(name, args):
            if disk._on and name in NOTED:
                disk.note()

        sys.addaudithook(hook)  # stays for ever, and is switched off
        self._on = False
        folders, files = self.look()
        self._synced = dict(folders), dict(files)
        self._on = True

    def fsync(self, descriptor):
        self._fsync(descriptor)
        self._on = False
        inode = os.fstat(descriptor).st_ino
        folders, files = self.look()
        if inode in folders:
            self._synced[0][inode] = folders[inode]
        if inode in files:
            self._synced[1][inode] = files[inode]
        self._on = True
        self.note()

    def note(self):
        """Between two steps."""
        self._on = False
        self.steps.append(((dict(self._synced[0]), dict(self._synced[1])), self.look()))
        self._on = True

    def look(self):
        """Entries by folder and contents by file, as the kernel knows them."""
        folders, files = {}, {}

        def walk(path):
            inode = self.hold(path)
            folders[inode] = {}
            for entry in os.scandir(path):
                if entry.is_dir():
                    folders[inode][entry.name] = walk(entry.path)
                else:
                    child = self.hold(entry.path)
                    with open(entry.path, 'rb') as stream:
                        files[child] = stream.read()
                    folders[inode][entry.name] = child
            return inode

        self.top = walk(self.root)
        return folders, files

    def hold(self, path):
        inode = os.stat(path).st_ino
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_RDONLY)
        return inode

    def close(self):
        self._on = False
        for descriptor in self._held.values():
            os.close(descriptor)

    def survives(self, step, where, rng=None):
        """Write what survives a cut after a step; with a generator, any part of the unsynced."""
        (folders, files), (new_folders, new_files) = step

        def entries(inode):
            kept = dict(folders.get(inode, {}))
            if rng is not None:
                now = new_folders.get(inode, {})
                coins = {}  # by what it is called, or by what it is: a rename is whole or not
                for name in sorted(set(kept) | set(now)):
                    child = kept.get(name, now.get(name))
                    if coins.setdefault(child, rng.random() < 0.5):
                        kept.pop(name, None)
                        if name in now:
                            kept[name] = now[name]
            return kept

        def content(inode):
            safe, now = files.get(inode, b''), new_files.get(inode, b'')
            if rng is not None and len(now) > len(safe) and rng.random() < 0.7:
                return now[: rng.integers(len(safe), len(now) + 1)]
            return safe

        def write(inode, path):
            path.mkdir()
            for name, child in entries(inode).items():
                if child in new_folders or child in folders:
                    write(child, path / name)
                else:
                    (path / name).write_bytes(content(child))

        write(self.top, where)


@pytest.fixture(scope='module')
def recording(tmp_path_factory, joint_state):
    """A disk's steps while a clip is recorded and sealed, and another deleted."""
    spool = tmp_path_factory.mktemp('spool')
    patch = pytest.MonkeyPatch()
    disk = Disk(spool, patch)
    try:
        marks = {}
        context = Context('arm6', 'f' * 64)
        for name in ('old', 'one'):
            journal = Journal(spool, name, context, datetime(2026, 11, 21, tzinfo=timezone.utc))
            journal.event(Event(1.0, 'tracking_error', 1.0, 0.5))
            for i in range(60):
                journal.message(joint_state(1.0 + 0.01 * i, elbow=0.1 * i))
                if i % 20 == 19:
                    journal.flush(to_disk=True)
                    marks[name, len(disk.steps)] = i + 1
            journal.close('complete')
            folder = seal(journal.folder)
            journal.release()
            marks[name, len(disk.steps)] = 'sealed'
            if name == 'old':
                (folder / 'shipped.json').write_text('{"receiver": "there"}')
        marks['old', len(disk.steps)] = 'deleting'
        discard(spool / 'old')
    finally:
        patch.undo()
        disk.close()
    return disk, marks


def promised(marks, name, count):
    """What was promised of a clip when ``count`` steps were done."""
    said = [what for (clip, step), what in marks.items() if clip == name and step <= count]
    return said[-1] if said else 0


def check(spool, marks, count):
    recover(spool)
    clips = {info.clip: info for info in list_clips(spool)}
    assert {path.name for path in spool.iterdir()} == set(clips)  # nothing is left half done
    assert recover(spool) == ([], [], [])
    for info in clips.values():
        verify(info.path)
        assert info.end in ('complete', 'recovered')
        assert read_manifest(info.path)['events'][0]['detector'] == 'tracking_error'
    for name in ('old', 'one'):
        what = promised(marks, name, count)
        if what == 'sealed':
            assert (clips[name].messages, clips[name].end) == (60, 'complete')
        elif what not in (0, 'deleting'):
            assert clips[name].messages >= what


def test_every_step_of_a_recording_is_noted(recording):
    disk, marks = recording
    assert len(disk.steps) > 40
    assert [what for (clip, _), what in marks.items() if clip == 'one'] == [20, 40, 60, 'sealed']


def test_with_all_that_was_not_synced_lost(recording, tmp_path):
    disk, marks = recording
    for count, step in enumerate(disk.steps, 1):
        where = tmp_path / f'{count}'
        disk.survives(step, where)
        check(where, marks, count)


def test_with_any_part_of_it_kept(recording, tmp_path):
    disk, marks = recording
    rng = np.random.default_rng(0)
    for count, step in enumerate(disk.steps, 1):
        for again in range(4):
            where = tmp_path / f'{count}_{again}'
            disk.survives(step, where, rng)
            check(where, marks, count)
