"""The randomizer node over real topics: asks, waits, reports, and never hangs."""

import dataclasses
import json
import threading
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from sim2real_bringup.cli import main
from sim2real_core.errors import InputError
from sim2real_core.messages import (
    draw_from_message,
    draw_to_message,
    estimate_to_message,
    to_time,
)
from sim2real_core.profile import load_profile
from sim2real_core.qos import LATCHED, RELIABLE
from sim2real_core.records import Estimate, ParameterEstimate
from sim2real_randomizer import draw_log
from sim2real_randomizer.course import Course
from sim2real_randomizer.node import RandomizerNode
from sim2real_randomizer.space import load_space
from test.spinning import spin

ARM6 = load_profile('arm6')
SPACE = load_space('arm6', ARM6)
MASS, VISCOUS = 'link.gripper.mass', 'joint.elbow.viscous_friction'


class World:
    """A randomizer, a simulator made of strings, and someone who watches."""

    def __init__(self, **parameters):
        rclpy.init()
        self.requests, self.draws = [], []
        self.answer = lambda draw: dataclasses.replace(
            draw, outcomes=dict.fromkeys(draw.values, 'verified')
        )
        self.simulator = rclpy.create_node('simulator')
        self.applied = self.simulator.create_publisher(
            DiagnosticArray, 'simulator/draw_applied', RELIABLE
        )
        self.estimates = self.simulator.create_publisher(
            DiagnosticArray, 'sysid/estimate', LATCHED
        )
        self.clock = self.simulator.create_publisher(Clock, 'clock', RELIABLE)
        self.simulator.create_subscription(
            DiagnosticArray, 'simulator/draw', self.on_request, RELIABLE
        )
        self.watcher = rclpy.create_node('watcher')
        self.client = self.watcher.create_client(Trigger, 'randomizer/randomize')
        self.watch()
        self.randomizer = RandomizerNode(
            parameter_overrides=[Parameter(k, value=v) for k, v in parameters.items()]
        )
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=spin, args=(node, self.stop))
            for node in (self.simulator, self.watcher, self.randomizer)
        ]
        for thread in self.threads:
            thread.start()

    def watch(self):
        self.watcher.create_subscription(
            DiagnosticArray,
            'randomizer/draw',
            lambda message: self.draws.append(draw_from_message(message)),
            LATCHED,
        )

    def on_request(self, message):
        draw = draw_from_message(message)
        self.requests.append(draw)
        answer = self.answer(draw)
        if answer is not None:
            self.applied.publish(draw_to_message(answer))

    def randomize(self):
        """Call the service; the response and the draw that was published for it."""
        assert self.client.wait_for_service(30)
        seen = len(self.draws)
        call = self.client.call_async(Trigger.Request())
        self.until(call.done)
        self.until(lambda: len(self.draws) > seen)
        return call.result(), self.draws[-1]

    @staticmethod
    def until(condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            time.sleep(0.01)

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.randomizer.close()
        for node in (self.randomizer, self.watcher, self.simulator):
            node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def world():
    """Makes a World with the given parameters."""
    made = []

    def make(**parameters):
        made.append(
            World(
                **{'robot': 'arm6', 'seed': 3, 'on_start': False, 'draws_file': '', **parameters}
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_draws_the_next_episode_and_reports_outcomes(world):
    world = world(environment=2, first_episode=5)
    for episode in (5, 6, 7):
        response, draw = world.randomize()
        asked = SPACE.draw(3, episode, 2)
        assert response.success, response.message
        assert f'episode {episode}' in response.message
        assert world.requests[-1] == asked
        assert draw == dataclasses.replace(asked, outcomes=dict.fromkeys(asked.values, 'verified'))


def test_the_last_draw_is_there_for_who_comes_late(world):
    world = world()
    _, draw = world.randomize()
    world.draws.clear()
    world.watch()
    world.until(lambda: world.draws)
    assert world.draws == [draw]


def test_what_is_not_as_drawn_is_named(world):
    world = world()

    def answer(draw):
        outcomes = dict.fromkeys(draw.values, 'verified')
        del outcomes['joint.elbow.armature']
        outcomes['actuator.base.delay'] = 'unsupported'
        # Echoes success, but the engine has the nominal value.
        return dataclasses.replace(draw, values={**draw.values, MASS: 0.8}, outcomes=outcomes)

    world.answer = answer
    response, draw = world.randomize()
    wrong = {a: o for a, o in draw.outcomes.items() if o != 'verified'}
    assert wrong == {
        MASS: 'failed', 'joint.elbow.armature': 'failed', 'actuator.base.delay': 'unsupported'
    }  # fmt: skip
    assert draw.values == SPACE.draw(3, 0).values
    assert not response.success
    for address, outcome in wrong.items():
        assert f'{address} {outcome}' in response.message


def test_no_answer_fails_every_address_within_the_deadline(world):
    world = world(apply_timeout=0.3)
    world.answer = lambda draw: None
    response, draw = world.randomize()
    assert not response.success
    assert 'no answer from the simulator within 0.3 s' in response.message
    assert set(draw.outcomes) == set(draw.values)
    assert set(draw.outcomes.values()) == {'failed'}
    world.answer = lambda draw: dataclasses.replace(
        draw, outcomes=dict.fromkeys(draw.values, 'verified')
    )
    response, draw = world.randomize()
    assert (response.success, draw.episode) == (True, 1)


def test_an_empty_space_still_needs_an_answer(world):
    world = world(space='none', apply_timeout=0.3)
    world.answer = lambda draw: None
    response, draw = world.randomize()
    assert (response.success, draw.values) == (False, {})


def test_answers_of_others_and_rubbish_are_left_aside(world):
    world = world(apply_timeout=5.0)

    def answer(draw):
        world.applied.publish(DiagnosticArray())
        failed = dict.fromkeys(draw.values, 'failed')
        world.applied.publish(
            draw_to_message(dataclasses.replace(draw, episode=99, outcomes=failed))
        )
        return dataclasses.replace(draw, outcomes=dict.fromkeys(draw.values, 'applied'))

    world.answer = answer
    response, draw = world.randomize()
    assert response.success
    assert set(draw.outcomes.values()) == {'applied'}


def test_calls_at_once_are_answered_one_after_the_other(world):
    world = world()
    assert world.client.wait_for_service(30)
    calls = [world.client.call_async(Trigger.Request()) for _ in range(4)]
    world.until(lambda: all(call.done() for call in calls))
    assert sorted(call.result().message.split(':')[0] for call in calls) == [
        f'episode {k}' for k in range(4)
    ]
    assert [draw.episode for draw in world.requests] == [0, 1, 2, 3]


def test_draws_once_on_start(world):
    world = world(on_start=True)
    world.until(lambda: world.draws)
    assert [draw.episode for draw in world.draws] == [0]
    response, draw = world.randomize()
    assert (response.success, draw.episode) == (True, 1)


def test_draws_on_reset(world):
    world = world(on_reset=True)
    world.until(lambda: world.clock.get_subscription_count() > 0)

    def tick(seconds):
        world.clock.publish(Clock(clock=to_time(seconds)))
        time.sleep(0.05)

    for seconds in (1.0, 1.1, 1.2):
        tick(seconds)
    assert world.draws == []
    tick(0.0)
    world.until(lambda: world.draws)
    for seconds in (0.1, 0.2, 0.05):
        tick(seconds)
    world.until(lambda: len(world.draws) == 2)
    assert [draw.episode for draw in world.draws] == [0, 1]


def test_the_estimate_narrows_the_space(world):
    world = world(narrow_by_estimate=True, k_sigma=2.0, floor=0.0, shape='uniform')
    stranger = Estimate(0.0, {'joint.j9.armature': ParameterEstimate(1.0, 0.1, 'identified')})
    world.estimates.publish(estimate_to_message(stranger))
    known = Estimate(1.0, {VISCOUS: ParameterEstimate(6.0, 0.1, 'identified')})
    world.estimates.publish(estimate_to_message(known))
    drawn = []
    while not (drawn and abs(drawn[-1].values[VISCOUS] - 6.0) <= 0.2):
        drawn.append(world.randomize()[1])
        assert len(drawn) < 50
    assert drawn[-1].space != SPACE.content_hash
    assert drawn[-1].values[MASS] == SPACE.draw(3, drawn[-1].episode).values[MASS]


def test_a_new_seed_holds_from_the_next_draw(world):
    world = world()
    world.randomize()
    world.randomizer.set_parameters([Parameter('seed', value=8)])
    _, draw = world.randomize()
    assert draw.values == SPACE.draw(8, 1).values


WANDERS = f"""parameters:
  {MASS}: {{distribution: uniform, low: 1, high: 3, combine: absolute}}
  {VISCOUS}: {{distribution: uniform, low: 0.5, high: 2, when: {{walk: 0.5}}}}
constraints:
  slow: {VISCOUS} < 1.5 * nominal({VISCOUS})
period: 0.1
"""


def test_what_changes_within_an_episode_is_published_and_recorded(world, tmp_path):
    path, log = tmp_path / 'space.yaml', tmp_path / 'log' / 'draws.jsonl'
    path.write_text(WANDERS)
    space = load_space(path, ARM6)
    world = world(space=str(path), draws_file=str(log))
    world.until(lambda: world.clock.get_subscription_count() > 0)
    world.clock.publish(Clock(clock=to_time(10.0)))
    time.sleep(0.2)
    world.randomize()
    for tenth in range(1, 40):
        world.clock.publish(Clock(clock=to_time(10.0 + tenth / 10)))
        time.sleep(0.03)
    world.until(lambda: world.draws[-1].step >= 35)
    world.until(  # a step may be on its way, and a request that was late is sent again
        lambda: (
            list(draw_log.read(log))
            == list({draw.step: world.answer(draw) for draw in world.requests}.values())
        )
    )
    begun, *later = draw_log.read(log)
    assert begun.values == space.draw(3, 0).values
    steps = [draw.step for draw in (begun, *later)]
    assert steps == sorted(set(steps))
    # A latched topic holds the newest draw: who is slow does not hear all, but each as it was.
    assert all(draw in later for draw in world.draws[1:])
    course = Course(space, 3, 0, 0)
    for draw in later:
        course.advance(draw.step * 0.1)
        assert draw.values == {a: v[0] for a, v in course.values.items()}
        assert set(draw.outcomes.values()) == {'verified'}
        assert draw.values[MASS] == begun.values[MASS]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert set(lines[-1]['values']) == {VISCOUS}
    assert lines[-1]['stamp'] >= 0


def test_a_constraint_that_cannot_be_satisfied_is_an_answer(world, tmp_path):
    path = tmp_path / 'space.yaml'
    path.write_text(
        f'parameters:\n  {VISCOUS}: {{distribution: uniform, low: 1, high: 2,'
        ' combine: absolute}\n'
        f'constraints:\n  never: {VISCOUS} > 1.9999999\n'
    )
    world = world(space=str(path))
    assert world.client.wait_for_service(30)
    call = world.client.call_async(Trigger.Request())
    world.until(call.done)
    assert not call.result().success
    assert 'constraints.never' in call.result().message
    assert world.requests == []


def test_the_estimate_may_be_a_file(world, tmp_path):
    path = tmp_path / 'estimate.json'
    path.write_text(json.dumps({VISCOUS: {'mean': 6.0, 'std': 0.1, 'status': 'identified'}}))
    world = world(estimate_file=str(path), floor=0.0, shape='uniform')
    _, draw = world.randomize()
    assert abs(draw.values[VISCOUS] - 6.0) <= 0.3


def test_a_recorded_world_is_given_back(world, tmp_path):
    log, file = tmp_path / 'draws.jsonl', tmp_path / 'replayed.json'
    world = world(draws_file=str(log))
    for _ in range(3):
        world.randomize()
    world.until(lambda: len(list(draw_log.read(log))) == 3)
    replay = ['randomize', 'replay', str(log), '--episode', '1', '--json', str(file)]
    replay += ['--timeout', '30']  # it ends with the answer
    assert main(replay) == 0
    asked = world.requests[-1]
    assert asked == SPACE.draw(3, 1)
    replayed = json.loads(file.read_text())
    assert replayed['values'] == asked.values
    assert set(replayed['outcomes'].values()) == {'verified'}
    world.answer = lambda draw: dataclasses.replace(draw, outcomes={MASS: 'verified'})
    assert main(replay) == 1


def test_replay_without_a_simulator(tmp_path, capsys):
    log = tmp_path / 'draws.jsonl'
    draw_log.append(log, SPACE.draw(3, 1), 0.0)
    assert main(['randomize', 'replay', str(log), '--timeout', '0.5']) == 3
    assert '--out' in capsys.readouterr().err


def test_with_the_embedded_simulator():
    """Drawn values reach the engine; a reset draws the next world."""
    nodes = pytest.importorskip('sim2real_sim.node')
    rclpy.init()
    stop, draws = threading.Event(), []
    simulator = nodes.SimulatorNode(parameter_overrides=[Parameter('contacts', value=False)])
    randomizer = RandomizerNode(
        parameter_overrides=[
            Parameter('seed', value=3),
            Parameter('on_reset', value=True),
            Parameter('draws_file', value=''),
        ]
    )
    watcher = rclpy.create_node('watcher')
    watcher.create_subscription(
        DiagnosticArray,
        'randomizer/draw',
        lambda message: draws.append(draw_from_message(message)),
        LATCHED,
    )
    reset = watcher.create_client(Trigger, 'simulator/reset')

    threads = [
        threading.Thread(target=simulator.spin, args=(stop,)),
        threading.Thread(target=spin, args=(randomizer, stop)),
        threading.Thread(target=spin, args=(watcher, stop)),
    ]
    for thread in threads:
        thread.start()
    try:
        World.until(lambda: draws)
        time.sleep(0.5)  # some simulated time passes
        assert reset.wait_for_service(30)
        call = reset.call_async(Trigger.Request())
        World.until(lambda: call.done() and len(draws) > 1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        engine = {a: float(simulator._simulator.get(a)[0]) for a in SPACE.addresses}
        for node in (simulator, randomizer, watcher):
            if node is not watcher:
                node.close()
            node.destroy_node()
        rclpy.shutdown()
    assert [draw.episode for draw in draws] == [0, 1]
    for draw in draws:
        assert draw.values == SPACE.draw(3, draw.episode).values
        assert set(draw.outcomes.values()) == {'verified'}
    assert engine == pytest.approx(dict(draws[-1].values), rel=1e-9)


def test_what_the_simulator_was_not_seen_to_obey_is_named(world, tmp_path):
    path = tmp_path / 'bright.yaml'
    path.write_text(
        'parameters:\n'
        '  link.gripper.mass: {distribution: constant, value: 1, combine: absolute}\n'
        '  camera.front.exposure: {distribution: constant, value: 1, combine: absolute}\n'
    )
    world = world(space=str(path))
    heard = []

    def hear(message):
        for status in message.status:
            heard.append({pair.key: pair.value for pair in status.values})

    world.watcher.create_subscription(DiagnosticArray, '/diagnostics', hear, RELIABLE)
    world.until(lambda: heard)
    assert heard[0]['not_verified'] == 'camera.exposure'


def test_a_wrong_space_is_named(tmp_path):
    path = tmp_path / 'wrong.yaml'
    path.write_text('parameters:\n  link.griper.mass: {distribution: constant, value: 1}\n')
    rclpy.init()
    try:
        with pytest.raises(InputError, match='griper'):
            RandomizerNode(parameter_overrides=[Parameter('space', value=str(path))])
    finally:
        rclpy.shutdown()
