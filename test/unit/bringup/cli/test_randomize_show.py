"""``sim2real randomize show``: what a space means."""

import json

from sim2real_bringup.cli import main
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space

SPACE = load_space('arm6', load_profile('arm6'))
SHOW = ['randomize', 'show', '--robot', 'arm6', '--space']


def test_show(tmp_path, capsys):
    file, plot = tmp_path / 'show.json', tmp_path / 'plots' / 'show.png'
    assert main([*SHOW, 'arm6', '--json', str(file), '--plot', str(plot)]) == 0
    shown = json.loads(file.read_text())
    assert shown['content_hash'] == SPACE.content_hash
    assert set(shown['addresses']) == set(SPACE.addresses)
    mass = shown['addresses']['link.gripper.mass']
    assert (mass['nominal'], mass['unit']) == (SPACE.nominal('link.gripper.mass'), 'kg')
    assert tuple(mass['range']) == SPACE.range('link.gripper.mass')
    assert mass['range'][0] < mass['median'] < mass['range'][1]
    assert plot.read_bytes().startswith(b'\x89PNG')
    assert f'{len(SPACE.addresses)} addresses on arm6' in capsys.readouterr().out
    assert shown['addresses']['joint.elbow.static_friction']['of'] == 'coulomb_friction'


def test_an_empty_space_is_shown_too(tmp_path):
    assert main([*SHOW, 'none', '--plot', str(tmp_path / 'none.png')]) == 0
    assert (tmp_path / 'none.png').stat().st_size > 0


def test_what_only_a_simulator_knows_is_shown_without_a_nominal(tmp_path):
    path, file = tmp_path / 'space.yaml', tmp_path / 'show.json'
    path.write_text(
        'parameters:\n  light.sun.intensity:'
        ' {distribution: uniform, low: 0.5, high: 1.5, combine: absolute}\n'
    )
    assert main([*SHOW, str(path), '--json', str(file)]) == 0
    assert json.loads(file.read_text())['addresses']['light.sun.intensity']['nominal'] is None


RICH = """parameters:
  link.gripper.mass: {distribution: beta, a: 2, b: 5, low: 0, high: 2, combine: additive,
                      coupled: false}
  joint.elbow.viscous_friction: {distribution: uniform, low: 0.5, high: 2, when: {walk: 0.1}}
  joint.elbow.coulomb_friction: {distribution: uniform, low: 0.5, high: 2, when: start}
  joint.base.armature: {distribution: uniform, low: 0.5, high: 2, grow: {from: [1, 1], delta: 0.1}}
  actuator.elbow.delay: {distribution: uniform, low: 0, high: 0.01, when: {interval: [1, 2]}}
joint:
  place: {distribution: normal, addresses: [link.gripper.com.x, link.gripper.com.z],
          mean: [0, 0.05], covariance: [[1e-4, 0], [0, 1e-4]], when: {ornstein_uhlenbeck: 3}}
constraints:
  light: link.gripper.mass < 2.5
"""


def test_everything_a_space_can_mean(tmp_path, capsys):
    path, file, plot = (tmp_path / name for name in ('arm6_rich.yaml', 'show.json', 'show.png'))
    path.write_text(RICH)
    show = ['randomize', 'show', str(path), '--json', str(file), '--plot', str(plot)]
    assert main(show) == 0
    said = capsys.readouterr()
    for words in ('walk, 0.1', 'once a start', 'grows from', 'every 1 to 2 s', 'with place',
                  'returns within 3 s', 'link.gripper.mass < 2.5'):  # fmt: skip
        assert words in said.out
    assert 'does not follow its mass' in said.err
    assert json.loads(file.read_text())['constraints'] == {'light': 'link.gripper.mass < 2.5'}
    assert plot.read_bytes().startswith(b'\x89PNG')


def test_the_robot_must_be_known(tmp_path, capsys):
    path = tmp_path / 'mine.yaml'
    path.write_text('parameters: {}\n')
    assert main(['randomize', 'show', str(path)]) == 2
    assert '--robot' in capsys.readouterr().err
