"""A modern Gazebo server of our own: in a partition of its own, stopped for certain."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from sim2real_core.errors import Fault, InputError, MissingError
from sim2real_sim.processes import ServerProcess

MISSING = (
    'no gz command: install modern Gazebo (apt install gz-harmonic, or ros-$ROS_DISTRO-ros-gz) '
    'or source its setup'
)
_numbers = itertools.count()


class Server(ServerProcess):
    """One ``gz sim -s``; use it in a ``with`` statement, or :meth:`start` and :meth:`stop` it.

    Attributes:
        environment: variables that lead to it and to no other (``GZ_PARTITION``, ``GZ_IP``);
            :class:`sim2real_sim.gz.world.GzWorld` takes them.

    Args:
        world: world file.
        log: file that takes its output; the terminal's when None.

    Raises:
        MissingError: there is no ``gz`` command.
        InputError: no such world.
    """

    def __init__(self, world: str | Path, *, log: Path | None = None) -> None:
        super().__init__(log)
        self._world = Path(world)
        if not self._world.is_file():
            raise InputError(Fault('world', str(world), 'give an existing world file'))
        gz = shutil.which('gz')
        if gz is None:
            raise MissingError(MISSING)
        self._gz = gz
        self.environment = {
            'GZ_PARTITION': f'sim2real_{os.getpid()}_{next(_numbers)}',
            'GZ_IP': os.environ.get('GZ_IP', '127.0.0.1'),
        }

    def start(self) -> None:
        """Start it; it answers when a world does (:class:`~sim2real_sim.gz.world.GzWorld`)."""
        command = [self._gz, 'sim', '-s', str(self._world.resolve())]
        self.process = self._launch(command, {**os.environ, **self.environment})
