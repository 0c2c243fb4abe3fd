"""Bags, read and written without ROS."""

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sim2real_bringup.bags import BagWriter, header_stamp, open_bag, summary
from sim2real_core.errors import InputError

STORE = get_typestore(Stores.LATEST)
KIND = 'sensor_msgs/msg/JointState'


def state(time):
    types = STORE.types
    stamp = types['builtin_interfaces/msg/Time'](*divmod(time, 10**9))
    none = np.zeros(0)
    message = types[KIND](types['std_msgs/msg/Header'](stamp, ''), ['a'], none, none, none)
    return bytes(STORE.serialize_cdr(message, KIND))


def write(path, times=(10, 20, 30)):
    with BagWriter(path) as bag:
        bag.topic('/joint_states', KIND)
        bag.topic('/description', 'std_msgs/msg/String', latched=True)
        for time in times:
            bag.write('/joint_states', time, state(time))


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / 'bag')
    for path in (tmp_path / 'bag', tmp_path / 'bag' / 'bag.mcap'):
        with open_bag(path) as bag:
            assert (bag.start, bag.end) == (10, 30)
            assert bag.topics['/joint_states'].messages == 3
            assert bag.topics['/description'].latched
            assert not bag.topics['/joint_states'].latched
            found = list(bag.messages(['/joint_states'], start=20, stop=30))
        assert [(m.topic, m.type, m.time, m.data) for m in found] == [
            ('/joint_states', KIND, 20, state(20))
        ]
    assert summary(tmp_path / 'bag')['messages'] == 3


def test_what_was_in_force(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.topic('/spoken', KIND)
        bag.topic('/goal', KIND, latched=True)
        bag.topic('/draw', KIND, latched=True)
        for topic, time in (
            ('/goal', 1),
            ('/spoken', 2),
            ('/goal', 3),
            ('/draw', 4),
            ('/goal', 9),
        ):
            bag.write(topic, time, state(time))
    with open_bag(tmp_path / 'bag') as bag:
        for before, meant in ((9, [('/goal', 3), ('/draw', 4)]), (1, [])):
            assert [(m.topic, m.time) for m in bag.latched(bag.topics, before)] == meant


def test_sqlite(tmp_path):
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.SQLITE3) as bag:
        connection = bag.add_connection('/joint_states', KIND, typestore=STORE)
        bag.write(connection, 7, state(7))
    with open_bag(tmp_path / 'bag') as opened:
        assert [header_stamp(m.data) for m in opened.messages()] == [7]


@pytest.mark.parametrize('time', [0, 7, 1_700_000_000_123_456_789])
def test_header_stamp(time):
    assert header_stamp(state(time)) == time


def test_the_stamp_of_a_big_endian_message():
    assert (
        header_stamp(b'\x00\x00\x00\x00' + b'\x00\x00\x00\x01' + b'\x00\x00\x00\x02') == 10**9 + 2
    )


def test_an_empty_bag(tmp_path):
    write(tmp_path / 'bag', times=())
    with open_bag(tmp_path / 'bag') as bag:
        assert (bag.start, bag.end) == (0, 0)
        assert list(bag.messages()) == []
        assert list(bag.messages(['/nothing'])) == []


def test_nothing_is_overwritten(tmp_path):
    write(tmp_path / 'bag')
    with pytest.raises(InputError, match='exists'):
        BagWriter(tmp_path / 'bag')


def test_a_bag_that_failed_does_not_appear(tmp_path):
    with pytest.raises(KeyError), BagWriter(tmp_path / 'bag') as bag:
        bag.write('/unknown', 0, b'')
    assert list(tmp_path.iterdir()) == []


def test_what_lies_beside_a_bag_stays(tmp_path):
    (tmp_path / 'bag.part').mkdir()
    write(tmp_path / 'bag')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag', 'bag.part']


def test_an_unknown_type_is_refused(tmp_path):
    with pytest.raises(InputError, match='must be installed'), BagWriter(tmp_path / 'bag') as bag:
        bag.topic('/x', 'no_such_msgs/msg/Thing')


def test_what_is_no_bag(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        open_bag(tmp_path / 'none').__enter__()
    with pytest.raises(InputError, match='give a rosbag2 folder'):
        open_bag(tmp_path).__enter__()
    (tmp_path / 'broken.mcap').write_bytes(b'rubbish')
    with pytest.raises(InputError, match='not a readable rosbag2'):
        open_bag(tmp_path / 'broken.mcap').__enter__()


def test_a_damaged_bag_is_named(tmp_path):
    write(tmp_path / 'bag', times=range(1, 2000))
    file = tmp_path / 'bag' / 'bag.mcap'
    data = bytearray(file.read_bytes())
    data[3000:30000] = bytes(27000)
    file.write_bytes(data)
    with (
        pytest.raises(InputError, match='not a readable rosbag2'),
        open_bag(tmp_path / 'bag') as bag,
    ):
        list(bag.messages())
