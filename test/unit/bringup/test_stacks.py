"""Stacks: which nodes, with which parameters, and twice side by side."""

import sys

import pytest

from sim2real_bringup.catalog import CONSUMERS, NODES
from sim2real_bringup.stacks import STACKS, Process, build, check_namespace, receiver_port
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile

BAG = {'player': {'bag': 'somewhere'}}


def parameters(stack):
    return {process.name: process.parameters for process in stack.processes}


@pytest.mark.parametrize('name', STACKS)
def test_every_stack_is_settled(name):
    stack = build(name, bundle='some.onnx', settings=BAG if name == 'replay' else None)
    assert tuple(process.name for process in stack.processes) == STACKS[name].nodes
    for process in stack.processes:
        makes_time = NODES[process.name].makes_time
        assert process.parameters.get('use_sim_time') == (
            None if makes_time else STACKS[name].use_sim_time
        )


def test_command_line():
    process = Process(
        name='capture',
        module='sim2real_capture.node',
        namespace='/left',
        parameters={'before': 1e-5, 'robot': 'true', 'topics': ['a', 'b'], 'paced': True},
        remappings=(('/clock', '/left/clock'),),
        log_level='warn',
    )
    assert process.command() == [
        *(sys.executable, '-m', 'sim2real_capture.node', '--ros-args', '--log-level', 'warn'),
        *('-r', '__ns:=/left', '-r', '/clock:=/left/clock'),
        *('-p', 'before:=1e-05', '-p', 'robot:="true"', '-p', 'topics:=["a", "b"]'),
        *('-p', 'paced:=true'),
    ]


def test_two_namespaces_share_nothing():
    stacks = [build('all', namespace=n, bundle='some.onnx') for n in ('left', '/right/')]
    left, right = (parameters(stack) for stack in stacks)
    assert [p.namespace for p in stacks[1].processes] == ['/right'] * len(stacks[1].processes)
    for source, target in stacks[0].processes[0].remappings:
        assert target == f'/left{source}'
    assert left['capture']['folder'] != right['capture']['folder']
    assert left['receiver']['folder'] != right['receiver']['folder']
    assert left['receiver']['port'] != right['receiver']['port']
    for side in (left, right):
        assert side['capture']['receiver'] == f'http://127.0.0.1:{side["receiver"]["port"]}'


def test_without_a_namespace_nothing_is_remapped():
    for process in build('all', bundle='some.onnx').processes:
        assert (process.namespace, process.remappings) == ('', ())


@pytest.mark.parametrize('namespace', ['', '/left'])
def test_a_simulator_behind_the_relay_speaks_to_it_alone(namespace):
    given = dict(namespace=namespace, assignments=['relay.behind=inner'])
    found = {p.name: dict(p.remappings) for p in build('relayed', **given).processes}
    command = load_profile('arm6').command.topic
    assert (
        found['simulator'].items()
        >= {
            'joint_states': 'inner/joint_states',
            'imu': 'inner/imu',
            command: f'inner/{command}',
            '~/draw': 'inner/simulator/draw',
            '~/draw_applied': 'inner/simulator/draw_applied',
        }.items()
    )
    assert 'joint_states' not in found['relay'] | found['visualizer']
    with pytest.raises(InputError, match='relay.behind'):
        build('relayed', assignments=['relay.behind=/abs'])


def test_a_robot_of_ones_own_brings_its_space(tmp_path):
    def randomizer():
        stack = build('workstation', nodes=['randomizer'], robot=str(tmp_path / 'mine.yaml'))
        return parameters(stack)['randomizer']['space']

    arm6 = load_profile('arm6')
    text = arm6.path.read_text().replace('name: arm6', 'name: mine')
    text = text.replace('../../description/arm6/arm6.urdf', str(arm6.urdf.path))
    (tmp_path / 'mine.yaml').write_text(text)
    assert randomizer().endswith('randomization/none.yaml')
    (tmp_path / 'mine.yaml').write_text(text.replace('name: mine', 'name: arm6'))
    assert randomizer().endswith('randomization/arm6.yaml')
    beside = tmp_path / 'mine_space.yaml'
    beside.write_text('parameters: {}\n')
    assert randomizer() == str(beside)
    beside.write_text('parameters: {joint.nope.armature: {distribution: constant, value: 1}}\n')
    with pytest.raises(InputError, match=r'mine_space.yaml:1: parameters'):
        randomizer()


def test_what_comes_later_wins(tmp_path):
    file = tmp_path / 'params.yaml'
    file.write_text('/**:\n  ros__parameters: {robot: slider}\n')
    given = dict(nodes=['sysid'], params_file=file)
    assert parameters(build('robot', **given))['sysid']['robot'] == 'slider'
    assert parameters(build('robot', robot='arm6', **given))['sysid']['robot'] == 'arm6'
    assigned = build('robot', robot='arm6', assignments=['sysid.robot=mine.yaml'], **given)
    assert parameters(assigned)['sysid']['robot'] == 'mine.yaml'


@pytest.mark.parametrize('namespace', ['', 'left'])
def test_capture_finds_the_receiver_wherever_it_was_put(namespace):
    assigned = ['receiver.port=9000', 'receiver.host=10.0.0.1', 'receiver.folder=/data']
    stack = parameters(build('all', bundle='some.onnx', namespace=namespace, assignments=assigned))
    assert stack['capture']['receiver'] == 'http://10.0.0.1:9000'
    assert stack['receiver']['folder'] == '/data'
    with pytest.raises(InputError, match='receiver.port = 0: capture must know it'):
        build('all', bundle='some.onnx', assignments=['receiver.port=0'])


def test_use_sim_time(tmp_path):
    file = tmp_path / 'params.yaml'
    file.write_text('/**:\n  ros__parameters: {use_sim_time: true}\n')

    def found(**given):
        stack = build('replay', bundle='b', params_file=file, settings=BAG, **given)
        return {p.name: p.parameters.get('use_sim_time') for p in stack.processes}

    assert found() == {'player': None, 'sysid': True, 'policy': True, 'capture': True}
    assert found(use_sim_time=False)['sysid'] is False  # a given argument wins
    assert found(assignments=['sysid.use_sim_time=false'])['sysid'] is False
    file.write_text('/**:\n  ros__parameters:\n    use_sim_time: "yes"\n')
    with pytest.raises(InputError, match=r'params.yaml:3: sysid.use_sim_time = .yes.: must be'):
        found()
    with pytest.raises(InputError, match='player has: robot'):
        build('replay', settings=BAG, assignments=['player.use_sim_time=true'])


def test_a_replay_needs_a_bag_and_keeps_its_clips_apart():
    with pytest.raises(InputError, match=r'player.bag = .*: name the bag'):
        build('replay', nodes=['sysid'])
    real = parameters(build('robot', nodes=['capture'], namespace='left'))['capture']
    shipping = {'capture': {'receiver': 'http://host:1'}}
    assert parameters(build('robot', nodes=['capture'], settings=shipping))['capture']['receiver']
    replayed = parameters(build('replay', nodes=['capture'], namespace='left', bag='some/bag'))
    assert replayed['player']['bag'] == 'some/bag'
    assert replayed['capture']['folder'] != real['folder']
    assert replayed['capture']['receiver'] == ''


def test_a_replay_paces_its_consumers():
    stack = build('replay', nodes=['sysid'], settings=BAG)
    assert parameters(stack)['player']['pace_consumers'] == ['sysid']
    assert parameters(stack)['sysid']['paced'] is True
    assert [process.finishes for process in stack.processes] == [True, False]


def test_consumers_acknowledge():
    for name in CONSUMERS:
        assert 'pace' in {topic.name for topic in NODES[name].publishes}
        assert 'paced' in {row.name for row in NODES[name].config().table()}


def test_without_a_bundle_for_the_robot_it_is_asked_for():
    with pytest.raises(InputError, match=r'policy.bundle.*none ships for slider'):
        build('robot', robot='slider')
    assert len(build('robot', robot='slider', nodes=['sysid', 'capture']).processes) == 2


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(name='robots'), 'must be one of sim'),
        (dict(name='sim', nodes=['sysid']), 'stack sim has: simulator, visualizer'),
        (dict(name='sim', namespace='7up'), 'not starting with a digit'),
        (dict(name='sim', log_level='loud'), 'one of debug'),
        (dict(name='sim', params_file='none.yaml'), 'readable file'),
        (dict(name='sim', assignments=['simulator.seed=-1']), 'at least 0'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        build(**arguments)


@pytest.mark.parametrize(
    'given, meant', [('', ''), ('/', ''), ('left', '/left'), ('/a/b_2/', '/a/b_2')]
)
def test_namespaces(given, meant):
    assert check_namespace(given) == meant


def test_ports():
    assert receiver_port(8378, '') == 8378
    assert 8378 < receiver_port(8378, '/left') <= 9378
