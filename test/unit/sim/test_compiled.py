"""Where compiled code is kept, and that it works where it cannot be."""

import errno
import importlib.util
import os
import subprocess
import sys

import numba.core.caching
import pytest

from sim2real_sim.realism.compiled import COMPILING

MODULE = """
import numba
from sim2real_sim.realism.compiled import kernel

@kernel(numba.float64)
def double(x):
    return 2.0 * x
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Import a module with a kernel; its folder and the user's cache can be spoilt before."""
    file = tmp_path / 'lib' / 'module.py'
    file.parent.mkdir()
    file.write_text(MODULE)
    monkeypatch.delenv('NUMBA_CACHE_DIR', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'user'))

    def load(*unwritable):
        for folder in unwritable:
            (tmp_path / folder).write_text('in the way: not even root can write below this')
        specification = importlib.util.spec_from_file_location('module', file)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        kept = [found.relative_to(tmp_path).parts[0] for found in tmp_path.rglob('*.nbc')]
        return module.double(21.0), kept

    monkeypatch.setattr('sys.dont_write_bytecode', True)
    return load


@pytest.mark.filterwarnings('error')
def test_it_is_kept_beside_its_file(installed):
    assert installed() == (42.0, ['lib'])


@pytest.mark.filterwarnings('error')
def test_a_package_that_cannot_be_written_has_it_in_the_users_cache(installed):
    assert installed('lib/__pycache__') == (42.0, ['user'])


def test_without_any_place_it_is_compiled_and_said(installed):
    with pytest.warns(RuntimeWarning, match='NUMBA_CACHE_DIR'):
        assert installed('lib/__pycache__', 'user') == (42.0, [])


def test_a_full_disk_is_no_failure(installed, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, 'save', full)
    with pytest.warns(RuntimeWarning, match='has room'):
        assert installed() == (42.0, [])


def test_that_it_is_compiled_is_said_once_and_only_then(tmp_path):
    """It takes half a minute of a node's start, in which nothing else is said."""
    file = tmp_path / 'module.py'
    file.write_text(MODULE + MODULE.replace('double', 'twice'))
    command = [sys.executable, '-W', 'ignore', str(file)]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    said = [
        subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True).stderr
        for _ in range(2)
    ]
    assert said == [f'{COMPILING}\n', '']
