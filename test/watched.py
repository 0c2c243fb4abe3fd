"""A simulator, a policy and a listener, each in a thread of its own, as nodes on one machine."""

import threading
import time

import rclpy
from rclpy.parameter import Parameter

from sim2real_policy.node import PolicyNode
from test.spinning import spin

LONG = 30.0  # s; far beyond what anything here needs


def parameters(**values):
    return [Parameter(name, value=value) for name, value in values.items()]


class Watched:
    """The three, running.

    Args:
        heard: type, topic, QoS and list of what the listener puts where.
        simulate: makes the simulator's node.
        policy: parameters of the policy.
    """

    def __init__(self, heard, simulate, policy):
        rclpy.init()
        self.stop = threading.Event()
        self.listener = rclpy.create_node('listener')
        for kind, topic, qos, into in heard:
            self.listener.create_subscription(kind, topic, into.append, qos)
        self.simulator = simulate()
        self.policy = PolicyNode(parameter_overrides=parameters(**policy))
        self.threads = [
            threading.Thread(target=self.simulator.spin, args=(self.stop,)),
            *(
                threading.Thread(target=spin, args=(n, self.stop))
                for n in (self.listener, self.policy)
            ),
        ]
        for thread in self.threads:
            thread.start()

    def says(self):
        """What helps to understand a wait that was in vain."""
        return ''

    def until(self, condition, do=lambda: None):
        deadline = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < deadline, f'waited in vain {self.says()}'
            do()
            time.sleep(0.02)

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(LONG)
        for node in (self.policy, self.simulator):
            node.close()
        for node in (self.policy, self.simulator, self.listener):
            node.destroy_node()
        rclpy.shutdown()
