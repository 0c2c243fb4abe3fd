"""The executables of the nodes: what a signal does is settled before what takes seconds to import.

Nothing heavy is imported here, so that an interrupt while a node is loaded ends it as one does
that comes later, with status 0 and without a traceback.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal


def start(module: str) -> int:
    """Import a node's module and run its ``main``; the process's exit status is returned.

    Args:
        module: its name.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # At once: an exception in the midst of an import may be caught there. Nothing is open yet.
        signal.signal(number, lambda *_: os._exit(0))
    status: int = importlib.import_module(module).main()
    return status


simulator = functools.partial(start, 'sim2real_sim.node')
gazebo_bridge = functools.partial(start, 'sim2real_sim.gazebo_classic.bridge')
relay = functools.partial(start, 'sim2real_sim.relay_node')
gazebo_draws = functools.partial(start, 'sim2real_sim.world_node')
randomizer = functools.partial(start, 'sim2real_randomizer.node')
policy = functools.partial(start, 'sim2real_policy.node')
sysid = functools.partial(start, 'sim2real_sysid.node')
capture = functools.partial(start, 'sim2real_capture.node')
receiver = functools.partial(start, 'sim2real_capture.receiver_node')
player = functools.partial(start, 'sim2real_bringup.player')
visualizer = functools.partial(start, 'sim2real_bringup.visualizer')
