"""Replay tests for pytest, so that ``colcon test`` holds a bag against thresholds::

from sim2real_bringup.testing import replay

def test_friction_is_found(tmp_path):
    replay('golden/slider', 'slider', ['sysid'], expect='golden/slider.yaml')
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sim2real_bringup.expect import read_result


def replay(
    bag: str | Path,
    robot: str,
    nodes: Iterable[str] = ('sysid',),
    *,
    expect: str | Path | None = None,
    timeout: float = 120.0,
    options: Iterable[str] = (),
) -> dict[str, Any]:
    """Run ``sim2real replay`` in a process of its own and return its result.

    It runs in the ROS domain of the test, when one is set.

    Args:
        bag: rosbag2 folder or MCAP file.
        robot: profile.
        nodes: the bag is played through.
        expect: file of thresholds.
        timeout: longest run [s].
        options: further options of ``sim2real replay``.

    Raises:
        AssertionError: a threshold is violated, or the replay failed; its output is the message.
        subprocess.TimeoutExpired: it took longer than ``timeout``.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / 'result.json'
        command = [
            *(sys.executable, '-m', 'sim2real_bringup.cli', 'replay', str(bag)),
            *('--robot', str(robot), '--nodes', ','.join(nodes), '--json', str(result)),
        ]
        if expect is not None:
            command += ['--expect', str(expect)]
        if os.environ.get('ROS_DOMAIN_ID'):
            command += ['--domain', os.environ['ROS_DOMAIN_ID']]
        root = str(Path(__file__).resolve().parent.parent)
        paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
        done = subprocess.run(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
            check=False,
        )
        if done.returncode:
            raise AssertionError(f'sim2real replay: status {done.returncode}\n{done.stdout}')
        return read_result(result)
