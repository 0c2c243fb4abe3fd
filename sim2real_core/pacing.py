"""The producer's side of pacing: whom to wait for before the next sensor sample.

A consumer acknowledges every sample it has fully processed with a ``std_msgs/Header`` on
``pace``: the sample's stamp, and ``<consumer>#<commands sent in answer>`` as frame id. One that
knows that it will not answer any sample before some stamp adds it, ``#<stamp in ns>``, and may
leave out the acknowledgements until then. With two consumers and samples 4 ms apart::

    keeper = PaceKeeper(['policy', 'sysid'], timeout=2.0)
    keeper.sent(4_000_000, now=0.0)
    keeper.waiting(now=0.001)                     # {'policy', 'sysid'}
    keeper.acknowledge('sysid#0', 4_000_000)
    keeper.acknowledge('policy#1#24000000', 4_000_000)  # and it has sent one command
    keeper.waiting(now=0.002)                     # set(): send the next
    keeper.sent(8_000_000, now=0.003)
    keeper.waiting(now=0.003)                     # {'sysid'}: the policy is free until 24 ms
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sim2real_core.errors import Faults


class PaceKeeper:
    """Waits for consumers, each with a deadline.

    A consumer that misses the deadline is late: no longer waited for until it acknowledges
    again, so that one dead consumer does not stop the world.

    Args:
        consumers: names of the nodes to wait for at every sample.
        timeout: longest wait for one sample [s], by a steady clock.
        observers: names of nodes that only listen: they may be ``LAG`` samples behind. Nothing
            depends on when they hear a sample, as long as they hear them all.

    Raises:
        InputError: a name is empty or given twice.
    """

    LAG = 50  # half of what a reliable sensor subscription keeps

    def __init__(
        self, consumers: Iterable[str], timeout: float, observers: Iterable[str] = ()
    ) -> None:
        self._observers = frozenset(observers)
        self.consumers = (*consumers, *sorted(self._observers))
        self.timeout = timeout
        self._recent: deque[int] = deque(maxlen=self.LAG)
        self.late: set[str] = set()
        self.commands = dict.fromkeys(self.consumers, 0)
        self._acknowledged: dict[str, int | None] = dict.fromkeys(self.consumers)
        self._free = dict.fromkeys(self.consumers, 0)  # stamp before which it answers nothing
        self._stamp: int | None = None
        self._deadline = 0.0
        faults = Faults()
        for name in self.consumers:
            if not name or self.consumers.count(name) > 1:
                faults.add('pace_consumers', name, 'name each consumer once')
        faults.check()

    def sent(self, stamp: int, now: float) -> None:
        """Note that the sample of this stamp [ns] goes out now [s, steady clock]."""
        if self._stamp is None or stamp < self._stamp:
            self._free = dict.fromkeys(self.consumers, 0)
        self._stamp = stamp
        self._recent.append(stamp)
        self.commands = dict.fromkeys(self.consumers, 0)
        self._deadline = now + self.timeout
        for name in self.consumers:
            if self._acknowledged[name] == stamp:
                self._acknowledged[name] = None  # the same stamp again (time jumped back)

    def acknowledge(self, frame_id: str, stamp: int) -> None:
        """Take an acknowledgement: its frame id, and the stamp [ns] it is about.

        Others than the named consumers are none of our business; one that is late is waited for
        again from the next sample on.
        """
        name, sent, free = parse(frame_id)
        if name not in self._acknowledged:
            return
        self._acknowledged[name] = stamp
        if stamp == self._stamp:
            self.commands[name] = sent
        if self._stamp is not None and stamp <= self._stamp:  # else it is of before time jumped
            self._free[name] = free
        self.late.discard(name)

    def waiting(self, now: float) -> set[str]:
        """The consumers that have yet to acknowledge the last sample and still may.

        Those whose deadline has passed [s, steady clock] are moved to ``late``.
        """
        if self._stamp is None:
            return set()
        missing = {
            name for name in self.consumers if name not in self.late and not self._heard(name)
        }
        if missing and now > self._deadline:
            self.late |= missing
            return set()
        return missing

    def _heard(self, name: str) -> bool:
        """Whether a consumer is as far as it must be."""
        acknowledged = self._acknowledged[name]
        if name in self._observers:
            # Before the first samples are many, even one that never acknowledged is in time.
            full = len(self._recent) == self.LAG
            return acknowledged in self._recent or not full
        return acknowledged == self._stamp or (self._stamp or 0) < self._free[name]


def parse(frame_id: str) -> tuple[str, int, int]:
    """Consumer, number of commands sent, and the stamp [ns] before which it answers nothing."""
    name, *numbers = frame_id.split('#')
    sent, free = ([int(n) if n.isdecimal() else 0 for n in numbers] + [0, 0])[:2]
    return name, sent, free
