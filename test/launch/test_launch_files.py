"""The launch files under the real ``launch``; skipped where it is not installed."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip('launch_ros')

from ament_index_python.packages import get_packages_with_prefixes

from sim2real_bringup.launching import arguments, describe
from sim2real_bringup.stacks import STACKS
from sim2real_core.files import share

LONG = 60.0  # s; far beyond what anything here needs


@pytest.mark.parametrize('stack', STACKS)
def test_arguments_read_well(stack):
    declared = {a.name: a for a in describe(stack).get_launch_arguments()}
    assert set(declared) == set(arguments(stack))
    assert all(argument.description.endswith('.') for argument in declared.values())


PROGRAM = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

source = PythonLaunchDescriptionSource(sys.argv[1])
given = [argument.split(':=', 1) for argument in sys.argv[2:]]
service = LaunchService(argv=sys.argv[2:])
included = IncludeLaunchDescription(source, launch_arguments=given)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


class Launch:
    """A launch file in a process of its own, as ``ros2 launch`` would run it."""

    def __init__(self, stack, file=None, **given):
        file = file or share() / 'launch' / f'{stack}.launch.py'
        self.process = subprocess.Popen(
            [
                *(sys.executable, '-c', PROGRAM, str(file)),
                *(f'{name}:={value}' for name, value in given.items()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def child(self, executable):
        """The process of a node, once it runs."""
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if any(part.endswith(f'lib/sim2real/{executable}') for part in child.cmdline()):
                    return child
            time.sleep(0.1)
        raise AssertionError(f'{executable} was not started')

    def end(self):
        """Exit status and all that was said."""
        said, _ = self.process.communicate(timeout=LONG)
        return self.process.returncode, said


@pytest.fixture
def launch():
    """Runs launch files; skipped where the package is not installed."""
    if 'sim2real' not in get_packages_with_prefixes():
        pytest.skip('sim2real is not installed as a ROS package')
    return Launch


def test_a_crashed_node_ends_the_launch_with_a_failure(launch):
    sim = launch('sim', robot='slider')
    simulator, visualizer = sim.child('simulator'), sim.child('visualizer')
    time.sleep(2.0)  # in the middle of its work
    simulator.kill()
    status, said = sim.end()
    assert status == 1, said
    assert 'simulator was killed by signal 9' in said
    assert not visualizer.is_running()


def test_a_replay_ends_by_itself(launch, tmp_path):
    bag, result = Path(__file__).parents[1] / 'golden' / 'slider', tmp_path / 'result.json'
    status, said = launch('replay', bag=bag, robot='slider', json=result).end()
    assert status == 0, said
    assert '"samples": 2000' in result.read_text()


def test_bad_arguments_end_the_launch_with_a_failure(launch):
    status, said = launch('sim', nodes='nobody').end()
    assert status == 1, said
    assert 'stack sim has: simulator, visualizer' in said


def test_a_misspelt_argument_ends_the_launch_with_a_failure(launch):
    status, said = launch('sim', robto='slider').end()
    assert status == 1, said
    assert 'did you mean robot?' in said


INCLUDING = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

def generate_launch_description():
    source = PythonLaunchDescriptionSource('{file}')
    included = IncludeLaunchDescription(source, launch_arguments=[('nodes', 'nobody')])
    return LaunchDescription([DeclareLaunchArgument('robots'), included])
"""


def test_a_file_that_includes_a_stack_has_arguments_of_its_own(launch, tmp_path):
    file = tmp_path / 'sim.launch.py'
    file.write_text(INCLUDING.format(file=share() / 'launch' / 'sim.launch.py'))
    status, said = launch('sim', file, robots='3').end()
    assert status == 1, said
    assert 'stack sim has' in said and 'did you mean' not in said
