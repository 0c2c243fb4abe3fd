import pytest

from sim2real_core.addresses import QUANTITIES, Address, combine, parse_address, quantity
from sim2real_core.errors import InputError


@pytest.mark.parametrize(
    ('text', 'parts'),
    [
        ('world.gravity.z', ('world', '', 'gravity.z')),
        ('world.timestep', ('world', '', 'timestep')),
        ('link.gripper.mass', ('link', 'gripper', 'mass')),
        ('link.a.b/c.com.x', ('link', 'a.b/c', 'com.x')),
        ('joint.elbow.viscous_friction', ('joint', 'elbow', 'viscous_friction')),
        (
            'joint.elbow.viscous_friction.positive',
            ('joint', 'elbow', 'viscous_friction.positive'),
        ),
        ('sensor.elbow_effort.noise', ('sensor', 'elbow_effort', 'noise')),
        ('light.sun.color.r', ('light', 'sun', 'color.r')),
    ],
)
def test_parses_and_prints_back(text, parts):
    address = parse_address(text)
    assert address == Address(*parts)
    assert str(address) == text


@pytest.mark.parametrize(
    'text', ['', 'foo', 'world', 'world.mass', 'link.mass', 'joint..armature', 'joint.a.mas']
)
def test_refuses_what_is_no_address(text):
    with pytest.raises(InputError):
        parse_address(text)


def test_suggests_the_nearest_quantity():
    with pytest.raises(InputError, match='did you mean viscous_friction'):
        parse_address('joint.elbow.viscous')


def test_units_follow_the_joint(planar, slider):
    assert quantity('joint.shoulder.viscous_friction', planar).unit == 'N*m*s/rad'
    assert quantity('joint.axis.viscous_friction', slider).unit == 'N*s/m'
    assert quantity('joint.axis.armature', slider).unit == 'kg'
    assert quantity('sensor.axis_effort.noise', slider).unit == 'N'
    assert quantity('sensor.shoulder_velocity.bias', planar).unit == 'rad/s'
    assert quantity('actuator.axis.backlash', slider).unit == 'm'


@pytest.mark.parametrize(
    'text',
    [
        'joint.nope.armature', 'link.nope.mass', 'actuator.nope.gain', 'sensor.nope_effort.noise',
        'sensor.elbow.noise', 'sensor.foo.noise', 'surface.nope.friction', 'visual.nope.color.r',
        'disturbance.nope.period', 'disturbance.floor.period',
    ],
)  # fmt: skip
def test_names_what_the_robot_has(planar, text):
    with pytest.raises(InputError, match='it has: '):
        quantity(text, planar)


@pytest.mark.parametrize(
    'text',
    [
        'sensor.elbow_velocity.noise', 'sensor.imu_gyro.bias', 'surface.floor.friction',
        'surface.forearm.friction', 'visual.floor.texture', 'disturbance.tool.period',
        'camera.mine.exposure', 'light.mine.intensity',
    ],
)  # fmt: skip
def test_accepts_what_the_robot_or_a_world_may_have(planar, text):
    assert quantity(text, planar).unit


def test_every_quantity_is_sane():
    for kind, quantities in QUANTITIES.items():
        for name, found in quantities.items():
            assert found.low < found.high, (kind, name)
            assert found.combine in ('absolute', 'additive', 'scale'), (kind, name)


def test_combine():
    assert combine('absolute', 3.0, 2.0) == 2.0
    assert combine('additive', 3.0, 2.0) == 5.0
    assert combine('scale', 3.0, 2.0) == 6.0
    with pytest.raises(InputError, match='must be one of'):
        combine('times', 3.0, 2.0)
