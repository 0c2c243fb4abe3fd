"""Buffering 60 MB/s on one core: nothing lost from a trigger to a sealed clip, memory in bounds.

Another process publishes two 640x480 colour cameras at 30 Hz, a point cloud at 10 Hz and joint
states at 1 kHz, all numbered by their stamps. The capture node, on one core, keeps the last
seconds, is triggered and seals a clip; messages missing in it are counted. In the same run, a
bare rclpy node with raw subscriptions that does nothing but count hears the same on that core.

    python benchmarks/capture_buffer.py [--json FILE] [--seconds 12]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MIB = 1 << 20
RING, QUEUE = 320 * MIB, 64 * MIB
BEFORE, AFTER = 4.0, 2.0
EXCESS = 0.05
S = 10**9
PERIODS = {
    'camera_left/image_raw': S // 30,
    'camera_right/image_raw': S // 30,
    'points': S // 10,
    'joint_states': S // 1000,
}
"""Topic to the time between two messages [ns]."""
DOMAIN = {**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'}


def messages() -> dict[str, tuple[object, object]]:
    """Message and QoS of each topic; bytes that no compression makes small."""
    from sensor_msgs.msg import Image, JointState, PointCloud2

    from sim2real_core.profile import load_profile
    from sim2real_core.qos import SENSOR_RELIABLE, recorder_qos

    # A second deep: on a shared machine this process is held up, and then catches up.
    often = recorder_qos(True, depth=1000)
    arm, rng = load_profile('arm6'), np.random.default_rng(0)

    def noise(size: int) -> bytes:
        return rng.integers(0, 256, size, dtype=np.uint8).tobytes()

    pictures = {
        name: Image(height=480, width=640, encoding='rgb8', step=1920, data=noise(921600))
        for name in PERIODS
        if name.startswith('camera')
    }
    cloud = PointCloud2(height=1, width=30000, point_step=16, row_step=480000, data=noise(480000))
    home = arm.array('default_position').tolist()
    state = JointState(name=list(arm.joint_names), position=home, velocity=home, effort=home)
    made = {**pictures, 'points': cloud, 'joint_states': state}
    return {
        name: (message, often if name == 'joint_states' else SENSOR_RELIABLE)
        for name, message in made.items()
    }


def publish(seconds: float) -> None:
    """Publish all topics, each message stamped with its number times the topic's period."""
    import rclpy

    os.sched_setaffinity(0, {0})
    rclpy.init()
    node = rclpy.create_node('robot')
    made = messages()
    publishers = {
        name: node.create_publisher(type(message), name, qos)
        for name, (message, qos) in made.items()
    }
    while not all(p.get_subscription_count() for p in publishers.values()):
        time.sleep(0.05)
    time.sleep(1.0)
    start, count = time.monotonic_ns(), dict.fromkeys(made, 0)
    while (now := time.monotonic_ns() - start) < seconds * S:
        for name, (message, _) in made.items():
            while count[name] * PERIODS[name] <= now:
                stamp = count[name] * PERIODS[name] + S
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, S)
                publishers[name].publish(message)
                count[name] += 1
        time.sleep(2e-4)
    print(json.dumps(count))
    time.sleep(3.0)
    rclpy.shutdown()


def bare(seconds: float) -> None:
    """Hear all topics raw, and count."""
    import rclpy
    from sensor_msgs.msg import Image, JointState, PointCloud2

    from sim2real_core.qos import recorder_qos

    os.sched_setaffinity(0, {1})
    rclpy.init()
    node, count = rclpy.create_node('bare'), dict.fromkeys(PERIODS, 0)

    def heard(name: str, _: bytes) -> None:
        count[name] += 1

    kinds = {'joint_states': JointState, 'points': PointCloud2}
    for name in PERIODS:
        node.create_subscription(
            kinds.get(name, Image), name, lambda data, name=name: heard(name, data),
            recorder_qos(True, depth=1000 if name == 'joint_states' else 100), raw=True,
        )  # fmt: skip
    begun = None
    while begun is None or time.monotonic() < begun + seconds + 1.0:
        rclpy.spin_once(node, timeout_sec=0.1)
        if begun is None and count['joint_states']:
            begun, used = time.monotonic(), time.process_time()
    print(json.dumps({'heard': count, 'cpu': time.process_time() - used}))


def capture(folder: str) -> int:
    """The node itself, on one core."""
    from sim2real_capture.node import main

    os.sched_setaffinity(0, {1})
    settings = {
        'folder': folder,
        'before': BEFORE,
        'after': AFTER,
        'ring_bytes': RING,
        'topics': '[camera_left/image_raw,camera_right/image_raw,points]',
    }
    options = [word for key, value in settings.items() for word in ('-p', f'{key}:={value}')]
    return main(['--ros-args', *options])


def start(*role: str) -> subprocess.Popen[str]:
    """One of the roles above as a process."""
    return subprocess.Popen(
        [sys.executable, __file__, '--role', *role], env=DOMAIN, stdout=subprocess.PIPE, text=True
    )


def memory(process: subprocess.Popen[str], field: str = 'VmRSS') -> int:
    """Bytes of a process."""
    for line in Path(f'/proc/{process.pid}/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit('the capture node ended')


def cpu(process: subprocess.Popen[str]) -> float:
    """CPU time of a process [s]."""
    fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def record(seconds: float, folder: Path) -> dict[str, object]:
    """Run the node, trigger it twice, see what the clips hold."""
    import rclpy
    from std_srvs.srv import Trigger

    node = start('capture', str(folder))
    rclpy.init()
    asking = rclpy.create_node('operator')
    client = asking.create_client(Trigger, 'capture/trigger')
    client.wait_for_service(60.0)
    time.sleep(2.0)
    before = memory(node)
    robot = start('publish', str(seconds))
    moment, used, peak = time.monotonic(), cpu(node), before
    while time.monotonic() < moment + seconds + 30.0:
        peak = max(peak, memory(node))
        if client is not None and time.monotonic() > moment + 0.6 * seconds + 2.0:
            future = client.call_async(Trigger.Request())
            rclpy.spin_until_future_complete(asking, future, timeout_sec=10.0)
            client = None
        sealed = list(folder.glob('*/manifest.json')) and not list(folder.glob('*.part'))
        if sealed and robot.poll() is not None:
            break
        time.sleep(0.02)
    used = cpu(node) - used
    published = json.loads(robot.communicate()[0])
    node.terminate()
    node.wait(30)
    rclpy.shutdown()
    return {**clip(folder), 'published': published, 'cpu': used, 'memory': peak - before}


def clip(folder: Path) -> dict[str, object]:
    """What the sealed clip holds: messages and gaps by topic, and its length [s]."""
    from sim2real_bringup.bags import header_stamp, open_bag

    sealed = next(folder.glob('*/manifest.json')).parent
    manifest = json.loads((sealed / 'manifest.json').read_text())
    stamps: dict[str, list[int]] = {name: [] for name in PERIODS}
    with open_bag(sealed) as bag:
        for message in bag.messages({f'/{name}' for name in PERIODS}):
            stamps[message.topic[1:]].append(header_stamp(message.data))
    missing, span = {}, 0.0
    for name, found in stamps.items():
        number = np.round((np.array(found) - S) / PERIODS[name]).astype(int)
        missing[name] = int(number[-1] - number[0] + 1 - len(number))
        span = max(span, (found[-1] - found[0]) / S)
    return {
        'clip_seconds': span,
        'clip_messages': {name: len(found) for name, found in stamps.items()},
        'missing': missing,
        'dropped_by_writer': manifest['dropped'],
        'end': manifest['end'],
    }


def main() -> int:
    """Measure, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--seconds', type=float, default=12.0, help='how long to publish')
    parser.add_argument('--role', nargs='+', help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        role, value = given.role
        if role == 'capture':
            return capture(value)
        {'publish': publish, 'bare': bare}[role](float(value))
        return 0
    from sim2real_core.files import write_json

    peer = start('bare', str(given.seconds))
    robot = start('publish', str(given.seconds))
    sent = json.loads(robot.communicate(timeout=120)[0])
    heard = json.loads(peer.communicate(timeout=120)[0])
    lost = {name: sent[name] - heard['heard'][name] for name in PERIODS}
    with tempfile.TemporaryDirectory() as folder:
        found = record(given.seconds, Path(folder))
    rate = (60 * 921600 + 10 * 480000 + 1000 * 300) / 1e6
    budget = RING + QUEUE
    share = found['memory'] / budget
    print(f'published {rate:.0f} MB/s; bare subscriber: lost {lost}, {heard["cpu"]:.1f} s of CPU')
    print(f'capture: {found["clip_seconds"]:.2f} s in the clip, {found["clip_messages"]} messages')
    print(f'         missing {found["missing"]}, {found["cpu"]:.1f} s of CPU')
    print(f'memory: {found["memory"] / MIB:.0f} MiB of a budget of {budget / MIB:.0f}')
    well = not any(found['missing'].values()) and not found['dropped_by_writer']
    well = well and share <= 1.0 + EXCESS and found['clip_seconds'] >= BEFORE + AFTER - 0.1
    if given.json:
        write_json(given.json, {'rate': rate, 'bare': {'lost': lost, **heard}, **found})
    print(
        f'missing messages {sum(found["missing"].values())} (bar: 0), memory {share:.2f} of the '
        f'budget (bar: {1.0 + EXCESS:.2f}): {"ok" if well else "below the bar"}'
    )
    return 0 if well else 1


if __name__ == '__main__':
    sys.exit(main())
