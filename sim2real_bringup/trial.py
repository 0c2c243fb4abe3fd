"""Listens to the policy node for a while, to judge whether a stage was passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sim2real_core.errors import Sim2RealError

SILENT = 5.0  # longest time without a word of the node [s]


@dataclass
class Heard:
    """What the node said.

    Attributes:
        first: values of its first status while it was active.
        last: and of its last.
        seconds: between the two.
        faults: what its statuses said that was not OK, once each.
    """

    first: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def listen(
    seconds: float, node: str = 'policy', tell: Callable[[float], None] = lambda share: None
) -> Heard:
    """Hear the node's diagnostics.

    Args:
        seconds: how long.
        node: name of the policy node, with or without its namespace.
        tell: is told the share of the time that is over.

    Raises:
        Sim2RealError: the node is not there, or fell silent.
    """
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
    from rclpy.executors import SingleThreadedExecutor

    heard = Heard()
    start = newest = time.monotonic()
    begun = 0.0
    wanted = f'{node.lstrip("/")}: health'

    def on_diagnostics(message: DiagnosticArray) -> None:
        nonlocal newest, begun
        for status in message.status:
            name = status.name.lstrip('/')
            if name != wanted and not name.endswith(f'/{wanted}'):
                continue
            newest = time.monotonic()
            if status.level != DiagnosticStatus.OK and status.message not in heard.faults:
                heard.faults.append(status.message)
            heard.last = {pair.key: pair.value for pair in status.values}
            if not heard.first:
                heard.first, begun = heard.last, newest
            heard.seconds = newest - begun

    context = rclpy.Context()
    rclpy.init(context=context)
    listener = rclpy.create_node('policy_trial', context=context)
    try:
        listener.create_subscription(DiagnosticArray, '/diagnostics', on_diagnostics, 50)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(listener)
        while heard.seconds < seconds:
            executor.spin_once(timeout_sec=0.2)
            if time.monotonic() - newest > SILENT:
                words = 'fell silent' if heard.first else 'is not heard on /diagnostics'
                raise Sim2RealError(f'the node {node} {words}')
            if time.monotonic() - start > 2 * seconds + SILENT:
                raise Sim2RealError(f'the node {node} said too little')
            tell(min(1.0, heard.seconds / seconds))
    finally:
        listener.destroy_node()
        rclpy.shutdown(context=context)
    return heard
