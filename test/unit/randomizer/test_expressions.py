"""Expressions: values, bounds and units from one tree, and nothing that could run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim2real_core.addresses import quantity
from sim2real_core.errors import InputError
from sim2real_randomizer.expressions import parse

ELBOW = 'joint.elbow'
DRAWN = {
    'link.gripper.mass': np.array([1.0, 2.0, 4.0]),
    'link.left-arm.mass': np.array([3.0, 3.0, 3.0]),
    'joint.elbow.coulomb_friction': np.array([2.0, 3.0, 5.0]),
    'joint.elbow.viscous_friction.positive': np.array([1.0, 1.0, 1.0]),
}
NOMINAL = {'link.gripper.mass': 2.0}


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('coulomb_friction', [2, 3, 5]),
        ('joint.elbow.coulomb_friction * 2 - 1', [3, 5, 9]),
        ('viscous_friction.positive + 1', [2, 2, 2]),
        ('link.gripper.mass / nominal(link.gripper.mass)', [0.5, 1, 2]),
        ("'link.left-arm.mass' * -link.gripper.mass ** 2", [-3, -12, -48]),
        ("min(link.gripper.mass, 'link.left-arm.mass', 2.5)", [1, 2, 2.5]),
        ('sqrt(abs(-link.gripper.mass)) * pi / pi', [1, 2**0.5, 2]),
        ('1 < link.gripper.mass <= 4', [False, True, True]),
        ('not link.gripper.mass > 1 or coulomb_friction == 5', [True, False, True]),
        ("si(2, 'kg') + link.gripper.mass", [3, 4, 6]),
    ],
)
def test_values(text, expected):
    value = parse(text, ELBOW).value(DRAWN.__getitem__, NOMINAL.__getitem__)
    np.testing.assert_allclose(value, expected, rtol=1e-15)


def test_names():
    expression = parse('coulomb_friction * nominal(link.gripper.mass) + armature', ELBOW)
    assert expression.addresses == ('joint.elbow.coulomb_friction', 'joint.elbow.armature')
    assert expression.nominals == ('link.gripper.mass',)


@pytest.mark.parametrize(
    'text',
    [
        '__import__("os").system("true")',
        'coulomb_friction.__class__',
        '(lambda: 1)()',
        '[1 for _ in ()]',
        'x := 1',
        'coulomb_friction if 1 else 2',
        'open("x")',
        'max(coulomb_friction)',
        'abs(1, 2)',
        'min(*coulomb_friction)',
        'sqrt(x=1)',
        '2 ** coulomb_friction',
        '9 % 2',
        'True',
        '1j',
        'None',
        "f'{coulomb_friction}'",
        'nominal(1)',
        'si(1, 2)',
        'coulomb',
        'joint.elbow.coulomb',
        '',
        '1 +',
        '(' * 300 + '1' + ')' * 300,
        '-' * 999 + '1',
        '1+' * 600 + '1',
        '1e999',
        '1' + '0' * 400,
        'armature ** 1e999',
        '\0',
    ],
)
def test_nothing_else_is_understood(text):
    with pytest.raises(InputError) as error:
        parse(text, ELBOW)
    assert error.value.faults[0].mend


def test_a_bare_quantity_needs_an_object():
    with pytest.raises(InputError, match='whole address'):
        parse('coulomb_friction')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('coulomb_friction + viscous_friction', 'N*m'),
        ('link.gripper.mass', 's'),
        ('exp(link.gripper.mass)', '1'),
        ('link.gripper.mass < coulomb_friction', None),
        ('link.gripper.mass', None),
        ('link.gripper.mass < 1', 'kg'),
        ('(link.gripper.mass < 1) + 1', 'kg'),
        ('link.gripper.mass and link.gripper.mass < 1', None),
        ("si(1, '?') * link.gripper.mass", 'kg'),
        ('max(link.gripper.mass, coulomb_friction)', 'kg'),
    ],
)
def test_units_that_do_not_agree(text, expected):
    with pytest.raises(InputError):
        parse(text, ELBOW).check_unit(lambda a: quantity(a).unit, expected)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('1.2 * coulomb_friction', 'N*m'),
        ('viscous_friction * stribeck_velocity + coulomb_friction', 'N*m'),
        ("si(0.01, 'm^2') * link.gripper.mass", 'kg*m^2'),
        ('sqrt(armature * link.gripper.mass) / link.gripper.mass', 'm'),
        ('link.gripper.mass + 0.5', 'kg'),
        ('3', 's'),
        ('exp(link.gripper.mass / nominal(link.gripper.mass))', '1'),
        ('0.1 < link.gripper.mass and not coulomb_friction > 3', None),
        ('sensor.sonar.noise', 'kg'),
    ],
)
def test_units_that_agree(text, expected):
    expression = parse(text, ELBOW)
    assert expression.check_unit(lambda a: quantity(a).unit, expected) is None


A, B = 'joint.elbow.coulomb_friction', 'joint.elbow.armature'
LEAF = st.sampled_from(['coulomb_friction', 'armature', '2.5', '0.5', 'nominal(armature)'])
TEXTS = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from('+-*/'), inner).map(lambda t: f'({t[0]} {t[1]} {t[2]})'),
        st.tuples(st.sampled_from(['min', 'max']), inner, inner).map(
            lambda t: f'{t[0]}({t[1]}, {t[2]})'
        ),
        st.tuples(st.sampled_from(['abs', 'sin', 'exp', 'sqrt', '-']), inner).map(
            lambda t: f'{t[0]}({t[1]})'
        ),
        st.tuples(inner, st.sampled_from(['2', '3', '0.5', '-1', '-2'])).map(
            lambda t: f'({t[0]}) ** {t[1]}'
        ),
    ),
    max_leaves=6,
)
NUMBER = st.floats(-3, 3)


@given(TEXTS, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, st.sampled_from(['<', '<=', '>', '==']))
def test_bounds_hold(text, a, b, c, d, n, sign):
    ranges = {A: sorted((a, b)), B: sorted((c, d))}
    drawn = {k: np.linspace(*r, 7) for k, r in ranges.items()}
    grid = dict(zip(drawn, np.meshgrid(*drawn.values())))
    expression = parse(text, ELBOW)
    low, high = expression.bounds(lambda k: tuple(ranges[k]), lambda _: n)
    values = np.asarray(expression.value(grid.__getitem__, lambda _: n))
    values = values[np.isfinite(values)]
    slack = 1e-9 * (1 + np.abs(values))
    assert (values >= low - slack).all()
    assert (values <= high + slack).all()
    condition = parse(f'{text} {sign} coulomb_friction', ELBOW)
    least, most = condition.bounds(lambda k: tuple(ranges[k]), lambda _: n)
    with np.errstate(all='ignore'):
        true = np.asarray(condition.value(grid.__getitem__, lambda _: n))
    assert {least, most} <= {0.0, 1.0}
    if np.isfinite([low, high]).all() and abs(low) < 1e6 and abs(high) < 1e6:
        assert true.any() <= most or np.ptp(values) < 1e-6
        assert true.all() >= least
