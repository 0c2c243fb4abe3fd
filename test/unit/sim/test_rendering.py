"""Pictures, where this machine can make them."""

import subprocess

import mujoco
import pytest

from sim2real_core.errors import MissingError
from sim2real_sim import rendering
from sim2real_sim.mujoco_simulator import MujocoSimulator


def test_a_machine_that_cannot_render_says_how_it_could(monkeypatch):
    def fails(command, **_):
        return subprocess.CompletedProcess(command, 1, '', 'Traceback\nImportError: no EGL')

    monkeypatch.setattr(subprocess, 'run', fails)
    with pytest.raises(MissingError, match='apt install') as caught:
        rendering.find_backend()
    assert 'no EGL' in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_hanging_driver_is_not_waited_for(monkeypatch):
    def hangs(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, 'run', hangs)
    with pytest.raises(MissingError, match='no answer within 2 s'):
        rendering.find_backend(2.0)


def test_a_drawn_color_is_seen(make):
    try:
        backend = rendering.find_backend()
    except MissingError as error:
        pytest.skip(str(error))
    simulator = MujocoSimulator(make('arm6'))
    model, data = simulator.model(0), simulator.data(0)
    mujoco.mj_forward(model, data)
    camera = rendering.Camera(model, 'camera', 96, 64, backend)
    try:
        before = camera.picture(data).astype(int)
        assert before.shape == (64, 96, 3)
        simulator.apply(
            {f'visual.upper_arm.color.{c}': v for c, v in zip('rgb', (1, 0, 0), strict=True)}
        )
        simulator.model(0, model)
        after = camera.picture(data).astype(int)
        redder = (after - before) @ [1, -0.5, -0.5]
        assert redder.max() > 60
        assert (redder < 1).mean() > 0.5
        focal, x, y = camera.intrinsics()
        assert (x, y) == (48, 32)
        assert focal == pytest.approx(32 / 0.41421356)
    finally:
        camera.close()
