"""Draws on a world that runs in a process of its own: live where it can be, else by respawn.

A world changes some quantities while it runs; the rest takes a model that is spawned anew from
SDF in which they are edited. Both start from the nominal SDF every time, so that draws never
add up, and a draw equal to the nominal one changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from sim2real_core.addresses import parse_address, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_sim import sdf
from sim2real_sim.world import ModelState, Pose, World, WorldError

RESPAWN = 'respawn'
"""Name of the route."""
OF_THE_WORLD = ('world', 'light')
RELATIVE, ABSOLUTE = 1e-5, 1e-9
"""Values travel in single precision here and there, and with six digits in Gazebo's own SDF."""


class Backend(World, Protocol):
    """What a world offers beside :class:`~sim2real_sim.world.World` to be applied through."""

    def write(self, model: str, values: Mapping[str, float], route: str, edited: str) -> None:
        """Change quantities while the world runs; returns when they have taken effect.

        Args:
            model: whose they are.
            values: address to absolute SI value.
            route: the way to take.
            edited: the model's nominal SDF with the whole draw in it: what belongs to a value
                (a mass's inertia, the other axes of a centre of mass) is read from there.

        Raises:
            WorldError: it did not take effect.
        """
        ...

    def replace(self, model: str, sdf: str, pose: Pose) -> None:
        """Spawn a model as :meth:`spawn` does, but its nominal SDF stays what it was.

        What is spawned by :meth:`spawn` is nominal, and :meth:`Draws.forget` is told.
        """
        ...

    def restore(self, model: str, state: ModelState) -> None:
        """Put a model that was just spawned where it was, with its joints and velocities."""
        ...


class Draws:
    """Applies draws to one world, each as if the world were nominal.

    Attributes:
        troubles: why addresses of the last draw failed, one line each.

    Args:
        backend: the world.
    """

    def __init__(self, backend: Backend) -> None:
        self.troubles: list[str] = []
        self._backend = backend
        # What was written live and differs from nominal: model ('' for the world's own) to
        # address to route; and the SDF that each model was spawned with last.
        self._live: dict[str, dict[str, str]] = {}
        self._spawned: dict[str, str] = {}
        self._states: dict[str, ModelState] = {}

    def forget(self, model: str = '') -> None:
        """A model was spawned anew and is nominal; or the whole world was started anew."""
        if model:
            self._live.pop(model, None)
            self._spawned.pop(model, None)
            self._states.pop(model, None)
        else:  # where models were is where they belong
            self._live.clear()
            self._spawned.clear()

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """See :meth:`sim2real_sim.world.World.apply`."""
        self.troubles = []
        self._check(model, values)
        nominal = self._backend.sdf(model)
        inside = {a: v for a, v in values.items() if _owner(a, model) and sdf.editable(a)}
        edited = sdf.edit(nominal, inside)  # refuses what no body can be, whatever the route
        ways = {address: self._way(address, route) for address in values}
        spawned = sdf.edit(nominal, {a: v for a, v in inside.items() if ways[a] == RESPAWN})
        if not route and spawned != self._spawned.get(model, nominal):
            # What can goes along with a respawn that is needed: there it costs nothing.
            along = {a: v for a, v in inside.items() if RESPAWN in self._backend.routes(a)}
            ways.update(dict.fromkeys(along, RESPAWN))
            spawned = sdf.edit(nominal, along)
        outcomes = dict.fromkeys((a for a, way in ways.items() if not way), 'unsupported')
        failed = self._spawn(model, nominal, spawned, [a for a, w in ways.items() if w == RESPAWN])
        failed += self._write(model, values, ways, edited)
        for address, value in values.items():
            if address not in outcomes and address not in failed:
                outcomes[address] = self._outcome(model, address, value)
        outcomes.update(dict.fromkeys(failed, 'failed'))
        return {address: outcomes[address] for address in values}

    def _check(self, model: str, values: Mapping[str, float]) -> None:
        faults = Faults()
        for address, value in values.items():
            try:
                limits = quantity(address)
                if not (math.isfinite(value) and limits.low <= value <= limits.high):
                    bounds = f'[{limits.low:g}, {limits.high:g}] {limits.unit}'
                    raise InputError(Fault(address, value, f'must be within {bounds}'))
                if self._backend.routes(address):
                    self._backend.nominal(model, address)  # else there is no such link, joint...
            except InputError as error:
                faults.extend(error)
        faults.check()

    def _way(self, address: str, route: str) -> str:
        ways = self._backend.routes(address)
        if route:
            return route if route in ways else ''
        return ways[0] if ways else ''

    def _spawn(self, model: str, nominal: str, wanted: str, addresses: list[str]) -> list[str]:
        """Have the model in the world with this SDF, where it was and moving as it did.

        Gives the addresses that failed because the model could not be spawned.
        """
        there = model in self._backend.models()
        changed = wanted != self._spawned.get(model, nominal)
        if there and (changed or model not in self._states):
            self._states[model] = self._backend.state(model)
        if there and not changed:
            return []
        state = self._states.get(model)
        for last in (False, True):
            try:
                self._backend.replace(model, wanted, Pose() if state is None else state.pose)
                break
            except WorldError as error:
                self._spawned.pop(model, None)
                if last:
                    self.troubles += [f'{address}: {error}' for address in addresses or [model]]
                    return addresses
        self._spawned[model] = wanted
        self._live.pop(model, None)
        if state is not None:
            self._backend.restore(model, state)
        return []

    def _write(
        self, model: str, values: Mapping[str, float], ways: Mapping[str, str], edited: str
    ) -> list[str]:
        """Write what goes live and take back what an earlier draw wrote; gives what failed."""
        wanted: dict[tuple[str, str], dict[str, float]] = {}
        for owner in ('', model):
            for address, way in self._live.get(owner, {}).items():
                if ways.get(address) != way:
                    nominal = self._backend.nominal(model, address)
                    wanted.setdefault((owner, way), {})[address] = nominal
        for address, way in ways.items():
            if way and way != RESPAWN:
                group = wanted.setdefault((_owner(address, model), way), {})
                group[address] = values[address]
        failed = []
        for (owner, way), group in wanted.items():
            if not self._differs(model, owner, group):
                continue
            noted = self._live.setdefault(owner, {})
            noted.update(dict.fromkeys(group, way))
            try:
                self._backend.write(model, group, way, edited)
            except WorldError as error:
                failed += [address for address in group if address in values]
                self.troubles += [f'{address}: {error}' for address in group]
                continue
            for address in group:
                if address not in values:
                    del noted[address]
        return failed

    def _differs(self, model: str, owner: str, group: Mapping[str, float]) -> bool:
        """Whether there is anything to write: a nominal world is left alone by nominal values."""
        noted = self._live.get(owner, {})
        return any(
            address in noted or value != self._backend.nominal(model, address)
            for address, value in group.items()
        )

    def _outcome(self, model: str, address: str, value: float) -> str:
        try:
            got = self._backend.get(model, address)
        except WorldError as error:
            self.troubles.append(f'{address}: {error}')
            return 'failed'
        if got is None:
            return 'applied'
        if math.isclose(got, value, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            return 'verified'
        self.troubles.append(f'{address}: {value!r} was asked for, the engine has {got!r}')
        return 'failed'


def _owner(address: str, model: str) -> str:
    """Whose an address is: the model, or ``''`` for the whole world."""
    return '' if parse_address(address).kind in OF_THE_WORLD else model
