"""Every test run has a ROS domain of its own, on this machine only."""

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).parent
_reserved = contextlib.ExitStack()


def pytest_configure(config):
    """Reserve a free domain for as long as this process runs (each xdist worker has its own)."""
    config.add_cleanup(_reserved.close)
    os.environ['MPLBACKEND'] = 'Agg'
    if os.environ.get('ROS_DISTRO') == 'humble':
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    else:
        os.environ.pop('ROS_LOCALHOST_ONLY', None)  # deprecated, and would hide the next one
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    try:
        from domain_coordinator import domain_id
    except ImportError:
        return  # no ROS here: the unit tests need none
    os.environ['ROS_DOMAIN_ID'] = str(_reserved.enter_context(domain_id()))


def pytest_collection_modifyitems(items):
    """What has processes of its own runs one after the other, beside the rest (loadgroup)."""
    for item in items:
        folder, file = item.path.parent.relative_to(HERE).parts[:1], item.path.name
        gazebo = 'gazebo' in file or 'gz' in file or file == 'test_classic_world.py'
        if gazebo or folder in (('node',), ('launch',)):
            item.add_marker(pytest.mark.xdist_group('processes'))


def pytest_report_header(config):
    """Name the domain, so that a test can be watched from outside."""
    return f'ROS_DOMAIN_ID: {os.environ.get("ROS_DOMAIN_ID", "none")}'


@pytest.fixture(scope='session', name='joint_states_in')
def fixture_joint_states_in():
    """Reads JointStates from a clip: time (n,) [s], and positions (n,) by joint."""
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    def read(folder, topic='/joint_states'):
        with AnyReader([folder], default_typestore=get_typestore(Stores.LATEST)) as reader:
            wanted = [c for c in reader.connections if c.topic == topic]
            rows = [(t, reader.deserialize(d, c.msgtype)) for c, t, d in reader.messages(wanted)]
        names = rows[0][1].name
        position = {n: np.array([m.position[m.name.index(n)] for _, m in rows]) for n in names}
        return SimpleNamespace(time=np.array([t * 1e-9 for t, _ in rows]), position=position)

    return read
