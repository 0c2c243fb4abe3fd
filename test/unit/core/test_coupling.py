"""Where the joints are that nobody commands."""

from pathlib import Path

import pytest

from sim2real_core.coupling import couple
from sim2real_core.urdf import parse_urdf


def joint(name, kind='revolute', limits=(-3.0, 3.0), mimic=''):
    return (
        f'<link name="{name}_link"/><joint name="{name}" type="{kind}"><parent link="base"/>'
        f'<child link="{name}_link"/><limit lower="{limits[0]}" upper="{limits[1]}"/>{mimic}'
        '</joint>'
    )


def follows(leader, multiplier, offset):
    return f'<mimic joint="{leader}" multiplier="{multiplier}" offset="{offset}"/>'


def test_chains_in_any_order_rest_and_limits():
    urdf = parse_urdf(
        '<robot name="r"><link name="base"/>'
        + joint('last', mimic=follows('middle', 3, 0.1))  # before what it follows
        + joint('middle', mimic=follows('lead', -2, 0.5))
        + joint('lead')
        + joint('other', 'prismatic')
        + joint('free', limits=(0.2, 1.0))
        + joint('with_free', mimic=follows('free', 2, 0.05))
        + joint('at_limit', limits=(-1.0, 0.3), mimic=follows('free', 5, 0))
        + joint('stiff', 'fixed')
        + joint('with_stiff', mimic=follows('stiff', 7, 0.25))
        + '</robot>',
        Path('r.urdf'),
    )
    coupling = couple(urdf, ['other', 'lead'])
    q = coupling.map @ [0.4, 0.7] + coupling.shift
    assert dict(zip(coupling.names, q)) == pytest.approx({
        'last': 3 * (-2 * 0.7 + 0.5) + 0.1,
        'middle': -2 * 0.7 + 0.5,
        'lead': 0.7,
        'other': 0.4,
        'free': 0.2,
        'with_free': 0.45,
        'at_limit': 0.3,
        'with_stiff': 0.25,
    })  # fmt: skip
    assert [name for name in coupling.names if coupling.moves(name)] == [
        'last', 'middle', 'lead', 'other'
    ]  # fmt: skip
