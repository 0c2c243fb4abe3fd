"""Distances within a robot and to the floor."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_sysid.clearance import Clearance

BALL = '<collision><origin xyz="0 0 {z}"/><geometry><sphere radius="0.05"/></geometry></collision>'
MASS = (
    '<inertial><origin xyz="0 0 0.2"/><mass value="1"/>'
    '<inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>'
)
CHAIN = f"""<robot name="chain">
  <link name="base">{BALL.format(z=0.1)}</link>
  <link name="one">{MASS}{BALL.format(z=0.4)}</link>
  <link name="two">{MASS}{BALL.format(z=0.4)}</link>
  <link name="three">{MASS}{BALL.format(z=0.4)}</link>
  <joint name="a" type="revolute"><parent link="base"/><child link="one"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" velocity="2" effort="90"/></joint>
  <joint name="b" type="revolute"><parent link="one"/><child link="two"/>
    <origin xyz="0 0 0.4"/><axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" velocity="2" effort="60"/></joint>
  <joint name="c" type="revolute"><parent link="two"/><child link="three"/>
    <origin xyz="0 0 0.4"/><axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" velocity="2" effort="30"/></joint>
</robot>"""
RANDOM = np.random.default_rng(0).uniform(-3, 3, (200, 3))


@pytest.fixture
def chain(profile_of):
    return profile_of(CHAIN, ('a', 'b', 'c'))


def clearance(profile, least=0.05, floor=0.0, start=(0.0, 0.0, 0.0)):
    return Clearance(profile, np.array(start), RANDOM, least, floor)


def test_neighbours_are_not_watched_and_all_else_is(chain):
    links = {tuple(sorted(pair.links)) for pair in clearance(chain).pairs}
    assert links == {
        ('base', 'three'), ('base', 'two'), ('floor', 'one'), ('floor', 'three'),
        ('floor', 'two'), ('one', 'three'),
    }  # fmt: skip


def test_distances_are_those_of_the_shapes(chain):
    made = clearance(chain)
    number = next(p.number for p in made.pairs if set(p.links) == {'one', 'three'})
    bent = np.array([0.0, 0.0, 2.0])
    # One's ball is where joint b is; three's is 0.4 m from joint c, 0.4 m above that.
    expected = np.hypot(0.4 * np.sin(2.0), 0.4 + 0.4 * np.cos(2.0)) - 0.1
    assert made.distances(bent, [number])[0] == pytest.approx(expected, abs=1e-6)


def test_the_floor_is_where_it_is_said_to_be(chain):
    level = np.array([1.5, 0.0, 0.0])
    heights = [clearance(chain, floor=floor).least(level[None]) for floor in (0.0, -0.3)]
    lowest = 0.1 + 0.4 * np.cos(1.5) - 0.05
    assert heights[0] == pytest.approx(lowest, abs=1e-6)
    assert heights[1] > heights[0]


def test_a_robot_that_reaches_below_the_floor_at_the_start_has_a_lower_floor(chain):
    made = clearance(chain, floor=0.5)
    assert not [pair for pair in made.touching if 'floor' in pair]
    assert made.distances(np.zeros(3), [made.pairs[-1].number])[0] > 0.0


def test_what_touches_at_the_start_is_said_and_not_watched(chain):
    made = clearance(chain, start=(0.0, 0.0, 3.0))
    assert made.touching == ['one and three']
    assert not [pair for pair in made.pairs if set(pair.links) == {'one', 'three'}]


@pytest.mark.parametrize('pose', [(1.55, 0.1, 0.0), (0.3, 1.0, 2.7), (-0.5, 2.0, -2.6)])
def test_the_cost_falls_the_way_its_derivative_says(chain, pose):
    made, pose = clearance(chain, least=0.3), np.array(pose)
    value, slope = made.cost(pose)
    assert value > 0.0
    for joint in range(3):
        step = 1e-5 * np.eye(3)[joint]
        wanted = (made.cost(pose + step)[0] - made.cost(pose - step)[0]) / 2e-5
        assert slope[joint] == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_a_robot_without_shapes_is_bare(pendulum):
    made = Clearance(pendulum, np.zeros(2), RANDOM[:, :2], 0.05, 0.0)
    assert made.bare and made.pairs == ()


def test_a_mesh_that_is_not_there_is_named(profile_of):
    mesh = '<collision><geometry><mesh filename="gone.stl"/></geometry></collision>'
    profile = profile_of(CHAIN.replace(BALL.format(z=0.1), mesh), ('a', 'b', 'c'))
    with pytest.raises(Exception, match=r'gone\.stl'):
        clearance(profile)


def test_links_of_the_shipped_arm_keep_apart_where_it_stands():
    arm = load_profile('arm6')
    start = arm.array('default_position')
    made = Clearance(arm, start, start[None], 0.05, 0.0)
    assert not made.touching
    assert made.least(start[None]) > 0.03


def stl(path, *boxes):
    """Write boxes, each (low, high), as a binary STL file."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    faces += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    triangles = [
        (np.array(low) + corners * (np.array(high) - low))[face]
        for low, high in boxes
        for face in faces
    ]
    record = np.zeros(
        len(triangles), [('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('', '<u2')]
    )
    record['corners'] = triangles
    path.write_bytes(bytes(80) + np.uint32(len(triangles)).tobytes() + record.tobytes())
    return f'<collision><geometry><mesh filename="{path}"/></geometry></collision>'


def with_mesh(profile_of, mesh):
    first = CHAIN.index(BALL.format(z=0.4))  # link one's
    return profile_of(
        CHAIN[:first] + CHAIN[first:].replace(BALL.format(z=0.4), mesh, 1), ('a', 'b', 'c')
    )


def test_what_moves_within_a_fork_is_watched_though_its_hull_is_filled(profile_of, tmp_path):
    prongs = [((x, -0.1, 0.0), (x + 0.02, 0.1, 1.4)) for x in (-0.2, 0.18)]
    made = clearance(with_mesh(profile_of, stl(tmp_path / 'fork.stl', *prongs)))
    assert made.touching == []
    pair = next(pair for pair in made.pairs if set(pair.links) == {'one', 'three'})
    assert made.distances(np.zeros(3), [pair.number])[0] == pytest.approx(0.18 - 0.05, abs=1e-6)
    # Three's ball comes nearer to a prong as joint c turns.
    turned = made.distances(np.array([0.0, 0.0, 0.2]), [pair.number])[0]
    assert turned == pytest.approx(0.13 - 0.4 * np.sin(0.2), abs=1e-6)


def test_elsewhere_hulls_stand_for_meshes(profile_of, tmp_path):
    # Two blocks below three's reach, and nothing between them but their hull.
    blocks = [((x, -0.1, 0.0), (x + 0.02, 0.1, 0.5)) for x in (-0.2, 0.18)]
    made = clearance(with_mesh(profile_of, stl(tmp_path / 'blocks.stl', *blocks)))
    pair = next(pair for pair in made.pairs if set(pair.links) == {'one', 'three'})
    above = made.distances(np.zeros(3), [pair.number])[0]
    assert above == pytest.approx(1.2 - 0.05 - 0.5, abs=1e-6)


def test_a_flat_mesh_has_no_hull_and_counts_as_it_is(profile_of, tmp_path):
    flat = stl(tmp_path / 'flat.stl', ((-0.1, -0.1, 0.5), (0.1, 0.1, 0.5)))
    made = clearance(with_mesh(profile_of, flat))
    pair = next(pair for pair in made.pairs if set(pair.links) == {'one', 'three'})
    assert made.distances(np.zeros(3), [pair.number])[0] == pytest.approx(0.65, abs=1e-6)
