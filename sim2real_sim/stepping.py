"""When the simulator steps and what it publishes then: simulated against steady time.

Simulated time advances in whole physics steps and is kept in integer nanoseconds. With joint
states at 250 Hz, steps of 1 ms and a realtime factor of 1::

    stepping = Stepping(1_000_000, {'joint_states': 4_000_000}, factor=1.0)
    stepping.start(now=10.0)
    stepping.due('joint_states')     # True: the sample of time 0
    stepping.wait(now=10.001)        # 0.003: the next one is due at 10.004
    stepping.steps(now=10.0042)      # 4
    stepping.advance(4)

Time (steady, in seconds) is an argument everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from sim2real_core.pacing import PaceKeeper

CATCH_UP = 1.0  # s; a simulation that is further behind gives up the difference
MEASURED_OVER = 1.0  # s of steady time for the factor that is reported


class Ticker:
    """Says once per period that it is time. Periods are counted from zero; all in ns."""

    def __init__(self, period: int) -> None:
        self.period = period
        self.next = 0

    def due(self, time: int) -> bool:
        """Whether the period's instant has come (and has not been asked about yet)."""
        if time < self.next:
            return False
        self.next = (time // self.period + 1) * self.period
        return True

    def reset(self, time: int) -> None:
        """Due at once, then at multiples of the period."""
        self.next = time


class Stepping:
    """Keeps simulated time against steady time.

    Attributes:
        time: simulated time [ns].
        paused: simulated time stands still, except for steps that are asked for.
        trouble: why it must stand still, or ``''``; see :meth:`interrupt`.
        factor: simulated per steady time as measured over the last second; nan at first.

    Args:
        step: length of a physics step [ns].
        instants: name to period [ns] of what must happen exactly when it is due: no batch of
            steps goes beyond such an instant.
        riders: name to period [ns] of what happens at the next of those instants.
        factor: simulated per steady time asked for; 0 for as fast as possible.
    """

    def __init__(
        self,
        step: int,
        instants: Mapping[str, int],
        riders: Mapping[str, int] | None = None,
        factor: float = 1.0,
    ) -> None:
        self.step = step
        self.time = 0
        self.paused = False
        self.factor = math.nan
        self.trouble = ''
        self._ran = False
        self._asked = factor
        self._instants = [Ticker(period) for period in instants.values()]
        self._tickers = dict(zip(instants, self._instants, strict=True))
        self._tickers.update({name: Ticker(period) for name, period in (riders or {}).items()})
        self._since = (0.0, 0)  # steady and simulated time that belong together
        self._measured = (0.0, 0)

    def start(self, now: float) -> None:
        """Let simulated time run from here on (also after a pause)."""
        self.paused = False
        self._since = self._measured = (now, self.time)

    def pause(self) -> None:
        """Let simulated time stand still."""
        self.paused, self._ran = True, False

    def interrupt(self, what: str) -> None:
        """Let simulated time stand still until :meth:`mended`, as something happened."""
        self._ran = not self.paused
        self.paused = True
        self.trouble = f'{what} at {self.time * 1e-9:.3f} s; reset to go on'

    def mended(self, now: float) -> None:
        """What interrupted is over: go on, where time ran before."""
        self.trouble = ''
        if self._ran:
            self._ran = False
            self.start(now)

    def reset(self, now: float, time: int | None = None) -> None:
        """Everything is due at once; simulated time becomes ``time`` [ns], or stays."""
        self.time = self.time if time is None else time
        for ticker in self._tickers.values():
            ticker.reset(self.time)
        self._since = self._measured = (now, self.time)

    def due(self, name: str) -> bool:
        """Whether something is due at this simulated time; true once."""
        return self._tickers[name].due(self.time)

    def to_next(self) -> int:
        """Steps until the next instant, at least one."""
        ahead = min(ticker.next for ticker in self._instants) - self.time
        return max(1, -(-ahead // self.step))

    def wait(self, now: float) -> float:
        """Seconds until the next instant is due; 0 when it is, inf when paused."""
        if self.paused:
            return math.inf
        if not self._asked:
            return 0.0
        due = self._since[0] + (
            (self.time - self._since[1] + self.to_next() * self.step) * 1e-9 / self._asked
        )
        return max(0.0, due - now)

    def steps(self, now: float) -> int:
        """Physics steps to take now: as many as steady time asks for, up to the next instant."""
        if self.paused:
            return 0
        if not self._asked:
            return self.to_next()
        behind = (now - self._since[0]) * self._asked * 1e9 - (self.time - self._since[1])
        if behind > CATCH_UP * self._asked * 1e9:
            self._since = (now - CATCH_UP, self.time)
            behind = CATCH_UP * self._asked * 1e9
        # A step that ends within a microsecond from now is due: clocks are not exact.
        return min(self.to_next(), int((behind + 1e3) // self.step))

    def advance(self, steps: int, now: float) -> None:
        """Note that so many steps were taken."""
        self.time += steps * self.step
        elapsed = now - self._measured[0]
        if elapsed >= MEASURED_OVER:
            self.factor = (self.time - self._measured[1]) * 1e-9 / elapsed
            self._measured = (now, self.time)


class CommandWatch:
    """Notices that commands stopped.

    Args:
        timeout: [s].
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._last: float | None = None

    def seen(self, now: float) -> None:
        """Note a command."""
        self._last = now

    def expired(self, now: float) -> bool:
        """Whether commands stopped; true once."""
        if self._last is None or now - self._last <= self._timeout:
            return False
        self._last = None
        return True

    def reset(self) -> None:
        """Forget: nothing is expected before the next command."""
        self._last = None


class Lockstep:
    """Waits for the consumers of a paced simulation: for their acknowledgements and commands.

    Attributes:
        keeper: whom it waits for.
        received: commands that arrived since the last sample.

    Args:
        consumers: names of nodes; none for a simulation that is not paced.
        timeout: longest wait [s].
        observers: names of nodes that may be some samples behind.
    """

    def __init__(
        self, consumers: Iterable[str], timeout: float, observers: Iterable[str] = ()
    ) -> None:
        self.keeper = PaceKeeper(consumers, timeout, observers)
        self.received = 0
        self._forgiven = 0
        self._deadline = 0.0

    def sent(self, stamp: int, now: float) -> None:
        """Note that the sample of this stamp [ns] goes out now."""
        self.keeper.sent(stamp, now)
        self.received = self._forgiven = 0
        self._deadline = now + self.keeper.timeout

    def waits(self, now: float) -> tuple[bool, list[str]]:
        """Whether the next sample must wait, and who has just been given up, in words."""
        before = set(self.keeper.late)
        waiting = self.keeper.waiting(now)
        within = f'within {self.keeper.timeout:g} s'
        lost = [
            f'{name} did not acknowledge a sample {within}: no longer waited for'
            for name in sorted(self.keeper.late - before)
        ]
        missing = sum(self.keeper.commands.values()) - self.received - self._forgiven
        if missing > 0 and now > self._deadline:
            self._forgiven += missing
            lost.append(f'{missing} commands were sent but did not arrive {within}')
            missing = 0
        return bool(waiting) or missing > 0, lost


def clock_period(joint_state_period: int) -> int:
    """Period [ns] of ``clock``.

    At most 200 Hz, at the joint states' instants where these are frequent enough, else 100 Hz.
    """
    if joint_state_period > 10_000_000:
        return 10_000_000
    return -(-5_000_000 // joint_state_period) * joint_state_period
