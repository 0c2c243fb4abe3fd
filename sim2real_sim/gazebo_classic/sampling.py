"""Which physics steps of a running Gazebo are published, and what is due then."""

from __future__ import annotations

from collections.abc import Mapping

from sim2real_sim.stepping import Ticker


class Sampler:
    """Chooses steps. Two threads share it: one offers steps, one publishes what was chosen.

    A time that went back (a reset, a new gzserver) makes everything due at once.

    Attributes:
        time: simulated time of what is published [ns].

    Args:
        instants: name to period [ns] of what must be published exactly when it is due.
        riders: name to period [ns] of what is published at the next of those instants.
    """

    def __init__(self, instants: Mapping[str, int], riders: Mapping[str, int]) -> None:
        self.time = -1
        self._offered = -1
        self._gates = [Ticker(period) for period in instants.values()]
        self._tickers = {n: Ticker(p) for n, p in {**instants, **riders}.items()}

    def wants(self, time: int) -> bool:
        """Whether the step that ended at a time [ns] is to be published."""
        if time < self._offered:
            for gate in self._gates:
                gate.reset(time)
        self._offered = time
        return any([gate.due(time) for gate in self._gates])

    def begin(self, time: int) -> None:
        """Publish from here on what is due at a time [ns]."""
        if time < self.time:
            for ticker in self._tickers.values():
                ticker.reset(time)
        self.time = time

    def due(self, name: str) -> bool:
        """Whether something is due now; true once."""
        return self._tickers[name].due(self.time)
