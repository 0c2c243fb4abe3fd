"""Output error, CMA-ES and the verb: a slider with hidden parameters, simulated into a bag."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from sim2real_bringup import cli
from sim2real_bringup.bag_import import write_bag
from sim2real_bringup.bag_mapping import read_mapping
from sim2real_bringup.recordings import read_recording
from sim2real_core.errors import InputError, MissingError
from sim2real_core.profile import load_profile
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.batch import least_squares
from sim2real_sysid.batch.bodies import Bodies
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording, clean
from sim2real_sysid.batch.fit import course, fit
from sim2real_sysid.batch.inference import simulation_based
from sim2real_sysid.batch.output_error import OutputError, refine
from sim2real_sysid.batch.regression import Regression
from sim2real_sysid.batch.robust import evolve
from sim2real_sysid.batch.rollouts import Rollouts, cut
from sim2real_sysid.batch.signals import motions

TRUTH = {
    'joint.slider.armature': 80.0,
    'joint.slider.viscous_friction': 260.0,
    'joint.slider.coulomb_friction': 26.0,
    'joint.slider.effort_offset': -2.0,
}
MAPPING = """robot: slider
time: {column: t}
joints:
  slider: {position: q, effort: f, command: u}
"""


@pytest.fixture(scope='module', name='profile')
def fixture_profile():
    return load_profile('slider')


@pytest.fixture(scope='module', name='bag')
def fixture_bag(profile, tmp_path_factory):
    """A bag of 8 s of the hidden slider, joint states at 250 Hz."""
    folder = tmp_path_factory.mktemp('bag')
    simulator = MujocoSimulator(profile, contacts=False)
    simulator.apply(TRUTH)
    simulator.reset(position=[0.13])
    rows = []
    for k in range(8000):
        t = 1e-3 * k
        command = 0.13 + 0.06 * np.sin(2.2 * t) * np.sin(0.7 * t + 0.3) + 0.02 * np.sin(7.0 * t)
        simulator.command([command])
        if k % 4 == 0:
            reading = simulator.read()
            rows.append((t, reading.position[0, 0], reading.effort[0, 0], command))
        simulator.step()
    time, position, effort, command = np.array(rows).T
    (folder / 'mapping.yaml').write_text(MAPPING)
    series = {'position': position, 'effort': effort, 'command': command}
    write_bag(
        folder / 'bag',
        read_mapping(folder / 'mapping.yaml'),
        np.round(1e9 * (1.0 + time)),
        {name: values[:, None] for name, values in series.items()},
    )
    return folder / 'bag'


@pytest.fixture(scope='module', name='started')
def fixture_started(profile, bag):
    """The recording, and what least squares found of it."""
    recording = clean(read_recording(bag, profile), profile)
    filtered = motions([recording], Bodies(profile))
    regression = Regression(profile, filtered, recording.measured)
    return recording, least_squares.fit(regression, 'symmetric')


def problem_of(profile, started, share=1.0):
    """Output error from least squares whose friction is off by a share."""
    recording, found = started
    found.mean[1:3] *= share
    return OutputError(profile, [recording], found, threads=1)


def test_currents_are_worth_what_their_torque_constants_say(profile, bag):
    raw = read_recording(bag, profile)
    currents = dataclasses.replace(raw, effort=raw.effort / -0.25)
    found = [
        fit(profile, [given], FitConfig(method='least_squares', torque_constants=constants))
        for given, constants in ((raw, (1.0,)), (currents, (-0.25,)))
    ]
    one, other = (result.parameters for result in found)
    for address in TRUTH:
        assert other[address].mean == pytest.approx(one[address].mean, rel=1e-9)
        assert other[address].std == pytest.approx(one[address].std, rel=1e-6)
    with pytest.raises(InputError, match='one number, or 1, one a joint'):
        fit(profile, [raw], FitConfig(torque_constants=(1.0, 2.0)))


def test_bag_gives_back_what_was_written(profile, bag):
    raw = read_recording(bag, profile)
    assert raw.position.shape == raw.effort.shape == raw.command.shape == (2000, 1)
    assert np.diff(raw.stamp) == pytest.approx(0.004, abs=1e-9)
    assert raw.command_stamp == pytest.approx(raw.stamp, abs=1e-9)


def test_output_error_comes_closer_than_least_squares(profile, started):
    problem = problem_of(profile, started)
    found = refine(problem, 6)
    values = found.values()
    for k, (address, value) in enumerate(TRUTH.items()):
        assert values[address] == pytest.approx(value, rel=0.03, abs=4 * found.std[k]), address
    before, after = (
        np.sqrt(np.mean(problem.points(theta[None])[0].residual ** 2))
        for theta in (started[1].mean, found.mean)
    )
    assert after < before


def test_chained_windows_have_the_derivatives_of_the_whole(profile, started):
    """Viscous friction, by differences of whole rollouts."""
    problem = problem_of(profile, started)
    point = problem.points(started[1].mean[None])[0]
    step = problem.step[1]
    theta = point.theta.copy()
    theta[problem.free[1]] += step
    whole = (problem.points(theta[None])[0].residual - point.residual) / step
    chained = problem.sensitivity(point)[1]
    assert np.abs(chained - whole).max() < 0.15 * np.abs(whole).max()


def test_evolution_comes_close_too(profile, started):
    said = []
    found = evolve(problem_of(profile, started), 60, 0, lambda share, words: said.append(share))
    for address, value in list(TRUTH.items())[:3]:
        assert found.values()[address] == pytest.approx(value, rel=0.1), address
    assert found.method == 'cma' and said


def test_a_simulation_of_the_truth_stays_on_course(profile, started):
    recording, found = started
    assert course(profile, [recording], found, False, 1) == 0.0


def test_commands_drive_the_simulation_as_they_drove_the_robot(profile, started):
    windows = cut([started[0]])
    rollouts = Rollouts(profile, windows, tuple(TRUTH), commanded=True, threads=1)
    states, _ = rollouts(np.array(list(TRUTH.values())))
    error = states[0, 0, :-1, 0, 0] - windows.position[0, :, 0]
    # The commands came four times as often as they were logged.
    assert np.sqrt(np.mean(error**2)) < 3e-4


def test_inference_without_its_library_says_how_to_get_it(profile, started):
    if importlib.util.find_spec('sbi'):
        pytest.skip('sbi is installed')
    with pytest.raises(MissingError, match='pip install'):
        simulation_based(problem_of(profile, started), 10, 0, lambda share, words: None)


def test_verb_fits_and_reports(bag, tmp_path, capsys):
    status = cli.main(
        ['sysid', 'fit', str(bag), '--robot', 'slider', '--method', 'least_squares',
         '--heldout', '0.25', '--threads', '1', '--bodies', 'all',
         '--json', str(tmp_path / 'fit.json'), '--report', str(tmp_path / 'fit.html')]
    )  # fmt: skip
    assert status == 0
    result = json.loads((tmp_path / 'fit.json').read_text())
    armature = result['parameters']['joint.slider.armature']
    assert armature['status'] == 'identified'
    assert armature['mean'] == pytest.approx(80.0, rel=0.03)
    assert result['heldout']['rmse']['1s'] < 1e-3
    # All that moves is one mass, the motor's and the carriage's.
    assert [set(one['terms']) for one in result['base']] == [
        {'carriage.mass', 'joint.slider.armature'}
    ]
    assert result['base'][0]['status'] == 'identified'
    assert result['bodies']['carriage']['status']['com'] == 'not_identified'
    page = (tmp_path / 'fit.html').read_text()
    assert 'joint.slider.armature' in page and page.count('data:image/png') == 4
    assert 'joint.slider.armature' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [(['--robot', 'arm6'], 'joint'), (['--robot', 'slider', '--heldout', '0.99'], 'heldout')],
)
def test_verb_refuses_what_does_not_fit(bag, arguments, said, capsys):
    assert cli.main(['sysid', 'fit', str(bag), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_late_efforts_act_in_rollouts_when_they_did():
    profile, stamp, late = load_profile('slider'), 0.001 * np.arange(1500), 0.0025
    names = ('joint.slider.armature', 'sensor.slider_effort.delay')

    def moved(effort, *vectors):
        raw = RawRecording(
            'log', stamp, np.zeros((1500, 1)), effort[:, None], np.zeros(0), np.zeros((0, 1))
        )
        rollouts = Rollouts(profile, cut([clean(raw, profile)]), names, threads=1)
        return rollouts(np.array(vectors))[0][:, 0, :-10, 0, 0]

    force = 60.0 * np.sin(9.0 * stamp)
    (truth,) = moved(force, (95.0, 0.0))
    put_right, as_it_is = moved(60.0 * np.sin(9.0 * (stamp - late)), (95.0, late), (95.0, 0.0))
    off = np.abs(as_it_is - truth).max()
    assert off > 1e-4
    assert put_right == pytest.approx(truth, abs=0.05 * off)
