"""The catalog of nodes."""

from pathlib import Path

import pytest

from sim2real_bringup import executables
from sim2real_bringup.catalog import NODES, topic_name
from sim2real_core.profile import load_profile

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize('kind', NODES.values(), ids=NODES)
def test_each_node_has_its_executable(kind):
    assert getattr(executables, kind.name).args == (kind.module,)
    listed = f"'{kind.name} = sim2real_bringup.executables:{kind.name}'"
    assert listed in (ROOT / 'setup.py').read_text()


@pytest.mark.parametrize('kind', NODES.values(), ids=NODES)
def test_each_node_is_described(kind):
    assert kind.purpose
    assert kind.config()().table()


def test_topics_are_named_as_the_robot_says():
    profile = load_profile('arm6')
    for kind in NODES.values():
        names = [topic_name(topic, profile) for topic in (*kind.publishes, *kind.subscribes)]
        assert profile.topics.joint_states in names or kind.name in (
            'randomizer',
            'receiver',
            'gazebo_draws',
        )
        assert not any('{' in name for name in names)
