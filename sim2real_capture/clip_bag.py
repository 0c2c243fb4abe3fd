"""MCAP files of a clip: written as journal and as bag, and what survives of a torn one."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from sim2real_capture.definitions import definition
from sim2real_capture.ring import Record

LIBRARY = 'sim2real'
CHUNKS = {'zstd': CompressionType.ZSTD, 'lz4': CompressionType.LZ4, 'none': CompressionType.NONE}
"""How chunks of a bag may be compressed."""

_FOREVER = {'sec': 9223372036, 'nsec': 854775807}


class _Plain(yaml.SafeDumper):
    """Repeats equal values instead of pointing back at them, which rosbag2 does not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Bag:
    """The part of an MCAP file that journal and clip share: schemas and channels by need.

    Args:
        stream: to write to.
        chunks: compression of its chunks, one of ``CHUNKS``; None writes no chunks.

    Attributes:
        counts: topic to its number of messages.
        types: topic to its type.
        offered: topic to its QoS, as rosbag2's YAML text.
    """

    def __init__(self, stream: BinaryIO, chunks: str | None) -> None:
        self.stream = stream
        self.counts: dict[str, int] = {}
        self.types: dict[str, str] = {}
        self.offered: dict[str, str] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._schemas: dict[str, int] = {}
        self._writer = Writer(
            stream,
            use_chunking=chunks is not None,
            compression=CHUNKS[chunks or 'none'],
        )
        self._writer.start(profile='ros2', library=LIBRARY)

    def metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Add a metadata record."""
        self._writer.add_metadata(name, dict(values))

    def message(self, record: Record, latched: bool) -> None:
        """Add a message; ``latched`` when its publisher is transient local."""
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
        """Write the end of the file."""
        self._writer.finish()  # type: ignore[no-untyped-call]


def surviving(stream: BinaryIO) -> Iterator[Metadata | Record]:
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


def topics_of(journal: Path) -> set[str]:
    """The topics of its messages."""
    with journal.open('rb') as stream:
        return {item.topic for item in surviving(stream) if isinstance(item, Record)}


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


def bag_metadata(
    bag: Bag, file_name: str, first: int, last: int, events: list[dict[str, str]]
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
