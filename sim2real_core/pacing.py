"""The producer's side of pacing: whom to wait for before the next sensor sample.

A consumer acknowledges every sample it has fully processed with a ``std_msgs/Header`` on
``pace``: the sample's stamp, and ``<consumer>#<commands sent in answer>`` as frame id. With two
consumers and samples 4 ms apart::

    keeper = PaceKeeper(['policy', 'sysid'], timeout=2.0)
    keeper.sent(4_000_000, now=0.0)
    keeper.waiting(now=0.001)                     # {'policy', 'sysid'}
    keeper.acknowledge('sysid#0', 4_000_000)
    keeper.acknowledge('policy#1', 4_000_000)     # and it has sent one command
    keeper.waiting(now=0.002)                     # set(): send the next
"""

from __future__ import annotations

from collections.abc import Iterable

from sim2real_core.errors import Faults


class PaceKeeper:
    """Waits for consumers, each with a deadline.

    A consumer that misses the deadline is late: no longer waited for until it acknowledges
    again, so that one dead consumer does not stop the world.

    Args:
        consumers: names of the nodes to wait for.
        timeout: longest wait for one sample [s], by a steady clock.

    Raises:
        InputError: a name is empty or given twice.
    """

    def __init__(self, consumers: Iterable[str], timeout: float) -> None:
        self.consumers = tuple(consumers)
        self.timeout = timeout
        self.late: set[str] = set()
        self.commands = dict.fromkeys(self.consumers, 0)
        self._acknowledged: dict[str, int | None] = dict.fromkeys(self.consumers)
        self._stamp: int | None = None
        self._deadline = 0.0
        faults = Faults()
        for name in self.consumers:
            if not name or self.consumers.count(name) > 1:
                faults.add('pace_consumers', name, 'name each consumer once')
        faults.check()

    def sent(self, stamp: int, now: float) -> None:
        """Note that the sample of this stamp [ns] goes out now [s, steady clock]."""
        self._stamp = stamp
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
        name, _, count = frame_id.partition('#')
        if name not in self._acknowledged:
            return
        self._acknowledged[name] = stamp
        if stamp == self._stamp:
            self.commands[name] = int(count) if count.isdecimal() else 0
        self.late.discard(name)

    def waiting(self, now: float) -> set[str]:
        """The consumers that have yet to acknowledge the last sample and still may.

        Those whose deadline has passed [s, steady clock] are moved to ``late``.
        """
        if self._stamp is None:
            return set()
        missing = {
            name
            for name in self.consumers
            if name not in self.late and self._acknowledged[name] != self._stamp
        }
        if missing and now > self._deadline:
            self.late |= missing
            return set()
        return missing
