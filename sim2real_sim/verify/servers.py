"""The probe world in simulators that run in a process of their own, for as long as it is tried."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_sim.gazebo_classic.server import Server
from sim2real_sim.gazebo_classic.world import ClassicWorld
from sim2real_sim.gz import server as gz_server
from sim2real_sim.gz.world import GzWorld
from sim2real_sim.verify.models import WORLD

IMAGES = '~/camera/camera/camera/image'
PERIOD = 0.11
"""[s] Somewhat more than the time between two pictures."""
EXPOSURE = 300
"""[steps] The camera takes ten pictures a second of simulated time; changes need one or two."""
MODERN_TIMEOUT = 20.0
"""[s] Modern Gazebo takes seconds to start."""


class SeeingWorld(ClassicWorld):
    """The probe world in Gazebo Classic, with what its camera sees."""

    def __init__(self, port: int) -> None:
        super().__init__(port=port)
        self._image: Any = None
        transport = self._gazebo.transport
        transport.subscribe(IMAGES, 'gazebo.msgs.ImageStamped', self._see)

    def _see(self, image: Any) -> None:
        self._image = image

    def picture(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB picture; simulated time goes on for it."""
        self.step(EXPOSURE)
        now = self.time()

        def seen() -> Any:
            image = self._image
            taken = 0.0 if image is None else image.time.sec + 1e-9 * image.time.nsec
            return image if now - PERIOD < taken <= now else None

        image = self._gazebo.transport.wait(seen, 'picture of the camera').image
        pixels = np.frombuffer(image.data, dtype=np.uint8)
        return pixels.reshape(image.height, image.width, 3)


@contextmanager
def classic(port: int = 0) -> Iterator[SeeingWorld]:
    """The probe world in a gzserver of its own.

    Args:
        port: of its master; any free one when 0.

    Raises:
        MissingError: this machine has no Gazebo Classic; the message says how to get one.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'probe.world'
        path.write_text(WORLD, encoding='utf-8')
        with Server(path, port=port or _free(), cameras=True, log=path.with_name('log')) as server:
            world = SeeingWorld(server.port)
            try:
                yield world
            finally:
                world.close()


@contextmanager
def modern(port: int = 0) -> Iterator[GzWorld]:
    """The probe world in a server of modern Gazebo of its own.

    Args:
        port: unused; its partition keeps it apart from others.

    Raises:
        MissingError: this machine has no modern Gazebo; the message says how to get one.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'probe.sdf'
        path.write_text(WORLD, encoding='utf-8')
        with gz_server.Server(path, log=path.with_name('log')) as server:
            world = GzWorld(timeout=MODERN_TIMEOUT, environment=server.environment)
            try:
                yield world
            finally:
                world.close()


def _free() -> int:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        return int(taken.getsockname()[1])
