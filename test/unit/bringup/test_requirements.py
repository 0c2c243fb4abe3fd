"""What is missing is named, with how to get it, whatever it is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sim2real_bringup import cli
from sim2real_bringup.requirements import HOW_TO_GET

ROOT = Path(__file__).resolve().parents[3]


def imported():
    """Top names of everything that the packages import and that is neither Python nor ours."""
    found = set()
    for path in ROOT.glob('sim2real_*/**/*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
    tops = {name.partition('.')[0] for name in found}
    return {n for n in tops if n not in sys.stdlib_module_names and not n.startswith('sim2real')}


def test_it_is_said_how_to_get_everything_imported():
    assert imported() - set(HOW_TO_GET) == set()
    assert 'tensordict' in imported()


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] in {packages}:
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Absent())
from sim2real_bringup.cli import main, verbs
"""


def without(packages, program):
    """Runs a program where packages are not installed."""
    return subprocess.run(
        [sys.executable, '-c', WITHOUT.replace('{packages}', repr(set(packages))) + program],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_help_needs_nothing_but_python():
    program = """
for verb in verbs():
    try:
        sys.exit(main([*verb.split(), '--help']) or 'nothing shown')
    except SystemExit as ended:
        assert ended.code == 0, (verb, ended.code)
"""
    done = without(HOW_TO_GET, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('usage: ') == len(cli.verbs())


@pytest.mark.parametrize(
    'package, arguments',
    [
        ('rclpy', ['demo']),
        ('mujoco', ['evaluate', '--bundle', 'arm6', '--robot', 'arm6']),
        ('torch', ['train', '--robot', 'arm6', '--out', 'never.onnx']),
        ('honcho', ['up', 'sim']),
        ('lxml', ['init', '--urdf', 'never.urdf']),
    ],
)
def test_what_is_missing_is_named(package, arguments):
    done = without([package], f'sys.exit(main({arguments}))')
    assert done.returncode == 3, done.stderr
    assert f'{package} is missing: {HOW_TO_GET[package]}' in done.stderr
