"""Reads and writes rosbag2 (sqlite3 and MCAP) without ROS, message by message, undecoded."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

from sim2real_capture.definitions import definition
from sim2real_core.errors import Fault, InputError

BAG_VERSION: Literal[8] = 8
"""Of rosbag2's metadata.yaml; the newest that Humble to Rolling read."""


class Recorded(NamedTuple):
    """One message of a bag: topic, type, log time [ns] and its CDR bytes."""

    topic: str
    type: str
    time: int
    data: bytes


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag; ``latched`` when its publisher was transient local."""

    name: str
    type: str
    messages: int
    latched: bool


class Bag:
    """An open bag. Times are log times [ns].

    Attributes:
        path: where it is.
        topics: by name.
        start: time of the first message.
        end: time of the last.
    """

    def __init__(self, path: Path, reader: Any) -> None:
        self.path = path
        self._reader = reader
        self.topics: dict[str, BagTopic] = {}
        for connection in reader.connections:
            seen = self.topics.get(connection.topic)
            qos = connection.ext.offered_qos_profiles
            self.topics[connection.topic] = BagTopic(
                connection.topic,
                connection.msgtype,
                connection.msgcount + (seen.messages if seen else 0),
                any(profile.durability.name == 'TRANSIENT_LOCAL' for profile in qos),
            )
        count = sum(topic.messages for topic in self.topics.values())
        self.start = reader.start_time if count else 0
        self.end = reader.end_time - 1 if count else 0

    def messages(
        self,
        topics: Collection[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Recorded]:
        """Messages in order of time, then as they lie in the file.

        Args:
            topics: only these; all when None.
            start: only at or after this time.
            stop: only before this time.

        Raises:
            InputError: the bag is damaged.
        """
        chosen = [c for c in self._reader.connections if topics is None or c.topic in topics]
        if topics is not None and not chosen:
            return
        expected = sum(connection.msgcount for connection in chosen)
        count = 0
        with _readable(self.path):
            for connection, time, data in self._reader.messages(chosen, start, stop):
                count += 1
                yield Recorded(connection.topic, connection.msgtype, time, bytes(data))
        if count != expected and start is None and stop is None:
            mend = f'not a readable rosbag2: of {expected} messages {count} can be read'
            raise InputError(Fault('bag', str(self.path), mend))

    def latched(self, topics: Collection[str], before: int) -> list[Recorded]:
        """What was in force at a time: the last message before it of each latched topic.

        Args:
            topics: of these.
            before: the time.
        """
        names = {name for name in topics if self.topics[name].latched}
        last = {message.topic: message for message in self.messages(names, None, before)}
        return sorted(last.values(), key=lambda message: message.time)


@contextmanager
def open_bag(path: str | Path) -> Iterator[Bag]:
    """Open a rosbag2 folder, or a single ``.mcap`` or ``.db3`` file.

    Raises:
        InputError: nothing readable there.
    """
    from rosbags.rosbag2 import Reader

    path = Path(path).expanduser()
    source = path
    if path.is_dir() and not (path / 'metadata.yaml').is_file():
        files = sorted([*path.glob('*.mcap'), *path.glob('*.db3')])
        if len(files) != 1:
            mend = 'give a rosbag2 folder (with metadata.yaml), or one .mcap or .db3 file'
            raise InputError(Fault('bag', str(path), mend))
        source = files[0]
    elif not path.exists():
        raise InputError(Fault('bag', str(path), 'no such file or folder'))
    with _readable(path):
        reader = Reader(source)
        reader.open()
    try:
        yield Bag(path, reader)
    finally:
        reader.close()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes the reader raise becomes an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        mend = f'not a readable rosbag2: {str(error) or type(error).__name__}'
        if 'end magic' in mend:
            mend += ' It was cut off: mend it with `mcap recover`, or record it again.'
        raise InputError(Fault('bag', str(path), mend)) from error


def header_stamp(data: bytes) -> int:
    """The stamp [ns] of a CDR message whose type starts with a header, such as JointState."""
    order = '<' if data[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(order + 'iI', data, 4)
    return int(seconds * 10**9 + nanoseconds)


class BagWriter:
    """Writes a rosbag2 folder with MCAP storage; the same messages give the same bytes.

    Nothing appears at ``path`` before the bag is whole.

    Args:
        path: the folder; must not exist.

    Raises:
        InputError: it exists.
    """

    def __init__(self, path: str | Path) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        self.path = Path(path).expanduser()
        if self.path.exists():
            raise InputError(Fault('out', str(self.path), 'exists; name a new folder'))
        # The file inside is named after the folder, so the name must be the final one.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part = Path(tempfile.mkdtemp('.part', f'{self.path.name}.', self.path.parent))
        self._writer = Writer(
            self._part / self.path.name, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP
        )
        # Chunk by chunk, inside the MCAP file, which every reader of the format understands.
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def topic(self, name: str, type_name: str, *, latched: bool = False) -> None:
        """Add a topic.

        Raises:
            InputError: nobody on this machine knows the type.
        """
        from rosbags.typesys import Stores, get_typestore

        known = definition(type_name)
        if not known.text:
            mend = 'its package must be installed and sourced, so that the bag can describe it'
            raise InputError(Fault(f'type of {name}', type_name, mend))
        store = get_typestore(Stores.LATEST)
        digest = known.hash
        if not digest and type_name in store.types:  # Humble installs no hashes
            digest = store.hash_rihs01(type_name)
        self._connections[name] = self._writer.add_connection(
            name,
            type_name,
            msgdef=known.text,
            rihs01=digest or 'RIHS01_' + 64 * '0',
            offered_qos_profiles=[_latched()] if latched else [],
        )

    def write(self, topic: str, time: int, data: bytes) -> None:
        """Add a message of a topic that was added; ``time`` in ns."""
        self._writer.write(self._connections[topic], time, data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        if kind is None:
            (self._part / self.path.name).rename(self.path)
        shutil.rmtree(self._part)


def _latched() -> Any:
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


def summary(path: str | Path) -> dict[str, Any]:
    """What is in a bag: path, start and duration [s], messages, and its topics.

    Raises:
        InputError: it cannot be read.
    """
    with open_bag(path) as bag:
        return {
            'bag': str(bag.path),
            'start': bag.start / 1e9,
            'duration': (bag.end - bag.start) / 1e9,
            'messages': sum(topic.messages for topic in bag.topics.values()),
            'topics': {
                topic.name: {
                    'type': topic.type,
                    'messages': topic.messages,
                    'latched': topic.latched,
                }
                for topic in sorted(bag.topics.values(), key=lambda topic: topic.name)
            },
        }
