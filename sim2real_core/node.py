"""What every node needs: parameters from a Config, health on /diagnostics, pacing, a main."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from std_msgs.msg import Header

from sim2real_core.errors import InputError, Sim2RealError
from sim2real_core.executor_ros import executing
from sim2real_core.parameters_ros import declare, read
from sim2real_core.qos import ANSWERS, RELIABLE

__all__ = ['Health', 'Pace', 'declare', 'executing', 'main', 'read', 'spin']

HEALTH_PERIOD = 0.4
SILENCE = 1.4  # a peer silent for longer is reported; with the period below the 2 s allowed
STOPPED = 'stopped'
WAITING = 'cannot begin yet: '
ROUNDED = 1e-6  # [s] more than a stamp loses in seconds as a float
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Health:
    """Publishes the node's health and notices peers that fell silent.

    Every node of a namespace publishes on ``/diagnostics`` every 0.4 s of steady time, so a
    stopped ``/clock`` changes nothing. A peer that was heard and then is silent for 1.4 s is
    reported once in the log and until it returns in this node's own status; one that ends
    cleanly says so and is forgotten.

    Args:
        node: the node.
        status: called for each message; returns (level, message, values) of this node.
        lacks: says what the node needs before it can begin; ``''`` once it has that.
    """

    def __init__(
        self,
        node: Node,
        status: Callable[[], tuple[bytes, str, dict[str, object]]] | None = None,
        lacks: Callable[[], str] = lambda: '',
    ) -> None:
        self._node = node
        self._lacks = lacks
        self._status = status or (lambda: (DiagnosticStatus.OK, 'running', {}))
        self._name = node.get_fully_qualified_name()
        self._heard: dict[str, float] = {}
        self._ticked = time.monotonic()
        self.silent: set[str] = set()
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_peer, RELIABLE)
        node.create_timer(HEALTH_PERIOD, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_peer(self, message: DiagnosticArray) -> None:
        for status in message.status:
            peer, _, what = status.name.partition(': ')
            if what != 'health' or peer == self._name:
                continue
            if peer.rpartition('/')[0] != self._name.rpartition('/')[0]:
                continue
            if status.message == STOPPED:
                self._heard.pop(peer, None)
                self.silent.discard(peer)
                continue
            self._heard[peer] = time.monotonic()
            if peer in self.silent:
                self.silent.discard(peer)
                self._node.get_logger().info(f'{peer} is heard again')

    def _tick(self) -> None:
        now = time.monotonic()
        deaf = now - self._ticked - HEALTH_PERIOD
        self._ticked = now
        if deaf > HEALTH_PERIOD:  # we were busy: what peers said meanwhile is still to be heard
            self._heard = {peer: min(now, t + deaf) for peer, t in self._heard.items()}
        for peer, heard in self._heard.items():
            if now - heard > SILENCE and peer not in self.silent:
                self.silent.add(peer)
                self._node.get_logger().error(
                    f'{peer} has not been heard for {now - heard:.1f} s: dead or stuck'
                )
        level, message, values = self._status()
        values = {**values, 'peers': ' '.join(sorted(self._heard))}
        lacking = self._lacks()
        if lacking:
            level, message = DiagnosticStatus.WARN, f'{WAITING}{lacking}'
        if self.silent:
            level = max(level, DiagnosticStatus.ERROR)
            message = f'{message}; silent: {", ".join(sorted(self.silent))}'
        self._publish(level, message, values)

    def _publish(self, level: bytes, message: str, values: dict[str, object]) -> None:
        status = DiagnosticStatus(
            name=f'{self._name}: health',
            level=level,
            message=message,
            hardware_id=self._node.get_namespace(),
            values=[KeyValue(key=k, value=str(v)) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def close(self) -> None:
        """Say goodbye, so that peers do not report this node as dead."""
        self._publish(DiagnosticStatus.STALE, STOPPED, {})


class Pace:
    """A consumer's side of pacing: says which sensor sample was fully processed.

    Args:
        node: the consumer; its name is what the producer waits for.
        paced: False makes every call do nothing.
    """

    def __init__(self, node: Node, paced: bool) -> None:
        self._name = node.get_name()
        self._publisher = node.create_publisher(Header, 'pace', ANSWERS) if paced else None
        self._newest = self._free = 0  # [ns]

    def done(self, stamp: Time, sent: int = 0, free: float = 0.0) -> None:
        """Acknowledge a sample that was processed, unless that was said before.

        Args:
            stamp: of the sample.
            sent: number of commands sent in answer.
            free: no sample stamped before this [s] will be answered.
        """
        if self._publisher is None:
            return
        newest, self._newest = self._newest, stamp.sec * 10**9 + stamp.nanosec
        if newest <= self._newest < self._free and not sent:
            return
        # Rounded down: a sample just before may then be acknowledged for nothing.
        self._free = max(int((free - ROUNDED) * 1e9), 0)
        words = [self._name, str(sent), *([str(self._free)] if self._free else [])]
        self._publisher.publish(Header(stamp=stamp, frame_id='#'.join(words)))


def spin(node: Node, stop: threading.Event) -> None:
    """Spin a node in one thread until ``stop`` is set."""
    with executing(node) as executor:
        while not stop.is_set():
            executor.spin_once()


def main(
    make_node: Callable[[], Node],
    args: list[str] | None = None,
    spin: Callable[[Node, threading.Event], None] = spin,
) -> int:
    """Run a node until SIGINT or SIGTERM; the process's exit status is returned.

    The context stays valid while the node closes (``node.close()`` where it has one), so that
    it can publish a safe last command, its last estimate and its goodbye.

    Args:
        make_node: makes the node.
        args: command line; None: that of the process, which has nothing else to do.
        spin: spins it until the event is set.
    """
    # The kernel gives a signal to any thread (NumPy's own ones too), and Python's handlers run
    # only when the main thread leaves rcl_wait: a byte written by the C handler wakes it.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    # Until there is a node to stop, a signal interrupts whatever is going on.
    before = {s: signal.signal(s, _interrupt) for s in SIGNALS}
    node: Any = None
    status = 0
    try:
        rclpy.init(args=args, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        node = make_node()
        _ignore_signals()
        stop = threading.Event()
        wake = node.create_guard_condition(lambda: None)

        def wait_for_signal() -> None:
            if reader.recv(1):  # nothing: this function is over
                stop.set()
                with contextlib.suppress(rclpy_implementation.InvalidHandle):  # it ended by itself
                    wake.trigger()

        threading.Thread(target=wait_for_signal, daemon=True).start()
        spin(node, stop)
    except (ExternalShutdownException, KeyboardInterrupt):
        status = 0
    except Sim2RealError as error:
        kind = 'bad input' if isinstance(error, InputError) else 'error'
        print(f'{kind}: {error}', file=sys.stderr, flush=True)
        status = error.exit_code
    except Exception:
        traceback.print_exc()
        status = 1
    finally:
        _ignore_signals()
        status = _close(node) or status
        rclpy.try_shutdown()
        signal.set_wakeup_fd(wakeup)
        # Where this is the whole program, the interpreter ends next: a late second signal (a
        # terminal and launch both send one) must not make a clean end look like a kill.
        last = dict.fromkeys(SIGNALS, signal.SIG_IGN) if args is None else before
        for number, handler in last.items():
            signal.signal(number, handler)
    return status


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)  # its byte still comes


def _interrupt(*_: object) -> None:
    _ignore_signals()  # once is enough
    raise KeyboardInterrupt


def _close(node: Any) -> int:
    """Close and destroy a node; 1 when that raised."""
    if node is None:
        return 0
    try:
        if hasattr(node, 'close'):
            node.close()
        node.destroy_node()
    except Exception:
        traceback.print_exc()
        return 1
    return 0
