"""What rviz shows, as plain shapes."""

import math

import numpy as np
import pytest

from sim2real_bringup.markers import (
    COMMANDED,
    OF_STATUS,
    Trail,
    estimate_line,
    estimates,
    target,
    tool,
)
from sim2real_core.records import STATUSES, Change, Estimate, ParameterEstimate


def test_a_trail_forgets():
    trail = Trail(1.0)
    assert trail.last is None and trail.points().shape == (0, 3)
    for t in (0.0, 0.6, 1.2, 1.6):
        trail.add(t, np.array([t, 0, 0]))
    np.testing.assert_array_equal(trail.points()[:, 0], [0.6, 1.2, 1.6])
    np.testing.assert_array_equal(trail.last, [1.6, 0, 0])


def test_a_trail_begins_anew_when_time_goes_back():
    trail = Trail(1.0)
    trail.add(5.0, np.zeros(3))
    trail.add(0.0, np.ones(3))
    np.testing.assert_array_equal(trail.points(), [[1, 1, 1]])


def test_a_trail_does_not_grow_while_time_stands_still():
    trail = Trail(1.0)
    for x in range(3):
        trail.add(5.0, np.full(3, x))
    np.testing.assert_array_equal(trail.points(), [[2, 2, 2]])


def test_a_tool_is_a_sphere_and_its_trail():
    trail = Trail(1.0)
    assert tool('commanded', trail, 'base', COMMANDED, 0.04) == []
    trail.add(0.0, np.zeros(3))
    assert [s.kind for s in tool('commanded', trail, 'base', COMMANDED, 0.04)] == ['sphere']
    trail.add(0.1, np.ones(3))
    sphere, line = tool('commanded', trail, 'base', COMMANDED, 0.04)
    np.testing.assert_array_equal(sphere.position, [1, 1, 1])
    assert (line.kind, line.group, line.points.shape) == ('line', 'commanded trail', (2, 3))


def test_target():
    shape = target(np.array([0.1, 0.2, 0.3]), 'world', 0.05)
    assert (shape.group, shape.frame, shape.kind) == ('target', 'world', 'sphere')


@pytest.mark.parametrize(
    'mean, std, status, text',
    [
        (1.23456, 0.0512, 'identified', 'a 1.235 ± 0.051 N'),
        (95.1234, 1.4, 'identified', 'a 95.1 ± 1.4 N'),
        (1234.5, 60.0, 'stale', 'a 1234 ± 60 N (stale)'),
        (0.0, math.inf, 'not_identified', 'a unknown'),
        (1.0, 0.0, 'identified', 'a 1.000000 ± 0 N'),
    ],
)
def test_an_estimate_as_text(mean, std, status, text):
    assert estimate_line('a', ParameterEstimate(mean, std, status, 'N')) == text


@pytest.mark.parametrize('std', [2.0, math.inf])
def test_what_an_estimate_is_confounded_with_is_shown(std):
    known = ParameterEstimate(1.0, std, 'not_identified', 'N', ('b', 'c'))
    assert estimate_line('a', known).endswith('(not told from b, c)')


def test_estimates_come_below_one_another_identified_first():
    known = {
        'a': ParameterEstimate(1.0, math.inf, 'not_identified', 'N'),
        'b': ParameterEstimate(1.0, 0.1, 'stale', 'N'),
        'c': ParameterEstimate(1.0, 0.1, 'identified', 'N'),
    }
    shapes = estimates(Estimate(0.0, known), 'base', (0.0, 1.0, 2.0), 2, 0.1)
    assert [shape.text[0] for shape in shapes] == ['c', 'a']
    assert shapes[0].position[2] > shapes[1].position[2]
    assert len({(shape.group, shape.number) for shape in shapes}) == 2


def test_a_change_comes_first_for_a_while():
    known = {'a': ParameterEstimate(1.0, 0.1, 'identified', 'N')}
    changes = (Change(10.0, 'a', 1.0, 2.0, 9.0),)
    soon, later = (
        estimates(Estimate(stamp, known, changes=changes), 'base', (0.0, 1.0, 2.0), 9, 0.1)
        for stamp in (11.0, 60.0)
    )
    assert next(iter(soon)).text == 'a changed from 1 to 2 at 10.00 s'
    assert soon[0].colour != soon[1].colour
    assert [shape.text[0:4] for shape in later] == ['a 1.']


def test_every_status_has_a_colour():
    assert set(OF_STATUS) == set(STATUSES)
