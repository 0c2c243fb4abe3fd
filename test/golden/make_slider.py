"""Makes the golden bag ``slider``: one axis that moves as it should by known parameters.

``python test/golden/make_slider.py`` writes it anew; ``slider.yaml`` has the tolerances that a
replay is held against. A test checks that the committed bag is what this makes.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from sim2real_bringup.bag_import import import_log

FOLDER = Path(__file__).parent
RATE = 250.0  # Hz
DURATION = 8.0  # s
MASS, VISCOUS, COULOMB, OFFSET = 60.0, 120.0, 15.0, -4.0  # kg, N*s/m, N, N
MIDDLE = 0.13  # m, of the axis
POSITION_NOISE, EFFORT_NOISE = 1e-6, 0.5  # m, N
MAPPING = """
robot: slider
time: {column: t}
joints:
  slider: {position: q, effort: f}
"""


def series():
    """Times [s], measured positions [m] and efforts [N], (n,) each."""
    t = np.arange(round(RATE * DURATION)) / RATE
    rng = np.random.default_rng(7)
    # Sines that begin and end at rest and reverse often: all four parameters tell.
    window = np.sin(np.pi * t / DURATION) ** 2
    rate = np.pi / DURATION * np.sin(2 * np.pi * t / DURATION)
    curve = 2 * (np.pi / DURATION) ** 2 * np.cos(2 * np.pi * t / DURATION)
    q, v, a = np.zeros((3, len(t)))
    for amplitude, hertz, phase in ((0.12, 0.4, 0.0), (0.03, 1.1, 1.0), (0.008, 2.3, 2.0)):
        w = 2 * np.pi * hertz
        sine, cosine = amplitude * np.sin(w * t + phase), amplitude * np.cos(w * t + phase)
        q += window * sine
        v += rate * sine + window * w * cosine
        a += curve * sine + 2 * rate * w * cosine - window * w * w * sine
    force = MASS * a + VISCOUS * v + COULOMB * np.sign(v) + OFFSET
    measured = MIDDLE + q + rng.normal(0.0, POSITION_NOISE, len(t))
    return t, measured, force + rng.normal(0.0, EFFORT_NOISE, len(t))


def make(out):
    """Write the bag to the folder ``out``, which must not exist."""
    with tempfile.TemporaryDirectory() as folder:
        log, mapping = Path(folder) / 'log.csv', Path(folder) / 'mapping.yaml'
        np.savetxt(log, np.stack(series(), axis=1), delimiter=',', header='t,q,f', fmt='%.9g')
        mapping.write_text(MAPPING)
        import_log(log, mapping, out)


if __name__ == '__main__':
    sys.path.insert(0, str(FOLDER.parents[1]))
    shutil.rmtree(FOLDER / 'slider', ignore_errors=True)
    make(FOLDER / 'slider')
