"""Pictures of a simulation, without a display: EGL where there is one, else OSMesa."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim2real_core.errors import MissingError
from sim2real_sim.mujoco_model import COLLISION_GROUP

BACKENDS = ('egl', 'osmesa')
PROBE = 'import mujoco.{0} as m; c = m.GLContext(16, 16); c.make_current(); c.free()'
HOW = (
    'no picture can be rendered here: neither EGL nor OSMesa works '
    '(apt install libegl1 libgl1-mesa-dri, or libosmesa6); {}'
)


def find_backend(timeout: float = 20.0) -> str:
    """Name of the first way of rendering that works on this machine.

    Each is tried in a process of its own: a broken driver may crash it, and a process that has
    loaded one cannot load the other.

    Raises:
        MissingError: none works; the message says what to install.
    """
    reasons = []
    for name in BACKENDS:
        command = [sys.executable, '-c', PROBE.format(name)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            reasons.append(f'{name}: no answer within {timeout:g} s')
            continue
        if done.returncode == 0:
            return name
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        reasons.append(f'{name}: {lines[-1]}')
    raise MissingError(HOW.format('; '.join(reasons)))


class Camera:
    """Renders one camera of a model.

    Args:
        model: the model; pictures show its present values, so write changes into it.
        name: of the camera.
        width: [pixel].
        height: [pixel].
        backend: as :func:`find_backend` gives.
    """

    def __init__(
        self, model: mujoco.MjModel, name: str, width: int, height: int, backend: str
    ) -> None:
        self.model = model
        self.width, self.height = width, height
        self._gl: Any = importlib.import_module(f'mujoco.{backend}').GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=1000 + 4 * model.ngeom)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[COLLISION_GROUP] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = model.camera(name).id
        self._where = mujoco.MjrRect(0, 0, width, height)

    def picture(self, data: mujoco.MjData) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB picture of a state; ``mj_forward`` must have run."""
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self.model,
            data,
            self._option,
            None,
            self._view,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        mujoco.mjr_render(self._where, self._scene, self._context)
        pixels = np.empty((self.height, self.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._where, self._context)
        return pixels[::-1]

    def intrinsics(self) -> tuple[float, float, float]:
        """Focal length and principal point (x, y) [pixel]; pixels are square."""
        view = np.radians(self.model.cam_fovy[self._view.fixedcamid])
        focal = 0.5 * self.height / np.tan(0.5 * view)
        return float(focal), 0.5 * self.width, 0.5 * self.height

    def close(self) -> None:
        """Free what the graphics library holds."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()
