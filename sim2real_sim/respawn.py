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
ABSOLUTE = 1e-9


class Backend(World, Protocol):
    """What a world offers beside :class:`~sim2real_sim.world.World` to be applied through."""

    @property
    def tolerance(self) -> float:
        """Relative difference up to which a value that is read back is the one applied."""
        ...

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
        respawned: why the last draw had the model spawned anew, or ``''``.

    Args:
        backend: the world.
    """

    def __init__(self, backend: Backend) -> None:
        self.troubles: list[str] = []
        self.respawned = ''
        self._backend = backend
        # What differs from nominal: model ('' for the world's own) to address to the route by
        # which it changes while the world runs, and its value. And of each model that was spawned
        # anew, what nothing but that changes.
        self._live: dict[str, dict[str, tuple[str, float]]] = {}
        self._spawned: dict[str, dict[str, float]] = {}
        self._states: dict[str, ModelState] = {}
        self._nominal: dict[str, float] = {}
        # The last draw of each model: values, the way that each took, and the SDF with them.
        self._last: dict[str, tuple[dict[str, float], dict[str, str], str]] = {}

    def forget(self, model: str = '') -> None:
        """A model was spawned anew and is nominal; or the whole world was started anew."""
        if model:
            self._live.pop(model, None)
            self._spawned.pop(model, None)
            self._states.pop(model, None)
            self._last.pop(model, None)
        else:  # where models were is where they belong
            self._live.clear()
            self._spawned.clear()
            self._last.clear()

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """See :meth:`sim2real_sim.world.World.apply`."""
        self.troubles, self.respawned = [], ''
        self._nominal.clear()
        self._check(model, values)
        nominal = self._backend.sdf(model)
        inside = {a: v for a, v in values.items() if _owner(a, model) and sdf.editable(a)}
        edited = sdf.edit(nominal, inside)  # refuses what no body can be, whatever the route
        ways = {address: self._way(address, route) for address in values}
        failed = self._spawn(model, nominal, edited, inside, ways, route)
        failed += self._write(model, values, {**ways, **dict.fromkeys(failed, RESPAWN)}, edited)
        outcomes = dict.fromkeys((a for a, way in ways.items() if not way), 'unsupported')
        for address, value in values.items():
            if address not in outcomes and address not in failed:
                outcomes[address] = self._outcome(model, address, value)
        outcomes.update(dict.fromkeys(failed, 'failed'))
        self._last[model] = dict(values), ways, edited
        return {address: outcomes[address] for address in values}

    def again(self) -> None:
        """Write what changes while the world runs once more, after the world took it back.

        What a model was spawned with is left alone; the backend saw to that.

        Raises:
            WorldError: not all of it took effect.
        """
        self.troubles = []
        self._live.clear()
        for model, (values, ways, edited) in self._last.items():
            self._write(model, values, ways, edited)
        if self.troubles:
            raise WorldError(f'not in force any more: {"; ".join(self.troubles)}')

    def _check(self, model: str, values: Mapping[str, float]) -> None:
        faults = Faults()
        for address, value in values.items():
            try:
                limits = quantity(address)
                if not (math.isfinite(value) and limits.low <= value <= limits.high):
                    bounds = f'[{limits.low:g}, {limits.high:g}] {limits.unit}'
                    raise InputError(Fault(address, value, f'must be within {bounds}'))
                if self._backend.routes(address):
                    self._nominally(model, address)  # else there is no such link, joint...
            except InputError as error:
                faults.extend(error)
        faults.check()

    def _way(self, address: str, route: str) -> str:
        ways = self._backend.routes(address)
        if route:
            return route if route in ways else ''
        return ways[0] if ways else ''

    def _spawn(
        self,
        model: str,
        nominal: str,
        edited: str,
        inside: Mapping[str, float],
        ways: Mapping[str, str],
        route: str,
    ) -> list[str]:
        """Have the model in the world with what only a spawn changes, moving as it did.

        Gives the addresses that failed because the model could not be spawned.
        """
        wanted = {
            a: v for a, v in inside.items() if ways[a] == RESPAWN and self._is_drawn(model, a, v)
        }
        before = self._spawned.get(model, {})
        changed = {a for a in {**before, **wanted} if before.get(a) != wanted.get(a)}
        there = model in self._backend.models()
        if there and (changed or model not in self._states):
            self._states[model] = self._backend.state(model)
        if there and not changed:
            return []
        self.respawned = ', '.join(sorted(changed)) if there else f'{model} was gone'
        # What can goes along with a respawn that is needed: there it costs nothing.
        along = (
            {}
            if route
            else {a: v for a, v in inside.items() if RESPAWN in self._backend.routes(a)}
        )
        text = edited if along == inside else sdf.edit(nominal, {**wanted, **along})
        state = self._states.get(model)
        for last in (False, True):
            try:
                self._backend.replace(model, text, Pose() if state is None else state.pose)
                break
            except WorldError as error:
                # Whatever is there now is not what is wanted.
                self._spawned[model] = dict.fromkeys({**before, **wanted, model: 0.0}, math.nan)
                if last:
                    lost = [a for a in inside if ways[a] == RESPAWN or a in along]
                    self.troubles += [f'{address}: {error}' for address in lost or [model]]
                    return lost
        self._spawned[model] = wanted
        self._live[model] = {a: (ways[a], v) for a, v in along.items() if ways[a] != RESPAWN}
        if state is not None:
            self._backend.restore(model, state)
        return []

    def _write(
        self, model: str, values: Mapping[str, float], ways: Mapping[str, str], edited: str
    ) -> list[str]:
        """Write what goes live and take back what an earlier draw wrote; gives what failed."""
        wanted: dict[tuple[str, str], dict[str, float]] = {}
        for owner in ('', model):
            for address, (way, _) in self._live.get(owner, {}).items():
                if ways.get(address) != way:
                    nominal = self._nominally(model, address)
                    wanted.setdefault((owner, way), {})[address] = nominal
        for address, way in ways.items():
            if way and way != RESPAWN:
                group = wanted.setdefault((_owner(address, model), way), {})
                group[address] = values[address]
        failed = []
        for (owner, way), group in wanted.items():
            noted = self._live.setdefault(owner, {})
            if all(self._holds(model, a, v, noted.get(a)) for a, v in group.items()):
                continue
            noted.update(dict.fromkeys(group, (way, math.nan)))  # neither is known meanwhile
            try:
                self._backend.write(model, group, way, edited)
            except WorldError as error:
                failed += [address for address in group if address in values]
                self.troubles += [f'{address}: {error}' for address in group]
                continue
            for address, value in group.items():
                noted[address] = (way, value)
                if address not in values:
                    del noted[address]
        return failed

    def _holds(
        self, model: str, address: str, value: float, noted: tuple[str, float] | None
    ) -> bool:
        """Whether the world has a value already, as far as can be known.

        What was never changed is left alone by its nominal value.
        """
        if noted is None:
            return not self._is_drawn(model, address, value)
        if noted[1] != value:
            return False
        try:
            got = self._backend.get(model, address)
        except WorldError:
            return False
        return got is None or self._same(got, value)

    def _is_drawn(self, model: str, address: str, value: float) -> bool:
        """Whether a value is another one than the nominal."""
        return value != self._nominally(model, address)

    def _nominally(self, model: str, address: str) -> float:
        """Nominal value, asked for once a draw."""
        if address not in self._nominal:
            self._nominal[address] = self._backend.nominal(model, address)
        return self._nominal[address]

    def _same(self, got: float, value: float) -> bool:
        return math.isclose(got, value, rel_tol=self._backend.tolerance, abs_tol=ABSOLUTE)

    def _outcome(self, model: str, address: str, value: float) -> str:
        try:
            got = self._backend.get(model, address)
        except WorldError as error:
            self.troubles.append(f'{address}: {error}')
            return 'failed'
        if got is None:
            return 'applied'
        if self._same(got, value):
            return 'verified'
        self.troubles.append(f'{address}: {value!r} was asked for, the engine has {got!r}')
        return 'failed'


def _owner(address: str, model: str) -> str:
    """Whose an address is: the model, or ``''`` for the whole world."""
    return '' if parse_address(address).kind in OF_THE_WORLD else model
