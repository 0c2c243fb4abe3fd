"""What is installed is all that the code loads."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_beside_the_code_is_shipped(tmp_path):
    beside = {
        path.relative_to(ROOT)
        for path in ROOT.glob('sim2real_*/**/*')
        if path.is_file() and path.suffix != '.py' and '__pycache__' not in path.parts
    }
    assert Path('sim2real_bringup/templates/demo.html') in beside
    command = [sys.executable, 'setup.py', '--quiet', 'build_py', '--build-lib', str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert {path for path in beside if not (tmp_path / path).is_file()} == set()
