"""Records whose bytes are real CDR, made without ROS."""

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from sim2real_capture.clip import Context, Journal
from sim2real_capture.clip_sealing import seal
from sim2real_capture.ring import Record
from sim2real_core.records import Event

JOINT_STATE = 'sensor_msgs/msg/JointState'
SECOND = 10**9


@pytest.fixture(scope='session')
def store():
    """Message classes and their serialization."""
    return get_typestore(Stores.LATEST)


@pytest.fixture(scope='session')
def joint_state(store):
    """Makes a joint state record: stamp [s], positions by name."""

    def make(stamp, **positions):
        t = store.types
        now = round(stamp * SECOND)
        message = t[JOINT_STATE](
            header=t['std_msgs/msg/Header'](
                stamp=t['builtin_interfaces/msg/Time'](sec=now // SECOND, nanosec=now % SECOND),
                frame_id='',
            ),
            name=list(positions),
            position=np.array(list(positions.values()), dtype=float),
            velocity=np.zeros(0),
            effort=np.zeros(0),
        )
        data = bytes(store.serialize_cdr(message, JOINT_STATE))
        return Record('/joint_states', JOINT_STATE, now, data)

    return make


@pytest.fixture(scope='session')
def ros_image(store):
    """Makes the bytes of an Image: its pixels count up, its rows may be filled up."""

    def make(kind, stamp=0, height=5, width=4, encoding='rgb8', size=3, fill=0, data=None, big=0):
        t = store.types
        header = t['std_msgs/msg/Header'](
            stamp=t['builtin_interfaces/msg/Time'](sec=stamp, nanosec=0), frame_id='eye'
        )
        if data is None:
            data = np.arange(height * width * size) % 256
        rows = np.zeros((height, width * size + fill), np.uint8)
        rows[:, : width * size] = np.reshape(data, (height, width * size))
        step = width * size + fill
        message = t[kind](header, height, width, encoding, big, step, rows.ravel())
        return bytes(store.serialize_cdr(message, kind))

    return make


@pytest.fixture
def event():
    """What went wrong."""
    return Event(11.5, 'tracking_error', 1 / 3, 0.25, detail='elbow')


@pytest.fixture
def context():
    """What was in force."""
    estimate = {'joint.elbow.armature': {'mean': 0.1}}
    return Context('arm6', 'f' * 64, 'b' * 64, {'seed': 3}, estimate, ('/goal',))


@pytest.fixture
def journal(tmp_path, context, event, joint_state):
    """A journal of 200 joint states over two seconds and one string, not yet closed."""
    from datetime import datetime, timezone

    made = Journal(
        tmp_path, 'clip-1', context, datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)
    )
    made.event(event)
    made.message(Record('/goal', 'std_msgs/msg/String', 10 * SECOND, b'\0\1\0\0\3\0\0\0up\0'))
    for i in range(200):
        made.message(joint_state(10 + 0.01 * i, elbow=0.1 * i, wrist=-1.0))
    yield made
    made.release()


@pytest.fixture
def clip(journal):
    """A sealed clip's folder."""
    journal.close('complete', dropped=2)
    return seal(journal.folder)
