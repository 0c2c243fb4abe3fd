"""Bags and clips as the episodes that detectors are calibrated and evaluated on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sim2real_bringup.bags import BagTopic, open_bag
from sim2real_bringup.playlist import playlist
from sim2real_capture import decoding
from sim2real_capture.commands import Commands
from sim2real_capture.detection import Trial
from sim2real_capture.detectors_file import Entry
from sim2real_capture.ring import SensorClock
from sim2real_capture.signals import Sample, Signal
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.joint_states import concerns
from sim2real_core.profile import RobotProfile
from sim2real_core.yaml_file import read_yaml

S = 10**9
SHORTEST = 0.01
"""Of an episode [s]: no detector says anything within less."""


class BagEpisode:
    """A stretch of a bag, read anew each time it is gone through, as the capture node hears it.

    Args:
        path: rosbag2 folder (a clip is one), or MCAP file.
        profile: the robot.
        entries: the detectors; they say which messages are read.
        start: begin of the stretch [ns], by the bag's log time.
        stop: its end, excluded.
    """

    episodes = 1

    def __init__(
        self,
        path: Path,
        profile: RobotProfile,
        entries: Sequence[Entry],
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        self.path = path
        self._profile = profile
        self._entries = entries
        self._span = start, stop

    def __iter__(self) -> Iterator[Signal]:
        """The signals, in order of time.

        Raises:
            InputError: no joint states of this robot, or topics of types that cannot be read.
        """
        from rosbags.typesys import Stores, get_typestore

        store, robot = get_typestore(Stores.LATEST), self._profile
        with open_bag(self.path) as bag:
            sensor = playlist(bag.topics, robot, (), '').sensor
            prefix = sensor[: -len(robot.topics.joint_states)]

            def resolve(name: str) -> str:
                return name if name.startswith('/') else prefix + name

            takes = {entry.scorer(robot, resolve).takes for entry in self._entries}
            decode = decoding.decoders(takes, self._entries, robot, resolve)
            applied, sent = resolve('policy/action_applied'), resolve(robot.command.topic)
            sources = {applied: 'applied', sent: 'sent'}
            types = {topic: decoder.types for topic, decoder in decode.items()}
            types |= {applied: ('sensor_msgs/msg/JointState',), sent: robot.command.types}
            wanted = {sensor, *self._readable(bag.topics, types)}
            hears = _Hearing(robot)
            for record in bag.messages(wanted, *self._span):
                message = store.deserialize_cdr(record.data, record.type)
                if record.topic == sensor:
                    yield from hears.joint_state(message, record.time)
                elif record.topic in sources:
                    hears.command(sources[record.topic], message, record.time)
                else:
                    yield from decode[record.topic].signals(
                        message, hears.clock.at(record.time) / S
                    )

    def _readable(
        self, found: Mapping[str, BagTopic], types: Mapping[str, tuple[str, ...]]
    ) -> list[str]:
        """Topics that are both in the bag and asked for; types that nobody can read are faults."""
        faults, topics = Faults(str(self.path)), [topic for topic in types if topic in found]
        for topic in topics:
            if found[topic].type not in types[topic]:
                faults.add(topic, found[topic].type, f'must be {" or ".join(types[topic])}')
        faults.check()
        return topics


class _Hearing:
    """One time line and the command in force, as in the capture node."""

    def __init__(self, robot: RobotProfile) -> None:
        self.clock = SensorClock()
        self._robot = robot
        self._told = decoding.CommandReader(robot)
        self._commands = Commands(robot.command.timeout)
        self._sampled = -1

    def joint_state(self, message: Any, now: int) -> list[Sample]:
        names = self._robot.joint_names
        if not concerns(message.name, names):
            return []
        stamp = decoding.stamp_of(message)
        if self.clock.sample(stamp, now):
            self._commands.clear()
        values = decoding.quantities(message, names)
        command = self._commands.in_force(stamp, self._sampled)
        self._sampled = stamp
        measured = values[self._robot.command.drives]
        return [] if measured is None else [Sample(stamp / S, measured, command, **values)]

    def command(self, source: str, message: Any, now: int) -> None:
        values = self._told(message)
        stamp = decoding.stamp_of(message) if source == 'applied' else self.clock.at(now)
        if values is not None:
            self._commands.add(source, values, stamp)


def read_episodes(
    paths: Sequence[str | Path],
    profile: RobotProfile,
    entries: Sequence[Entry],
    length: float = 0.0,
) -> list[BagEpisode]:
    """Episodes of bags and clips.

    Args:
        paths: rosbag2 folders, MCAP files, or folders of these.
        profile: the robot.
        entries: the detectors.
        length: bags are cut into stretches this long [s], what is left is dropped; 0 takes each
            bag as one episode.

    Raises:
        InputError: a path that holds no bag, or none of this robot; a length that is too short.
    """
    if 0 < length < SHORTEST:
        raise InputError(Fault('episode', length, f'at least {SHORTEST:g} s; 0 cuts no bag'))
    found = [bag for path in paths for bag in _bags(Path(path).expanduser())]
    if not length:
        return [BagEpisode(bag, profile, entries) for bag in found]
    episodes = []
    for path in found:
        with open_bag(path) as bag:
            edges = np.arange(bag.start, bag.end + 1, round(length * S)).tolist()
        for start, stop in pairwise(edges):
            episodes.append(BagEpisode(path, profile, entries, start, stop))
    return episodes


def read_trials(path: str | Path, profile: RobotProfile, entries: Sequence[Entry]) -> list[Trial]:
    """Bags with faults, from a YAML file that lists them under ``trials``.

    Each has ``bag`` (relative to the file), ``fault``, ``magnitude``, and ``at``: when the fault
    took effect [s], by the stamps of the joint states; ``since``, if it was there before.

    Raises:
        InputError: every fault of the file.
    """
    found = read_yaml(path)
    faults, trials = Faults(str(found.path), found.lines), []
    listed = found.data.get('trials')
    if not isinstance(listed, list) or set(found.data) != {'trials'}:
        faults.add('trials', listed, 'must be a list, and all there is')
        listed = []
    for index, given in enumerate(listed):
        mend = _unlike_trial(given)
        if mend:
            faults.add(f'trials[{index}]', given, mend, path=('trials', index))
            continue
        bag = BagEpisode(found.path.parent / given['bag'], profile, entries)
        at = float(given['at'])
        since = float(given.get('since', at))
        trials.append(
            Trial(
                bag, given['fault'], float(given['magnitude']), np.array([since]), np.array([at])
            )
        )
    faults.check()
    return trials


def _unlike_trial(given: Any) -> str:
    if not isinstance(given, Mapping):
        return 'must map bag, fault, magnitude and at to values'
    kinds: dict[str, Any] = {
        'bag': str,
        'fault': str,
        'magnitude': (int, float),
        'at': (int, float),
    }
    wrong = [name for name, kind in kinds.items() if not isinstance(given.get(name), kind)]
    wrong += sorted(set(given) - {*kinds, 'since'})
    return f'mend {", ".join(wrong)}' if wrong else ''


def _bags(path: Path) -> list[Path]:
    """Bags at a path: itself, or those inside."""
    if path.is_file() or (path / 'metadata.yaml').is_file():
        return [path]
    inside = [p for p in sorted(path.glob('*')) if (p / 'metadata.yaml').is_file()]
    inside += sorted([*path.glob('*.mcap'), *path.glob('*.db3')])
    if not inside:
        raise InputError(Fault('bags', str(path), 'no bag there, and none in it'))
    return inside
