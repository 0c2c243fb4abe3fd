"""Clips on disk: a journal while recording, a sealed rosbag2 folder afterwards.

::

    <spool>/<clip>.part/journal.mcap        being recorded: every record is in the file at once
    <spool>/<clip>.part/<clip>_0.mcap ...   being sealed: indexed and compressed
    <spool>/<clip>/<clip>_0.mcap            sealed: appears whole, by one rename
                   metadata.yaml            makes the folder a bag for ``ros2 bag``
                   manifest.json            SHA-256, sizes, topics, counts, time span, events
                   shipped.json             the receiver's acknowledgement, once it has it

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
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from sim2real_capture.definitions import definition
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
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,127}')
LIBRARY = 'sim2real'

_FOREVER = {'sec': 9223372036, 'nsec': 854775807}


class _Plain(yaml.SafeDumper):
    """Repeats equal values instead of pointing back at them, which rosbag2 does not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


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
    """

    profile: str
    profile_hash: str
    bundle: str = ''
    draw: Mapping[str, Any] = field(default_factory=dict)
    estimate: Mapping[str, Any] = field(default_factory=dict)
    latched: tuple[str, ...] = ()


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


class _Bag:
    """The part of an MCAP file that journal and clip share: schemas and channels by need."""

    def __init__(self, stream: BinaryIO, *, chunked: bool) -> None:
        self.stream = stream
        self.counts: dict[str, int] = {}
        self.types: dict[str, str] = {}
        self.offered: dict[str, str] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._schemas: dict[str, int] = {}
        self._writer = Writer(
            stream,
            use_chunking=chunked,
            compression=CompressionType.ZSTD if chunked else CompressionType.NONE,
        )
        self._writer.start(profile='ros2', library=LIBRARY)

    def metadata(self, name: str, values: Mapping[str, str]) -> None:
        self._writer.add_metadata(name, dict(values))

    def message(self, record: Record, latched: bool) -> None:
        key = (record.topic, record.type)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = self._add_channel(record, latched)
        self._writer.add_message(channel, record.stamp, record.data, record.stamp)
        self.counts[record.topic] = self.counts.get(record.topic, 0) + 1
        self.types[record.topic] = record.type

    def _add_channel(self, record: Record, latched: bool) -> int:
        known = definition(record.type)
        if record.type not in self._schemas:
            self._schemas[record.type] = self._writer.register_schema(
                name=record.type,
                encoding='ros2msg' if known.text else '',
                data=known.text.encode(),
            )
        self.offered[record.topic] = _qos(latched)
        return self._writer.register_channel(
            record.topic,
            'cdr',
            self._schemas[record.type],
            {'offered_qos_profiles': _qos(latched), 'topic_type_hash': known.hash},
        )

    def finish(self) -> None:
        self._writer.finish()  # type: ignore[no-untyped-call]


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
        self._bag = _Bag(self._stream, chunked=False)
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
    clip = folder.name[: -len(PART)]
    bag_file = folder / f'{clip}_0.mcap'
    notes: dict[str, dict[str, str]] = {}
    events: list[dict[str, str]] = []
    latched: frozenset[str] = frozenset()
    first, last = 2**63, 0
    with (folder / JOURNAL).open('rb') as journal, bag_file.open('wb') as stream:
        bag = _Bag(stream, chunked=True)
        for item in _surviving(journal):
            if isinstance(item, Metadata):
                bag.metadata(item.name, item.metadata)
                if item.name == f'{LIBRARY}.event':
                    events.append(item.metadata)
                else:
                    notes[item.name] = item.metadata
                if item.name == f'{LIBRARY}.context':
                    latched = frozenset(json.loads(item.metadata['latched']))
            else:
                bag.message(item, item.topic in latched)
                first, last = min(first, item.stamp), max(last, item.stamp)
        bag.finish()
        stream.flush()
        os.fsync(stream.fileno())
    if not bag.counts:
        raise InputError(Fault('journal', str(folder / JOURNAL), 'holds no message'))
    # A journal without its end was cut by a crash.
    end = notes.get(f'{LIBRARY}.end', {'reason': 'recovered', 'dropped': '0'})
    write_synced(folder / BAG_METADATA, _bag_metadata(bag, bag_file.name, first, last, events))
    files = {
        name: {'sha256': sha256_of(folder / name), 'size': (folder / name).stat().st_size}
        for name in (bag_file.name, BAG_METADATA)
    }
    context = notes.get(f'{LIBRARY}.context', {})
    manifest = {
        'schema': SCHEMA,
        'clip': clip,
        'created': context.get('created', ''),
        'end': end['reason'],
        'dropped': int(end['dropped']),
        'files': files,
        'first_stamp': first,
        'last_stamp': last,
        'messages': sum(bag.counts.values()),
        'topics': {
            topic: {
                'type': bag.types[topic],
                'messages': count,
                'defined': bool(definition(bag.types[topic]).text),
            }
            for topic, count in sorted(bag.counts.items())
        },
        'events': [_event_data(event) for event in events],
        'profile': context.get('profile', ''),
        'profile_hash': context.get('profile_hash', ''),
        'bundle': context.get('bundle', ''),
        'draw': json.loads(context.get('draw', '{}')),
        'estimate': json.loads(context.get('estimate', '{}')),
    }
    write_synced(folder / MANIFEST, json.dumps(manifest, indent=1) + '\n')
    sync(folder)  # the new files are found before the old one goes
    (folder / JOURNAL).unlink()
    return _publish(folder)


def discard(folder: Path) -> None:
    """Delete a sealed clip, so that a power cut leaves it whole or leaves nothing of it."""
    gone = folder.with_name(folder.name + GONE)
    folder.rename(gone)
    sync(folder.parent)
    shutil.rmtree(gone)


def recover(spool: Path) -> tuple[list[Path], list[Path]]:
    """Seal what a process that died left behind. Call it before recording.

    Returns:
        The clips that were recovered, and the ``.part`` folders that held no message (removed).
    """
    recovered, empty = [], []
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
        finally:
            os.close(lock)
        if sealed is None:
            empty.append(folder)
        else:
            recovered.append(sealed)
    return recovered, empty


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


def _surviving(stream: BinaryIO) -> Iterator[Metadata | Record]:
    """Metadata and messages of a journal, up to its end or to where it was torn."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    records = iter(StreamReader(stream).records)
    while True:
        try:
            item = next(records)
        except (StopIteration, McapError, struct.error, UnicodeDecodeError):
            return
        if isinstance(item, Schema):
            schemas[item.id] = item
        elif isinstance(item, Channel):
            channels[item.id] = item
        elif isinstance(item, Metadata):
            yield item
        elif isinstance(item, Message) and item.channel_id in channels:
            channel = channels[item.channel_id]
            name = schemas[channel.schema_id].name
            yield Record(channel.topic, name, item.log_time, bytes(item.data))


def _event_data(values: Mapping[str, str]) -> dict[str, Any]:
    numbers = ('stamp', 'score', 'threshold')
    return {key: float(v) if key in numbers else v for key, v in values.items()}


def _qos(latched: bool) -> str:
    """Offered QoS as rosbag2's YAML text: reliable, and transient local when latched."""
    profile = {
        'history': 1,
        'depth': 1 if latched else 10,
        'reliability': 1,
        'durability': 1 if latched else 2,
        'deadline': _FOREVER,
        'lifespan': _FOREVER,
        'liveliness': 1,
        'liveliness_lease_duration': _FOREVER,
        'avoid_ros_namespace_conventions': False,
    }
    return str(yaml.dump([profile], Dumper=_Plain, sort_keys=False))


def _bag_metadata(
    bag: _Bag, file_name: str, first: int, last: int, events: list[dict[str, str]]
) -> str:
    """rosbag2's metadata.yaml, version 8: the newest that Humble to Rolling all read."""
    start = {'nanoseconds_since_epoch': first}
    duration = {'nanoseconds': last - first}
    count = sum(bag.counts.values())
    information = {
        'version': 8,
        'storage_identifier': 'mcap',
        'relative_file_paths': [file_name],
        'duration': duration,
        'starting_time': start,
        'message_count': count,
        'topics_with_message_count': [
            {
                'topic_metadata': {
                    'name': topic,
                    'type': bag.types[topic],
                    'serialization_format': 'cdr',
                    'offered_qos_profiles': bag.offered[topic],
                    'type_description_hash': definition(bag.types[topic]).hash,
                },
                'message_count': messages,
            }
            for topic, messages in sorted(bag.counts.items())
        ],
        'compression_format': '',
        'compression_mode': '',
        'files': [
            {
                'path': file_name,
                'starting_time': start,
                'duration': duration,
                'message_count': count,
            }
        ],
        'custom_data': {f'event_{i}': json.dumps(event) for i, event in enumerate(events)},
        'ros_distro': os.environ.get('ROS_DISTRO', 'unknown'),
    }
    return str(
        yaml.dump({'rosbag2_bagfile_information': information}, Dumper=_Plain, sort_keys=False)
    )
