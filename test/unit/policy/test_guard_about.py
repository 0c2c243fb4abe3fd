"""What a guard keeps to on a robot, and which of its stages are named as switched off."""

from dataclasses import replace

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.config import PolicyConfig
from sim2real_policy.guard_about import switched_off
from sim2real_policy.guard_reasons import INTERVENTIONS
from sim2real_policy.metadata import BundleMetadata, Range
from sim2real_policy.observation import Term

TERMS = [Term(kind='joint_position')]
NEVER_OFF = {'non_finite', 'hold', 'damp', 'stop', 'override'}
BOXED = {'workspace_low': (-1.0, -1.0, 0.0), 'workspace_high': (1.0, 1.0, 1.0)}


def bundle(profile, size, meaning):
    action = Action(meaning=meaning, scale=(1.0,) * size)
    return BundleMetadata.for_robot(profile, TERMS, action)


@pytest.mark.parametrize(
    ('interface', 'off'),
    [
        ('position', {'effort_limit', 'rate_limit', 'acceleration_limit', 'position_limit'}),
        ('velocity', {'effort_limit', 'rate_limit', 'acceleration_limit', 'position_limit'}),
        ('effort', {'acceleration_limit', 'rate_limit', 'position_limit'}),
    ],
)
def test_every_stage_that_does_nothing_is_named(robot, metadata, interface, off):
    """Of the pair, turn has neither position limits nor an acceleration."""
    meta = metadata(interface, terms=TERMS)
    found = switched_off(meta, robot(interface), PolicyConfig())
    assert set(found) == off | {'workspace', 'novelty'}
    assert found['position_limit'] == 'not given for turn'
    assert set(found) <= set(INTERVENTIONS) - NEVER_OFF


def test_a_robot_that_says_all_leaves_only_what_its_commands_have_not():
    profile = load_profile('arm6')
    meta = replace(
        bundle(profile, 6, 'position'), training_range=Range(low=(-1.0,) * 6, high=(1.0,) * 6)
    )
    assert set(switched_off(meta, profile, PolicyConfig(**BOXED))) == {
        'effort_limit',
        'rate_limit',
    }
    silent = switched_off(meta, profile, PolicyConfig(novelty_time=0.0))
    assert silent['novelty'] == 'novelty_time is 0' and 'open' in silent['workspace']
    rover = load_profile('rover')
    assert set(switched_off(bundle(rover, 2, 'twist'), rover, PolicyConfig())) == {
        'position_limit', 'effort_limit', 'rate_limit', 'workspace', 'novelty',
    }  # fmt: skip


def test_an_effort_rate_of_the_profile_is_kept(rig, robot):
    """10 N*m in a period for turn, which has one; reach, which has none, jumps."""
    profile = robot('effort')
    turn, reach = profile.joints
    limited = replace(profile, joints=(replace(turn, effort_rate=100.0), reach))
    made = rig(interface='effort', robot=lambda interface: limited)
    made.controller.inputs['velocity'][0] = 0.0
    made.action = [9.0, 15.0]
    sent = made.repeat(6)
    np.testing.assert_allclose(sent[:, 0], [2.0, 4.0, 6.0, 8.0, 9.0, 9.0])
    np.testing.assert_allclose(sent[:, 1], 15.0)
    assert made.controller.guard.counts['rate_limit'] == 4
    assert 'rate_limit: not given for reach' in made.controller.report()['guard_off']


def test_diagnostics_tell_the_times_in_force(rig):
    report = rig(hold_time=0.25).controller.report()
    times = {key: report[f'{key} [s]'] for key in ('stale_after', 'hold_time', 'stop_time')}
    assert times == {'stale_after': 0.1, 'hold_time': 0.25, 'stop_time': 60.0}
