import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_policy.observation import INPUT_SIZES, KINDS, Assembler, ObservationLayout, Term

JOINTS = ('a', 'b')
DEFAULT = np.array([0.5, -0.5])


def inputs(n, rng):
    return {name: rng.normal(size=(n, size or len(JOINTS))) for name, size in INPUT_SIZES.items()}


def test_labels_and_size():
    layout = ObservationLayout(
        [Term(kind='joint_position'), Term(kind='goal_error', history=2)], JOINTS
    )
    assert layout.labels == (
        'joint_position.a', 'joint_position.b',
        'goal_error.x[-1]', 'goal_error.y[-1]', 'goal_error.z[-1]',
        'goal_error.x[0]', 'goal_error.y[0]', 'goal_error.z[0]',
    )  # fmt: skip
    assert layout.size == len(layout.labels) == 8
    assert layout.inputs == {'position', 'goal', 'tool'}


def test_value_is_clip_of_scaled_difference():
    layout = ObservationLayout(
        [Term(kind='joint_position', scale=(2.0, 10.0), offset=0.25, clip=(-1.0, 3.0))], JOINTS
    )
    seen = Assembler(layout, DEFAULT).update({'position': np.array([[1.0, 1.0]])})
    np.testing.assert_allclose(seen, [[(1.0 - 0.5 - 0.25) * 2.0, 3.0]])
    assert seen.dtype == np.float32


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_shows_its_input(kind):
    layout = ObservationLayout([Term(kind=kind)], JOINTS)
    given = inputs(1, np.random.default_rng(3))
    first, *second = (given[name] for name in KINDS[kind])
    expected = first - second[0] if second else first
    if kind in ('joint_position', 'joint_command'):
        expected = expected - DEFAULT
    np.testing.assert_allclose(Assembler(layout, DEFAULT).update(given), expected, rtol=1e-6)


def test_command_of_a_velocity_interface_counts_from_zero():
    layout = ObservationLayout([Term(kind='joint_command')], JOINTS)
    assembler = Assembler(layout, DEFAULT, position_command=False)
    np.testing.assert_array_equal(assembler.update({'command': DEFAULT[None]}), DEFAULT[None])


def test_history_is_oldest_first_and_full_after_reset():
    layout = ObservationLayout(
        [Term(kind='joint_position', history=3), Term(kind='previous_action', history=2)], ['a']
    )
    assembler = Assembler(layout, np.zeros(1))

    def update(value):
        given = {'position': np.array([[value]]), 'action': np.array([[10.0 * value]])}
        return assembler.update(given)[0].tolist()

    assert update(1.0) == [1, 1, 1, 10, 10]
    assert update(2.0) == [1, 1, 2, 10, 20]
    assert update(3.0) == [1, 2, 3, 20, 30]
    assembler.reset()
    assert update(4.0) == [4, 4, 4, 40, 40]


def test_many_robots_at_once_see_what_each_would_see_alone():
    rng = np.random.default_rng(5)
    terms = [
        Term(kind=kind, scale=0.3, offset=0.1, clip=(-0.4, 0.4), history=1 + index % 3)
        for index, kind in enumerate(KINDS)
    ]
    layout = ObservationLayout(terms, JOINTS)
    together = Assembler(layout, DEFAULT, n=4)
    alone = [Assembler(layout, DEFAULT) for _ in range(4)]
    for step in range(6):
        if step == 3:
            together.reset(np.array([1, 2]))
            alone[1].reset()
            alone[2].reset()
        given = inputs(4, rng)
        seen = together.update(given)
        for index, one in enumerate(alone):
            single = {name: values[index : index + 1] for name, values in given.items()}
            np.testing.assert_array_equal(one.update(single)[0], seen[index])


def test_layout_survives_json_exactly():
    layout = ObservationLayout(
        [
            Term(kind='tool_position', source='hand', scale=1 / 3, clip=(-0.1, 1e308)),
            Term(kind='joint_effort', offset=(1e-320, 2 / 3), history=7),
        ],
        JOINTS,
    )
    assert ObservationLayout.from_json(layout.to_json(), JOINTS) == layout


def test_names_every_fault_of_a_term():
    with pytest.raises(InputError) as caught:
        Term(kind='smell', scale=0.0, offset='x', clip=(2.0, 1.0), history=0)
    fields = {fault.field for fault in caught.value.faults}
    assert fields == {'kind', 'scale', 'offset', 'clip', 'history'}


def test_names_every_fault_of_a_layout():
    good = ObservationLayout(
        [Term(kind='joint_effort'), Term(kind='goal_error')], JOINTS
    ).to_json()
    good[0] |= {'size': 3, 'history': 2.5}
    del good[1]['clip']
    with pytest.raises(InputError) as caught:
        ObservationLayout.from_json(good, JOINTS)
    assert {f.field for f in caught.value.faults} == {'observation[0].history', 'observation[1]'}
    terms = [Term(kind='joint_effort', scale=(1.0, 1.0, 1.0)), Term(kind='joint_effort')]
    with pytest.raises(InputError) as caught:
        ObservationLayout(terms, JOINTS)
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ['observation[0].scale', 'observation[1].kind']
