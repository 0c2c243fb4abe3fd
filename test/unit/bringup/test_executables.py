"""What starts nodes: one ends quietly while it is still imported."""

import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_imports_ends_a_node_as_later_ones_do(number, tmp_path):
    slow = 'import time\nprint("importing", flush=True)\ntime.sleep(60)'
    (tmp_path / 'slow.py').write_text(slow)
    program = (
        f'import sys; sys.path[:0] = {[str(tmp_path), *sys.path]}\n'
        'from sim2real_bringup.executables import start\n'
        'start("slow")'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'importing\n'
    process.send_signal(number)
    assert process.communicate(timeout=20.0)[1] == ''
    assert process.returncode == 0
