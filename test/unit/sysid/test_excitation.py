"""Exciting motions: within every limit, telling, and the same for the same seed."""

import mujoco
import numpy as np
import pytest

from sim2real_core.dynamics import InverseDynamics, Loop
from sim2real_core.errors import InputError, Sim2RealError
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import load_profile
from sim2real_sim.mujoco_model import build_model
from sim2real_sysid.excitation import _Search, excite
from sim2real_sysid.excitation_config import ExcitationConfig
from sim2real_sysid.excitation_limits import limits_of

MIXED = """<robot name="mixed">
  <link name="base"/>
  <link name="turret"><inertial><mass value="2"/>
    <inertia ixx="0.02" iyy="0.02" izz="0.02" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="rod"><inertial><origin xyz="0.1 0 0"/><mass value="1"/>
    <inertia ixx="0.01" iyy="0.02" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="tail"><inertial><mass value="0.5"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="turn" type="continuous"><parent link="base"/><child link="turret"/>
    <axis xyz="0 0 1"/><limit velocity="3" effort="20"/></joint>
  <joint name="reach" type="prismatic"><parent link="turret"/><child link="rod"/>
    <origin xyz="0.2 0 0.5"/><axis xyz="1 0 0"/>
    <limit lower="0" upper="0.6" velocity="0.8" effort="80"/></joint>
  <joint name="follow" type="prismatic"><parent link="turret"/><child link="tail"/>
    <origin xyz="0 0 0.5"/><axis xyz="1 0 0"/>
    <limit lower="-0.2" upper="0.2" velocity="0" effort="0"/>
    <mimic joint="reach" multiplier="-0.5"/></joint>
</robot>"""
QUICK = dict(duration=12.0, period=6.0, harmonics=3, iterations=5)


def quick(**changed):
    return ExcitationConfig(**(QUICK | changed))


def dense(found, count=500):
    trajectory = found.trajectory
    return trajectory.at(np.linspace(0, 1 / trajectory.base_frequency, count))


@pytest.fixture
def mixed(profile_of):
    """A continuous joint and a prismatic one that another follows; no acceleration limits."""
    return profile_of(MIXED, ('turn', 'reach'), payload_link='rod')


@pytest.fixture(scope='module')
def arm():
    return excite(load_profile('arm6'), quick())


def test_it_begins_and_ends_at_rest_where_the_robot_stands(arm):
    begin, end = (arm.trajectory.at(time) for time in (0.0, arm.trajectory.duration))
    default = load_profile('arm6').array('default_position')
    for motion in (begin, end):
        np.testing.assert_allclose(motion.position, default, atol=1e-5)
        np.testing.assert_allclose(motion.velocity, 0.0, atol=1e-4)
        np.testing.assert_allclose(motion.acceleration, 0.0, atol=1e-3)


def test_it_keeps_the_limits(arm):
    profile = load_profile('arm6')
    limits, motion = limits_of(profile, 0.8), dense(arm)
    assert (motion.position >= limits.lower).all() and (motion.position <= limits.upper).all()
    assert (np.abs(motion.velocity) <= 1.001 * limits.velocity).all()
    assert (np.abs(motion.acceleration) <= 1.001 * limits.acceleration).all()
    assert max(values.max() for values in arm.used.values()) <= 1.0 + 1e-6
    assert max(arm.used['velocity']) > 0.7


def test_it_touches_neither_itself_nor_the_floor(arm):
    """By another engine's word."""
    robot = build_model(load_profile('arm6'))
    data, nearest = mujoco.MjData(robot.model), np.inf
    robot.model.geom_margin[:] = 0.015
    for position in dense(arm, 300).position:
        data.qpos[robot.qpos] = position
        mujoco.mj_fwdPosition(robot.model, data)
        nearest = min([nearest, *(contact.dist for contact in data.contact[: data.ncon])])
    assert nearest > 0.01
    assert arm.clearance > 0.02


def test_it_tells_more_than_random_motion(arm):
    assert arm.condition < 0.7 * arm.before
    assert len(arm.names) == 6 * 4 + 10


def test_the_same_seed_gives_the_same_motion_and_another_another(pendulum):
    first, again, other = (
        excite(pendulum, quick(seed=seed)).trajectory.position.cos for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_information_is_maximized_when_asked_for(pendulum):
    most = {
        criterion: excite(pendulum, quick(criterion=criterion, iterations=20))
        for criterion in ('condition', 'd-optimal')
    }
    assert most['d-optimal'].information > most['condition'].information
    assert most['condition'].condition < most['d-optimal'].condition


def test_joints_without_limits_and_joints_that_others_follow(mixed):
    found = excite(mixed, quick())
    motion = dense(found)
    assert np.abs(motion.position[:, 0]).max() <= np.pi
    # The tail may go 0.2 m back, which is 0.4 m of the rod.
    assert motion.position[:, 1].max() <= 0.4 and motion.position[:, 1].min() >= 0.0
    assert np.ptp(motion.position[:, 1]) > 0.1
    said = ' '.join(found.notes)
    assert 'joint turn has no limit of acceleration: ' in said
    assert 'joint reach starts at' in said  # its default is the end of its range


def test_the_tool_stays_in_its_box(arm):
    profile = load_profile('arm6')
    kinematics = Kinematics(profile)
    start = kinematics.position(profile.array('default_position'))
    box = tuple(map(float, (*(start - [0.3, 0.25, 0.2]), *(start + 0.25))))
    found = excite(profile, quick(box=box))
    tool = np.array([kinematics.position(pose) for pose in dense(found, 150).position])
    assert (tool >= box[:3]).all() and (tool <= box[3:]).all()
    assert np.ptp(tool, axis=0).min() > 0.1
    free = np.array([kinematics.position(pose) for pose in dense(arm, 150).position])
    assert (free < box[:3]).any() or (free > box[3:]).any()


def test_a_box_without_the_start_is_refused():
    with pytest.raises(InputError, match='must hold the start, at 0'):
        excite(load_profile('arm6'), quick(box=(0, 0, 0, 0.1, 0.1, 0.1)))


def test_a_robot_that_cannot_stand_is_refused(profile_of):
    weak = MIXED.replace('<axis xyz="1 0 0"/>', '<axis xyz="0 0 1"/>').replace('"80"', '"8"')
    profile = profile_of(weak, ('turn', 'reach'))
    with pytest.raises(InputError, match=r'joints\.reach\.effort'):
        excite(profile, quick())


@pytest.mark.parametrize('robot', ['quadruped', 'rover'])
def test_a_floating_base_is_refused_by_name(robot):
    profile = load_profile(robot)
    with pytest.raises(InputError, match='unsupported: identification needs a base') as raised:
        excite(profile)
    assert raised.value.faults[0].value == 'floating'


def test_a_box_too_small_to_move_in_is_said():
    profile = load_profile('arm6')
    start = Kinematics(profile).position(profile.array('default_position'))
    box = tuple(map(float, (*(start - 1e-4), *(start + 1e-4))))
    with pytest.raises(Sim2RealError, match=r'no motion of arm6 .* the tool leaves its box'):
        excite(profile, quick(box=box, iterations=1))


PILLARS = """<robot name="pillars">
  <link name="base">
    <collision><origin xyz="0 0.4 0.5"/><geometry><box size="0.1 0.1 1"/></geometry></collision>
    <collision><origin xyz="0 -0.4 0.5"/><geometry><box size="0.1 0.1 1"/></geometry></collision>
  </link>
  <link name="post"><inertial><mass value="1"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="arm"><inertial><origin xyz="0.3 0 0"/><mass value="1"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0.4 0 0"/><geometry><box size="0.4 0.05 0.05"/></geometry></collision>
  </link>
  <joint name="turn" type="revolute"><parent link="base"/><child link="post"/>
    <origin xyz="0 0 0.5"/><axis xyz="0 0 1"/>
    <limit lower="-40" upper="40" velocity="9" effort="90"/></joint>
  <joint name="tilt" type="revolute"><parent link="post"/><child link="arm"/>
    <axis xyz="0 1 0"/><limit lower="-0.1" upper="0.1" velocity="9" effort="90"/></joint>
</robot>"""


def test_a_joint_that_is_blocked_when_it_turns_far_moves_less(profile_of, monkeypatch):
    profile = profile_of(PILLARS, ('turn', 'tilt'), payload_link='arm')
    found = excite(profile, quick())
    motion = dense(found)
    assert found.clearance > 0.0
    assert 0.1 < np.abs(motion.position[:, 0]).max() < 1.3, 'between the pillars'
    monkeypatch.setattr('sim2real_sysid.excitation.REACHES', (1.0,))
    with pytest.raises(Sim2RealError, match='base and arm come .* mm too near'):
        excite(profile, quick())


def test_one_axis_is_a_robot_too():
    slider = load_profile('slider')
    found = excite(slider, quick())
    assert set(found.left_out) >= {'link.carriage.mass'}
    motion, joint = dense(found), slider.joints[0]
    assert joint.lower < motion.position.min() and motion.position.max() < joint.upper
    assert np.abs(motion.velocity).max() <= 0.8 * joint.velocity


def test_progress_is_told(pendulum):
    shares = []
    excite(pendulum, quick(), lambda share, text: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 3


@pytest.mark.parametrize(
    ('wrong', 'field'),
    [
        (dict(period=20.0), 'period'),
        (dict(box=(0, 0, 0)), 'box'),
        (dict(box=(0, 0, 1, 1, 1, 0)), 'box'),
        (dict(criterion='best'), 'criterion'),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, field):
    with pytest.raises(InputError) as raised:
        quick(**wrong)
    assert raised.value.faults[0].field == field


@pytest.mark.parametrize('interface', ['position', 'velocity'])
def test_the_way_down_is_the_derivative_of_the_cost(pendulum, interface):
    """With soft loops, whose commands count, beyond most limits."""
    text = pendulum.path.read_text().replace('{}', '{stiffness: 60, damping: 9}')
    pendulum.path.write_text(f'{text}\ncommand: {{interface: {interface}}}')
    search = _Search(load_profile(pendulum.path), quick(), lambda share, words: None)
    x = 3.0 * np.random.default_rng(0).normal(size=2 * search.basis.free)
    value, slope = search._cost(x, 10.0)
    assert value > 10.0
    for index in range(0, len(x), 3):
        step = 1e-5 * np.eye(len(x))[index]
        ends = [search._cost(x + way, 10.0)[0] for way in (step, -step)]
        wanted = (ends[0] - ends[1]) / 2e-5
        assert slope[index] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_a_soft_loop_leaves_room_for_its_command(pendulum):
    text = pendulum.path.read_text().replace('{}', '{stiffness: 15, damping: 4}')
    pendulum.path.write_text(text)
    soft = load_profile(pendulum.path)
    motion, loop = dense(found := excite(soft, quick())), Loop.of(soft)
    dynamics = InverseDynamics(soft)
    effort = np.array([dynamics.efforts(*state) for state in zip(*motion)])
    command = loop.command(motion.position, motion.velocity, effort)
    assert np.abs(command - motion.position).max() > 0.3
    assert np.abs(command).max() <= 3.0
    step = 1.0 / found.trajectory.base_frequency / 499
    assert np.abs(np.gradient(command, step, axis=0)).max() <= 0.8 * 4.0 * 1.01
