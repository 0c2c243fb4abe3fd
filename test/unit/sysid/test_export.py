"""Calibrated models: they read again, have the values, and are else as they were."""

import difflib

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.nominal import nominal
from sim2real_core.profile import load_profile
from sim2real_core.records import Estimate, ParameterEstimate
from sim2real_core.urdf import parse_urdf
from sim2real_sim import sdf
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.export import MOVED, to_sdf, to_urdf
from sim2real_sysid.joint_zeros import with_zeros

ARM6 = load_profile('arm6')
KNOWN = {
    'joint.elbow.viscous_friction': 4.4,
    'joint.elbow.coulomb_friction.positive': 2.0,
    'joint.elbow.coulomb_friction.negative': 1.0,
    'link.gripper.mass': 2.0,
    'link.gripper.com.z': 0.07,
    'link.forearm.inertia.xx': 0.016,
}
UNSAYABLE = {'actuator.base.delay': 0.0125, 'joint.base.effort_offset': -1.25}


def estimate(values=KNOWN, unknown=('joint.base.viscous_friction',)):
    found = {a: ParameterEstimate(v, abs(v) / 100, 'identified', '') for a, v in values.items()}
    found |= {a: ParameterEstimate(9.0, np.inf, 'not_identified', '') for a in unknown}
    return Estimate(0.0, found, tuple(values), np.zeros((len(values), len(values))))


def calibrated(tmp_path, text):
    """The arm's profile with another URDF."""
    (tmp_path / 'calibrated.urdf').write_text(text)
    own = ARM6.path.read_text().replace('../../description/arm6/arm6.urdf', 'calibrated.urdf')
    (tmp_path / 'calibrated.yaml').write_text(own)
    return load_profile(tmp_path / 'calibrated.yaml')


def test_the_urdf_has_the_values(tmp_path):
    made = to_urdf(ARM6, estimate())
    robot = calibrated(tmp_path, made.text)
    for address, value in made.written.items():
        assert nominal(robot, address) == value
    assert made.written['joint.elbow.coulomb_friction'] == 1.5
    assert nominal(robot, 'joint.base.viscous_friction') == 6.0  # not identified: as it was


def test_inertia_follows_the_mass():
    after = parse_urdf(to_urdf(ARM6, estimate()).text, ARM6.urdf.path).links['gripper']
    before = ARM6.urdf.links['gripper']
    np.testing.assert_allclose(after.inertia, np.array(before.inertia) * 2.0 / before.mass)
    assert after.com == (*before.com[:2], 0.07)


def test_the_rest_of_the_text_stays():
    made = to_urdf(ARM6, estimate())
    lines = ARM6.urdf.text.splitlines(), made.text.splitlines()
    changed = [line for line in difflib.ndiff(*lines) if line[0] in '+-']
    gone = [line[1:].strip() for line in changed if line[0] == '-']
    assert [line.partition(' ')[0] for line in gone] == [
        '<dynamics',  # of the elbow
        '<inertia',  # of the forearm
        '<origin', '<mass', '<inertia',  # of the gripper
    ]  # fmt: skip


def test_an_estimate_of_nothing_changes_nothing():
    made = to_urdf(ARM6, estimate({}))
    assert (made.text, made.written, made.unsaid) == (ARM6.urdf.text, {}, {})


def test_what_a_urdf_cannot_say_is_in_a_comment_and_named():
    made = to_urdf(ARM6, estimate(KNOWN | UNSAYABLE | {'joint.base.armature': 0.9}))
    comment = made.text.partition('<!-- Identified')[2].partition('-->')[0]
    for address in (*UNSAYABLE, 'joint.base.armature', 'joint.elbow.coulomb_friction.positive'):
        assert address in made.unsaid
        assert address in comment
    assert '0.0125' in comment and '-1.25' in comment
    assert made.unsaid['joint.base.armature'] == 'to the profile, as joints.base.armature'


def test_friction_in_one_direction_alone_is_no_friction():
    made = to_urdf(ARM6, estimate({'joint.elbow.viscous_friction.positive': 5.0}))
    assert made.written == {}
    assert list(made.unsaid) == ['joint.elbow.viscous_friction.positive']


def test_elements_that_are_not_there_are_made(pendulum, profile_of):
    bare = pendulum.urdf.text.replace('<dynamics damping="0.5" friction="0.6"/>', '')
    profile = profile_of(bare, ('hip', 'knee'))
    known = {'joint.hip.viscous_friction': 0.7, 'link.base.mass': 3.0, 'link.base.com.y': -0.1}
    urdf = parse_urdf(to_urdf(profile, estimate(known, ())).text, profile.urdf.path)
    assert (urdf.joints['hip'].damping, urdf.joints['hip'].friction) == (0.7, 0.0)
    assert (urdf.links['base'].mass, urdf.links['base'].com) == (3.0, (0.0, -0.1, 0.0))


def test_no_body_with_such_an_inertia_is_refused():
    with pytest.raises(InputError, match=r'link\.gripper\.inertia'):
        to_urdf(ARM6, estimate({'link.gripper.inertia.xx': 0.5}))


@pytest.mark.parametrize('write', [to_urdf, to_sdf])
def test_an_estimate_of_another_robot_is_refused(write):
    with pytest.raises(InputError) as raised:
        write(ARM6, estimate({'joint.knee.armature': 1.0, 'link.foot.mass': 1.0}))
    assert [fault.value for fault in raised.value.faults] == [
        'joint.knee.armature', 'link.foot.mass'
    ]  # fmt: skip


def test_what_the_profile_says_itself_is_noted(profile_of, pendulum):
    profile = profile_of(pendulum.urdf.text, ('knee',))
    text = profile.path.read_text().replace('knee: {}', 'knee: {viscous_friction: 0.3}')
    profile.path.write_text(text)
    profile = load_profile(profile.path)
    made = to_urdf(profile, estimate({'joint.knee.viscous_friction': 0.4}, ()))
    assert 'itself says joints.knee.viscous_friction: 0.3' in made.notes[0]


def test_the_calibrated_urdf_moves_as_the_robot_with_these_values(tmp_path):
    known = {'link.gripper.mass': 2.0, 'joint.shoulder.viscous_friction': 9.0}
    moved = []
    for profile, values in ((calibrated(tmp_path, to_urdf(ARM6, estimate(known)).text), {}),
                            (ARM6, known)):  # fmt: skip
        simulator = MujocoSimulator(profile, contacts=False)
        simulator.apply(values)
        simulator.reset(seed=0)
        simulator.command(ARM6.array('default_position')[None] + 0.3)
        simulator.step(400)
        moved.append(simulator.state()[0][0])
    np.testing.assert_allclose(*moved, atol=1e-6)


def test_an_sdf_has_the_values_armature_too():
    made = to_sdf(ARM6, estimate(KNOWN | UNSAYABLE | {'joint.base.armature': 0.9}))
    assert not sdf.check(made.text)
    for address, value in made.written.items():
        assert sdf.read(made.text, address) == pytest.approx(value, rel=1e-12)
    assert made.written['joint.base.armature'] == 0.9
    assert set(UNSAYABLE) < set(made.unsaid)
    assert 'actuator.base.delay = 0.0125' in made.text.partition('-->')[0]


def test_an_sdf_of_ones_own_stays_but_for_the_values():
    world = f'<sdf version="1.7">\n<world name="w"> <!-- mine -->\n{_model()}\n</world></sdf>\n'
    made = to_sdf(ARM6, estimate({'joint.elbow.viscous_friction': 4.4}), world, model='arm6')
    before, after = world.splitlines(), made.text.splitlines()
    different = [pair for pair in zip(before, after) if pair[0] != pair[1]]
    assert len(before) == len(after) and len(different) == 1
    assert '4.4' in different[0][1]


def _model():
    text = sdf.from_profile(ARM6)
    return text[text.index('<model') : text.rindex('</model>')] + '</model>'


ZEROS = {'joint.shoulder.position_offset': 0.05, 'joint.wrist.position_offset': -0.03}


def test_readings_of_the_encoders_are_positions_of_the_calibrated_robot(tmp_path):
    robot = calibrated(tmp_path, to_urdf(ARM6, estimate(ZEROS)).text)
    offset = [ZEROS.get(f'joint.{name}.position_offset', 0.0) for name in ARM6.joint_names]
    angles = np.random.default_rng(1).uniform(-1.5, 1.5, (20, 6))
    before, after = Kinematics(ARM6), Kinematics(robot)
    for angle in angles:
        for one, other in zip(before.pose(angle), after.pose(angle + offset)):
            np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(robot.array('upper'), ARM6.array('upper') + offset)
    np.testing.assert_allclose(robot.array('lower'), ARM6.array('lower') + offset)


def test_a_model_with_moved_zeros_says_that_the_offset_is_in_it():
    made = to_urdf(ARM6, estimate(ZEROS))
    assert made.written == ZEROS
    assert made.notes == (MOVED,)
    assert MOVED not in to_urdf(ARM6, estimate(KNOWN)).notes


def test_an_sdf_that_is_made_has_moved_zeros_too(tmp_path):
    made = to_sdf(ARM6, estimate(ZEROS))
    robot = calibrated(tmp_path, to_urdf(ARM6, estimate(ZEROS)).text)
    assert made.text == sdf.from_profile(robot)
    assert (made.written, made.unsaid) == (ZEROS, {})


def test_zeros_do_not_go_into_an_sdf_of_ones_own():
    own = sdf.from_profile(ARM6)
    made = to_sdf(ARM6, estimate(ZEROS), own)
    assert made.written == {}
    assert set(made.unsaid) == set(ZEROS)
    comment = made.text.partition('<!-- Identified')[2].partition('-->')[0]
    assert all(f'{address} = {value}' in comment for address, value in ZEROS.items())


MOVING = """<robot name="gantry">
  <link name="a"/><link name="b"/><link name="c"/><link name="d"/>
  <joint name="slide" type="prismatic">
    <parent link="a"/><child link="b"/>
    <origin xyz="1 0 0" rpy="0 1.5707963267948966 0.3"/><axis xyz="0 0 2"/>
    <limit upper="2" effort="1" velocity="1"/>
    <safety_controller soft_lower_limit="0.1" soft_upper_limit="1.9" k_velocity="1"/>
  </joint>
  <joint name="wheel" type="continuous">
    <parent link="b"/><child link="c"/><axis xyz="0 3 4"/>
    <origin rpy="0 -1.5707963267948966 0"/>
  </joint>
  <joint name="follower" type="prismatic">
    <parent link="a"/><child link="d"/>
    <limit lower="-9" upper="9" effort="1" velocity="1"/>
    <mimic joint="slide" multiplier="-2" offset="0.5"/>
  </joint>
</robot>"""


def test_prismatic_continuous_and_following_joints_keep_their_places(profile_of):
    profile = profile_of(MOVING, ('slide', 'wheel'))
    offsets = {'slide': 0.25, 'wheel': -0.4}
    moved = with_zeros(profile, offsets)
    before, after = Kinematics(profile), Kinematics(moved)
    angle, offset = np.array([0.7, 2.0]), np.array([0.25, -0.4])
    for link in 'bcd':
        for one, other in zip(before.pose(angle, link), after.pose(angle + offset, link)):
            np.testing.assert_allclose(one, other, atol=1e-9)
    slide = moved.joint('slide')
    assert (slide.lower, slide.upper) == (0.25, 2.25)
    assert 'soft_lower_limit="0.35"' in moved.urdf.text
