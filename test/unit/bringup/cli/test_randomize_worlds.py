"""``sim2real randomize sweep``, ``narrow``, ``replay --out``: worlds as files."""

import json

import numpy as np
import pytest

from sim2real_bringup.cli import main
from sim2real_core.profile import load_profile
from sim2real_randomizer.draw_log import append
from sim2real_randomizer.space import load_space
from sim2real_randomizer.sweeps import sweep

ARM6 = load_profile('arm6')
SPACE = load_space('arm6', ARM6)
MASS, VISCOUS = 'link.gripper.mass', 'joint.elbow.viscous_friction'


def test_sweep(tmp_path, capsys):
    out = tmp_path / 'worlds.json'
    command = 'randomize sweep --robot arm6 --method latin_hypercube --count 16 --seed 3 --out'
    assert main([*command.split(), str(out)]) == 0
    expected = sweep(SPACE, 'latin_hypercube', 16, seed=3)
    values = json.loads(out.read_text())['values']
    assert values == {a: v.tolist() for a, v in expected.items()}
    assert '16 worlds' in capsys.readouterr().out


def test_grid(tmp_path):
    out = tmp_path / 'worlds.json'
    grid = ['--grid', f'{MASS}=1,2', '--grid', f'{VISCOUS}=3,4,5', '--out', str(out)]
    assert main(['randomize', 'sweep', '--robot', 'arm6', *grid]) == 0
    values = json.loads(out.read_text())['values']
    assert values == {MASS: [1, 1, 1, 2, 2, 2], VISCOUS: [3, 4, 5] * 2}
    wrong = ['--grid', f'{MASS}=a', '--out', str(out)]
    assert main(['randomize', 'sweep', '--robot', 'arm6', *wrong]) == 2


def test_narrow(tmp_path, capsys):
    estimate, out = tmp_path / 'estimate.json', tmp_path / 'narrowed.yaml'
    estimate.write_text(json.dumps({VISCOUS: {'mean': 6.0, 'std': 0.1, 'status': 'identified'}}))
    arguments = ['--estimate', str(estimate), '--floor', '0', '--out', str(out)]
    assert main(['randomize', 'narrow', '--robot', 'arm6', *arguments]) == 0
    assert load_space(out, ARM6).range(VISCOUS) == pytest.approx((5.7, 6.3))
    assert 'narrowed' in capsys.readouterr().out


def test_replay_to_a_file(tmp_path, capsys):
    log, out = tmp_path / 'draws.jsonl', tmp_path / 'world.json'
    for episode in (1, 2):
        append(log, SPACE.draw(5, episode), 0.0)
    replay = ['randomize', 'replay', str(log), '--episode', '1', '--robot', 'arm6']
    assert main([*replay, '--out', str(out)]) == 0
    assert json.loads(out.read_text())['values'] == SPACE.draw(5, 1).values
    assert 'episode 1' in capsys.readouterr().out
    assert main(['randomize', 'replay', str(log), '--robot', 'slider', '--out', str(out)]) == 2


def test_a_replayed_world_is_the_same_world(tmp_path):
    """In an engine, from the file that training and the simulator take."""
    simulators = pytest.importorskip('sim2real_sim.mujoco_simulator')
    draws = pytest.importorskip('sim2real_sim.draws')
    log, out = tmp_path / 'draws.jsonl', tmp_path / 'world.json'
    drawn, again = (simulators.MujocoSimulator(ARM6) for _ in range(2))
    draw, _ = draws.apply(drawn, SPACE.draw(5, 1))
    append(log, SPACE.draw(5, 1), 0.0)
    assert main(['randomize', 'replay', str(log), '--out', str(out)]) == 0
    draws.differ(again, str(out))
    for address in draw.values:
        assert drawn.get(address) == again.get(address), address
    for simulator in (drawn, again):
        simulator.reset(seed=1)
        simulator.command(ARM6.array('default_position') + 0.1)
        simulator.step(200)
    for one, other in zip(drawn.read(), again.read()):
        np.testing.assert_array_equal(one, other)
