"""What online identification costs: seven joints at 1 kHz.

The sysid node and a bare rclpy subscriber hear the same messages, with the same quality of
service, at the same time, each in a process of its own; their CPU times are compared. Then the
update and the estimate are timed in this process, and its memory watched over an hour of samples.

    python benchmarks/sysid_online.py [--json FILE] [--seconds 20] [--hours 1]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.files import write_json
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_sysid.estimator import OnlineIdentifier

ROOT = Path(__file__).resolve().parent.parent
JOINTS, RATE = 7, 1000
RATIO, UPDATE, GROWTH = 1.5, 25e-6, 2.0  # bars: times; s a joint and sample; MiB
SETTLE = 4.0  # s until both subscribers are past their start
TICKS = os.sysconf('SC_CLK_TCK')

LINK = """<link name="l{i}"><inertial><origin xyz="0 0.02 0.15"/><mass value="{mass}"/>
  <inertia ixx="0.02" iyy="0.02" izz="0.005" ixy="0" ixz="0" iyz="0"/></inertial></link>"""
JOINT = """<joint name="j{i}" type="revolute"><parent link="l{h}"/><child link="l{i}"/>
  <origin xyz="0 0 0.3"/><axis xyz="{axis}"/>
  <limit lower="-3" upper="3" velocity="3" effort="{effort}"/></joint>"""
BARE = """
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from sim2real_core.qos import SENSOR

rclpy.init()
node = rclpy.create_node('bare')
node.create_subscription(JointState, 'joint_states', lambda message: None, SENSOR)
executor = SingleThreadedExecutor()
executor.add_node(node)
try:
    while True:
        executor.spin_once()
except rclpy.executors.ExternalShutdownException:
    rclpy.try_shutdown()
"""


def robot(folder: Path) -> RobotProfile:
    """An arm of seven joints, its profile and URDF in a folder."""
    links = ''.join(LINK.format(i=i, mass=4.0 - 0.5 * i) for i in range(JOINTS + 1))
    joints = ''.join(
        JOINT.format(i=i, h=i - 1, axis='0 1 0' if i % 2 else '0 0 1', effort=100 - 10 * i)
        for i in range(1, JOINTS + 1)
    )
    (folder / 'arm7.urdf').write_text(f'<robot name="arm7">{links}{joints}</robot>')
    names = '\n'.join(f'  j{i}: {{armature: 0.1}}' for i in range(1, JOINTS + 1))
    (folder / 'arm7.yaml').write_text(f'urdf: arm7.urdf\npayload_link: l7\njoints:\n{names}\n')
    return load_profile(folder / 'arm7.yaml')


def motion(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and efforts (n, 7) of a moving arm; what it weighs is no matter."""
    phase = 2 * np.pi * np.arange(1, n + 1)[:, None] / RATE * np.linspace(0.3, 0.6, JOINTS)
    rng = np.random.default_rng(0)
    return 0.5 * np.sin(phase), 5.0 * np.cos(phase) + 0.1 * rng.normal(size=phase.shape)


def cpu(process: subprocess.Popen) -> float:
    """CPU time of a process so far [s]."""
    fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def publish(node, seconds: float, first: int) -> int:
    """Publish for so long, from sample ``first`` on; the number of the next sample."""
    from sensor_msgs.msg import JointState

    publisher, positions, efforts = node.publisher, *node.motion
    message = JointState(name=[f'j{i}' for i in range(1, JOINTS + 1)])
    begin, k = time.perf_counter(), first
    while (passed := time.perf_counter() - begin) < seconds:
        while k - first < passed * RATE:
            k += 1
            row = k % len(positions)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(k * 1_000_000, 10**9)
            message.position, message.effort = positions[row].tolist(), efforts[row].tolist()
            message.velocity = message.position
            publisher.publish(message)
        time.sleep(0.0005)
    return k


def compared(seconds: float) -> tuple[float, float]:
    """CPU time a message [s] of the sysid node and of the bare subscriber."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    import rclpy
    from sensor_msgs.msg import JointState

    from sim2real_core.qos import SENSOR

    with tempfile.TemporaryDirectory() as folder:
        profile = robot(Path(folder))
        sysid = [sys.executable, '-m', 'sim2real_sysid.node', '--ros-args']
        sysid += ['-p', f'robot:={profile.path}']
        processes = [subprocess.Popen(sysid), subprocess.Popen([sys.executable, '-c', BARE])]
        rclpy.init()
        node = rclpy.create_node('robot')
        try:
            node.publisher = node.create_publisher(JointState, 'joint_states', SENSOR)
            node.motion = motion(60 * RATE)
            deadline = time.monotonic() + 60.0
            while node.publisher.get_subscription_count() < len(processes):
                assert time.monotonic() < deadline, 'a subscriber did not come up'
                time.sleep(0.05)
            k = publish(node, SETTLE, 0)
            before = [cpu(process) for process in processes]
            count = publish(node, seconds, k) - k
            spent = [cpu(process) - was for process, was in zip(processes, before)]
        finally:
            for process in processes:
                process.kill()  # nothing is kept; rclpy now and then misses to be asked
            for process in processes:
                process.wait(timeout=20)
            node.destroy_node()
            rclpy.shutdown()
    return spent[0] / count, spent[1] / count


def memory() -> float:
    """Of this process [MiB]."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def watched(hours: float) -> tuple[float, float, float]:
    """CPU time of an update a joint, of an estimate a second [s]; growth of the memory [MiB].

    Memory counts from a tenth of the time on, when all that is kept is there.
    """
    with tempfile.TemporaryDirectory() as folder:
        identifier = OnlineIdentifier(robot(Path(folder)))
    positions, efforts = motion(60 * RATE)
    n, before, updates, estimates = int(hours * 3600 * RATE), 0.0, 0.0, 0.0
    for begin in range(0, n, RATE):
        start = time.process_time()
        for k in range(begin, min(begin + RATE, n)):
            row = k % len(positions)
            identifier.update(k / RATE, positions[row], efforts[row])
        done = time.process_time()
        identifier.estimate()
        updates += done - start
        estimates += time.process_time() - done
        if begin <= 0.1 * n:
            before = memory()
    return updates / n / JOINTS, estimates / n * RATE, memory() - before


def main() -> int:
    """Measure, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--seconds', type=float, default=20.0, help='of messages')
    parser.add_argument('--hours', type=float, default=1.0, help='of samples, for the memory')
    arguments = parser.parse_args()
    ours, bare = compared(arguments.seconds)
    update, estimate, growth = watched(arguments.hours)
    ratio = ours / bare
    print(f'sysid node {ours * 1e6:.0f} us a message, bare subscriber {bare * 1e6:.0f} us')
    ok = ratio <= RATIO and update <= UPDATE and growth <= GROWTH
    if arguments.json:
        figures = {'ratio': ratio, 'update': update, 'estimate': estimate, 'growth': growth}
        write_json(arguments.json, {**figures, 'bar': [RATIO, UPDATE, GROWTH], 'ok': ok})
    print(
        f'{ratio:.2f} times the CPU of a bare subscriber (bar {RATIO}), update '
        f'{update * 1e6:.1f} us a joint and sample (bar {UPDATE * 1e6:.0f} us), an estimate '
        f'{estimate * 1e3:.0f} ms, once a second '
        f'({estimate / RATE / JOINTS * 1e6:.1f} us a joint and sample), memory '
        f'{growth:+.1f} MiB over {arguments.hours:g} h (bar {GROWTH:g} MiB)'
        + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
