"""The probe world behind the services of gazebo_msgs, as the bridge to Gazebo Classic serves them.

Values go over the services; what they do not offer (single steps, motion at an instant, pictures)
goes over Gazebo's own transport, which needs no trust: it only looks and lets time pass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.parameter import Parameter

from sim2real_sim.gazebo_classic.bridge import GazeboBridge
from sim2real_sim.gazebo_classic.services_ros import SERVICES, ClassicServices
from sim2real_sim.gazebo_classic.world import ClassicWorld
from sim2real_sim.respawn import RESPAWN
from sim2real_sim.verify.probes import Probe
from sim2real_sim.verify.run import PLACING, verify
from sim2real_sim.verify.servers import SeeingWorld
from sim2real_sim.verify.table import Finding
from sim2real_sim.world import ModelState, Vector, WorldError

NAMESPACE = 'verify'
ASIDE = 50.0
"""[m] The bridge's own robot stands so far away."""
READY_WITHIN = 60.0
"""[s]"""
ROUTES = {SERVICES: SERVICES, RESPAWN: f'{SERVICES} respawn', PLACING: SERVICES, '': SERVICES}
"""Routes as they are called beside those of the transport."""
CAUTION = 'as gazebo_bridge serves it; gazebo_ros stores it and the engine goes on as it was'


class _Bridge(GazeboBridge):
    """A bridge whose world has a camera."""

    def _connect(self) -> ClassicWorld:
        return SeeingWorld(self._config.port)


class ServedWorld(ClassicServices):
    """The probe world over services.

    Args:
        world: the same over the transport, to look and let time pass.
        namespace: of the services.
    """

    def __init__(self, world: SeeingWorld, namespace: str) -> None:
        super().__init__(namespace, timeout=20.0)
        self._world = world

    def step(self, steps: int) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._world.step(steps)

    def reset(self) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._world.reset()

    def state(self, model: str) -> ModelState:
        """See :class:`~sim2real_sim.world.World`."""
        return self._world.state(model)

    def push(self, model: str, link: str, force: Vector, torque: Vector = (0.0, 0.0, 0.0)) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._world.push(model, link, force, torque)

    def picture(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB picture; simulated time goes on for it."""
        return self._world.picture()


def verify_served(
    port: int,
    probes: Collection[Probe],
    routes: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Try what values do that go over the services.

    Args:
        port: of the master of a gzserver that runs the probe world.
        probes: what to try.
        routes: only these (``services``, ``services respawn``); both when empty.
        tell: called with the name of each quantity before it is tried.

    Raises:
        WorldError: the bridge does not come up.
    """
    wanted = [own for own, called in ROUTES.items() if own and (not routes or called in routes)]
    if not wanted:
        return []
    with served(port) as world:
        found = verify(world, probes, wanted, tell)
    return [
        f._replace(route=ROUTES[f.route], note=f.note or _caution(f))
        for f in found
        if not routes or ROUTES[f.route] in routes
    ]


def _caution(found: Finding) -> str:
    return CAUTION if found.route == SERVICES and found.quantity.startswith('link.') else ''


@contextmanager
def served(port: int) -> Iterator[ServedWorld]:
    """The services of a bridge beside a gzserver that runs the probe world.

    Args:
        port: of its master.

    Raises:
        WorldError: the bridge does not come up.
    """
    own = not rclpy.ok()
    if own:
        rclpy.init()
    given = {'port': port, 'start_server': False, 'x': ASIDE, 'timeout': 20.0}
    bridge = _Bridge(
        namespace=NAMESPACE,
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
    )
    stop = threading.Event()
    thread = threading.Thread(target=bridge.spin, args=(stop,))
    thread.start()
    world: ServedWorld | None = None
    try:
        deadline = time.monotonic() + READY_WITHIN
        while bridge.keeper.trouble:
            if time.monotonic() > deadline:
                raise WorldError(f'no bridge within {READY_WITHIN:g} s: {bridge.keeper.trouble}')
            time.sleep(0.05)
        seen = bridge.keeper.world
        assert isinstance(seen, SeeingWorld)
        world = ServedWorld(seen, NAMESPACE)
        yield world
    finally:
        if world is not None:
            world.close()
        stop.set()
        thread.join(READY_WITHIN)
        bridge.close()
        bridge.destroy_node()
        if own:
            rclpy.shutdown()
