"""Asks a running simulator for a recorded world."""

from __future__ import annotations

import time
from dataclasses import replace

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor

from sim2real_core.errors import InputError, MissingError
from sim2real_core.messages import draw_from_message, draw_to_message
from sim2real_core.qos import RELIABLE
from sim2real_core.records import Draw
from sim2real_randomizer.episodes import answers, settled

RESEND = 0.5


def replay(draw: Draw, *, timeout: float, namespace: str = '') -> Draw:
    """Give a running simulator a world and see what became of it.

    Args:
        draw: the world.
        timeout: for finding the simulator and for its answer together [s].
        namespace: of the simulator.

    Returns:
        The draw with its outcomes; all failed when no answer came.

    Raises:
        MissingError: no simulator was found.
    """
    draw = replace(draw, outcomes={})
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('replay_draw', namespace=namespace, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    found: list[Draw] = []

    def on_answer(message: DiagnosticArray) -> None:
        try:
            answer = draw_from_message(message)
        except InputError as error:
            node.get_logger().warning(f'simulator/draw_applied: {error}')
            return
        if answers(answer, draw):
            found.append(answer)

    try:
        ask = node.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
        node.create_subscription(DiagnosticArray, 'simulator/draw_applied', on_answer, RELIABLE)
        deadline, send, there = time.monotonic() + timeout, 0.0, False
        while not found and time.monotonic() < deadline:
            there = there or (
                ask.get_subscription_count() > 0
                and node.count_publishers('simulator/draw_applied') > 0
            )
            if there and time.monotonic() >= send:
                send = time.monotonic() + RESEND
                ask.publish(draw_to_message(draw))
            executor.spin_once(timeout_sec=0.05)
        if not there:
            raise MissingError(
                f'no simulator within {timeout:g} s: start one (sim2real up sim), or write the '
                'world to a file with --out'
            )
        return settled(draw, found[0] if found else None)
    finally:
        executor.remove_node(node)
        node.destroy_node()
        rclpy.shutdown(context=context)
