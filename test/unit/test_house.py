"""What holds for the package as a whole: imports, declarations, one version, clean files."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
MAY_IMPORT = {
    'core': '',
    'sim': 'core',
    'randomizer': 'core sim',
    'policy': 'core',
    'sysid': 'core sim',
    'capture': 'core',
    'learning': 'core sim randomizer policy sysid capture',
    'bringup': 'core sim randomizer policy sysid capture learning',
}
ROBOT_ROOMS = ('core', 'policy', 'sysid', 'capture')
TOUCHES_ROS = re.compile(r'[._](node|bridge|conversions|messages|qos|ros)$')
# Declared under another name than the module's: as a rosdep key or as a requirement.
DECLARED_AS = {
    'google': 'protobuf',
    'grpc_tools': 'grpcio-tools',
    'zmq': 'pyzmq',
    'PIL': 'pillow',
    'yaml': 'python3-yaml',
    'OpenGL': 'mujoco',
    'cv2': 'opencv-python-headless',
    'pkg_resources': 'setuptools',
    'rsl_rl': 'rsl-rl-lib>=5',
    'tensordict': 'rsl-rl-lib>=5',
    'cuda': 'cuda-python',
    'tensorrt': 'cuda-python',  # JetPack brings it; the extra `jetson` what it needs
}


def sources(room='*'):
    return sorted(ROOT.glob(f'sim2real_{room}/**/*.py'))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(path):
    """Top-level names of what a source imports, at whatever depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split('.')[0])
    return found


def kept_files():
    """Every file of the package, without what builds and tools leave behind."""
    left = {'build', 'install', 'log', 'out', '__pycache__'}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in left and not re.match(r'\.(?!ci)', f)]
        yield from (Path(folder, name) for name in files)


@pytest.mark.parametrize('room', MAY_IMPORT)
def test_rooms_import_one_way(room):
    allowed = {f'sim2real_{name}' for name in [room, *MAY_IMPORT[room].split()]}
    for path in sources(room):
        rooms = {name for name in imported(path) if name.startswith('sim2real_')}
        assert rooms <= allowed, f'{path} imports {sorted(rooms - allowed)}'


def test_every_import_is_declared():
    setup = ast.parse((ROOT / 'setup.py').read_text())
    declared = {depend.text for depend in MANIFEST.findall('exec_depend')}
    declared.update(n.value for n in ast.walk(setup) if isinstance(n, ast.Constant))
    names = {str(name).split('>=')[0].lower() for name in declared} | declared
    missing = {}
    for path in sources():
        for name in imported(path) - set(sys.stdlib_module_names):
            known = {name.lower(), f'python3-{name}', DECLARED_AS.get(name)}
            if not name.startswith('sim2real_') and not known & names:
                missing.setdefault(name, str(path.relative_to(ROOT)))
    assert not missing, f'declare in package.xml or setup.py: {missing}'


def check_imports(blocked, modules):
    code = (
        'import importlib, sys\n'
        f'sys.modules.update(dict.fromkeys({blocked!r}))\n'
        f'for name in {modules!r}: importlib.import_module(name)\n'
    )
    run = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr


def test_robot_rooms_need_no_simulator_and_no_torch():
    pytest.importorskip('rclpy')
    modules = [module_name(path) for room in ROBOT_ROOMS for path in sources(room)]
    check_imports(['mujoco', 'numba', 'torch'], modules)


def test_pure_modules_need_no_ros():
    rooms = (*ROBOT_ROOMS, 'sim', 'randomizer')
    modules = [module_name(path) for room in rooms for path in sources(room)]
    pure = [name for name in modules if not TOUCHES_ROS.search(name)]
    check_imports(['rclpy', 'sensor_msgs', 'std_msgs', 'diagnostic_msgs'], pure)


def test_nodes_are_thin():
    for path in sources():
        if path.name.endswith(('node.py', 'bridge.py')) and path.parent.name != 'sim2real_core':
            assert len(path.read_text(encoding='utf-8').splitlines()) <= 250, str(path)


def test_version_is_said_once():
    version = MANIFEST.findtext('version')
    changelog = (ROOT / 'CHANGELOG.rst').read_text()
    assert re.search(r'^(\d+\.\d+\.\d+) \(', changelog, re.MULTILINE).group(1) == version
    for path in [ROOT / 'setup.py', ROOT / 'setup.cfg', ROOT / 'pyproject.toml', *sources()]:
        assert f"'{version}'" not in path.read_text(encoding='utf-8'), path


def test_one_package():
    """Colcon takes the folder of the first package.xml as the package and looks no further."""
    manifests = [path for path in kept_files() if path.name == 'package.xml']
    assert manifests == [ROOT / 'package.xml']


def test_no_path_of_one_machine():
    pattern = re.compile(r'(?<![\w.])/(work|root|home|Users)/\w')
    for path in kept_files():
        if path.suffix in ('.onnx', '.pt', '.mcap', '.png', '.stl', '.mat', '.npz'):
            continue
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            assert not pattern.search(line), f'{path}:{number}: {line.strip()}'
