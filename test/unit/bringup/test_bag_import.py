"""Measured logs become bags: the right numbers, on the right topics, the same bytes each time."""

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore
from scipy.io import savemat

from sim2real_bringup.bag_import import import_log, joint_series
from sim2real_bringup.bag_mapping import read_mapping
from sim2real_bringup.bags import open_bag
from sim2real_bringup.tables import Table
from sim2real_core.errors import InputError
from sim2real_core.files import find

STORE = get_typestore(Stores.LATEST)


def mapping(tmp_path, text):
    path = tmp_path / 'mapping.yaml'
    path.write_text(text)
    return read_mapping(path)


def series(tmp_path, text, **columns):
    columns = {name: np.array(values, dtype=float) for name, values in columns.items()}
    return joint_series(Table(tmp_path / 'log.csv', columns), mapping(tmp_path, text))


def messages(bag, topic):
    with open_bag(bag) as opened:
        return [(m.time, STORE.deserialize_cdr(m.data, m.type)) for m in opened.messages([topic])]


def test_emps(tmp_path):
    """The shipped mapping, on a file like the published one."""
    t = np.array([0.0, 0.00100002, 0.00200001])[:, None]
    log = {'t': t, 'qm': t + 1, 'vir': t + 2, 'qg': t + 3, 'gtau': 35.15065}
    savemat(tmp_path / 'log.mat', log)
    for name in ('one', 'two'):
        summary = import_log(tmp_path / 'log.mat', find('bags', 'emps'), tmp_path / name / 'emps')
        assert summary['messages'] == 6
    for path in (tmp_path / 'one' / 'emps').iterdir():
        assert path.read_bytes() == (tmp_path / 'two' / 'emps' / path.name).read_bytes()
    bag = tmp_path / 'one' / 'emps'
    (_, _), (time, state), _ = messages(bag, '/joint_states')
    stamp = state.header.stamp
    assert (time, stamp.sec, stamp.nanosec) == (1_000_020, 0, 1_000_020)
    assert state.name == ['slider']
    np.testing.assert_array_equal(state.position, [t[1, 0] + 1])
    np.testing.assert_array_equal(state.effort, [35.15065 * (t[1, 0] + 2)])
    assert len(state.velocity) == 0
    time, command = messages(bag, '/position_controller/commands')[1]
    assert time == 1_000_020
    np.testing.assert_array_equal(command.data, [t[1, 0] + 3])
    with open_bag(bag) as opened:  # the command that is in force comes before its sample
        topics = [m.topic for m in opened.messages()]
    assert topics[:2] == ['/position_controller/commands', '/joint_states']


def test_nanoseconds_since_1970_are_kept_to_the_last(tmp_path):
    stamps = [1_700_000_000_123_456_789, 1_700_000_000_123_456_790]
    rows = ''.join(f'{stamp},{k}\n' for k, stamp in enumerate(stamps))
    (tmp_path / 'log.csv').write_text('t,q\n' + rows)
    text = 'time: {column: t, unit: ns}\njoints: {a: {position: q}}'
    (tmp_path / 'mapping.yaml').write_text(text)
    import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')
    assert [time for time, _ in messages(tmp_path / 'bag', '/joint_states')] == stamps


@pytest.mark.parametrize('time', ['t', '{column: t}'])
def test_the_column_of_time_may_be_named_alone(tmp_path, time):
    times, _ = series(
        tmp_path, f'time: {time}\njoints: {{a: {{position: q}}}}', t=[1, 2], q=[3, 4]
    )
    assert times.tolist() == [10**9, 2 * 10**9]


def test_a_bag_that_was_cut_off_says_how_to_mend_it(tmp_path):
    (tmp_path / 'log.csv').write_text('t,q\n' + ''.join(f'{k},{k}\n' for k in range(2000)))
    (tmp_path / 'mapping.yaml').write_text('time: {column: t}\njoints: {a: {position: q}}')
    import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')
    file = tmp_path / 'bag' / 'bag.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match='mcap recover'), open_bag(tmp_path / 'bag'):
        pass


def test_stamps_in_a_wrong_unit_are_refused(tmp_path):
    with pytest.raises(InputError, match=r'time = 1\.7.*is the unit right'):
        series(tmp_path, 'time: {column: t}\njoints: {a: {position: q}}',
               t=[1.7e18, 1.7e18 + 1e6], q=[0, 1])  # fmt: skip


def test_a_column_of_text_is_named(tmp_path):
    (tmp_path / 'log.csv').write_text('t;q\n0;1.000,5\n1;1.001,5\n')
    (tmp_path / 'mapping.yaml').write_text('time: {column: t}\njoints: {a: {position: q}}')
    with pytest.raises(InputError, match=r'no numbers there, but 1\.000,5 in line 2'):
        import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')


def test_units_gears_and_currents(tmp_path):
    text = """
    time: {rate: 100, start: 5.0}
    joints:
      hip:
        gear_ratio: -50
        torque_constant: 0.1
        position: {column: q, unit: rev}
        velocity: {column: v, unit: rpm, scale: 2.0, offset: 1.0}
        effort: {column: i, unit: mA}
        command: {column: c, unit: deg}
    """
    times, found = series(tmp_path, text, q=[0.0, 1.0], v=[0.0, 1.0], i=[1000, 0], c=[0, 180])
    np.testing.assert_array_equal(times, [5_000_000_000, 5_010_000_000])
    np.testing.assert_allclose(found['position'][:, 0], [0.0, -2 * np.pi / 50])
    np.testing.assert_allclose(found['velocity'][:, 0], np.array([1.0, 3.0]) * np.pi / 30 / -50)
    np.testing.assert_allclose(found['effort'][:, 0], [1.0 * 0.1 * -50, 0.0])
    np.testing.assert_allclose(found['command'][:, 0], [0.0, -np.pi / 50])


def test_coupled_axes_keep_power(tmp_path):
    text = """
    time: {column: t, unit: ms}
    joints:
      pitch: {position: a, velocity: va, effort: ta}
      roll: {position: b, velocity: vb, effort: tb}
    coupling: {joints: [pitch, roll], matrix: [[0.5, 0.5], [0.25, -0.25]]}
    """
    rng = np.random.default_rng(1)
    a, b, va, vb, ta, tb = rng.normal(size=(6, 4))
    times, found = series(tmp_path, text, t=range(4), a=a, b=b, va=va, vb=vb, ta=ta, tb=tb)
    np.testing.assert_array_equal(times, [0, 1e6, 2e6, 3e6])
    np.testing.assert_allclose(found['position'], np.stack([(a + b) / 2, (a - b) / 4], axis=1))
    power = (found['velocity'] * found['effort']).sum(axis=1)
    np.testing.assert_allclose(power, va * ta + vb * tb)


def test_joints_are_in_the_order_of_the_robot(tmp_path):
    text = (
        'robot: arm6\ntime: {rate: 100}\njoints:\n  elbow: {position: b}\n  base: {position: a}\n'
    )
    chosen = mapping(tmp_path, text)
    assert chosen.names == ('base', 'elbow')
    columns = {'a': np.array([1.0, 1.0]), 'b': np.array([2.0, 2.0])}
    _, found = joint_series(Table(tmp_path / 'x', columns), chosen)
    np.testing.assert_array_equal(found['position'], [[1.0, 2.0]] * 2)


def test_every_fault_of_a_mapping_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        mapping(
            tmp_path,
            'robot: slider\n'
            'time: {column: t, rate: 5}\n'
            'joints:\n'
            '  slider:\n'
            '    position: {column: q, unit: deg}\n'
            '    effort: {column: i, unit: A, gain: 3}\n'
            '    gear_ratio: 0\n'
            '  shoulder: {position: q2}\n'
            'coupling: {joints: [slider, x], matrix: [[1]]}\n'
            'extra: 1\n',
        )
    assert {(f.field, f.line) for f in caught.value.faults} == {
        ('time.column', 2),
        ('joints.slider.effort.gain', 6),
        ('joints.slider.gear_ratio', 7),
        ('joints.shoulder', 8),
        ('coupling.joints', 9),
        ('extra', 10),
    }


@pytest.mark.parametrize(
    'joints, message',
    [
        ('slider: {position: {column: q, unit: deg}}', 'must be one of m, cm, mm, um'),
        ('slider: {position: q, effort: {column: i, unit: A}}', 'needs the torque_constant'),
        ('slider: {effort: q}', 'joints.slider.position = None: is needed'),
        ('slider: {position: {unit: m}}', 'name a column'),
        ('slider: {position: {column: q, scale: 0}}', 'must not be 0'),
        ('slider: 3', 'must be a mapping'),
    ],
)
def test_wrong_joints(tmp_path, joints, message):
    with pytest.raises(InputError, match=message):
        mapping(tmp_path, f'robot: slider\ntime: {{rate: 10}}\njoints:\n  {joints}\n')


@pytest.mark.parametrize(
    'text, message',
    [
        ('time: {rate: 10}\njoints: {a: {position: q, effort: i}, b: {position: q}}', 'b.effort'),
        (
            'robot: arm6\ntime: {rate: 10}\njoints: {base: {position: q, command: q}}',
            'a command needs every joint',
        ),
        (
            'time: {rate: 10}\njoints: {a: {position: q}, b: {position: q}}\n'
            'coupling: {joints: [a, b], matrix: [[1, 1], [1, 1]]}',
            'must be invertible',
        ),
        (
            'time: {rate: 10}\njoints: {a: {position: q}, b: {position: q}}\n'
            'coupling: {joints: [a, b], matrix: [[1, 1]]}',
            'must be 2 rows of 2 numbers',
        ),
        (
            'time: {rate: 10}\njoints: {a: {position: q}, b: {position: q}}\n'
            'coupling: {joints: [a, a], matrix: [[1, 0], [0, 1]]}',
            'list joints of this mapping, each once',
        ),
        (
            'time: {rate: 10}\njoints: {a: {position: q}, b: {position: q}}\n'
            'coupling: {joints: [[a], b], matrix: [[1, 0], [0, 1]]}',
            'list joints of this mapping, each once',
        ),
        ('time: {rate: 10}\njoints: {}', 'map each joint'),
        ('joints: {a: {position: q}}', 'time = None'),
    ],
)
def test_wrong_mappings(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        mapping(tmp_path, text)


def test_every_fault_of_a_log_is_named(tmp_path):
    text = 'time: {column: t}\njoints: {a: {position: q, velocity: v, effort: f}}\n'
    with pytest.raises(InputError) as caught:
        series(tmp_path, text, t=[0.0, 0.2, 0.1], q=[0.0, np.nan, np.nan], v=[0.0, 1.0, 2.0])
    message = str(caught.value)
    assert 'joints.a.effort.column' in message and 'log.csv has: t, q, v' in message
    assert 'row 2: column q = nan: 2 values are not finite' in message
    assert 'row 3: column t = 0.1: time must advance' in message


def test_columns_of_different_lengths_are_refused(tmp_path):
    text = 'time: {column: t}\njoints: {a: {position: q, effort: f}}\n'
    with pytest.raises(InputError, match=r"'a.effort': 3.*the same number of rows"):
        series(tmp_path, text, t=[0, 1], q=[0, 1], f=[0, 1, 2])
    with pytest.raises(InputError, match=r"'time': 3.*the same number of rows"):
        series(tmp_path, text, t=[0, 1, 2], q=[0, 1], f=[0, 1])
    _, found = series(tmp_path, text, t=[0, 1], q=[0, 1], f=[0, 1], calibration=[0, 1, 2])
    assert found['position'].shape == (2, 1)


def test_time_before_zero_is_refused(tmp_path):
    with pytest.raises(InputError, match='give time.start'):
        series(tmp_path, 'time: {column: t}\njoints: {a: {position: q}}\n', t=[-1, 0], q=[0, 1])


def test_trajectory_commands(tmp_path):
    profile = tmp_path / 'robot.yaml'
    profile.write_text(
        f'urdf: {find("robots", "slider").parents[2]}/description/slider/slider.urdf\n'
        'command: {topic: traj, type: trajectory_msgs/msg/JointTrajectory, interface: velocity}\n'
    )
    (tmp_path / 'log.csv').write_text('q,c\n0,5\n1,6\n')
    (tmp_path / 'mapping.yaml').write_text(
        f'robot: {profile}\ntime: {{rate: 10}}\n'
        'joints: {slider: {position: q, command: {column: c, unit: mm/s}}}\n'
    )
    import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')
    _, (_, command) = messages(tmp_path / 'bag', '/traj')
    assert command.joint_names == ['slider']
    np.testing.assert_allclose(command.points[0].velocities, [0.006])
    assert len(command.points[0].positions) == 0


def test_applied_commands_have_their_times(tmp_path):
    """Where the online identification hears them."""
    (tmp_path / 'log.csv').write_text('t,q,c\n1.5,0,5\n1.6,1,6\n')
    (tmp_path / 'mapping.yaml').write_text(
        'robot: slider\ntime: t\ncommands: applied\n'
        'joints: {slider: {position: q, command: {column: c, unit: mm}}}\n'.replace(
            'time: t', 'time: {column: t}'
        )
    )
    summary = import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')
    assert set(summary['topics']) == {'/joint_states', '/policy/action_applied'}
    time, command = messages(tmp_path / 'bag', '/policy/action_applied')[1]
    assert (time, command.header.stamp.sec, command.name) == (1_600_000_000, 1, ['slider'])
    np.testing.assert_allclose(command.position, [0.006])
    assert len(command.velocity) == len(command.effort) == 0


def test_imu(tmp_path):
    (tmp_path / 'log.csv').write_text('q,gx,gy,gz,ax,ay,az\n0,1,2,180,0,0,1\n1,1,2,90,0,0,2\n')
    (tmp_path / 'mapping.yaml').write_text(
        'time: {rate: 10}\njoints: {a: {position: q}}\nimu:\n'
        '  angular_velocity: {x: gx, y: gy, z: {column: gz, unit: deg/s, scale: -1}}\n'
        '  linear_acceleration: {x: ax, y: ay, z: {column: az, unit: g}}\n'
    )
    import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')
    (time, first), (_, second) = messages(tmp_path / 'bag', '/imu')
    assert time == 0
    turn = first.angular_velocity
    np.testing.assert_allclose([turn.x, turn.y, turn.z], [1.0, 2.0, -np.pi])
    assert second.linear_acceleration.z == pytest.approx(2 * 9.80665)
    assert first.orientation_covariance[0] == -1.0  # not measured


def test_half_an_imu(tmp_path):
    text = (
        'time: {rate: 10}\njoints: {a: {position: q}}\n'
        'imu: {angular_velocity: {x: gx, y: gy, z: gz}}\n'
    )
    (tmp_path / 'log.csv').write_text('q,gx,gy,gz\n0,1,2,3\n1,1,2,3\n')
    (tmp_path / 'mapping.yaml').write_text(text)
    import_log(tmp_path / 'log.csv', tmp_path / 'mapping.yaml', tmp_path / 'bag')
    _, reading = messages(tmp_path / 'bag', '/imu')[0]
    assert reading.linear_acceleration_covariance[0] == -1.0


def test_several_couplings(tmp_path):
    text = """
    time: {rate: 10}
    joints:
      a: {position: a, effort: fa}
      b: {position: b, effort: fb}
      c: {gear_ratio: 2, position: c, effort: fc}
      d: {torque_constant: 0.1, position: d, effort: {column: fd, unit: A}}
    coupling:
      - {joints: [a, b], matrix: [[0.5, 0.5], [0.5, -0.5]]}
      - {joints: [d, c], matrix: [[1, 0], [-1, 1]]}
    """
    rng = np.random.default_rng(2)
    names = ('a', 'b', 'c', 'd', 'fa', 'fb', 'fc', 'fd')
    columns = dict(zip(names, rng.normal(size=(8, 3))))
    _, found = series(tmp_path, text, **columns)
    a, b, c, d = found['position'].T
    np.testing.assert_allclose(a, (columns['a'] + columns['b']) / 2)
    np.testing.assert_allclose(b, (columns['a'] - columns['b']) / 2)
    np.testing.assert_allclose(d, columns['d'])
    np.testing.assert_allclose(c, columns['c'] / 2 - columns['d'])
    # Power is the same on both sides, whatever is between.
    motors = (('a', 'fa', 1.0), ('b', 'fb', 1.0), ('c', 'fc', 1.0), ('d', 'fd', 0.1))
    work = sum(factor * columns[q] * columns[f] for q, f, factor in motors)
    np.testing.assert_allclose((found['position'] * found['effort']).sum(axis=1), work)


def test_every_fault_of_imu_commands_and_couplings_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        mapping(
            tmp_path,
            'time: {rate: 10}\n'
            'commands: both\n'
            'joints: {a: {position: q}, b: {position: p}, c: {position: r}}\n'
            'imu:\n'
            '  angular_velocity: {x: gx, y: gy}\n'
            '  linear_acceleration:\n'
            '    x: ax\n'
            '    y: {column: ay, unit: km}\n'
            '    z: {colum: az}\n'
            '    w: aw\n'
            '  orientation: {x: ox}\n'
            'coupling:\n'
            '  - {joints: [a, b], matrix: [[1, 0], [0, 1]]}\n'
            '  - {joints: [b, c], matrix: [[1, 0], [0, 0]]}\n',
        )
    assert {(f.field, f.line) for f in caught.value.faults} == {
        ('commands', 2),
        ('imu.angular_velocity.z', 5),
        ('imu.linear_acceleration.y.unit', 8),
        ('imu.linear_acceleration.z.colum', 9),
        ('imu.linear_acceleration.z.column', 9),
        ('imu.linear_acceleration.w', 10),
        ('imu.orientation', 11),
        ('coupling.1.joints', 14),
        ('coupling.1.matrix', 14),
    }
    assert all(fault.mend and fault.file for fault in caught.value.faults)


def test_a_column_that_is_not_there_is_named_with_its_line(tmp_path):
    text = 'time: {rate: 10}\njoints:\n  a:\n    position: q\n    velocity: {column: w}\n'
    with pytest.raises(InputError) as caught:
        series(tmp_path, text, q=[0.0, 1.0])
    (fault,) = caught.value.faults
    assert (fault.field, fault.line) == ('joints.a.velocity.column', 5)
