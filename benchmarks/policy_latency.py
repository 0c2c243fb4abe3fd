"""How long a joint state takes to become a command, against a bare rclpy echo.

Three processes: this driver, the policy node (lifecycle, guard, diagnostics and all), and an
ordinary rclpy node that subscribes to the same joint states and publishes an array of the same
size as the policy's command. The driver publishes a joint state, waits for the answer and notes
the time between; runs of both alternate, and the medians over the runs count (of the ratios: of
each run to its neighbour's, since the machine's load changes from minute to minute).

    python benchmarks/policy_latency.py [--json FILE]
"""

from __future__ import annotations

import argparse
import array
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BARS = {'median': 1.15, 'p99': 1.3}
HIDDEN = (256, 256, 256)
RUNS, SAMPLES, WARM_UP, PERIOD = 5, 600, 50, 0.005
COMMANDS = 'position_controller/commands'


def echo() -> None:
    """The peer: what anyone would write first."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray

    from sim2real_core.qos import COMMAND, SENSOR

    rclpy.init()
    node = rclpy.create_node('echo', namespace='echo')
    publisher = node.create_publisher(Float64MultiArray, COMMANDS, COMMAND)

    def on_joint_state(message: JointState) -> None:
        publisher.publish(Float64MultiArray(data=message.position))

    node.create_subscription(JointState, 'joint_states', on_joint_state, SENSOR)
    with contextlib.suppress(ExternalShutdownException):  # how rclpy tells of SIGTERM
        rclpy.spin(node)


class Driver:
    """Sends joint states into a namespace and takes the time until the command comes out."""

    def __init__(self, namespaces: tuple[str, ...], robot: str | Path = 'arm6') -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.impl.implementation_singleton import rclpy_implementation
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray

        from sim2real_core.messages import to_time
        from sim2real_core.profile import load_profile
        from sim2real_core.qos import COMMAND, LATCHED, SENSOR

        rclpy.init()
        self._node = node = rclpy.create_node('driver')
        self._profile = profile = load_profile(robot)
        self._to_time = to_time
        self._command = Float64MultiArray
        self._joints = profile.array('default_position')
        self._message = JointState(name=list(profile.joint_names))
        self._message.velocity = array.array('d', [0.0] * len(self._joints))
        self._message.effort = array.array('d', [0.0] * len(self._joints))
        self._ends = {}
        self._goals = []
        for name in namespaces:
            goal = PoseStamped()
            goal.header.frame_id = profile.base_link
            goal.pose.position.x, goal.pose.position.z = 0.4, 0.4
            self._goals.append(node.create_publisher(PoseStamped, f'/{name}/goal', LATCHED))
            self._goals[-1].publish(goal)
            self._ends[name] = (
                node.create_publisher(JointState, f'/{name}/joint_states', SENSOR),
                node.create_subscription(
                    Float64MultiArray, f'/{name}/{COMMANDS}', lambda message: None, COMMAND
                ),
            )
        self._wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)
        self._stamp = 0.0
        self._rng = np.random.default_rng(1)

    def ask(self, name: str, timeout: float = 1.0) -> float:
        """Seconds from a joint state to its command; NaN when none came."""
        publisher, subscription = self._ends[name]
        self._stamp += self._profile.rates.control_period
        self._message.header.stamp = self._to_time(self._stamp)
        position = self._joints + self._rng.normal(0.0, 1e-3, len(self._joints))
        self._message.position = array.array('d', position)
        while subscription.handle.take_message(self._command, False) is not None:
            continue
        start = time.perf_counter()
        publisher.publish(self._message)
        # Not through an executor: its own cost would be added to both sides and hide the ratio.
        self._wait_set.clear_entities()
        self._wait_set.add_subscription(subscription.handle)
        self._wait_set.wait(int(timeout * 1e9))
        taken = subscription.handle.take_message(self._command, False)
        took = time.perf_counter() - start
        return took if taken is not None else math.nan

    def connect(self, name: str, within: float = 30.0) -> None:
        """Wait until a namespace answers."""
        until = time.monotonic() + within
        while math.isnan(self.ask(name, 0.2)):
            if time.monotonic() > until:
                raise SystemExit(f'{name} gave no command within {within:g} s')

    def run(self, name: str) -> dict[str, float]:
        """Median and 99th percentile [s] of one run."""
        took = []
        for _ in range(WARM_UP + SAMPLES):
            took.append(self.ask(name))
            time.sleep(PERIOD)
        values = np.array(took[WARM_UP:])
        if np.isnan(values).any():
            raise SystemExit(f'{name} left {int(np.isnan(values).sum())} samples unanswered')
        return {'median': float(np.median(values)), 'p99': float(np.percentile(values, 99))}


def write_policy(path: Path, robot: str | Path = 'arm6') -> None:
    """A bundle for arm6 as a trained one is: what it sees, three layers of 256, its own limits."""
    from sim2real_core.profile import load_profile
    from sim2real_policy.action import Action
    from sim2real_policy.bundle import BundleMetadata
    from sim2real_policy.observation import Term
    from sim2real_policy.random_policy import random_policy

    profile = load_profile(robot)
    kinds = 'joint_position joint_velocity joint_command goal_position goal_error previous_action'
    terms = [Term(kind=kind) for kind in kinds.split()]
    action = Action(meaning='delta', scale=(0.05,) * len(profile.joints))
    meta = BundleMetadata.for_robot(profile, terms, action)
    random_policy(meta, path, np.random.default_rng(1), hidden=HIDDEN)


@contextlib.contextmanager
def running(*commands: list[str]) -> Iterator[None]:
    """Python processes with these arguments, which are ended afterwards."""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path[1:]])}
    started = [subprocess.Popen([sys.executable, *c], env=environment) for c in commands]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                process.kill()


def policy(bundle: Path, robot: str | Path = 'arm6') -> list[str]:
    """Arguments that run the policy node in the namespace ``policy``."""
    settings = {
        'bundle': bundle,
        'robot': robot,
        'autostart': 'true',
        # Its sensor may be silent for long: while the echo is measured, or not yet connected.
        'stale_after': '10.0',
    }
    given = [f'{name}:={value}' for name, value in settings.items()]
    start = ['-m', 'sim2real_policy.node', '--ros-args', '-r', '__ns:=/policy']
    return start + [word for value in given for word in ('-p', value)]


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Figures of echo and policy, medians over the runs, and the ratios."""
    bundle = folder / 'policy.onnx'
    write_policy(bundle)
    names = ('echo', 'policy')
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with running([str(Path(__file__).resolve()), '--echo'], policy(bundle)):
        driver = Driver(names)
        for name in names:
            driver.connect(name)
        for _ in range(RUNS):
            for name in names:
                runs[name].append(driver.run(name))
    figures = {
        name: {key: float(np.median([run[key] for run in taken])) for key in BARS}
        for name, taken in runs.items()
    }
    figures['ratio'] = {
        key: float(np.median([p[key] / e[key] for p, e in zip(runs['policy'], runs['echo'])]))
        for key in BARS
    }
    return figures


def main() -> int:
    """Measure, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--echo', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        echo()
        return 0
    from sim2real_core.files import write_json

    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    ok = all(figures['ratio'][key] <= bar for key, bar in BARS.items())
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': BARS, 'ok': ok})
    for name in ('echo', 'policy'):
        print(f'{name:7s}' + ''.join(f' {k} {v * 1e6:6.0f} us' for k, v in figures[name].items()))
    print(
        'joint state to command, policy against a bare echo: '
        + ', '.join(f'{key} {figures["ratio"][key]:.2f} times (bar {BARS[key]})' for key in BARS)
        + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
