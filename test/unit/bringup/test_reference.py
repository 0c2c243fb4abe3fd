"""The documentation says what the code says."""

from pathlib import Path

import pytest
import yaml

from sim2real_bringup.catalog import NODES, TF, TF_STATIC, topic_name
from sim2real_bringup.reference import BEGIN, END, renewed, tables
from sim2real_bringup.stacks import STACKS
from sim2real_capture.detectors_kinds import KINDS
from sim2real_capture.rules import Rule
from sim2real_core.files import share
from sim2real_core.profile import load_profile

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize('name', ['README.md', 'docs/reference.md'])
def test_committed_tables_are_current(name):
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f'no {name} in this checkout')
    text = path.read_text(encoding='utf-8')
    assert text == renewed(text), f'run: python -m sim2real_bringup.reference {name}'


def test_tables_stand_where_the_text_wants_them():
    text = f'before\n{BEGIN}\nold\n{END}\nafter\n'
    assert renewed(text) == f'before\n{BEGIN}\n\n{tables()}\n\n{END}\nafter\n'
    assert renewed('no tables') == 'no tables'


def test_tables_tell_all():
    text = tables()
    for kind in NODES.values():
        for row in kind.config().table():
            assert f'| `{row.name}` |' in text
            assert row.description and row.description.endswith('.')
    for settings in (Rule, *(kind.settings for kind in KINDS.values())):
        for row in settings.table():
            assert f'| `{row.name}` |' in text and row.description.endswith('.')


def test_nodes_of_stacks_are_known_and_each_node_runs_somewhere():
    assert {node for kind in STACKS.values() for node in kind.nodes} == set(NODES)


def _topics(displays):
    for display in displays:
        for key in ('Topic', 'Description Topic'):
            if key in display:
                yield display['Class'].split('/')[1], display[key]


def test_rviz_shows_what_a_stack_publishes():
    config = yaml.safe_load((share() / 'config' / 'rviz' / 'sim2real.rviz').read_text())
    manager = config['Visualization Manager']
    profile = load_profile('arm6')
    published = {topic_name(t, profile): t for k in NODES.values() for t in k.publishes}
    kinds = {
        'RobotModel': 'std_msgs/msg/String',
        'MarkerArray': 'visualization_msgs/msg/MarkerArray',
        'Image': 'sensor_msgs/msg/Image',
    }
    shown = dict(_topics(manager['Displays']))
    assert set(shown) == set(kinds)
    for display, topic in shown.items():
        found = published[topic['Value'].lstrip('/')]
        assert found.type == kinds[display]
        assert (topic['Durability Policy'] == 'Transient Local') == found.latched
    classes = {display['Class'].split('/')[1] for display in manager['Displays']}
    assert classes >= {'Grid', 'RobotModel', 'TF', 'MarkerArray'}
    assert {TF, TF_STATIC} <= {t for k in NODES.values() for t in k.publishes}
    assert manager['Global Options']['Fixed Frame'] == profile.base_link
