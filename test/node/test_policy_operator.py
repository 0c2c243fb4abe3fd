"""What a person and the operating system may do to a running policy."""

import os
from pathlib import Path

import numpy as np
import pytest
from std_msgs.msg import Bool, Float64, Float64MultiArray
from std_srvs.srv import Trigger

from sim2real_core.qos import COMMAND, RELIABLE
from test.node.test_policy import START, run_node, values, world, write  # noqa: F401


@pytest.fixture
def led(world, tmp_path):  # noqa: F811
    """Makes an arm whose policy moves every joint on by 0.01 rad a step."""

    def make(**parameters):
        bundle = write(tmp_path / 'policy.onnx', bias=1.0)
        made = world(bundle=bundle, autostart=True, start_speed=0.0, **parameters)
        made.connect()
        made.until(lambda: made.ask()[0] > START[0])
        return made

    return make


def test_the_topic_emergency_stop_stops_until_reset(led):
    made = led()
    button = made.robot.create_publisher(Bool, 'emergency_stop', RELIABLE)
    made.until(lambda: button.get_subscription_count() > 0)
    button.publish(Bool(data=False))
    before = made.ask()
    made.until(lambda: made.ask()[0] > before[0])  # released, it is no stop
    button.publish(Bool(data=True))
    status = made.status(lambda s: 'emergency stop' in s.message, feed={})
    assert values(status)['latched'] == 'True' and values(status)['stopped'] == 'emergency stop'
    button.publish(Bool(data=False))  # to let go of the button is not to start again
    stopped = made.settle()[-1]
    for _ in range(5):
        np.testing.assert_array_equal(made.ask(), stopped)
    assert made.call(Trigger, 'policy/reset', Trigger.Request()).success
    made.until(lambda: made.ask()[0] > stopped[0])


def test_a_person_who_falls_silent_makes_it_hold(led):
    made = led(hold_time=0.2)
    lead = made.robot.create_publisher(Float64MultiArray, 'policy/override', COMMAND)
    weight = made.robot.create_publisher(Float64, 'policy/override_weight', COMMAND)
    made.until(lambda: lead.get_subscription_count() and weight.get_subscription_count())
    there = START - 0.02

    def led_there():
        weight.publish(Float64(data=1.0))
        lead.publish(Float64MultiArray(data=there))
        return np.allclose(made.ask(), there, atol=1e-6)

    made.until(led_there)
    for _ in range(30):  # and nothing more is said
        np.testing.assert_allclose(made.ask(), there, atol=1e-6)
    said = values(made.status(lambda s: 'override' in values(s)['interventions'], feed={}))
    assert said['interventions'] == 'hold, override'
    weight.publish(Float64(data=0.0))  # the policy's again
    made.until(lambda: made.ask()[0] > there[0] + 0.005)


def locked(pid):
    """Memory of a process that cannot be paged out [kB]."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmLck'))


def test_the_systems_help_is_reported_as_it_is(world, tmp_path):  # noqa: F811
    made = world()  # its own policy stays unconfigured
    one = str(min(os.sched_getaffinity(0)))
    bundle = write(tmp_path / 'policy.onnx')
    process = run_node(
        f'bundle:={bundle}', 'autostart:=true', 'realtime_priority:=1', 'lock_memory:=true',
        f"processors:='{one}'",
    )  # fmt: skip
    try:
        made.connect()
        said = values(made.status(lambda s: 'garbage' in values(s), feed={}))
        pid = process.pid
        threads = [int(task) for task in os.listdir(f'/proc/{pid}/task')]
        first = {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_FIFO}
        assert said['realtime_priority'].startswith('SCHED_FIFO 1' if first else 'refused: ')
        assert said['memory'].startswith('locked' if locked(pid) else 'refused: ')
        assert said['processors'] == f'processors {one}'
        assert {int(one)} in [os.sched_getaffinity(thread) for thread in threads]
        assert said['garbage'].endswith(' objects frozen') and int(said['garbage'].split()[0]) > 0
    finally:
        process.terminate()
        process.communicate(timeout=60)
