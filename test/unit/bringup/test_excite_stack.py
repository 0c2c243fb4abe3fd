"""A trajectory in the stacks: the policy follows it, the visualizer shows its way."""

import pytest

from sim2real_bringup.launching import arguments, processes
from sim2real_bringup.stacks import build
from sim2real_core.errors import InputError


def parameters(stack):
    return {process.name: process.parameters for process in stack.processes}


@pytest.mark.parametrize('name', ['excite', 'all', 'robot'])
def test_a_trajectory_takes_the_place_of_the_bundle(name):
    found = parameters(build(name, robot='arm6', trajectory='motion.yaml'))
    assert found['policy']['trajectory'] == 'motion.yaml'
    assert 'bundle' not in found['policy']
    if 'visualizer' in found:
        assert found['visualizer']['trajectory'] == 'motion.yaml'


def test_a_stack_that_is_to_excite_needs_a_trajectory():
    with pytest.raises(InputError, match='sim2real sysid excite makes one') as raised:
        build('excite', robot='arm6')
    assert [fault.field for fault in raised.value.faults] == ['policy.trajectory']


def test_a_bundle_and_a_trajectory_exclude_each_other():
    with pytest.raises(InputError, match='not both'):
        build('robot', robot='arm6', bundle='arm6', trajectory='motion.yaml')


def test_launch_takes_it_wherever_there_is_a_policy():
    assert 'trajectory' in arguments('excite') and 'trajectory' in arguments('robot')
    assert 'trajectory' not in arguments('sim')
    given = {name: default or '' for name, (default, _) in arguments('excite').items()}
    started = processes('excite', given | {'trajectory': 'motion.yaml'})
    assert [process.name for process in started] == ['simulator', 'policy', 'sysid', 'visualizer']
    policy = next(process for process in started if process.name == 'policy')
    assert policy.parameters['trajectory'] == 'motion.yaml'
