"""Launch arguments become stacks (the launch itself is tested in test/launch)."""

import pytest

from sim2real_bringup.launching import arguments, check_spelling, processes
from sim2real_bringup.stacks import STACKS
from sim2real_core.errors import InputError
from sim2real_core.files import share


def given(stack, **changed):
    defaults = {name: default for name, (default, _) in arguments(stack).items()}
    return {**defaults, **changed}


@pytest.mark.parametrize('stack', STACKS)
def test_every_stack_has_a_launch_file_and_described_arguments(stack):
    assert f"describe('{stack}')" in (share() / 'launch' / f'{stack}.launch.py').read_text()
    names = arguments(stack)
    assert set(names) >= {'namespace', 'use_sim_time', 'params_file', 'log_level', 'robot'}
    assert all(description.endswith('.') for _, description in names.values())


def test_arguments_reach_the_nodes():
    found = {p.name: p for p in processes('sim', given('sim', namespace='left', robot='slider'))}
    assert set(found) == {'simulator', 'visualizer'}
    assert found['simulator'].namespace == '/left'
    assert found['visualizer'].parameters['robot'] == 'slider'
    assert found['visualizer'].parameters['use_sim_time'] is True
    found = {p.name: p for p in processes('sim', given('sim', use_sim_time='false'))}
    assert found['visualizer'].parameters['use_sim_time'] is False


def test_replay():
    changed = given(
        'replay', bag='some/bag', rate='2', start='1.5', bag_namespace='/', nodes='sysid, capture'
    )
    player, *others = processes('replay', changed)
    assert [p.name for p in others] == ['sysid', 'capture']
    assert player.parameters['bag'] == 'some/bag'
    assert (player.parameters['rate'], player.parameters['start']) == (2.0, 1.5)
    assert player.parameters['bag_namespace'] == '/'
    assert player.parameters['pace_consumers'] == ['sysid', 'capture']
    assert arguments('replay')['bag'][0] is None


@pytest.mark.parametrize(
    'stack, changed',
    [
        ('sim', dict(use_sim_time='maybe')),
        ('sim', dict(nodes='sysid')),
        ('replay', dict(bag='b', rate='fast')),
    ],
)
def test_wrong_arguments(stack, changed):
    with pytest.raises(InputError):
        processes(stack, given(stack, **changed))


def test_misspelt_arguments_are_refused():
    with pytest.raises(InputError) as caught:
        check_spelling('sim', ['robto:=rover', 'nodes:=simulator', 'name_space:=left'])
    for said in ('robto', 'did you mean robot?', 'name_space', 'did you mean namespace?'):
        assert said in str(caught.value)


@pytest.mark.parametrize('stack', STACKS)
def test_arguments_of_launch_and_of_included_files_are_not_misspelt(stack):
    others = (
        'launch-prefix', 'launch-prefix-filter', 'emulate_tty', 'sigterm_timeout',
        'sigkill_timeout', 'verbose', 'pause', 'physics', 'gui', 'gz_args', 'gz_version',
    )  # fmt: skip
    check_spelling(stack, [f'{name}:=1' for name in (*others, *arguments(stack))])
