"""A simulator node in a thread, and a node beside it that watches and commands its robot."""

import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sim2real_core.messages import draw_from_message, draw_to_message
from sim2real_core.qos import COMMAND, RELIABLE, SENSOR
from sim2real_core.records import Draw


class Scene:
    """Use it in a ``with`` statement.

    Attributes:
        node: under test.
        joints, applied, health: messages heard.
        commands, draws: publishers.

    Args:
        make: makes the node from ``parameter_overrides``.
        command: type of the commands.
        sensors: quality of service of what is measured.
        parameters: of the node.
    """

    LONG = 40.0  # s; far beyond what anything here needs

    def __init__(self, make, command=Float64MultiArray, sensors=SENSOR, **parameters):
        rclpy.init()
        self.stop = threading.Event()
        self.watcher = rclpy.create_node('watcher')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.watcher)
        self.joints, self.applied, self.health = [], [], []
        self.hear(JointState, 'joint_states', sensors, self.joints)
        self.hear(DiagnosticArray, 'simulator/draw_applied', RELIABLE, self.applied)
        self.hear(DiagnosticArray, '/diagnostics', RELIABLE, self.health)
        self.commands = self.watcher.create_publisher(
            command, 'position_controller/commands', COMMAND
        )
        self.draws = self.watcher.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
        self.node = make(
            parameter_overrides=[Parameter(k, value=v) for k, v in parameters.items()]
        )
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.node.spin(self.stop)
        except BaseException as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(self.LONG)
        self.node.close()
        self.node.destroy_node()
        self.watcher.destroy_node()
        rclpy.shutdown()
        assert self.failure is None

    def hear(self, kind, topic, qos, into):
        self.watcher.create_subscription(kind, topic, into.append, qos)
        return into

    def until(self, condition, what):
        """Spin until the condition holds; gives its value."""
        deadline = time.monotonic() + self.LONG
        while not (value := condition()):
            assert self.failure is None
            assert time.monotonic() < deadline, f'not within {self.LONG} s: {what}'
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def connected(self):
        self.until(
            lambda: self.commands.get_subscription_count() and self.draws.get_subscription_count(),
            'the simulator is there',
        )

    def call(self, kind, name, request=None):
        client = self.watcher.create_client(kind, f'simulator/{name}')
        self.until(client.service_is_ready, f'service {name}')
        future = client.call_async(request or kind.Request())
        self.until(future.done, f'answer of {name}')
        return future.result()

    def draw(self, **fields):
        """Ask for a draw; gives the answer."""
        self.connected()
        self.applied.clear()
        self.draws.publish(draw_to_message(Draw(**{'episode': 0, 'seed': 0, **fields})))
        return self.answer()

    def answer(self):
        self.until(lambda: self.applied, 'draw_applied')
        return draw_from_message(self.applied[-1])
