"""Parameter files in ROS's format, checked before anything starts."""

import pytest

from sim2real_bringup.parameters import Parameters
from sim2real_core.errors import InputError


def read(tmp_path, text, namespace=''):
    path = tmp_path / 'params.yaml'
    path.write_text(text)
    parameters = Parameters(namespace)
    parameters.read(path)
    return parameters


@pytest.mark.parametrize(
    'pattern, namespace, meant',
    [
        ('/**', '', True),
        ('/**', '/left', True),
        ('/**/capture', '', True),
        ('/**/capture', '/left/arm', True),
        ('/*/capture', '/left', True),
        ('/*/capture', '', False),
        ('/left/capture', '/left', True),
        ('/left/capture', '/right', False),
        ('capture', '/left', True),
        ('/capture', '', True),
        ('/capture', '/left', False),
        ('/left/**', '/left', True),
        ('/left/**', '/right', False),
    ],
)
def test_which_nodes_a_section_means(tmp_path, pattern, namespace, meant):
    text = f'{pattern}:\n  ros__parameters: {{before: 2.5}}\n'
    values = read(tmp_path, text, namespace).values
    assert values['capture'] == ({'before': 2.5} if meant else {})
    assert values['sysid'] == {}


def test_namespaces_may_be_nested(tmp_path):
    text = 'left:\n  capture:\n    ros__parameters: {before: 2.5}\n'
    assert read(tmp_path, text, '/left').values['capture'] == {'before': 2.5}
    assert read(tmp_path, text, '/right').values['capture'] == {}


def test_what_is_meant_for_one_node_wins(tmp_path):
    text = (
        '/**/capture:\n  ros__parameters: {robot: slider}\n'
        '/**:\n  ros__parameters: {robot: arm6}\n'
    )
    values = read(tmp_path, text).values
    assert values['capture']['robot'] == 'slider'
    assert values['sysid']['robot'] == 'arm6'
    assert 'robot' not in values['receiver']  # it has no such parameter


def test_every_fault_is_named_with_its_line(tmp_path):
    parameters = read(
        tmp_path,
        '/**:\n  ros__parameters:\n    robbot: arm6\n'
        '/**/captur:\n  ros__parameters: {before: 1.0}\n'
        '/**/capture:\n  ros__parameters:\n    befor: 1.0\n    after: soon\n    before: -1\n'
        'policy: 7\n',
    )
    with pytest.raises(InputError) as caught:
        parameters.check(('capture',))
    named = {(fault.field, fault.line) for fault in caught.value.faults}
    assert named == {
        ('robbot', 3),
        ('/**/captur', 4),
        ('befor', 8),
        ('capture.after', 9),
        ('capture.before', 10),
        ('policy', 11),
    }
    assert 'did you mean capture?' in str(caught.value)


def test_assignments():
    parameters = Parameters('')
    parameters.assign('capture.before=2.0')
    parameters.assign('**.robot=slider')
    parameters.assign('capture.topics=[a, b]')
    assert parameters.values['capture'] == {
        'before': 2.0,
        'robot': 'slider',
        'topics': ['a', 'b'],
    }
    assert parameters.values['sysid'] == {'robot': 'slider'}
    parameters.check(('capture', 'sysid'))


@pytest.mark.parametrize(
    'text, mend',
    [
        ('before=1', 'must be like'),
        ('captur.before=1', 'nodes are'),
        ('capture.befor=1', 'capture has'),
        ('capture.before=[', 'not YAML'),
        ('capture.before=-1', 'at least 0'),
    ],
)
def test_wrong_assignments(text, mend):
    parameters = Parameters('')
    parameters.assign(text)
    with pytest.raises(InputError, match=mend):
        parameters.check(('capture',))
