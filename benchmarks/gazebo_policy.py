"""The shipped policy of arm6, trained in MuJoCo, in a real gzserver through ROS.

The gazebo stack's bridge and policy run as `sim2real up` starts them; a chain of goals goes to
the policy, and the tool is judged where the joint states say it is. The same goals are given to
the same policy in the embedded simulator. The bar: its task error in Gazebo is at most 1.5 times
that in MuJoCo.

    python benchmarks/gazebo_policy.py [--goals 24] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile
    from sim2real_learning.config import ReachTask
    from sim2real_learning.metrics import Evaluation

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BAR = 1.5
ROBOT = 'arm6'
PORT = 11390
FACTOR = 0.5
"""So that a busy machine does not keep the policy from its control period."""
STARTED_WITHIN = 60.0  # [s]


def in_gazebo(
    profile: RobotProfile, task: ReachTask, goals: np.ndarray, port: int = PORT
) -> Evaluation:
    """Lead the stack through goals (n, 3) [m]; gives the Evaluation."""
    import rclpy

    from sim2real_bringup.conductor import Conductor
    from sim2real_learning.metrics import judge

    command = ['-m', 'sim2real_bringup.cli', 'up', 'gazebo', '--nodes', 'gazebo_bridge,policy']
    command += ['--robot', str(profile.path), '--param', f'gazebo_bridge.port={port}']
    command += ['--bundle', profile.name]
    command += ['--param', f'gazebo_bridge.realtime_factor={FACTOR}']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path[1:]])}
    stack = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL
    )
    rclpy.init()
    conductor = Conductor(profile, paced=False)
    try:
        conductor.wait(
            lambda: (
                conductor.count_subscribers(profile.topics.goal) > 0
                and conductor.samples > profile.rates.joint_state_rate
            ),
            'the stack',
            STARTED_WITHIN,
        )
        recording = conductor.run_goals(goals, task.duration)
        tool = conductor.tool_path(recording, task.duration)
    finally:
        conductor.close()
        rclpy.shutdown()
        stack.send_signal(signal.SIGINT)
        stack.wait(30.0)
    return judge(task, tool, goals, 1.0 / profile.rates.joint_state_rate)


def measure(count: int, port: int = PORT) -> dict[str, object]:
    """Task error and success on the same goals in both simulators."""
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_learning.reach import draw_goals
    from sim2real_learning.workflow import evaluate_bundle, task_of
    from sim2real_policy.bundle import load_bundle

    profile, bundle = load_profile(ROBOT), find('policies', ROBOT, '.onnx')
    task = task_of(load_bundle(bundle).meta)
    goals = draw_goals(profile, task, count + 1, np.random.default_rng(7))
    mujoco = evaluate_bundle(bundle, profile, None, count, goals=goals).summary()
    gazebo = in_gazebo(profile, task, goals.position[1:], port).summary()
    ratio = gazebo['task_error'] / mujoco['task_error']
    return {'mujoco': mujoco, 'gazebo': gazebo, 'ratio': ratio, 'bar': BAR, 'ok': ratio <= BAR}


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--goals', type=int, default=24, help='how many (default: 24)')
    arguments = parser.parse_args()
    from sim2real_core.files import write_json

    figures = measure(arguments.goals)
    for name in ('mujoco', 'gazebo'):
        found = figures[name]
        low, high = (1e3 * v for v in found['task_error_interval'])
        print(
            f'{name}: task error {1e3 * found["task_error"]:.2f} mm ({low:.2f} to {high:.2f}), '
            f'{100 * found["success_rate"]:.0f} % of {found["episodes"]} goals reached'
        )
    if arguments.json:
        write_json(arguments.json, figures)
    verdict = 'ok' if figures['ok'] else 'MISSED'
    print(f'task error in Gazebo by that in MuJoCo: {figures["ratio"]:.2f} (bar {BAR}): {verdict}')
    return 0 if figures['ok'] else 1


if __name__ == '__main__':
    sys.exit(main())
