import pytest

from sim2real_policy.config import PolicyConfig
from sim2real_policy.guard_reasons import INTERVENTIONS
from sim2real_policy.stages import CRITERIA, STAGES, judge, settings

HASH = 'a' * 64
FIRST = {'content_hash': HASH, 'shadow': 'True', 'commands_made': '100', 'deadline_misses': '7'}
LAST = {
    **FIRST,
    'commands_made': '3100',
    'deadline_misses': '10',
    'rate_limit': '20',
    'latched': 'False',
}


def verdict(stage='shadow', first=FIRST, last=LAST, seconds=60.0, faults=(), **changed):
    return judge(stage, HASH, first, {**last, **changed}, seconds, faults, INTERVENTIONS)


@pytest.mark.parametrize('stage', STAGES)
def test_settings_of_a_stage_are_parameters_of_the_node(stage):
    box = ((0.1, -0.2, 0.0), (0.5, 0.2, 0.6))
    values = settings(stage, 0.2, box)
    config = PolicyConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    assert config.shadow == (stage == 'shadow')
    assert config.confined == (stage == 'limited')
    assert config.speed_factor == (0.2 if stage == 'limited' else 1.0)


def test_every_stage_but_the_last_has_a_criterion():
    assert tuple(CRITERIA) == STAGES[:-1]


def test_a_good_trial_is_passed():
    good = verdict()
    assert good.ok and good.as_json()['ok'] and good.as_json()['content_hash'] == HASH
    assert good.figures['missed'] == pytest.approx(3 / 3003)
    assert good.figures['limited'] == pytest.approx(20 / 3000)


@pytest.mark.parametrize(
    'changed, words',
    [
        ({'seconds': 59.0}, '60 s are needed'),
        ({'deadline_misses': '100'}, 'missed: 3.0%'),
        ({'rate_limit': '500'}, 'limited: 16.7%'),
        ({'latched': 'True'}, 'it is latched'),
        ({'stopped': 'emergency stop'}, 'it is stopped'),
        ({'content_hash': 'b' * 64}, 'another bundle ran'),
        ({'shadow': 'False'}, 'did not run in the stage shadow'),
        ({'faults': ['holds, no goal']}, 'it said: holds, no goal'),
        ({'commands_made': '100'}, 'no command'),
        ({'commands_made': '5'}, 'started again'),
    ],
)
def test_each_thing_that_is_wrong_is_a_reason(changed, words):
    bad = verdict(**changed)
    assert not bad.ok and any(words in reason for reason in bad.reasons)


def test_the_most_frequent_intervention_counts_not_their_sum():
    assert verdict(rate_limit='100', position_limit='100', velocity_limit='100').ok
    limited = verdict('limited', rate_limit='1400', shadow='False')
    assert limited.ok and not verdict('limited', rate_limit='1600', shadow='False').ok


def test_a_node_that_says_nothing_did_not_pass():
    silent = verdict(first={}, last={})
    assert {'it gave no command', 'another bundle ran (none, not aaaaaaaaaaaa)'} <= set(
        silent.reasons
    )
