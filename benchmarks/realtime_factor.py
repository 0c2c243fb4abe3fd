"""Real-time factor of the simulator node: arm6, 1 kHz physics, joint states at 250 Hz.

The node runs as a process of its own and is commanded at 50 Hz, as by a policy. Simulated time
in the joint states' stamps is compared with this process's steady clock.

    python benchmarks/realtime_factor.py [--json FILE] [--seconds 20]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BAR = 0.02
NAMESPACE = '/realtime_factor'


def arrivals(seconds: float) -> np.ndarray:
    """(n, 2): steady time at which joint states came and their stamps [s]."""
    import rclpy
    from rclpy.impl.implementation_singleton import rclpy_implementation
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray

    from sim2real_core.messages import to_seconds
    from sim2real_core.profile import load_profile
    from sim2real_core.qos import COMMAND, recorder_qos

    profile = load_profile('arm6')
    pose = profile.array('default_position')
    rclpy.init()
    node = rclpy.create_node('realtime_factor', namespace=NAMESPACE)
    # Deep enough to lose nothing; the node offers best effort, so that is what is asked for.
    heard = node.create_subscription(
        JointState, profile.topics.joint_states, lambda message: None, recorder_qos(False)
    )
    commands = node.create_publisher(Float64MultiArray, profile.command.topic, COMMAND)
    # Not through an executor, which costs more than the messages.
    with node.context.handle:
        wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)
    out: list[tuple[float, float]] = []
    began, count = time.monotonic(), 0
    until = began + 30.0
    while time.monotonic() < until:
        wait_set.clear_entities()
        wait_set.add_subscription(heard.handle)
        wait_set.wait(int(0.1e9))
        while (taken := heard.handle.take_message(JointState, False)) is not None:
            now = time.monotonic()
            if not out:
                until = now + seconds + 2.0
            out.append((now, to_seconds(taken[0].header.stamp)))
            count += 1
            if count % 5 == 0:
                target = pose + 0.2 * np.sin(0.01 * count + np.arange(len(pose)))
                commands.publish(Float64MultiArray(data=list(target)))
    node.destroy_node()
    rclpy.shutdown()
    if not out:
        raise SystemExit('the simulator published nothing')
    found = np.array(out)
    return found[found[:, 0] > found[0, 0] + 2.0]  # a node that starts is busy with itself


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--seconds', type=float, default=20.0, help='how long to measure')
    arguments = parser.parse_args()
    from sim2real_core.files import write_json

    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command = ['-m', 'sim2real_sim.node', '--ros-args', '-r', f'__ns:={NAMESPACE}']
    simulator = subprocess.Popen([sys.executable, *command], env=environment)
    try:
        found = arrivals(arguments.seconds)
        usage = Path(f'/proc/{simulator.pid}/stat').read_text().rsplit(')', 1)[1].split()
    finally:
        simulator.terminate()
        try:
            simulator.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            simulator.kill()
    elapsed = found[-1] - found[0]
    figures = {
        # The slope, which a sample that comes late at either end does not change much.
        'realtime_factor': float(np.polyfit(found[:, 0] - found[0, 0], found[:, 1], 1)[0]),
        'samples': len(found),
        'expected': round(float(elapsed[1]) * 250) + 1,
        'interval_ms': {
            name: float(np.percentile(np.diff(found[:, 0]), q) * 1e3)
            for name, q in (('median', 50), ('p99', 99), ('max', 100))
        },
        'cpu_seconds': (int(usage[11]) + int(usage[12])) / os.sysconf('SC_CLK_TCK'),
    }
    ok = abs(figures['realtime_factor'] - 1.0) <= BAR
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': BAR, 'ok': ok})
    interval = figures['interval_ms']
    print(
        f'{figures["samples"]} of {figures["expected"]} joint states, one every '
        f'{interval["median"]:.2f} ms (p99 {interval["p99"]:.2f}, max {interval["max"]:.2f})'
    )
    print(
        f'real-time factor of the simulator node at 1 kHz: {figures["realtime_factor"]:.4f} '
        f'(bar 1 +- {BAR}): {"ok" if ok else "MISSED"}'
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
