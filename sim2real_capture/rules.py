"""Rules of topics: what is not recorded, what stays on the robot, what is thinned out.

::

    topics:
      camera/face/*: {exclude: true}                 # not even in memory
      camera/*: {private: true, thin: 2}             # faces and places do not leave the robot
      points: {ring_bytes: 67108864, every: 3, thin: 4}

Patterns are those of file names and match full topic names or their ends; the first that matches
counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from sim2real_capture.ring import Record
from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults, InputError, MissingError
from sim2real_core.yaml_file import read_yaml

IMAGE, CLOUD = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/PointCloud2'


@dataclass(frozen=True, kw_only=True)
class Rule(Config):
    """What is done with a topic; the default is to keep and ship all of it."""

    exclude: bool = parameter(False, 'It is not recorded, not even in memory.')
    private: bool = parameter(False, 'It stays on the robot: it is not in what is shipped.')
    ring_bytes: int = parameter(
        0, 'The most its seconds before a trigger may take; 0: no limit of its own.', unit='B',
        low=0, high=1 << 36,
    )  # fmt: skip
    every: int = parameter(1, 'Of this many messages one is kept in a clip.', low=1, high=10000)
    thin: int = parameter(
        1, 'Of this many rows and columns of an image, or points of a cloud, one is kept.',
        low=1, high=100,
    )  # fmt: skip

    def check(self, faults: Faults) -> None:
        """What is excluded can be nothing else."""
        others = (self.private, self.ring_bytes, self.every, self.thin)
        if self.exclude and others != (False, 0, 1, 1):
            faults.add('exclude', True, 'then give nothing else')


class Rules:
    """Rules by pattern.

    Args:
        rules: pattern to rule, in order of precedence.
    """

    def __init__(self, rules: Mapping[str, Rule] | None = None) -> None:
        self._rules = dict(rules or {})
        self._known: dict[str, Rule] = {}

    def of(self, topic: str) -> Rule:
        """The rule of a topic, by its full name."""
        rule = self._known.get(topic)
        if rule is None:
            found = (
                rule
                for pattern, rule in self._rules.items()
                if fnmatchcase(topic, pattern) or fnmatchcase(topic, f'*/{pattern}')
            )
            rule = self._known[topic] = next(found, Rule())
        return rule

    def budget(self, topic: str) -> int | None:
        """Bytes of a topic in the ring, None without a limit of its own."""
        return self.of(topic).ring_bytes or None

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {pattern: dataclasses.asdict(rule) for pattern, rule in self._rules.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """From what :meth:`as_json` gave."""
        return cls({pattern: Rule(**rule) for pattern, rule in data.items()})


class Sieve:
    """Passes what rules keep of a clip's messages, in order.

    Args:
        rules: of topics.

    Attributes:
        left_out: topic to the number of messages that were left out.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.left_out: dict[str, int] = {}
        self._count: dict[str, int] = {}

    def passed(self, record: Record) -> Record | None:
        """The record, made smaller where a rule says so; None when it is left out.

        Raises:
            MissingError: see :func:`thinned`.
        """
        rule = self.rules.of(record.topic)
        count = self._count.get(record.topic, 0)
        self._count[record.topic] = count + 1
        if count % rule.every:
            self.left_out[record.topic] = self.left_out.get(record.topic, 0) + 1
            return None
        if rule.thin == 1:
            return record
        return record._replace(data=thinned(record.type, record.data, rule.thin))


def read_rules(path: str | Path) -> Rules:
    """The rules of a YAML file.

    Raises:
        InputError: every fault of it, with its line.
    """
    found = read_yaml(Path(path).expanduser())
    faults, rules = Faults(str(found.path), found.lines), {}
    given = found.data.get('topics')
    if not isinstance(given, dict) or set(found.data) != {'topics'}:
        faults.add('topics', given, 'must map patterns to rules, and be all there is')
        given = {}
    for pattern, values in given.items():
        path_of = ('topics', pattern)
        if not isinstance(values, dict):
            faults.add(str(pattern), values, 'must map settings to values', path=path_of)
            continue
        try:
            rules[str(pattern)] = Rule.from_mapping(
                values, file=faults.file, lines=faults.lines, path=path_of
            )
        except InputError as error:
            faults.extend(error)
    faults.check()
    return Rules(rules)


def thinned(kind: str, data: bytes, thin: int) -> bytes:
    """A smaller Image or PointCloud2; every other message as it is.

    Args:
        kind: type name.
        data: CDR bytes.
        thin: of this many rows and columns, or points, one is kept.

    Raises:
        MissingError: rosbags is not installed.
    """
    if thin == 1 or kind not in (IMAGE, CLOUD):
        return data
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingError('rosbags is needed to thin messages: pip install rosbags') from error
    store = get_typestore(Stores.LATEST)
    message: Any = store.deserialize_cdr(data, kind)
    smaller = _image(message, thin) if kind == IMAGE else _cloud(message, thin)
    return data if smaller is None else bytes(store.serialize_cdr(smaller, kind))


def _image(message: Any, thin: int) -> Any:
    """None where rows are not made of whole pixels, as in packed or planar encodings."""
    height, width, step = message.height, message.width, message.step
    packed = any(word in message.encoding.lower() for word in ('bayer', 'yuv', 'nv'))
    if packed or not width or step % width or height * step != len(message.data):
        return None
    pixels = message.data.reshape(height, width, step // width)[::thin, ::thin]
    return dataclasses.replace(
        message,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=pixels.shape[1] * pixels.shape[2],
        data=np.ascontiguousarray(pixels).ravel(),
    )


def _cloud(message: Any, thin: int) -> Any:
    """Loses the rows of an ordered cloud; None where points are not told apart by their step."""
    size, count = message.point_step, message.height * message.width
    if not size or message.row_step != message.width * size or count * size != len(message.data):
        return None
    points = message.data.reshape(count, size)[::thin]
    return dataclasses.replace(
        message,
        height=1,
        width=len(points),
        row_step=len(points) * size,
        data=np.ascontiguousarray(points).ravel(),
    )
