"""A live gzserver for tests; they skip where there is none."""

import contextlib
import socket

import pytest

from sim2real_core.errors import MissingError
from sim2real_sim.gazebo_classic.installation import find


@contextlib.contextmanager
def serving(world, folder, **options):
    """A gzserver with a world (SDF text) and a connection to it, time at rest."""
    try:
        find()
    except MissingError as error:
        pytest.skip(f'no gzserver: {error}')
    from sim2real_sim.gazebo_classic.server import Server
    from sim2real_sim.gazebo_classic.world import ClassicWorld

    file = folder / 'test.world'
    file.write_text(world)
    options = {'port': free_port(), 'log': folder / 'gzserver.log', **options}
    with Server(file, **options) as server:
        world = ClassicWorld(port=server.port, timeout=10.0)
        try:
            world.pause(True)
            yield server, world
        finally:
            world.close()


def free_port():
    """A TCP port that nobody has."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
