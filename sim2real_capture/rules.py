"""Rules of topics: what is not recorded, what stays on the robot, what is made smaller.

::

    topics:
      camera/face/*: {exclude: true}                 # not even in memory
      camera/*: {private: true, days: 7, thin: 2}    # faces and places do not leave the robot
      wrist/*: {compress: jpeg, quality: 80}         # sealed as wrist/image_raw/compressed
      points: {ring_bytes: 67108864, every: 3, voxel: 0.05}

Patterns are those of file names and match full topic names or their ends; the first that matches
counts. Detectors hear what they need also where it is excluded. Messages are made smaller when
their clip is sealed, not while it is recorded: that takes seconds where there are many images, in
which a new clip is recorded. Images stay raw where ``<topic>/compressed`` is recorded itself, or
excluded or private by a rule of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sim2real_capture.reduction import CODECS, IMAGE, compressed_topic, pillow, reduced, typestore
from sim2real_capture.ring import Record
from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults, InputError
from sim2real_core.yaml_file import read_yaml


@dataclass(frozen=True, kw_only=True)
class Rule(Config):
    """What is done with a topic; the default is to keep and ship all of it."""

    exclude: bool = parameter(False, 'It is not recorded, not even in memory.')
    private: bool = parameter(False, 'It stays on the robot: it is not in what is shipped.')
    days: float = parameter(
        0.0, 'How long it stays there if it is private; 0: as `private_days` says.', unit='d',
        low=0.0, high=36500.0,
    )  # fmt: skip
    ring_bytes: int = parameter(
        0, 'The most its seconds before a trigger may take; 0: no limit of its own.', unit='B',
        low=0, high=1 << 36,
    )  # fmt: skip
    every: int = parameter(1, 'Of this many messages one is kept in a clip.', low=1, high=10000)
    thin: int = parameter(
        1, 'Of this many rows and columns of an image, or points of a cloud, one is kept.',
        low=1, high=100,
    )  # fmt: skip

    voxel: float = parameter(
        0.0, 'Of the points of a cloud in a cube with this edge one is kept; 0 keeps all.',
        unit='m', low=0.0, high=100.0,
    )  # fmt: skip
    compress: str = parameter(
        'none', 'Images become sensor_msgs/CompressedImage on `<topic>/compressed`.',
        choices=('none', *CODECS),
    )  # fmt: skip
    quality: int = parameter(90, 'Of JPEG images.', low=1, high=95)

    @property
    def reduction(self) -> dict[str, Any]:
        """How messages are made smaller: arguments of ``reduction.reduced``, none if not."""
        chosen: dict[str, Any] = {}
        if self.thin > 1:
            chosen['thin'] = self.thin
        if self.voxel > 0:
            chosen['voxel'] = self.voxel
        if self.compress != 'none':
            chosen['codec'] = self.compress
        if self.compress == 'jpeg':
            chosen['quality'] = self.quality
        return chosen

    def check(self, faults: Faults) -> None:
        """What is excluded can be nothing else, and only what is private has its days."""
        if self.days and not self.private:
            faults.add('days', self.days, 'only with private: true')
        others = (f for f in dataclasses.fields(self) if f.name != 'exclude')
        if self.exclude and any(getattr(self, f.name) != f.default for f in others):
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

    @property
    def compress(self) -> bool:
        """Whether images are compressed by any."""
        return any(rule.compress != 'none' for rule in self._rules.values())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """From what :meth:`as_json` gave."""
        return cls({pattern: Rule(**rule) for pattern, rule in data.items()})


@dataclass
class Reduced:
    """What became of a topic's messages.

    Attributes:
        how: arguments of ``reduction.reduced``.
        topic: under which they are in the clip.
        messages: how many were made smaller.
        bytes_before: of these.
        bytes_after: of these.
        left: how many are as they were.
        why: the reason, for one of them.
    """

    how: Mapping[str, Any]
    topic: str
    messages: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    left: int = 0
    why: str = ''


class Sieve:
    """Passes what rules keep of a clip's messages, in order.

    Args:
        rules: of topics.
        recorded: topics of the clip; images are not compressed onto one of these.

    Attributes:
        left_out: topic to the number of messages that were left out.
        reduced: topic to what became of its messages.
    """

    def __init__(self, rules: Rules, recorded: Collection[str] = ()) -> None:
        self.rules = rules
        self._recorded = frozenset(recorded)
        self.left_out: dict[str, int] = {}
        self.reduced: dict[str, Reduced] = {}
        self._count: dict[str, int] = {}

    def passed(self, record: Record) -> Record | None:
        """The record, made smaller where a rule says so; None when it is left out.

        What cannot be made smaller, whatever a driver sent, is passed as it is and counted: a
        clip is worth more than the room it takes.
        """
        rule = self.rules.of(record.topic)
        count = self._count.get(record.topic, 0)
        self._count[record.topic] = count + 1
        if count % rule.every:
            self.left_out[record.topic] = self.left_out.get(record.topic, 0) + 1
            return None
        how = rule.reduction
        if not how:
            return record
        told = self.reduced.get(record.topic, Reduced(how, record.topic))
        try:
            if record.type == IMAGE and rule.compress != 'none':
                self._check_free(compressed_topic(record.topic), rule)
            smaller = reduced(record, **how)
        except Exception as error:
            smaller, told.why = record, str(error) or repr(error)
            told.left += 1
        if smaller is not record:
            told.topic = smaller.topic
            told.messages += 1
            told.bytes_before += len(record.data)
            told.bytes_after += len(smaller.data)
        if told.messages or told.left:
            self.reduced[record.topic] = told
        return smaller

    def _check_free(self, topic: str, rule: Rule) -> None:
        """Raises ValueError: images under a rule do not belong on a topic."""
        own = self.rules.of(topic)
        if topic in self._recorded:
            raise ValueError(f'{topic} is recorded itself')
        if own.exclude or (own.private and not rule.private):
            raise ValueError(f'{topic} is {"excluded" if own.exclude else "private"} by a rule')

    def told(self) -> dict[str, Any]:
        """What became of the topics that are made smaller, as JSON data."""
        return {topic: dataclasses.asdict(what) for topic, what in sorted(self.reduced.items())}


def read_rules(path: str | Path) -> Rules:
    """The rules of a YAML file.

    Raises:
        InputError: every fault of it, with its line.
        MissingError: a library that they need is not installed.
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
    if any(rule.reduction for rule in rules.values()):
        typestore()
    if Rules(rules).compress:
        pillow()
    return Rules(rules)
