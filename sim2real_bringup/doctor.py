"""What this machine can do, looked at row by row; nothing here may crash or hang.

Whatever could end the process or block it is asked in a process of its own, with a deadline:
rendering may abort inside a driver, and TensorRT crashes where there is no GPU, which no
``try`` catches; so it is not touched before a GPU was found.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sim2real_bringup.requirements import HOW_TO_GET, ROS
from sim2real_core.errors import MissingError, Sim2RealError

OK, MISSING, BROKEN = 'ok', 'missing', 'broken'
DEADLINE = 30.0  # [s] for one probe
LITTLE_DISK = 5e9  # [bytes]
INTERFACES = (
    'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs', 'lifecycle_msgs', 'nav_msgs',
    'rcl_interfaces', 'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs', 'tf2_msgs',
    'trajectory_msgs', 'visualization_msgs',
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line: what, ``ok``, ``missing`` or ``broken``, and more words."""

    name: str
    status: str
    detail: str


def examine() -> list[Row]:
    """All rows, in order."""
    return [_row(name, check) for name, check in CHECKS.items()]


def as_json(rows: list[Row]) -> dict[str, Any]:
    """The rows as JSON data."""
    return {'rows': [asdict(row) for row in rows]}


def _row(name: str, check: Callable[[], str]) -> Row:
    try:
        return Row(name, OK, check())
    except MissingError as error:
        return Row(name, MISSING, str(error))
    except ModuleNotFoundError as error:
        module = (error.name or '').partition('.')[0]
        return Row(name, MISSING, HOW_TO_GET.get(module, f'{module}: {ROS}'))
    except Exception as error:  # a row, whatever went wrong
        return Row(name, BROKEN, f'{error}' or type(error).__name__)


def _need(module: str) -> None:
    """Raise ModuleNotFoundError unless the module is installed; it is not loaded."""
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(name=module)


def _version(module: str, *packages: str) -> str:
    """Import a module; its version. Raises ModuleNotFoundError, or whatever importing raises."""
    found = importlib.import_module(module)
    for package in packages or (module,):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return str(getattr(found, '__version__', 'version unknown'))


def _probe(code: str, environment: dict[str, str] | None = None) -> str:
    """What a piece of Python prints when run in a process of its own.

    Raises:
        Sim2RealError: it failed, crashed or took too long; with its last line.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Sim2RealError(f'no answer within {DEADLINE:g} s') from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [''])[-1]
        how = f'signal {-done.returncode}' if done.returncode < 0 else last
        raise Sim2RealError(how or f'status {done.returncode}')
    return done.stdout.strip()


def _tool(*names: str) -> tuple[str, str]:
    """First of these programs on the PATH, and where it is; empty when none is."""
    for name in names:
        path = shutil.which(name)
        if path:
            return name, path
    return '', ''


def _ros() -> str:
    version = _version('rclpy', 'ros-rclpy', 'rclpy')
    distribution = os.environ.get('ROS_DISTRO')
    # Wheels set no ROS_DISTRO.
    return f'{distribution} (rclpy {version})' if distribution else f'wheels (rclpy {version})'


def _rmw() -> str:
    code = (
        'import rclpy; from rclpy.utilities import get_rmw_implementation_identifier as i\n'
        'rclpy.init(); rclpy.create_node("doctor").destroy_node(); rclpy.shutdown(); print(i())'
    )
    _need('rclpy')
    return _probe(code) + f', domain {os.environ.get("ROS_DOMAIN_ID", "0")}'


def _interfaces() -> str:
    absent = [name for name in INTERFACES if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingError(f'{", ".join(absent)}: {ROS}')
    return _probe(f'import {", ".join(f"{n}.{_kind(n)}" for n in INTERFACES)}; print("all load")')


def _kind(package: str) -> str:
    return 'srv' if package == 'std_srvs' else 'msg'


def _simulation_interfaces() -> str:
    _need('simulation_interfaces')
    return 'served by the simulator'


def _launch() -> str:
    return _version('launch_ros')


def _rosbag() -> str:
    text = f'rosbags {_version("rosbags")}, mcap {_version("mcap")}'
    return text + (', ros2 bag' if importlib.util.find_spec('ros2bag') else '')


def _pinocchio() -> str:
    return _version('pinocchio', 'pin')


def _onnxruntime() -> str:
    _need('onnxruntime')
    code = 'import onnxruntime as o; print(", ".join(o.get_available_providers()))'
    return f'{_version("onnxruntime", "onnxruntime", "onnxruntime-gpu")}: {_probe(code)}'


def _gpu() -> str:
    """NVIDIA GPUs by the driver's tool, or a Jetson's by the device tree."""
    tool, path = _tool('nvidia-smi')
    if tool:
        query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']
        done = subprocess.run(
            [path, *query], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        if done.returncode == 0 and done.stdout.strip():
            return '; '.join(done.stdout.strip().splitlines())
        if done.returncode:
            raise Sim2RealError(
                f'nvidia-smi: {(done.stdout or done.stderr).strip().splitlines()[0]}'
            )
    model = Path('/proc/device-tree/model')
    if model.is_file() and Path('/dev/nvhost-gpu').exists():
        return model.read_text(errors='replace').strip('\0\n ')
    raise MissingError('no NVIDIA GPU or no driver; the suite runs without')


def _tensorrt() -> str:
    if importlib.util.find_spec('tensorrt') is None:
        raise MissingError("comes with JetPack; elsewhere from NVIDIA's own packages")
    try:
        _gpu()
    except Sim2RealError as error:
        raise MissingError('needs a GPU, there is none; not touched') from error
    code = (
        'import tensorrt as t; r = t.Runtime(t.Logger(t.Logger.ERROR)); assert r; '
        'print(t.__version__)'
    )
    return _probe(code)


def _torch() -> str:
    _need('torch')
    code = (
        'import torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0; '
        'print(torch.__version__, f"with {n} GPU(s)" if n else "on the CPU")'
    )
    return _probe(code)


def _mujoco() -> str:
    version = _version('mujoco')
    if int(version.split('.')[0]) < 4:
        raise Sim2RealError(f'{version}; the simulator needs 4 or later: {HOW_TO_GET["mujoco"]}')
    return version


RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco/>')
mujoco.Renderer(model, height=8, width=8).close()
"""


def _rendering() -> str:
    _need('mujoco')
    reasons = []
    for backend in ('egl', 'osmesa'):
        try:
            _probe(RENDER, {'MUJOCO_GL': backend})
        except Sim2RealError as error:
            reasons.append(f'{backend}: {error}')
        else:
            return f'MUJOCO_GL={backend}'
    raise MissingError(
        'for the camera: apt install libegl1 libopengl0 libgl1-mesa-dri '
        f'(or libosmesa6); {"; ".join(reasons)}'
    )


def _gazebo() -> str:
    tool, path = _tool('gz', 'ign', 'gzserver')
    if not tool:
        raise MissingError('for worlds in Gazebo: apt install ros-$ROS_DISTRO-ros-gz')
    return path


def _disk() -> str:
    free = shutil.disk_usage(Path.home()).free
    text = f'{free / 1e9:.0f} GB free for clips in {Path.home()}'
    if free < LITTLE_DISK:
        raise Sim2RealError(f'{text}: little')
    return text


def _cpu() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{usable} of {os.cpu_count()} cores, {platform.machine()}'


def _memory() -> str:
    psutil = importlib.import_module('psutil')
    memory = psutil.virtual_memory()
    return f'{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free'


CHECKS: dict[str, Callable[[], str]] = {
    'Python': platform.python_version,
    'ROS': _ros,
    'rmw': _rmw,
    'interfaces': _interfaces,
    'simulation_interfaces': _simulation_interfaces,
    'launch': _launch,
    'sim2real up (honcho)': lambda: _version('honcho'),
    'rosbag2': _rosbag,
    'pinocchio': _pinocchio,
    'ONNX Runtime': _onnxruntime,
    'GPU': _gpu,
    'TensorRT': _tensorrt,
    'MuJoCo': _mujoco,
    'rendering': _rendering,
    'PyTorch': _torch,
    'rsl_rl': lambda: _version('rsl_rl', 'rsl-rl-lib'),
    'Gazebo': _gazebo,
    'disk': _disk,
    'CPU': _cpu,
    'memory': _memory,
}
