"""What of a bag is played, and under which names."""

import pytest

from sim2real_bringup.bags import BagTopic
from sim2real_bringup.playlist import playlist
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile

STATE = 'sensor_msgs/msg/JointState'


@pytest.fixture(scope='module')
def profile():
    return load_profile('slider')


def topics(*names, **types):
    kinds = {name: types.get(name.split('/')[-1], STATE) for name in names}
    return {name: BagTopic(name, kind, 3, False) for name, kind in kinds.items()}


def test_everything_but_what_the_consumers_say(profile):
    recorded = topics(
        '/joint_states', '/goal', '/policy/action_applied', '/sysid/estimate', '/clock', '/rosout',
        '/pace', '/diagnostics', '/position_controller/commands', '/my/own',
    )  # fmt: skip
    chosen = playlist(recorded, profile, ['sysid'])
    assert chosen.sensor == '/joint_states'
    assert chosen.recorded_actions == '/policy/action_applied'
    assert set(chosen.names.values()) == {
        'joint_states', 'goal', 'policy/action_applied', 'position_controller/commands', 'my/own',
    }  # fmt: skip
    chosen = playlist(recorded, profile, ['policy', 'sysid'])
    assert set(chosen.names.values()) == {'joint_states', 'goal', 'my/own'}
    assert chosen.recorded_actions == '/policy/action_applied'


def test_a_namespace_is_found_and_left_out(profile):
    recorded = topics('/left/joint_states', '/left/goal', '/other')
    assert playlist(recorded, profile, ['sysid']).names == {
        '/left/joint_states': 'joint_states',
        '/left/goal': 'goal',
    }


def test_of_two_robots_one_must_be_named(profile):
    recorded = topics('/left/joint_states', '/right/joint_states')
    with pytest.raises(InputError, match='/left/joint_states, /right/joint_states'):
        playlist(recorded, profile, ['sysid'])
    assert playlist(recorded, profile, ['sysid'], 'right').sensor == '/right/joint_states'
    recorded = topics('/joint_states', '/left/joint_states')
    assert playlist(recorded, profile, ['sysid'], '/').sensor == '/joint_states'


@pytest.mark.parametrize(
    'recorded',
    [
        {},
        topics('/goal'),
        topics('/joint_states', joint_states='std_msgs/msg/String'),
        {'/joint_states': BagTopic('/joint_states', STATE, 0, False)},
    ],
)
def test_without_joint_states_there_is_nothing_to_play(profile, recorded):
    with pytest.raises(InputError, match='must hold joint_states'):
        playlist(recorded, profile, ['sysid'])
