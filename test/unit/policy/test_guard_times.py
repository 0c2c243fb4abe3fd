"""When the guard holds, damps and stops, on a line that is overloaded, late and full of holes."""

import dataclasses

import numpy as np
import pytest

from sim2real_policy.action import Action
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.observation import Term

PERIOD = 0.02  # of control
SAMPLES = 0.001  # time between two joint states
JITTER = 0.05
TIMES = {'stale_after': 0.15, 'hold_time': 0.3, 'stop_time': 0.9}
DIES = 3.0  # when the robot does [s]


class Policy:
    """Moves steadily on."""

    def infer(self, observation, others=None):
        return np.array([[0.001, 0.0]], np.float32)

    def reset(self):
        self.resets = getattr(self, 'resets', 0) + 1

    def report(self):
        return {}


def line(rng, *, lost, jitter, burst, until):
    """What arrives: (when, stamp), in order of arrival; ``burst`` messages come at once."""
    stamps = SAMPLES * np.arange(1, int(until / SAMPLES) + 1)
    arrivals = stamps + rng.uniform(0.0, jitter, len(stamps))
    for first in range(0, len(stamps), burst):
        arrivals[first : first + burst] = arrivals[first : first + burst].max()
    kept = rng.random(len(stamps)) >= lost
    return sorted(zip(arrivals[kept], stamps[kept]))


@pytest.fixture
def controller(robot, metadata):
    def make(interface, **config):
        meaning = 'delta' if interface == 'position' else interface
        action = Action(meaning=meaning, scale=(1.0, 1.0))
        meta = metadata(interface, terms=[Term(kind='joint_position')])
        meta = dataclasses.replace(meta, action=action)
        return Controller(meta, robot(interface), Policy(), PolicyConfig(**TIMES, **config))

    return make


def first_times(controller, messages, fault_after, until):
    """Steady time at which each intervention was first in force, and when commands were sent."""
    messages, seen, sent = list(messages), {}, []
    for now in np.arange(0.0, until, 0.0005):
        acted = False
        while messages and messages[0][0] <= now:
            _, stamp = messages.pop(0)
            controller.inputs['position'][0] = (0.25, 0.5)
            fault = 'broken' if stamp > fault_after else ''
            if controller.sample(stamp, now, fault):
                controller.act()
                acted = True
        if now >= controller.deadline():
            acted |= controller.watch(now)
        if acted:
            sent.append(now)
            for reason in controller.guard.reasons:
                seen.setdefault(reason, now)
    return seen, np.array(sent)


LINES = {
    'steady': dict(lost=0.0, jitter=0.0, burst=1),
    'bursts of 50': dict(lost=0.0, jitter=0.0, burst=50),
    'a third lost': dict(lost=0.3, jitter=0.0, burst=1),
    'jitter': dict(lost=0.0, jitter=JITTER, burst=1),
    'all of it': dict(lost=0.3, jitter=JITTER, burst=50),
}


@pytest.mark.parametrize('control', ['sensor', 'timer'])
@pytest.mark.parametrize('name', LINES)
def test_silence_is_answered_in_time(controller, name, control):
    """Hold, damp and stop come as configured after the last message, to within one period."""
    messages = line(np.random.default_rng(5), until=DIES, **LINES[name])
    made = controller('position', control=control)
    seen, sent = first_times(made, messages, DIES, DIES + 1.5)
    newest = np.maximum.accumulate([stamp for _, stamp in messages])
    last = messages[int(np.argmax(newest))][0]  # what comes after it is older, and no news
    stale = last + TIMES['stale_after']
    assert seen['hold'] >= stale - 1e-9  # never before, whatever the line is like
    expected = {
        'hold': stale,
        'damp': stale + TIMES['hold_time'],
        'stop': stale + TIMES['stop_time'],
    }
    for reason, when in expected.items():
        assert when <= seen[reason] + 1e-9 <= when + PERIOD + 1e-3, reason
    assert made.guard.stopped.startswith('no usable input')
    # Commands keep coming all the while, once a control period.
    assert np.diff(sent[sent > last + TIMES['stale_after']]).max() <= PERIOD + 1e-3


@pytest.mark.parametrize('name', LINES)
def test_messages_that_cannot_be_used_are_answered_in_time(controller, name):
    """They keep coming, but what they say is broken; times count in their stamps."""
    messages = line(np.random.default_rng(6), until=DIES + 2.0, **LINES[name])
    made = controller('position')
    seen, _ = first_times(made, messages, DIES, DIES + 2.0)
    late = JITTER * (LINES[name]['burst'] + (LINES[name]['jitter'] > 0) > 1)
    late += LINES[name]['burst'] * SAMPLES
    stale = DIES + TIMES['stale_after']
    assert DIES - 1e-9 <= seen['hold'] <= DIES + PERIOD + late
    for reason, when in (('damp', TIMES['hold_time']), ('stop', TIMES['stop_time'])):
        assert stale + when - PERIOD <= seen[reason] <= stale + when + PERIOD + late, reason


def test_a_flood_makes_no_more_commands(controller):
    messages = line(np.random.default_rng(7), until=DIES, lost=0.0, jitter=JITTER, burst=50)
    _, sent = first_times(controller('position'), messages, DIES, DIES)
    assert len(sent) <= DIES / PERIOD + 1
