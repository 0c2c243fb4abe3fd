"""The receiver node: takes clips on the workstation. Keeps them as rosbag2 folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from sim2real_capture.config import ReceiverConfig
from sim2real_capture.receiver_server import serve
from sim2real_core.node import Health, declare
from sim2real_core.node import main as run


class ReceiverNode(Node):
    """Runs a ``ReceiverServer``. See :class:`ReceiverConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('receiver', **options)
        config = declare(self, ReceiverConfig)
        self._folder = Path(config.folder).expanduser()
        self.server = serve(config)
        self.get_logger().info(f'{self.server.url} keeps clips in {self._folder}')
        self._health = Health(self, self._status)

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        receiver = self.server.receiver
        values = {
            'url': self.server.url,
            'folder': self._folder,
            'clips_received': receiver.received,
            'requests_refused': receiver.refused,
            'bytes_taken': receiver.usage.used,
        }
        if not self.server.alive:
            return DiagnosticStatus.ERROR, 'the server died', values
        if receiver.trouble:
            return DiagnosticStatus.WARN, receiver.trouble, values
        return DiagnosticStatus.OK, f'listening on {self.server.url}', values

    def close(self) -> None:
        """Stop serving."""
        if not self.server.close():
            self.get_logger().warning('an upload was cut off; its sender tries again')
        self._health.close()


def main(args: list[str] | None = None) -> int:
    """Run the receiver node."""
    return run(ReceiverNode, args)


if __name__ == '__main__':
    sys.exit(main())
