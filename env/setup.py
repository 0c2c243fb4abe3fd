#!/usr/bin/env python3
"""Makes the environment in `.venv`; `make env` calls it.

It brings everything the suite needs on a Linux x86-64 machine without ROS: the ROS 2 wheels and
the other pinned packages, the interfaces that have no wheel (built with colcon, installed into
the same prefix), and the `sim2real` command. `.venv` is then both the Python environment and the
ament prefix.

Each stage leaves a stamp with the hash of its inputs in `.venv/stamps`: what is up to date is
not done again, and what was interrupted is. Any Python from 3.6 can run this file; the
environment itself gets 3.11 or 3.12. Exit status: 1 a step failed, 3 something is missing.
"""

import collections
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / 'env'
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
LOG = VENV / 'setup.log'
STAMPS = VENV / 'stamps'
SUPPORTED = ((3, 11), (3, 12))

# What MuJoCo's off-screen rendering (MUJOCO_GL=egl) loads: EGL, OpenGL, Mesa's software driver.
RENDERING_PACKAGES = ['libegl1', 'libopengl0', 'libgl1-mesa-dri']
RENDERING_PROBE = """
import mujoco
mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), height=8, width=8).close()
"""

KERNELS = 'sim2real_sim/realism/compiled.py'

# Has the message classes of modern Gazebo, which tests need; see gazebo_messages.py.
GAZEBO_MESSAGES = 'gazebo-py-bindings==1.0.0'


class SetupError(Exception):
    """Set-up cannot go on; `status` is the exit status."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def main():
    if (sys.platform, platform.machine()) != ('linux', 'x86_64'):
        raise SetupError(
            'the ROS 2 wheels exist for Linux x86-64 only; here, install ROS 2 and build this '
            'folder as a package of a colcon workspace (see README.md)',
            3,
        )
    made = stage('venv', [str(VENV)], make_venv)
    stage('wheels', [made] + texts(ENV.glob('*.txt')), install_wheels)
    wheels = [line for _, text in texts(ENV.glob('*.txt')) for line in text.splitlines()]
    gazebo = texts([ENV / 'gazebo_messages.py'])
    stage('gazebo messages', [made, GAZEBO_MESSAGES, gazebo], fetch_gazebo_messages)
    ros = [made] + [line for line in wheels if line.startswith('ros-')]
    stage('interfaces', ros + texts(ENV.glob('interfaces/**/*')), build_interfaces)
    packaging = [ROOT / name for name in ('package.xml', 'setup.py', 'setup.cfg')]
    rooms = sorted(path.parent.name for path in ROOT.glob('sim2real_*/__init__.py'))
    stage('sim2real', [made, rooms] + texts(packaging), install_sim2real)
    stage('kernels', [made, wheels] + texts([ROOT / KERNELS]), compile_kernels)
    stage('rendering', [made], prepare_rendering)


def stage(name, inputs, make):
    """Do a stage unless its stamp says it was done with the same inputs; gives their hash.

    `make` returns False when its outcome shall be looked at again the next time.
    """
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    stamp = STAMPS / name
    if not (PYTHON.exists() and stamp.is_file() and stamp.read_text() == key):
        start = time.time()
        if stamp.exists():
            stamp.unlink()
        if make() is not False:
            STAMPS.mkdir(parents=True, exist_ok=True)
            stamp.write_text(key)
            say('{}: done in {:.0f} s'.format(name, time.time() - start))
    return key


def texts(paths):
    """Name and content of files, in a fixed order."""
    return [[path.name, path.read_text()] for path in sorted(paths) if path.is_file()]


def make_venv():
    python = find_python()
    moved = (STAMPS / 'wheels').exists()  # made for another folder: its scripts name that folder
    works = runs([str(PYTHON), '-m', 'pip', '--version'])
    if works and not moved and version_of(str(PYTHON)) in SUPPORTED:
        return
    say('venv: {} with {}'.format(VENV, python))
    if VENV.exists():
        shutil.rmtree(str(VENV))
    VENV.mkdir()
    run('venv', [python, '-m', 'venv', str(VENV)])


def find_python():
    """The interpreter that runs this file, or another one on the PATH that is supported."""
    for name in [os.path.realpath(sys.executable), 'python3.11', 'python3.12']:
        if version_of(name) in SUPPORTED:
            if not runs([name, '-c', 'import ensurepip']):
                package = 'python{}.{}-venv'.format(*version_of(name))
                need([package], name + ' lacks its venv module')
            return name
    raise SetupError(
        'Python 3.11 or 3.12 is needed (this is {}.{}): install one of them, or name one with '
        '`make env PYTHON=/path/to/python3.12`'.format(*sys.version_info),
        3,
    )


def version_of(python):
    """(major, minor) of an interpreter, or None when it does not run."""
    try:
        code = 'import sys; print(*sys.version_info[:2])'
        output = subprocess.check_output([python, '-c', code], stderr=subprocess.DEVNULL)
        return tuple(int(number) for number in output.split())
    except (OSError, subprocess.CalledProcessError):
        return None


def install_wheels():
    pip = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'install']
    files = ['-r', str(ENV / 'requirements.txt'), '-c', str(ENV / 'constraints.txt')]
    run('wheels', pip + files)


def fetch_gazebo_messages():
    target = VENV / 'gz-messages'
    pip = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'download', '--no-deps']
    run('gazebo messages', pip + ['--dest', str(target), GAZEBO_MESSAGES])
    for wheel in target.glob('*.whl'):
        script = str(ENV / 'gazebo_messages.py')
        run('gazebo messages', [str(PYTHON), script, str(wheel), str(target)])
        wheel.unlink()


def build_interfaces():
    """Build the packages of `env/interfaces` and install them into `.venv`."""
    include = subprocess.check_output(
        [str(PYTHON), '-c', 'import sysconfig; print(sysconfig.get_paths()["include"])'],
        universal_newlines=True,
    ).strip()
    if not (shutil.which('c++') and shutil.which('make')):
        need(['g++', 'make'], 'building the ROS interfaces needs a C++ compiler and make')
    if not (Path(include) / 'Python.h').is_file():
        package = 'python{}.{}-dev'.format(*version_of(str(PYTHON)))
        need([package], "building the ROS interfaces needs Python's headers")
    mend_exports(include)
    work = VENV / 'interfaces'
    if work.exists():
        shutil.rmtree(str(work))
    for folder in sorted(path for path in (ENV / 'interfaces').iterdir() if path.is_dir()):
        write_interface_package(folder, work / 'src' / folder.name)
    environment = dict(
        os.environ,
        PATH='{}:{}'.format(VENV / 'bin', os.environ['PATH']),
        AMENT_PREFIX_PATH=str(VENV),
        CMAKE_PREFIX_PATH=str(VENV),
    )
    run(
        'interfaces',
        [str(VENV / 'bin' / 'colcon'), '--log-base', str(work / 'log'), 'build']
        + ['--base-paths', str(work / 'src'), '--build-base', str(work / 'build')]
        + ['--merge-install', '--install-base', str(VENV)]
        + ['--event-handlers', 'console_direct+', 'desktop_notification-', '--cmake-args']
        + ['-DPython3_EXECUTABLE={}'.format(PYTHON), '-DPython3_FIND_VIRTUALENV=ONLY']
        + ['-DBUILD_TESTING=OFF', '-DCMAKE_BUILD_TYPE=Release'],
        environment,
    )


def mend_exports(include):
    """The wheels' CMake exports name folders of the machine that built them; name ours."""
    site = glob.glob(str(VENV / 'lib' / 'python3.*' / 'site-packages'))[0]
    for path in VENV.glob('share/*/cmake/*.cmake'):
        text = path.read_text()
        mended = re.sub(r'/opt/python/cp\d+-cp\d+/include/python3\.\d+', include, text)
        mended = re.sub(r'/opt/python/cp\d+-cp\d+/lib/python3\.\d+/site-packages', site, mended)
        if mended != text:
            path.write_text(mended)


def write_interface_package(source, target):
    """Copy interface files and write the package.xml and CMakeLists.txt that build them.

    These two are not kept in the repository: colcon takes a folder with a package.xml for one
    package and would not build the repository itself as it should.
    """
    files = sorted(path.relative_to(source) for path in source.glob('*/*.*'))
    depends = set()
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(source / name), str(target / name))
        depends.update(re.findall(r'^(\w+)/\w+', (source / name).read_text(), re.MULTILINE))
    for name, depend in (('package.xml', '  <depend>{}</depend>'), ('CMakeLists.txt', '  {}')):
        text = (ENV / 'interfaces' / (name + '.in')).read_text()
        text = text.replace('@NAME@', source.name).replace('@FILES@', ' '.join(map(str, files)))
        lines = '\n'.join(depend.format(package) for package in sorted(depends))
        (target / name).write_text(text.replace('@DEPENDS@', lines))


def install_sim2real():
    pip = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'install']
    run('sim2real', pip + ['--no-deps', '--no-build-isolation', '--editable', str(ROOT)])


def compile_kernels():
    """Compile what numba keeps, so that no node does when it starts."""
    module = KERNELS[:-3].replace('/', '.')
    run('kernels', [str(PYTHON), '-c', 'import ' + module])


def prepare_rendering():
    """Cameras need EGL; without it everything else works, so its lack does not end set-up."""
    if rendering_works():
        return True
    try:
        need(RENDERING_PACKAGES, 'camera rendering needs EGL')
    except SetupError as error:
        say('note: {}'.format(error))
        return False
    if not rendering_works():
        say('note: EGL is installed, yet MuJoCo cannot render with it on this machine')
        return False
    return True


def rendering_works():
    return runs(['env', 'MUJOCO_GL=egl', str(PYTHON), '-c', RENDERING_PROBE])


def need(packages, reason):
    """Install system packages with apt when that is possible, else say which are needed."""
    command = 'apt-get install -y --no-install-recommends ' + ' '.join(packages)
    if os.getuid() == 0 and shutil.which('apt-get'):
        try:
            run('apt', ['sh', '-c', 'apt-get update && DEBIAN_FRONTEND=noninteractive ' + command])
            return
        except SetupError as error:
            reason = '{} ({})'.format(reason, str(error).splitlines()[0])
    raise SetupError('{}: `sudo {}`'.format(reason, command), 3)


def runs(command):
    """Whether a command exists and ends well."""
    null = subprocess.DEVNULL
    try:
        return subprocess.call(command, stdin=null, stdout=null, stderr=null) == 0
    except OSError:
        return False


def run(label, command, environment=None):
    """Run a command with its last line shown as progress and all of its output in the log."""
    VENV.mkdir(exist_ok=True)
    progress = Progress(label)
    with LOG.open('a') as log:
        log.write('$ {}\n'.format(' '.join(command)))
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        for line in process.stdout:
            log.write(line)
            progress.lines.append(line.rstrip())
    status = process.wait()
    progress.stop()
    if status != 0:
        tail = '\n'.join('    ' + line for line in progress.lines)
        raise SetupError('{} failed, see {}\n{}'.format(label, LOG, tail), 1)


class Progress(threading.Thread):
    """Shows the newest line: rewritten in place on a terminal, now and then elsewhere."""

    def __init__(self, label):
        super().__init__(daemon=True)
        self.label = label
        self.lines = collections.deque(maxlen=25)
        self.start_time = time.time()
        self.stopped = threading.Event()
        self.start()

    def run(self):
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns - 1
        before, after = ('\r', '') if terminal else ('', '\n')
        while not self.stopped.wait(0.2 if terminal else 15.0):
            newest = self.lines[-1].strip() if self.lines else ''
            text = '{} {:4.0f} s  {}'.format(self.label, time.time() - self.start_time, newest)
            print(before + text[:width].ljust(width), end=after, flush=True)
        if terminal:
            print('\r' + ' ' * width, end='\r', flush=True)

    def stop(self):
        self.stopped.set()
        self.join()


def say(text):
    print(text, flush=True)


if __name__ == '__main__':
    try:
        with open(__file__) as lock:  # one set-up at a time
            fcntl.flock(lock, fcntl.LOCK_EX)
            main()
    except SetupError as error:
        print('set-up: {}'.format(error), file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        print('\nset-up: interrupted; the next run goes on from here', file=sys.stderr)
        sys.exit(130)
