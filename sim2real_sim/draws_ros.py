"""Draws as messages, for every node that applies them."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from sim2real_core.errors import InputError
from sim2real_core.messages import draw_from_message
from sim2real_core.records import Draw


def heard(node: Node, message: DiagnosticArray) -> Draw | None:
    """The draw that a message asks for; None, and an error in the node's log, when it is none."""
    try:
        return draw_from_message(message)
    except InputError as error:
        node.get_logger().error(f'draw ignored: {error}')
        return None
