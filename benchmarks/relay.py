"""Joint states a second through the relay, beside a relay of ten lines of rclpy.

Each runs in a process of its own; the same messages of twelve joints go out, four at a time, and
the next one goes when one came back. The ten lines hear a message and publish it again. The relay
does so with all settings zero, and with sensors that are noisy, late and coarse. Runs alternate;
medians are compared.

    python benchmarks/relay.py [--json FILE]

The bar: with all settings zero, at least 0.9 of the ten lines' throughput; with realism on, at
least as many as a robot of 1 kHz sends.
"""

from __future__ import annotations

import argparse
import array
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

BAR, LEAST = 0.9, 1000.0
SECONDS, RUNS, AHEAD, LONG = 2.0, 5, 4, 30.0
BARE = """
import sys
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from sim2real_core.qos import SENSOR
rclpy.init()
node = Node('bare')
out = node.create_publisher(JointState, 'joint_states', SENSOR)
node.create_subscription(JointState, 'raw/joint_states', out.publish, SENSOR)
try:
    rclpy.spin(node)
except rclpy.executors.ExternalShutdownException:
    sys.exit()
"""


class Ends:
    """The node at both ends of a relay."""

    def __init__(self, namespace: str, names) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import JointState

        from sim2real_core.qos import SENSOR

        self.node = rclpy.create_node('ends', namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.out = self.node.create_publisher(JointState, 'raw/joint_states', SENSOR)
        self.node.create_subscription(JointState, 'joint_states', self.back, SENSOR)
        self.message = JointState(name=list(names))
        for field in ('position', 'velocity', 'effort'):
            setattr(self.message, field, array.array('d', np.linspace(0.1, 0.9, len(names))))
        self.sent = self.came = 0

    def back(self, _) -> None:
        """Send the next message."""
        self.came += 1
        self.send()

    def send(self) -> None:
        """Send a message, 1 ms after the last."""
        self.sent += 1
        stamp = self.message.header.stamp
        stamp.sec, stamp.nanosec = divmod(self.sent * 1_000_000, 10**9)
        self.out.publish(self.message)

    def throughput(self, seconds: float) -> float:
        """Messages a second."""
        self.came, start = 0, time.perf_counter()
        for _ in range(AHEAD):
            self.send()
        while (passed := time.perf_counter() - start) < seconds:
            before = self.came
            self.executor.spin_once(timeout_sec=0.1)
            if self.came == before:  # all lost: best effort
                self.send()
        return self.came / passed

    def meet(self) -> None:
        """Wait for the relay."""
        deadline = time.monotonic() + LONG
        while not (
            self.out.get_subscription_count()
            and self.node.count_publishers(f'{self.node.get_namespace()}/joint_states')
        ):
            assert time.monotonic() < deadline, 'no relay'
            self.executor.spin_once(timeout_sec=0.05)
        self.throughput(0.5)


def draw(ends: Ends, values) -> None:
    """Set the relay."""
    from diagnostic_msgs.msg import DiagnosticArray

    from sim2real_core.messages import draw_from_message, draw_to_message
    from sim2real_core.qos import RELIABLE
    from sim2real_core.records import Draw

    answers = []
    node = ends.node
    node.create_subscription(DiagnosticArray, 'simulator/draw_applied', answers.append, RELIABLE)
    ask = node.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
    deadline, asked = time.monotonic() + LONG, -np.inf
    while not answers:
        now = time.monotonic()
        assert now < deadline, 'no answer'
        if ask.get_subscription_count() and now > asked + 1.0:
            ask.publish(draw_to_message(Draw(episode=0, seed=0, values=values)))
            asked = now
        ends.executor.spin_once(timeout_sec=0.05)
    assert set(draw_from_message(answers[0]).outcomes.values()) <= {'verified'}


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    import rclpy
    from realism import RANGES, quadruped

    from sim2real_core.files import write_json

    os.environ['PYTHONPATH'] = str(ROOT)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    rclpy.init()
    processes, ends = [], {}
    speeds: dict[str, list[float]] = {'bare': [], 'zero': [], 'realism': []}
    with tempfile.TemporaryDirectory() as folder:
        profile = quadruped(Path(folder))
        try:
            for kind in speeds:
                run = ['-c', BARE] if kind == 'bare' else ['-m', 'sim2real_sim.relay_node']
                ros = ['--ros-args', '-r', f'__ns:=/{kind}']
                if kind != 'bare':
                    ros += ['-p', f'robot:={profile.path}', '-p', 'simulator:=false']
                processes.append(subprocess.Popen([sys.executable, *run, *ros]))
                ends[kind] = Ends(f'/{kind}', profile.joint_names)
                ends[kind].meet()
            sensors = [f'{j}_{m}' for j in profile.joint_names for m in ('position', 'velocity')]
            values = {
                f'sensor.{s}.{q}': float(np.mean(RANGES['sensor'][q]))
                for s in sensors
                for q in ('noise', 'bias', 'delay', 'jitter', 'quantization', 'dropout')
            }
            draw(ends['zero'], {})
            draw(ends['realism'], values)
            for _ in range(RUNS):
                for kind, found in speeds.items():
                    found.append(ends[kind].throughput(SECONDS))
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(LONG)
            rclpy.shutdown()
    figures = {kind: float(np.median(found)) for kind, found in speeds.items()}
    ratio = figures['zero'] / figures['bare']
    ok = ratio >= BAR and figures['realism'] >= LEAST
    if arguments.json:
        write_json(arguments.json, {'figures': figures, 'ratio': ratio, 'bar': BAR, 'ok': ok})
    print(
        f'relay: {figures["zero"]:.0f} joint states/s with all settings zero, '
        f'{figures["realism"]:.0f} with realism (bar {LEAST:.0f}); ten lines of rclpy: '
        f'{figures["bare"]:.0f}; ratio {ratio:.2f} (bar {BAR}): {"ok" if ok else "MISSED"}'
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
