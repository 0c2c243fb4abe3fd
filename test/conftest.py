"""Every file of tests has a ROS domain of its own, on this machine only."""

import contextlib
import gc
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).parent
_reserved = contextlib.ExitStack()


@contextlib.contextmanager
def own_domain():
    """A ROS domain for this process and those it starts, and for nobody else meanwhile."""
    try:
        from domain_coordinator import domain_id
    except ImportError:
        yield  # no ROS here: the unit tests need none
        return
    before = {k: v for k, v in os.environ.items() if k == 'ROS_DOMAIN_ID'}
    with domain_id() as free:
        os.environ['ROS_DOMAIN_ID'] = str(free)
        yield
    del os.environ['ROS_DOMAIN_ID']
    os.environ.update(before)


def pytest_configure(config):
    """Stay on this machine, in a domain that nobody uses, and off its screen."""
    config.add_cleanup(_reserved.close)
    os.environ['MPLBACKEND'] = 'Agg'
    if os.environ.get('ROS_DISTRO') == 'humble':
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    else:
        os.environ.pop('ROS_LOCALHOST_ONLY', None)  # deprecated, and would hide the next one
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    _reserved.enter_context(own_domain())  # for launch tests, which know no fixtures


@pytest.fixture(scope='module', autouse=True)
def fixture_domain():
    """What the tests of a file kill or leave behind is not seen by those of the next."""
    with own_domain():
        yield
    if participants():
        gc.collect()  # nodes whose parameters were wrong
    left = participants()
    assert not left, f'{left} participants were not destroyed: on one machine 32 find each other'


def participants():
    """Of this process, in Fast DDS, counted by the threads that serve them."""
    found = 0
    for thread in Path('/proc/self/task').glob('*/comm'):
        with contextlib.suppress(OSError):  # it has ended
            found += thread.read_text().startswith('dds.ev')
    return found


def pytest_collection_modifyitems(items):
    """What has processes of its own runs one after the other, beside the rest (loadgroup)."""
    for item in items:
        folder, file = item.path.parent.relative_to(HERE).parts[:1], item.path.name
        gazebo = 'gazebo' in file or 'gz' in file or file == 'test_classic_world.py'
        if gazebo or folder in (('node',), ('launch',)):
            item.add_marker(pytest.mark.xdist_group('processes'))


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
