"""Modern Gazebo without a Gazebo: its real message classes, and a ``gz`` command that is ours.

The classes come from the set-up (``.venv/gz-messages``) or from an installed Gazebo.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sim2real_core.errors import InputError, MissingError
from sim2real_sim.gz import messages, requester
from sim2real_sim.gz.entities import Snapshot, as_frame, inertial_value, quaternion, rotation
from sim2real_sim.gz.requests import Requests
from sim2real_sim.gz.server import Server
from sim2real_sim.gz.world import GzWorld, near
from sim2real_sim.world import Pose, WorldError

FOLDER = Path(requester.__file__).parent
MESSAGES = Path(sys.prefix) / 'gz-messages'
PATHS = [str(MESSAGES), *filter(None, [os.environ.get('PYTHONPATH')])]
# Builds messages of every kind with the real classes; unknown fields and types are errors.
BUILD = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
sys.argv = ['-c'] + sys.argv[2:]
import requester
known = requester.Messages()
for kind, content in json.loads(sys.argv[1]):
    message = known.build(kind, content)
    from google.protobuf import text_format
    again = text_format.Parse(requester._text(message), type(message)())
    assert again == message
    print(json.dumps(known.content(message)))
"""
FAKE = """#!{python}
import sys, time, os, json
words = sys.argv[1:]
with open({log!r}, 'a') as log:
    log.write(json.dumps(words) + '\\n')
if words[0] == 'sim':
    print('Gazebo Sim, version 8.0.0')
elif words[:2] == ['service', '-l']:
    print('/world/lab/set_physics/blocking')
elif words[0] == 'service':
    service = words[2]
    if 'slow' in service:
        time.sleep(60)
    elif 'mute' in service:
        print('Service call timed out')
    elif service.endswith('/state'):
        print(open({state!r}).read())
    else:
        print('data: ' + ('false' if 'refuse' in service else 'true'))
"""
POSE = Pose((1.0, -2.0, 3.0), (0.0, 0.6, 0.0, 0.8))
LIGHT = {'name': 'sun', 'diffuse': {'r': 0.5, 'g': 0.5, 'b': 0.5, 'a': 1.0}, 'range': 10.0}


def needs_messages():
    probe = 'import requester; requester.Messages()'
    done = subprocess.run(
        [sys.executable, '-c', probe], cwd=FOLDER, env=environment(), capture_output=True
    )
    if done.returncode:
        pytest.skip('no gz.msgs: run `make env`, or install a Gazebo')


def environment(**more):
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(PATHS), **more}


def built(*asked):
    """What the real classes make of messages."""
    needs_messages()
    done = subprocess.run(
        [sys.executable, '-c', BUILD, str(FOLDER), json.dumps(asked)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_messages_are_what_gazebo_knows():
    present = {'max_step_size': 0.002, 'real_time_factor': 1.0}
    factory, entity, pose, control, physics, light, visual, plugin = built(
        ('EntityFactory', messages.factory('box', '<sdf/>', POSE)),
        ('Entity', messages.entity('box')),
        ('Pose', messages.pose(POSE, 'box')),
        ('WorldControl', messages.control(steps=7)),
        ('Physics', messages.physics(present, (0.0, 0.1, -9.8), {'world.gravity.z': -1.6})),
        ('Light', messages.light(LIGHT, {'color.g': 0.25, 'direction.z': -1.0, 'intensity': 2.0})),
        ('Visual', messages.visual('v', 'link', (0.1, 0.2, 0.3, 1.0))),
        ('EntityPlugin_V', messages.joint_force(7, 'hinge')),
    )
    assert (factory['name'], factory['sdf'], factory['allow_renaming']) == ('box', '<sdf/>', False)
    assert factory['pose']['position'] == {'x': 1.0, 'y': -2.0, 'z': 3.0}
    assert factory['pose']['orientation'] == {'x': 0.0, 'y': 0.6, 'z': 0.0, 'w': 0.8}
    assert (entity['name'], entity['type']) == ('box', 'MODEL')
    assert pose['name'] == 'box' and pose['position']['z'] == 3.0
    assert control['pause'] and control['multi_step'] == 7 and 'reset' not in control
    # Whoever sends gravity alone gets another step and rate from some releases.
    assert physics['gravity'] == {'x': 0.0, 'y': 0.1, 'z': -1.6}
    assert (physics['max_step_size'], physics['real_time_factor']) == (0.002, 1.0)
    assert light['diffuse'] == pytest.approx({'r': 0.5, 'g': 0.25, 'b': 0.5, 'a': 1.0})
    assert light['direction']['z'] == -1.0 and light['intensity'] == 2.0
    assert light['range'] == 10.0
    assert visual['parent_name'] == 'link'
    assert visual['material']['diffuse']['g'] == pytest.approx(0.2)
    assert plugin['entity']['id'] == '7' and 'hinge' in plugin['plugins'][0]['innerxml']


def test_components_are_numbered_as_gazebo_does():
    # FNV-1a of the empty text and of 'a' are published test values.
    assert requester.component_id('') != requester.component_id('Name')
    value = requester.BASIS
    for byte in b'a':
        value = ((value ^ byte) * requester.PRIME) % 2**64
    assert value == 0xAF63DC4C8601EC8C


def parts(number, parent, name, **more):
    return number, {'ParentEntity': str(parent), 'Name': name, **more}


def lab():
    """State of a world with a model of two links, one of them in a model inside."""
    turned = '0 0 1 0 0 1.5707963267948966'
    entities = dict(
        (
            (
                1,
                {
                    'World': True,
                    'Name': 'lab',
                    'Gravity': '0 0 -9.8',
                    'Physics': {'max_step_size': 0.001, 'real_time_factor': 1.0},
                    'PhysicsEnginePlugin': 'engine',
                },
            ),
            parts(2, 1, 'arm', Model=True, Pose=turned, ModelSdf='<sdf/>'),
            parts(3, 2, 'base', Link=True, Pose='1 0 0 0 0 0', WorldLinearVelocity='1 2 3'),
            parts(4, 2, 'hand', Model=True, Pose='0 1 0 0 0 1.5707963267948966'),
            parts(5, 4, 'tip', Link=True, Pose='1 0 0 0 0 0'),
            parts(
                6,
                2,
                'j',
                Joint=True,
                JointAxis={'damping': 0.5},
                JointPosition={'data': [0.25]},
                JointVelocity={'data': [-1.0]},
            ),
            parts(7, 2, 'fixed', Joint=True),
        )
    )
    stats = {'sim_time': {'sec': '2', 'nsec': 500000000}, 'real_time': {}, 'paused': True}
    return {'stats': stats, 'entities': {str(n): e for n, e in entities.items()}}


def test_a_snapshot_composes_poses_and_reads_joints():
    snapshot = Snapshot(lab())
    state = snapshot.state(snapshot.models['arm'])
    assert state.time == 2.5 and snapshot.paused
    assert state.links['base'].pose.position == pytest.approx((0.0, 1.0, 1.0))
    assert state.links['base'].linear == (1.0, 2.0, 3.0)
    assert state.links['hand::tip'].pose.position == pytest.approx((-2.0, 0.0, 1.0))
    assert state.links['hand::tip'].pose.orientation == pytest.approx((0, 0, 1, 0), abs=1e-9)
    assert state.joints == {'j': (0.25, -1.0)}
    missing = {(number, name) for number, name, _, _ in snapshot.unobserved(2)}
    assert missing == {
        (3, 'WorldAngularVelocity'),
        (5, 'WorldAngularVelocity'),
        (5, 'WorldLinearVelocity'),
    }
    assert (3, 'WorldLinearVelocity') in snapshot.observed()


def test_rotations_agree():
    generator = np.random.default_rng(1)
    for _ in range(50):
        q = generator.normal(size=4)
        q *= np.sign(q[3]) / np.linalg.norm(q)
        turn = rotation(dict(zip('xyzw', q)))
        np.testing.assert_allclose(quaternion(turn), q, atol=1e-12)
    frame = as_frame('1 2 3 0 0 3.141592653589793')
    assert frame.quaternion == pytest.approx((0, 0, 1, 0), abs=1e-12)
    assert near(POSE, Pose(POSE.position, tuple(-x for x in POSE.orientation)))
    assert not near(POSE, Pose((1.0, -2.0, 3.001), POSE.orientation))


def test_an_inertial_says_each_quantity():
    inertial = {'mass': 2.0, 'pose': {'position': {'x': 0.1, 'y': 0.0, 'z': 0.0}}, 'ixy': 0.5}
    assert inertial_value(inertial, 'mass') == 2.0
    assert inertial_value(inertial, 'com.x') == 0.1
    assert inertial_value(inertial, 'inertia.xy') == 0.5


STATE = """
stats {{ sim_time {{ sec: 1 }} paused: true }}
state {{
  entities {{ key: 1 value {{ id: 1
    components {{ key: 1 value {{ type: {World} component: "" }} }}
    components {{ key: 2 value {{ type: {Name} component: "lab" }} }}
    components {{ key: 3 value {{ type: {Gravity} component: "0 0 -9.8" }} }} }} }}
}}
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A folder with a ``gz`` of ours in it, and what leads the requester there."""
    needs_messages()
    numbers = {n: requester.component_id(n) for n in ('World', 'Name', 'Gravity')}
    (tmp_path / 'state').write_text(STATE.format(**numbers))
    command = tmp_path / 'gz'
    log, state = str(tmp_path / 'log'), str(tmp_path / 'state')
    command.write_text(FAKE.format(python=sys.executable, log=log, state=state))
    command.chmod(0o755)
    return environment(
        PATH=f'{tmp_path}{os.pathsep}{os.environ["PATH"]}', PYTHONPATH=str(MESSAGES)
    )


@pytest.fixture
def requests(fake):
    if not MESSAGES.is_dir():
        pytest.skip('the binding of an installed Gazebo is taken before its command')
    opened = Requests(environment=fake)
    yield opened
    opened.close()


def test_the_command_serves_where_there_is_no_binding(requests, tmp_path):
    assert requests.about == {'gazebo': 'gz-sim 8.0.0', 'transport': 'command'}
    assert requests.call('services', 5.0) == ['/world/lab/set_physics/blocking']
    requests.request('/world/lab/remove/blocking', 'Entity', messages.entity('a "b"'), 5.0)
    words = json.loads((tmp_path / 'log').read_text().splitlines()[-1])
    assert words[:3] == ['service', '-s', '/world/lab/remove/blocking']
    assert words[words.index('--reqtype') + 1] == 'gz.msgs.Entity'
    assert words[words.index('--reptype') + 1] == 'gz.msgs.Boolean'
    assert 'a \\"b\\"' in words[-1] and 'MODEL' in words[-1]
    state = requests.call(
        'state', 5.0, service='/world/lab/state', components={'World': '', 'Gravity': 'text'}
    )
    assert state['entities'] == {'1': {'World': True, 'Gravity': '0 0 -9.8'}}
    requests.call('publish', 5.0, topic='/t', kind='Double', message={'data': 2.5})
    assert 'data: 2.5' in (tmp_path / 'log').read_text().splitlines()[-1]


def test_who_refuses_or_is_silent_is_named_within_the_deadline(requests):
    with pytest.raises(WorldError, match='/refuse/blocking refused'):
        requests.request('/refuse/blocking', 'Entity', {}, 5.0)
    with pytest.raises(WorldError, match='/mute'):
        requests.request('/mute', 'Entity', {}, 5.0)
    begin = time.monotonic()
    with pytest.raises(WorldError, match='/slow: no answer within 0.2 s'):
        requests.request('/slow', 'Entity', {}, 0.2)
    assert time.monotonic() - begin < 10.0
    # The process that was stuck was replaced.
    assert requests.request('/fine', 'Entity', {}, 5.0) == {'data': True}


def test_a_process_that_died_is_replaced(requests):
    requests._process.kill()
    requests._process.wait()
    with pytest.raises(WorldError, match='/fine'):
        requests.request('/fine', 'Entity', {}, 5.0)
    assert requests.request('/fine', 'Entity', {}, 5.0) == {'data': True}


def test_without_gazebo_it_says_what_to_install(monkeypatch, tmp_path):
    with pytest.raises(MissingError, match='python3-gz-transport13'):
        Requests(environment={'PYTHONPATH': '', 'PATH': str(tmp_path)})
    with pytest.raises(MissingError, match='no modern Gazebo'):
        Requests(python=str(tmp_path / 'python'))
    (tmp_path / 'world.sdf').write_text('<sdf/>')
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(MissingError, match='gz-harmonic'):
        Server(tmp_path / 'world.sdf')
    with pytest.raises(InputError, match='existing world'):
        Server(tmp_path / 'none.sdf')


def test_routes_are_services_where_they_exist():
    world = GzWorld.__new__(GzWorld)
    assert world.routes('world.gravity.z') == ('service',)
    assert world.routes('link.a.mass') == ('respawn',)
    assert world.routes('visual.a.color.r') == ('service', 'respawn')
    assert world.routes('light.sun.intensity') == ('service',)
    assert world.routes('world.solver_iterations') == ()
    assert world.routes('joint.j.effort_offset') == ('service',)
    assert world.routes('joint.j.static_friction') == ()
