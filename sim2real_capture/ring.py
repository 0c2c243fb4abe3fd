"""The last seconds of serialized messages, bounded by time and bytes; and one time for all.

A ring of 5 s that got ``goal`` at 1 s, joint states at 4, 5, 6, 7 s and is asked for the window
from 4.5 s to 7 s gives the goal, restamped to 4.5 s, and the joint states of 5, 6 and 7 s: what
was published once and still holds (descriptions, static transforms, the goal) is pinned when
it falls off the end, so that every window starts from the full picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from sim2real_core.joint_states import BACKWARD

OVERHEAD = 200
"""Bytes of memory that one record takes beside its data."""
SWEEP = 100_000_000
"""How often topics that fell silent are looked through for old records [ns]."""


class Record(NamedTuple):
    """A serialized message as received: ``stamp`` in nanoseconds, ``data`` its CDR bytes."""

    topic: str
    type: str
    stamp: int
    data: bytes


class _Topic:
    """Records of one topic, and the bytes that they take."""

    def __init__(self, limit: int | None) -> None:
        self.records: deque[Record] = deque()
        self.size = 0
        self.limit = limit


class Ring:
    """Ring buffer of records.

    Args:
        span: how long records are kept [ns], counted back from the newest stamp.
        capacity: bytes of memory it may take; the oldest go first. Pinned records do not count.
        pinned: topics whose state outlives the span, with how many different messages make up
            that state (1 for most; several for static transforms, which have many publishers).
        budget: the most bytes that a topic's records may take, None for no limit of its own.
    """

    def __init__(
        self,
        span: int,
        capacity: int,
        pinned: Mapping[str, int] | None = None,
        budget: Callable[[str], int | None] = lambda topic: None,
    ) -> None:
        self.span = span
        self.capacity = capacity
        self.pinned = dict(pinned or {})
        self.evicted = 0  # records that left before their time, for want of bytes
        self.size = 0
        self._budget = budget
        self._newest: int | None = None
        self._swept = 0  # newest stamp when all topics were looked through for old records
        self._topics: dict[str, _Topic] = {}
        self._held: dict[str, list[Record]] = {}

    def __len__(self) -> int:
        return sum(len(topic.records) for topic in self._topics.values())

    def __iter__(self) -> Iterator[Record]:
        """The records, topic by topic."""
        return (record for topic in self._topics.values() for record in topic.records)

    def push(self, record: Record) -> None:
        """Add a record; stamps may be slightly out of order."""
        self._newest = record.stamp if self._newest is None else max(self._newest, record.stamp)
        topic = self._topics.get(record.topic)
        if topic is None:
            topic = self._topics[record.topic] = _Topic(self._budget(record.topic))
        topic.records.append(record)
        size = len(record.data) + OVERHEAD
        topic.size += size
        self.size += size
        self._expire(topic)
        if self._newest - self._swept > SWEEP:
            self._swept = self._newest
            for other in self._topics.values():
                self._expire(other)
        while topic.records and topic.limit is not None and topic.size > topic.limit:
            self.evicted += 1
            self._drop_oldest(topic)
        while self.size > self.capacity:
            filled = (t for t in self._topics.values() if t.records)
            self.evicted += 1
            self._drop_oldest(min(filled, key=lambda t: t.records[0].stamp))

    def clear(self) -> None:
        """Forget the time line, after a clock went back. What was pinned still holds."""
        for topic in self._topics.values():
            while topic.records:
                self._drop_oldest(topic)
        self._newest = None
        self._swept = 0

    def window(self, start: int, end: int) -> list[Record]:
        """Records with ``start <= stamp <= end``, by stamp; first the pinned state at ``start``.

        Args:
            start: [ns]. Pinned records from before it carry it as their stamp.
            end: [ns].
        """
        state = {topic: list(held) for topic, held in self._held.items()}
        inside = []
        for record in self:
            if record.stamp < start:
                self._pin(state, record)
            elif record.stamp <= end:
                inside.append(record)
        pinned = [record._replace(stamp=start) for held in state.values() for record in held]
        return pinned + sorted(inside, key=lambda record: record.stamp)

    def _expire(self, topic: _Topic) -> None:
        begin = (self._newest or 0) - self.span
        while topic.records and topic.records[0].stamp < begin:
            self._drop_oldest(topic)

    def _drop_oldest(self, topic: _Topic) -> None:
        record = topic.records.popleft()
        size = len(record.data) + OVERHEAD
        topic.size -= size
        self.size -= size
        self._pin(self._held, record)

    def _pin(self, state: dict[str, list[Record]], record: Record) -> None:
        most = self.pinned.get(record.topic, 0)
        if not most:
            return
        held = [other for other in state.get(record.topic, ()) if other.data != record.data]
        state[record.topic] = [*held, record][-most:]


class SensorClock:
    """One time line for all records: the sensor's stamps, carried on between them.

    Joint states bring their own stamps; other messages bring none that can be trusted to share
    that time base. They get the newest sensor stamp plus the ROS time that has passed since,
    which is right for a live robot, a simulation and a replayed bag alike.

    Args:
        carry: False stops the carrying on: a paced consumer acts on stamps only.
        backward: a stamp this much older than the newest [ns] is a clock that went back.
    """

    def __init__(self, carry: bool = True, backward: int = round(BACKWARD * 1e9)) -> None:
        self._carry = carry
        self._backward = backward
        self._stamp: int | None = None
        self._received = 0

    def sample(self, stamp: int, now: int) -> bool:
        """Note a sensor stamp received at ROS time ``now`` [ns]; True when time went back.

        So it does when the first sensor stamp is far behind ROS time, which was gone by before.
        """
        newest = now if self._stamp is None else self._stamp
        back = stamp < newest - self._backward
        if self._stamp is None or back or stamp > self._stamp:
            self._stamp, self._received = stamp, now
        return back

    def at(self, now: int) -> int:
        """The time of a message received at ROS time ``now`` [ns]."""
        if self._stamp is None:
            return now
        return self._stamp + (max(0, now - self._received) if self._carry else 0)
