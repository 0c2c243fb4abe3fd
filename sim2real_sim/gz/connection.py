"""What one world of modern Gazebo is asked and told, with a deadline for everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sim2real_core.errors import Fault, InputError
from sim2real_sim.gz import messages
from sim2real_sim.gz.entities import COMPONENTS, Snapshot
from sim2real_sim.gz.requests import Requests
from sim2real_sim.world import WorldError

POLL = 0.002
"""[s] between looks at the world while something is waited for."""
Json = Mapping[str, Any]


class Connection:
    """The services and topics of one world.

    Attributes:
        timeout: deadline of each call [s].
        root: what the names of its services begin with.
        told: how many times the world was told to change.

    Args:
        world: its name; that of the only one when empty.
        timeout: deadline of each call [s].
        requests: what they are sent with.
    """

    def __init__(self, world: str, timeout: float, requests: Requests) -> None:
        self.timeout = timeout
        self.told = 0
        self._requests = requests
        self.root = f'/world/{world or self._only()}'

    @property
    def gazebo(self) -> str:
        """Name and version of the simulator."""
        return str(self._requests.about['gazebo'])

    def look(self, more: Mapping[str, str]) -> Snapshot:
        """The world at this instant, with further components (name to message type)."""
        return Snapshot(
            self._requests.call(
                'state',
                self.timeout,
                service=f'{self.root}/state',
                components={**COMPONENTS, 'JointAxis': '', **more},
            )
        )

    def request(self, service: str, kind: str, message: Json) -> None:
        """Call a service that answers whether it did it."""
        self.told += 1
        self._requests.request(service, kind, message, self.timeout)

    def ask(self, what: str, kind: str, message: Json) -> None:
        """A user command of the world, answered when it was carried out."""
        self.request(f'{self.root}/{what}/blocking', kind, message)

    def control(self, message: Json) -> None:
        """Pause, step, reset."""
        self.request(f'{self.root}/control', 'WorldControl', message)

    def publish(self, topic: str, kind: str, message: Json) -> None:
        """Publish a message to whoever listens."""
        self.told += 1
        self._requests.call('publish', self.timeout, topic=topic, kind=kind, message=message)

    def unheard(self, topic: str, timeout: float) -> None:
        """Wait until nobody listens to a topic any more, at most so long [s]."""
        self._requests.call('unheard', timeout, topic=topic)

    def set_state(self, paused: bool, parts: list[tuple[int, str, str, Any]]) -> None:
        """Write components: entity, name, message type and content."""
        self.told += 1
        answer = self._requests.call(
            'set_state',
            self.timeout,
            service=f'{self.root}/control/state',
            control=messages.control(pause=paused),
            entities=parts,
        )
        if not answer.get('data'):
            raise WorldError(f'{self.root}/control/state refused')

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait for something.

        Raises:
            WorldError: it did not come in time.
        """
        end = time.monotonic() + self.timeout
        while not done():
            if time.monotonic() > end:
                raise WorldError(f'no {what} within {self.timeout:g} s')
            time.sleep(POLL)

    def close(self) -> None:
        """End the process that the requests are sent from."""
        self._requests.close()

    def _only(self) -> str:
        """Name of the only world there is."""

        def find() -> list[str]:
            services = self._requests.call('services', self.timeout)
            return [s.split('/')[2] for s in services if s.endswith('/set_physics/blocking')]

        self.until(lambda: bool(find()), 'world of a Gazebo')
        worlds = find()
        if len(worlds) > 1:
            raise InputError(Fault('world', worlds, 'say which of these'))
        return worlds[0]
