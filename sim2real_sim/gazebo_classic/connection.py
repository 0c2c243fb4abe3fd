"""All ways into one running gzserver, opened and lost together."""

from __future__ import annotations

import getpass
import os
import socket

from sim2real_sim.gazebo_classic.clock import Clock
from sim2real_sim.gazebo_classic.ignition import Ignition
from sim2real_sim.gazebo_classic.introspection import Introspection
from sim2real_sim.gazebo_classic.joints import JointCommands
from sim2real_sim.gazebo_classic.live import Live
from sim2real_sim.gazebo_classic.messages import Messages
from sim2real_sim.gazebo_classic.pose_stream import PoseStream
from sim2real_sim.gazebo_classic.server import partition
from sim2real_sim.gazebo_classic.transport import Transport
from sim2real_sim.world import WorldError


class Connection:
    """A running gzserver.

    Attributes:
        transport: Gazebo's own.
        introspection: what every step made.
        clock: simulated time.
        joints: joint commands.
        live: what is asked and changed while it runs.

    Args:
        messages: Gazebo's message classes.
        host: where its master runs.
        port: of its master.
        timeout: deadline of every wait [s].

    Raises:
        WorldError: it does not answer.
    """

    def __init__(self, messages: Messages, host: str, port: int, timeout: float) -> None:
        self.transport = Transport(messages, host, port, timeout)
        self._ignition = Ignition(messages, self.transport.own_host, timeout)
        try:
            self.introspection = Introspection(
                self._ignition, messages, partitions(port), self.transport.world, timeout
            )
            poses = PoseStream(self.transport)
            self.live = Live(self.transport, poses, messages, timeout)
            self.clock = Clock(
                self.transport,
                self.introspection,
                poses,
                self.live.settle,
                self.live.look,
                timeout,
            )
        except WorldError:
            self.close()
            raise
        where = self.introspection.partition
        self.joints = JointCommands(self._ignition, messages, where, timeout)

    def close(self) -> None:
        """Let go."""
        if hasattr(self, 'introspection') and not self.transport.lost:
            self.introspection.close()
        self._ignition.close()
        self.transport.close()


def partitions(port: int) -> tuple[str, ...]:
    """Partitions of ignition-transport that a gzserver may be in: ours, or the default one."""
    if os.environ.get('IGN_PARTITION'):
        return (os.environ['IGN_PARTITION'],)
    return partition(port), f'{socket.gethostname()}:{getpass.getuser()}'
