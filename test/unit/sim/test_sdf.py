"""SDF edited by address: the right elements, and nothing else."""

import difflib
import math

import numpy as np
import pytest

from sim2real_core.addresses import QUANTITIES
from sim2real_core.errors import InputError
from sim2real_sim import sdf
from sim2real_sim.sdf_text import parse

WORLD = """<?xml version='1.0' encoding="utf-8"?>
<!-- a user's world: <mass>9</mass> in a comment -->
<sdf   version = '1.7'>\r
  <world name="w"><gravity>0  0 -9.81</gravity>
    <physics type='ode' name="p" default="1"><max_step_size>1e-3</max_step_size>
      <ode><solver><iters> 50 </iters></solver></ode></physics>
    <light type='directional' name='sun'><diffuse>.8 .8 .8 1</diffuse>
      <direction>-0.5 0.1 -0.9</direction></light>
    <model name="arm">
\t<link name='base'/>
      <link\tname='a&amp;b' >
        <inertial><pose>0.1 0 0   0 0 1.5707963267948966</pose>
          <mass>2.<!-- kg -->5</mass>
          <inertia><ixx>0.02</ixx><iyy>0.03</iyy><izz><![CDATA[0.04]]></izz>
            <ixy>0.001</ixy></inertia></inertial>
        <collision name="c1"><geometry><sphere><radius>1</radius></sphere></geometry></collision>
        <collision name="c2"><surface><friction><ode><mu>0.7</mu></ode>
          <torsional><coefficient>0.7</coefficient></torsional></friction></surface></collision>
        <visual name='v'><material><script><name>Gazebo/Grey</name></script></material></visual>
        <sensor type='imu' name="imu"><imu/></sensor>
        <sensor type="camera" name='eye'><pose>0 0 1 0 0 0</pose>
          <camera><horizontal_fov>1.0</horizontal_fov>
          <image><width>640</width><height>480</height></image></camera></sensor>
        <unheard:of xmlns:unheard="x"><mass>7</mass></unheard:of>
      </link>
      <joint type="revolute" name="j"><parent>base</parent><child>a&amp;b</child>
        <axis><xyz>0 0 1</xyz><limit><lower>-1</lower></limit></axis></joint>
      <plugin name="p" filename="q"><link name='a'/><mass>7</mass></plugin>
      <model name="inner"><link name="base"/><link name="tip"/></model>
    </model>
  </world>
</sdf>
<!-- end -->
"""
LINK = 'link.a&b'
VALUES = {
    'world.gravity.x': 0.5,
    'world.timestep': 0.002,
    'world.solver_iterations': 80.0,
    f'{LINK}.mass': 3.0,
    f'{LINK}.com.y': -0.2,
    f'{LINK}.inertia.xy': 0.002,
    'surface.a&b.friction': 0.3,
    'surface.c1.restitution': 0.6,
    'surface.c1.stiffness': 1e5,
    'surface.c1.damping': 10.0,
    'joint.j.viscous_friction': 0.4,
    'joint.j.coulomb_friction': 0.1,
    'joint.j.stiffness': 2.0,
    'joint.j.armature': 0.01,
    'actuator.j.saturation': 12.0,
    'sensor.imu_gyro.noise': 0.01,
    'sensor.imu_accelerometer.quantization': 0.05,
    'sensor.eye.noise': 0.02,
    'camera.eye.field_of_view': 0.9,
    'camera.eye.distortion.k1': -0.1,
    'camera.eye.position.x': 0.25,
    'light.sun.color.g': 0.2,
    'light.sun.direction.y': 0.0,
    'visual.a&b.color.b': 0.25,
}


def changed(before, after):
    """Pieces of text taken out and put in."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    spans = [op for op in matcher.get_opcodes() if op[0] != 'equal']
    return [(before[a:b], after[c:d]) for _, a, b, c, d in spans]


def test_nothing_asked_for_leaves_every_character():
    assert sdf.edit(WORLD, {}) == WORLD
    nominal = {address: sdf.read(WORLD, address) for address in VALUES}
    nominal = {a: v for a, v in nominal.items() if v is not None and math.isfinite(v)}
    assert len(nominal) > 20
    assert sdf.edit(WORLD, nominal) == WORLD


@pytest.mark.parametrize('address', VALUES)
def test_a_value_reads_back_alone_and_nothing_else_changes(address):
    edited = sdf.edit(WORLD, {address: VALUES[address]})
    assert sdf.read(edited, address) == pytest.approx(VALUES[address], rel=1e-12)
    coupled = 'inertia' if address.endswith('.mass') else address
    for other in VALUES:
        if other != address and coupled not in other and not other.startswith(address[:12]):
            assert sdf.read(edited, other) == sdf.read(WORLD, other), other
    # Taking the edit back by its own elements leaves the rest as it was.
    assert edited.startswith(WORLD[:100]) and edited.endswith(WORLD[-180:])
    for token in ('<!-- kg -->', "<link\tname='a&amp;b' >", '<mass>7</mass>', "version = '1.7'"):
        assert token in edited


def test_all_values_read_back_together():
    edited = sdf.edit(WORLD, VALUES)
    for address, value in VALUES.items():
        assert sdf.read(edited, address) == pytest.approx(value, rel=1e-12), address
    assert edited == sdf.edit(WORLD, dict(reversed(VALUES.items())))


def test_only_the_number_is_replaced():
    assert changed(WORLD, sdf.edit(WORLD, {'world.timestep': 0.002})) == [('1e-3', '0.002')]
    pose = sdf.edit(WORLD, {f'{LINK}.com.x': 0.3})
    assert '<pose>0.3 0 0 0 0 1.5707963267948966</pose>' in pose
    mass = sdf.edit(WORLD, {f'{LINK}.mass': 5.0})
    assert '<mass>5.0<!-- kg --></mass>' in mass
    assert '<izz>0.08</izz>' in mass


def test_inertia_follows_the_mass_unless_given():
    axes = ('xx', 'yy', 'zz', 'xy', 'xz', 'yz')
    edited = sdf.edit(WORLD, {f'{LINK}.mass': 5.0, f'{LINK}.inertia.zz': 0.04})
    got = [sdf.read(edited, f'{LINK}.inertia.{a}') for a in axes]
    assert got == pytest.approx([0.04, 0.06, 0.04, 0.002, 0.0, 0.0])


@pytest.mark.parametrize(
    ('values', 'mend'),
    [
        ({f'{LINK}.mass': 0.0}, 'positive'),
        ({f'{LINK}.inertia.xy': 0.03}, 'positive definite'),
        ({f'{LINK}.inertia.zz': 0.2}, 'principal moment'),
        ({f'{LINK}.mass': math.nan}, 'within'),
        ({'link.tail.mass': 1.0}, 'it has: arm::base, arm::a&b'),
        ({'joint.j.effort_offset': 1.0}, 'no such quantity'),
        ({'surface.base.friction': 1.0}, 'no <collision>'),
        ({'sensor.eye.quantization': 0.1}, 'IMU'),
        ({'sensor.imu.noise': 0.1}, 'imu>_gyro'),
    ],
)
def test_what_cannot_be_is_refused(values, mend):
    with pytest.raises(InputError, match=mend):
        sdf.edit(WORLD, values)


def test_every_fault_is_named_at_once():
    with pytest.raises(InputError) as caught:
        sdf.edit(WORLD, {'link.x.mass': 1.0, f'{LINK}.mass': -1.0, 'joint.j.armatur': 1.0})
    assert len(caught.value.faults) == 3


def test_armature_is_a_disc_on_the_joint_axis():
    edited = sdf.edit(WORLD, {'joint.j.armature': 0.1, f'{LINK}.inertia.xx': 0.03})
    document = parse(edited)
    tensor = document.find('sdf/world/model').all('link')[1].find('inertial/inertia')
    total = {e.tag: float(e.text) for e in tensor}
    assert total['izz'] == pytest.approx(0.14) and total['ixx'] == pytest.approx(0.08)
    # The link's own inertia is still what it was, and can be drawn beside the rotor's.
    assert sdf.read(edited, f'{LINK}.inertia.zz') == pytest.approx(0.04)
    again = sdf.edit(edited, {f'{LINK}.mass': 5.0})
    assert sdf.read(again, f'{LINK}.inertia.zz') == pytest.approx(0.08)
    assert sdf.read(again, 'joint.j.armature') == 0.1


def test_a_bouncing_surface_gets_what_bouncing_needs():
    surface = parse(sdf.edit(WORLD, {'surface.c1.restitution': 0.6})).find('sdf/world/model')
    surface = surface.all('link')[1].find('collision/surface')
    assert float(surface.find('bounce/threshold').text) == 0.01
    assert float(surface.find('contact/ode/max_vel').text) == 100.0


@pytest.mark.parametrize('what', ['stiffness', 'damping'])
def test_a_contact_may_push_as_fast_as_its_spring_says(what):
    def speed(value):
        edited = parse(sdf.edit(WORLD, {f'surface.c1.{what}': value})).find('sdf/world/model')
        return edited.all('link')[1].find('collision/surface/contact/ode/max_vel')

    assert float(speed(5000.0).text) == 100.0
    same = sdf.read(WORLD, f'surface.c1.{what}')
    assert sdf.edit(WORLD, {f'surface.c1.{what}': same}) == WORLD


def test_friction_reaches_every_engine():
    edited = parse(sdf.edit(WORLD, {'surface.c2.friction': 0.3})).find('sdf/world/model')
    friction = edited.all('link')[1].all('collision')[1].find('surface/friction')
    paths = 'ode/mu ode/mu2 bullet/friction bullet/friction2 torsional/coefficient'.split()
    assert [float(friction.find(path).text) for path in paths] == [0.3] * 5


def test_light_dims_by_its_colour_where_the_format_has_no_intensity():
    edited = sdf.edit(WORLD, {'light.sun.intensity': 0.5})
    assert sdf.read(edited, 'light.sun.color.r') == pytest.approx(0.4)
    newer = WORLD.replace("version = '1.7'", 'version="1.9"')
    edited = sdf.edit(newer, {'light.sun.intensity': 2.0})
    assert sdf.read(edited, 'light.sun.intensity') == 2.0
    assert sdf.read(edited, 'light.sun.color.r') == 0.8


def test_names_find_the_least_nested_and_one_model():
    assert sdf.read(sdf.edit(WORLD, {'link.base.mass': 4.0}), 'link.inner::base.mass') == 1.0
    edited = sdf.edit(WORLD, {'link.inner::base.mass': 4.0, 'link.tip.mass': 2.0})
    assert sdf.read(edited, 'link.arm::base.mass') == 1.0
    two = WORLD.replace('</world>', '<model name="two"><link name="tip"/></model></world>')
    assert sdf.read(sdf.edit(two, {'link.tip.mass': 3.0}), 'link.inner::tip.mass') == 1.0
    edited = sdf.edit(two, {'link.tip.mass': 3.0}, model='arm')
    assert sdf.read(edited, 'link.inner::tip.mass') == 3.0
    twice = two.replace('name="two"', 'name="2"><link name="j"/><link name="base"/></model>'
                        '<model name="two"')  # fmt: skip
    with pytest.raises(InputError, match='which of'):
        sdf.edit(twice, {'link.base.mass': 3.0})


def test_old_and_bare_worlds():
    old = '<sdf version="1.4"><world name="w"><physics type="dart"><gravity>0 0 -1</gravity>\
</physics></world></sdf>'
    assert sdf.read(old, 'world.gravity.z') == -1.0
    assert '<gravity>0 0 -2.0</gravity></physics>' in sdf.edit(old, {'world.gravity.z': -2.0})
    with pytest.raises(InputError, match='no such quantity'):
        sdf.edit(old, {'world.solver_iterations': 10})
    bare = '<sdf version="1.9"><world name="w"/></sdf>'
    edited = sdf.edit(bare, {'world.timestep': 0.002, 'world.gravity.z': -1.0})
    assert sdf.read(edited, 'world.timestep') == 0.002
    assert sdf.read(edited, 'world.gravity.z') == -1.0


@pytest.mark.parametrize('text', ['<sdf>', '', '<robot/>', '<!DOCTYPE a [<!ENTITY b "c">]><sdf/>'])
def test_what_is_no_sdf_is_refused(text):
    with pytest.raises(InputError):
        sdf.edit(text, {'world.timestep': 0.1})


def test_every_address_either_is_in_the_format_or_not():
    known = {
        f'{kind}.{quantity}' if kind == 'world' else f'{kind}.x.{quantity}'
        for kind, quantities in QUANTITIES.items()
        for quantity in quantities
    }
    able = {address for address in known if sdf.editable(address)}
    assert {a for a in able if a.startswith('link')} == {a for a in known if a[:4] == 'link'}
    assert 'joint.x.effort_offset' not in able and 'sensor.x.bias' not in able
    assert all(np.isreal(sdf.read(WORLD, a) or 0) for a in VALUES)


BROKEN = """<sdf version="1.7"><model name="m">
  <link name="a"><inertial><mass>0</mass></inertial></link>
  <link name="a"/>
  <link name="b"><inertial><mass>1</mass>
    <inertia><ixx>5</ixx></inertia></inertial><pose>0 0 0</pose></link>
  <joint name="a" type="hinge"><parent>world</parent><child>c</child>
    <axis><xyz>0 0 0</xyz><limit><lower>1</lower><upper>0</upper></limit></axis></joint>
  <visual/>
</model></sdf>"""


def test_check_names_every_fault_with_its_line():
    with pytest.raises(InputError) as caught:
        sdf.check(BROKEN, 'm.sdf')
    found = {(fault.field, fault.line) for fault in caught.value.faults}
    assert found == {
        ('model.m.link.a.inertial', 2),
        ('model.m.link.a', 3),
        ('model.m.link.b.inertial', 4),
        ('model.m.link.b.pose', 5),
        ('model.m.joint.a', 6),
        ('model.m.joint.a.type', 6),
        ('model.m.joint.a.child', 6),
        ('model.m.joint.a.limit', 6),
        ('model.m.joint.a.axis.xyz', 7),
        ('model.m.visual', 8),
    }
    assert all(fault.file == 'm.sdf' for fault in caught.value.faults)


def test_check_takes_a_good_world():
    assert sdf.check(WORLD) is None
    assert sdf.check(sdf.edit(WORLD, VALUES)) is None
