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

A process that dies leaves a ``.part`` folder; ``clip_sealing.recover`` seals what its journal
holds, the same way an orderly end does. The journal is unchunked, so that nothing but the last,
torn record is lost, and is read with a stream reader, which needs no index. A living process
holds a lock on its ``.part`` folder, so that several may share a spool.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sim2real_capture.clip_bag import LIBRARY, Bag
from sim2real_capture.ring import Record
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
        """Give up the folder: it was sealed, or is left to be recovered."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def discard(folder: Path) -> None:
    """Delete a sealed clip, so that a power cut leaves it whole or leaves nothing of it."""
    gone = folder.with_name(folder.name + GONE)
    folder.rename(gone)
    sync(folder.parent)
    shutil.rmtree(gone)
