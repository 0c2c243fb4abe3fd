"""Clips on disk: a journal while recording, a sealed rosbag2 folder afterwards.

::

    <spool>/<clip>.part/journal.mcap        being recorded: every record is in the file at once
    <spool>/<clip>.part/<clip>_0.mcap ...   being sealed: indexed and compressed
    <spool>/<clip>/<clip>_0.mcap            sealed: appears whole, by one rename
                   metadata.yaml            makes the folder a bag for ``ros2 bag``
                   manifest.json            SHA-256, sizes, topics, counts, time span, events
                   shipped.json             the receiver's acknowledgement, once it has it
                   private.mcap             what does not leave the robot, where rules say so
                   private_7d.mcap          the same, of topics with a retention of their own

A process that dies leaves a ``.part`` folder; :func:`recover` seals what its journal holds, the
same way an orderly end does. The journal is unchunked, so that nothing but the last, torn
record is lost, and is read with a stream reader, which needs no index. A living process holds a
lock on its ``.part`` folder, so that several may share a spool.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mcap.records import Metadata

from sim2real_capture.clip_bag import LIBRARY, Bag, bag_metadata, surviving, topics_of
from sim2real_capture.definitions import definition
from sim2real_capture.ring import Record
from sim2real_capture.rules import Rules, Sieve
from sim2real_core.errors import Fault, InputError
from sim2real_core.records import Event

SCHEMA = 1
PART = '.part'
GONE = '.gone' + PART
JOURNAL = 'journal.mcap'
MANIFEST = 'manifest.json'
BAG_METADATA = 'metadata.yaml'
SHIPPED = 'shipped.json'
PRIVATE = re.compile(r'private(?:_([0-9.e+-]+)d)?\.mcap')
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,127}')


@dataclass(frozen=True)
class Context:
    """What the world and the software were when it happened.

    Attributes:
        profile: name of the robot profile.
        profile_hash: its content hash.
        bundle: content hash of the policy bundle, ``''`` when none was heard of.
        draw: the Draw in force as JSON data; empty on a robot.
        estimate: the latest Estimate as JSON data; empty when there was none.
        latched: topics whose publishers are transient local.
        rules: of topics, as JSON data, see ``rules``.
        compression: of the sealed clip's chunks: ``zstd``, ``lz4`` or ``none``.
    """

    profile: str
    profile_hash: str
    bundle: str = ''
    draw: Mapping[str, Any] = field(default_factory=dict)
    estimate: Mapping[str, Any] = field(default_factory=dict)
    latched: tuple[str, ...] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)
    compression: str = 'zstd'


def check_name(name: str, what: str = 'clip') -> str:
    """A name that is safe as a file name anywhere.

    Raises:
        InputError: anything else.
    """
    if not NAME.fullmatch(name) or name.endswith(PART):
        raise InputError(
            Fault(what, name, 'only letters, digits, ".", "_" and "-"; first a letter or digit')
        )
    return name


def clip_name(detector: str, when: datetime, token: str) -> str:
    """Id of a clip: when (UTC), which detector, and something that makes it unique."""
    return check_name(f'{when.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}_{detector}_{token}')


def private_name(days: float) -> str:
    """The file of private messages that stay this long [days]; 0 for as long as usual."""
    return f'private_{days:g}d.mcap' if days else 'private.mcap'


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Force a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder to write to, unless it is there.

    Raises:
        InputError: it is a file, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError('not allowed to write there')
    except OSError as error:
        mend = f'give a folder that can be written to ({error})'
        raise InputError(Fault('folder', str(folder), mend)) from error


def write_synced(path: Path, text: str) -> None:
    """Write a text file and force it to the disk."""
    path.write_text(text, encoding='utf-8')
    sync(path)


def lock_folder(folder: Path) -> int:
    """Lock a folder for as long as the descriptor returned is open (a dead process has none).

    Raises:
        BlockingIOError: it is locked already.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Journal:
    """A clip being recorded.

    Args:
        spool: folder of the clips.
        clip: its id.
        context: what was in force.
        created: when it was triggered, by the wall clock.

    Raises:
        OSError: the disk says no.
    """

    def __init__(self, spool: Path, clip: str, context: Context, created: datetime) -> None:
        self.clip = check_name(clip)
        self.folder = spool / (clip + PART)
        self.folder.mkdir(parents=True)
        self._lock: int | None = lock_folder(self.folder)
        self._latched = frozenset(context.latched)
        self._stream = (self.folder / JOURNAL).open('wb')
        self._bag = Bag(self._stream, None)
        self._bag.metadata(
            f'{LIBRARY}.context',
            {
                'schema': str(SCHEMA),
                'clip': clip,
                'created': created.astimezone(timezone.utc).isoformat(timespec='milliseconds'),
                'profile': context.profile,
                'profile_hash': context.profile_hash,
                'bundle': context.bundle,
                'draw': json.dumps(context.draw),
                'estimate': json.dumps(context.estimate),
                'latched': json.dumps(context.latched),
                'rules': json.dumps(context.rules),
                'compression': context.compression,
            },
        )
        sync(self.folder)
        sync(spool)

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._stream.tell()

    def event(self, event: Event) -> None:
        """Note what happened."""
        self._bag.metadata(
            f'{LIBRARY}.event',
            {
                'stamp': repr(event.stamp),
                'detector': event.detector,
                'score': repr(event.score),
                'threshold': repr(event.threshold),
                'detail': event.detail,
            },
        )

    def message(self, record: Record) -> None:
        """Add a record."""
        self._bag.message(record, record.topic in self._latched)

    def flush(self, *, to_disk: bool = False) -> None:
        """Hand everything to the kernel (survives this process), or to the disk."""
        self._stream.flush()
        if to_disk:
            os.fsync(self._stream.fileno())

    def close(self, reason: str, dropped: int = 0) -> None:
        """End the journal in order.

        Args:
            reason: ``complete``, or why the clip is shorter than asked.
            dropped: records that could not be written.
        """
        self._bag.metadata(f'{LIBRARY}.end', {'reason': reason, 'dropped': str(dropped)})
        self._bag.finish()
        self.flush(to_disk=True)
        self._stream.close()

    def release(self) -> None:
        """Give up the folder: it was sealed, or is left to :func:`recover`."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Sealing:
    """A journal on its way into the files of a clip.

    Args:
        folder: the ``.part`` folder.

    Attributes:
        bag_file: name of the bag's file.
        events: metadata of what happened.
        end: how the journal ended; one without an end was cut by a crash.
        context: what was in force.
        first: stamp of the oldest message [ns]; later than ``last`` when there is none.
        last: of the newest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clip = folder.name[: -len(PART)]
        self.bag_file = f'{self.clip}_0.mcap'
        self.events: list[dict[str, str]] = []
        self.end = {'reason': 'recovered', 'dropped': '0'}
        self.context: dict[str, str] = {}
        self.first, self.last = 2**63, 0
        self._sieve = Sieve(Rules())
        self._latched: frozenset[str] = frozenset()
        self._private: dict[str, Bag] = {}  # by file

    def copy(self) -> None:
        """Write what the journal holds to the bag, and to files beside it what is private."""
        with ExitStack() as self._files:
            journal = self._files.enter_context((self.folder / JOURNAL).open('rb'))
            items = surviving(journal)
            first = next(items, None)  # the context, which says how to write
            if isinstance(first, Metadata):
                self._note(first)
            self.bag = self._made(self.bag_file)
            if isinstance(first, Metadata):
                self.bag.metadata(first.name, first.metadata)
            for item in items:
                if isinstance(item, Metadata):
                    self._note(item)
                    self.bag.metadata(item.name, item.metadata)
                else:
                    self._pass(item)
            for done in (self.bag, *self._private.values()):
                done.finish()
                done.stream.flush()
                os.fsync(done.stream.fileno())

    def _made(self, name: str) -> Bag:
        stream = self._files.enter_context((self.folder / name).open('wb'))
        return Bag(stream, self.context.get('compression', 'zstd'))

    def _note(self, item: Metadata) -> None:
        if item.name == f'{LIBRARY}.event':
            self.events.append(item.metadata)
        elif item.name == f'{LIBRARY}.end':
            self.end = item.metadata
        elif item.name == f'{LIBRARY}.context':
            self.context = item.metadata
            self._latched = frozenset(json.loads(item.metadata['latched']))
            rules = Rules.from_json(json.loads(item.metadata.get('rules', '{}')))
            recorded = topics_of(self.folder / JOURNAL) if rules.compress else ()
            self._sieve = Sieve(rules, recorded)

    def _pass(self, item: Record) -> None:
        self.first, self.last = min(self.first, item.stamp), max(self.last, item.stamp)
        latched = item.topic in self._latched
        kept = item if latched else self._sieve.passed(item)
        if kept is None:
            return
        bag, rule = self.bag, self._sieve.rules.of(item.topic)  # the name it was recorded under
        if rule.private:
            name = private_name(rule.days)
            if name not in self._private:
                self._private[name] = self._made(name)
            bag = self._private[name]
        bag.message(kept, latched)

    def manifest(self) -> dict[str, Any]:
        """What is in the clip, once its files are written."""
        context, bag, sieve = self.context, self.bag, self._sieve
        private = [count for kept in self._private.values() for count in kept.counts.items()]
        files = {
            name: {
                'sha256': sha256_of(self.folder / name),
                'size': (self.folder / name).stat().st_size,
            }
            for name in (self.bag_file, BAG_METADATA)
        }
        return {
            'schema': SCHEMA,
            'clip': self.clip,
            'created': context.get('created', ''),
            'end': self.end['reason'],
            'dropped': int(self.end['dropped']),
            'files': files,
            'first_stamp': self.first,
            'last_stamp': self.last,
            'messages': sum(bag.counts.values()),
            'topics': {
                topic: {
                    'type': bag.types[topic],
                    'messages': count,
                    'defined': bool(definition(bag.types[topic]).text),
                }
                for topic, count in sorted(bag.counts.items())
            },
            'events': [_event_data(event) for event in self.events],
            'profile': context.get('profile', ''),
            'profile_hash': context.get('profile_hash', ''),
            'bundle': context.get('bundle', ''),
            'draw': json.loads(context.get('draw', '{}')),
            'estimate': json.loads(context.get('estimate', '{}')),
            'compression': context.get('compression', 'zstd'),
            **({'private': dict(sorted(private))} if private else {}),
            **({'thinned_out': sieve.left_out} if sieve.left_out else {}),
            **({'reduced': sieve.told()} if sieve.reduced else {}),
        }


def seal(folder: Path) -> Path:
    """Turn a journal into a sealed clip.

    Args:
        folder: the ``.part`` folder.

    Returns:
        The clip's folder.

    Raises:
        InputError: the journal holds no message.
        OSError: the disk says no; the ``.part`` folder is left as it is.
    """
    made = _Sealing(folder)
    made.copy()
    if made.first > made.last:
        raise InputError(Fault('journal', str(folder / JOURNAL), 'holds no message'))
    about = bag_metadata(made.bag, made.bag_file, made.first, made.last, made.events)
    write_synced(folder / BAG_METADATA, about)
    write_synced(folder / MANIFEST, json.dumps(made.manifest(), indent=1) + '\n')
    sync(folder)  # the new files are found before the old one goes
    (folder / JOURNAL).unlink()
    return _publish(folder)


def discard(folder: Path) -> None:
    """Delete a sealed clip, so that a power cut leaves it whole or leaves nothing of it."""
    gone = folder.with_name(folder.name + GONE)
    folder.rename(gone)
    sync(folder.parent)
    shutil.rmtree(gone)


def recover(spool: Path) -> tuple[list[Path], list[Path], list[tuple[Path, OSError]]]:
    """Seal what a process that died left behind. Call it before recording.

    Returns:
        The clips that were recovered, the ``.part`` folders that held no message (removed), and
        those that could not be sealed (left as they are), with the reason.
    """
    recovered, empty, failed = [], [], []
    for folder in spool.glob('*' + GONE):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in sorted(spool.glob('*' + PART)):
        try:
            lock = lock_folder(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process is recording it, or has just sealed it
        try:
            if not folder.is_dir():
                continue  # sealed while we waited
            sealed = _recovered(folder)
        except OSError as error:
            failed.append((folder, error))
            continue
        finally:
            os.close(lock)
        if sealed is None:
            empty.append(folder)
        else:
            recovered.append(sealed)
    return recovered, empty, failed


def _recovered(folder: Path) -> Path | None:
    """Seal a ``.part`` folder nobody works on; None when it held no message and was removed."""
    if (folder / JOURNAL).is_file():
        try:
            return seal(folder)
        except InputError:
            shutil.rmtree(folder)
            return None
    if (folder / MANIFEST).is_file():
        return _publish(folder)  # everything was written and only the rename is missing
    shutil.rmtree(folder)
    return None


def _publish(folder: Path) -> Path:
    """Make a finished ``.part`` folder appear under its name, durably."""
    final = folder.with_name(folder.name[: -len(PART)])
    sync(folder)
    folder.rename(final)
    sync(final.parent)
    return final


def _event_data(values: Mapping[str, str]) -> dict[str, Any]:
    numbers = ('stamp', 'score', 'threshold')
    return {key: float(v) if key in numbers else v for key, v in values.items()}
