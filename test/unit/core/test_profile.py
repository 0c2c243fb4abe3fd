import math

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.profile_sections import GuardTimes


def test_reads_urdf_and_profile(planar):
    assert planar.joint_names == ('shoulder', 'elbow')
    assert planar.tool_link == 'tool'
    assert planar.payload_link == 'finger'
    np.testing.assert_array_equal(planar.array('upper'), [2.0, math.inf])
    np.testing.assert_array_equal(planar.array('stiffness'), [50.0, 30.0])
    np.testing.assert_array_equal(planar.array('viscous_friction'), [0.1, 0.0])
    assert planar.mimics['grip'].joint == 'elbow'
    assert len(planar.content_hash) == 64


def test_content_hash_follows_the_content(write_robot, planar):
    other = load_profile(write_robot('planar', planar_yaml_changed=True))
    assert other.content_hash != planar.content_hash


def test_guard_times_make_no_other_robot(tmp_path, write_robot, planar):
    path = write_robot('planar')
    path.write_text(path.read_text() + 'guard: {hold_time: 0.25 s, stop_time: 5}\n')
    guarded = load_profile(path)
    assert planar.guard == GuardTimes()
    assert (guarded.guard.hold_time, guarded.guard.stop_time) == (0.25, 5.0)
    assert guarded.guard.damp_time == planar.guard.damp_time
    assert guarded.content_hash == planar.content_hash


def faults(path):
    with pytest.raises(InputError) as caught:
        load_profile(path)
    return caught.value.faults


def test_names_every_fault_with_its_line(tmp_path, write_robot):
    write_robot('planar')
    path = tmp_path / 'wrong.yaml'
    path.write_text(
        'urdf: planar.urdf\n'
        'command: {topic: cmd, timeout: 200 ms}\n'
        'tool_link: nope\n'
        'rates:\n'
        '  control_period: .nan\n'
        'surprise: 1\n'
        'joints:\n'
        '  shoulder: {lower: -170, stiffness: 10 N/m, upper: 0.5}\n'
        '  wrist: {armature: 0.1}\n'
        '  grip: {}\n'
        '  elbow:\n'
        '    default_position: 99\n'
        '    effort: -1\n'
    )
    found = {fault.field: fault.line for fault in faults(path)}
    assert found == {
        'surprise': 6,
        'command.timeout': 2,
        'rates.control_period': 5,
        'tool_link': 3,
        'joints.shoulder.lower': 8,
        'joints.shoulder.stiffness': 8,
        'joints.wrist': 9,
        'joints.grip': 10,
        'joints.elbow.default_position': 12,
        'joints.elbow.effort': 13,
    }


@pytest.mark.parametrize(
    ('text', 'field'),
    [
        ('urdf: missing.urdf\n', 'urdf'),
        ('joints: {}\n', 'urdf'),
        ('urdf: planar.urdf\njoints:\n  shoulder: {lower: 1.0, upper: -1.0}\n', 'lower'),
        ('urdf: planar.urdf\njoints:\n  shoulder: {armature: .inf}\n', 'armature'),
        ('urdf: planar.urdf\njoints: [shoulder]\n', 'joints'),
        ('urdf: planar.urdf\nrates: {control_period: 20}\n', 'control_period'),
        ('urdf: planar.urdf\ncommand: {interface: torque}\n', 'interface'),
        ('urdf: planar.urdf\nurdf: planar.urdf\n', 'urdf'),
        ('urdf: [\n', 'yaml'),
        ('urdf: planar.urdf\nbase_link: forearm\n', 'base_link'),
        ('urdf: planar.urdf\nrates: {timestep: 0.03}\n', 'rates.timestep'),
        ('urdf: planar.urdf\nrates: {joint_state_rate: 1001}\n', 'rates.joint_state_rate'),
        ('urdf: planar.urdf\njoints: {elbow: {damping: 3}}\n', 'joints.elbow.stiffness'),
        ('urdf: planar.urdf\njoints: {1: {}}\n', 'joints.1'),
        ('urdf: planar.urdf\nguard: {hold_time: -1}\n', 'guard.hold_time'),
        ('urdf: planar.urdf\nguard: {stop_time: 0.1}\n', 'guard.stop_time'),
        ('urdf: planar.urdf\nguard: {damp_time: 300 ms}\n', 'guard.damp_time'),
        ('urdf: planar.urdf\nguard: {stale: 1}\n', 'guard.stale'),
        ('urdf: planar.urdf\njoints: {elbow: {effort_rate: 0}}\n', 'joints.elbow.effort_rate'),
        ('urdf: planar.urdf\njoints: {elbow: {effort_rate: 5 N}}\n', 'joints.elbow.effort_rate'),
    ],
)
def test_refuses(tmp_path, write_robot, text, field):
    write_robot('planar')
    path = tmp_path / 'wrong.yaml'
    path.write_text(text)
    assert any(field in fault.field for fault in faults(path))


def test_unknown_name_lists_the_shipped_ones():
    with pytest.raises(InputError, match='arm6'):
        load_profile('no_such_robot')


@pytest.mark.parametrize('name', ['arm6', 'slider'])
def test_shipped_profiles_load(name):
    profile = load_profile(name)
    assert profile.name == name
    assert (profile.array('lower') < profile.array('upper')).all()


def test_a_name_that_yaml_misreads_is_to_be_quoted(tmp_path, write_robot):
    write_robot('planar')
    path = tmp_path / 'wrong.yaml'
    path.write_text('urdf: planar.urdf\njoints:\n  1: {}\n')
    (fault,) = faults(path)
    assert (fault.line, 'quotes' in fault.mend) == (3, True)


def test_a_blank_name_is_that_of_the_file(tmp_path, write_robot):
    write_robot('planar')
    path = tmp_path / 'nameless.yaml'
    path.write_text('name:\nurdf: planar.urdf\n')
    assert load_profile(path).name == 'nameless'


def test_positions_may_count_from_a_link_that_is_held(tmp_path, write_robot):
    write_robot('planar')
    path = tmp_path / 'held.yaml'
    path.write_text('urdf: planar.urdf\nbase_link: upper\njoints: {elbow: {}}\n')
    assert load_profile(path).base_link == 'upper'
