"""The player: plays a bag through other nodes over ROS, and notes what they say.

Sensor samples go out one at a time, the next when every consumer has acknowledged the last, so
nothing is dropped and the outcome does not depend on speed. See "Pacing" in ``docs/design.md``.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from sim2real_bringup.bags import BagWriter, Recorded, header_stamp, open_bag
from sim2real_bringup.catalog import (
    ACTION_APPLIED,
    CLOCK,
    DIAGNOSTICS,
    ESTIMATE,
    EVENTS,
    GOAL,
    IMAGE,
    IMU,
    NODES,
    ODOMETRY,
    PACE,
    topic_name,
)  # fmt: skip
from sim2real_bringup.config import PlayerConfig
from sim2real_bringup.playlist import playlist
from sim2real_bringup.result import Result
from sim2real_capture.conversions import message_class
from sim2real_capture.decoding import joint_values
from sim2real_core import node as core
from sim2real_core.errors import Fault, Faults, InputError, Sim2RealError
from sim2real_core.files import write_json
from sim2real_core.graph_ros import NAMED_WITHIN, is_named, lacking
from sim2real_core.messages import estimate_from_message, event_from_message, to_time
from sim2real_core.pacing import PaceKeeper
from sim2real_core.profile import load_profile
from sim2real_core.qos import LATCHED, RELIABLE, SENSOR_RELIABLE, recorder_qos

CLOCK_PERIOD = 5_000_000  # [ns], 200 Hz
START_TIMEOUT = 60.0  # [s] until the consumers are there
QUIET = 0.3  # [s] without anything new at the end
NEEDED = frozenset(topic.type for topic in (ODOMETRY, IMU, IMAGE, GOAL))
"""Types of what a policy that listens to it cannot act without; a velocity goal is zero."""
LINGER = 10.0  # [s] until it must be quiet


class PlayerNode(Node):
    """Plays a bag. See :class:`PlayerConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('player', **options)
        self._stack = contextlib.ExitStack()
        self._config = config = core.declare(self, PlayerConfig)
        self._profile = profile = load_profile(config.robot)
        self._consumers = set(config.pace_consumers)
        self._keeper = PaceKeeper(config.pace_consumers, config.pace_timeout)
        self._bag = self._stack.enter_context(open_bag(config.bag))
        self._list = playlist(
            self._bag.topics, profile, config.pace_consumers, config.bag_namespace
        )
        self._result = Result(start=0, elements=profile.command_names)
        self._ready: set[str] = set()
        self._finished = False
        self._time = 0  # log time of the message being played [ns]
        self._changed, self._heard = time.monotonic(), ''
        self._out: BagWriter | None = None
        if config.out:
            self._out = self._stack.enter_context(BagWriter(config.out))
        self._to_clock = self.create_publisher(Clock, CLOCK.name, RELIABLE)
        self._clock_due = 0
        self._publishers_of = self._make_publishers()
        self._listen()
        # Deep, since all consumers share it: of two acknowledgements at once both count.
        every = recorder_qos(reliable=True, latched=True)
        self.create_subscription(Header, PACE.name, self._on_pace, every)
        self._health = core.Health(self)
        # Made last: endpoints are announced in order, so a consumer whose health is heard has
        # found all the others too, and what it says from now on is not lost.
        self.create_subscription(DiagnosticArray, DIAGNOSTICS.name, self._on_health, RELIABLE)

    def _make_publishers(self) -> dict[str, Any]:
        """Publisher of each topic in the bag that is played."""
        publishers = {}
        for name, relative in self._list.names.items():
            topic = self._bag.topics[name]
            kind = message_class(topic.type)
            if kind is None:
                self.get_logger().warning(f'{name} is left out: {topic.type} is not installed')
                continue
            qos = SENSOR_RELIABLE if name == self._list.sensor else RELIABLE
            publishers[name] = self.create_publisher(
                kind, relative, LATCHED if topic.latched else qos
            )
        return publishers

    def _listen(self) -> None:
        """Hear what the consumers publish, all of it."""
        takers: dict[str, Callable[[bytes], None]] = {
            ESTIMATE.name: lambda data: self._result.estimates.append(
                estimate_from_message(deserialize_message(data, DiagnosticArray))
            ),
            EVENTS.name: lambda data: self._result.add_event(
                event_from_message(deserialize_message(data, DiagnosticArray))
            ),
            ACTION_APPLIED.name: lambda data: self._note_action(self._result.actions, data),
        }
        said = [topic for node in self._config.pace_consumers for topic in NODES[node].publishes]
        for topic in dict.fromkeys(topic for topic in said if topic != PACE):
            name = topic_name(topic, self._profile)
            kind = (
                self._profile.command.type if name == self._profile.command.topic else topic.type
            )
            if self._out is not None:
                self._out.topic(f'/{name}', kind, latched=topic.latched)
            take = partial(self._on_output, f'/{name}', takers.get(topic.name))
            qos = recorder_qos(reliable=True, latched=topic.latched)
            self.create_subscription(message_class(kind), name, take, qos, raw=True)

    def _on_output(self, name: str, take: Callable[[bytes], None] | None, data: bytes) -> None:
        self._changed, self._heard = time.monotonic(), name
        if self._out is not None:
            self._out.write(name, self._time, data)
        if take is not None:
            take(data)

    def _note_action(self, actions: dict[int, Any], data: bytes) -> None:
        message = deserialize_message(data, JointState)
        profile = self._profile
        values = joint_values(message, profile.command_names, profile.command.drives)
        if values is not None:
            actions[header_stamp(data)] = np.asarray(values)

    def _on_pace(self, message: Header) -> None:
        stamp = message.stamp.sec * 10**9 + message.stamp.nanosec
        self._keeper.acknowledge(message.frame_id, stamp)

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            full, _, what = status.name.partition(': ')
            space, _, name = full.rpartition('/')
            here = space == self.get_namespace().rstrip('/')
            if what == 'health' and here and status.message != core.STOPPED:
                ready = not status.message.startswith(core.WAITING)
                (self._ready.add if ready else self._ready.discard)(name)

    # The work

    def play(self, spin: Callable[[float], bool]) -> None:
        """Play it all and write the result.

        Args:
            spin: serves this node once, for at most so long [s]; False when it shall end.

        Raises:
            Sim2RealError: a consumer does not come up or keep up, or does not fall silent.
        """
        if not self._wait_for_consumers(spin):
            return
        self._check_needs()
        first = self._bag.start + round(self._config.start * 1e9)
        last = first + round(self._config.duration * 1e9) if self._config.duration else None
        names = {*self._publishers_of, *filter(None, [self._list.recorded_actions])}
        began, shown = time.monotonic(), 0.0
        for recorded in self._bag.latched(self._publishers_of.keys() - {self._list.sensor}, first):
            self._publishers_of[recorded.topic].publish(recorded.data)
        for recorded in self._bag.messages(names, first, last):
            if self._config.rate:
                due = began + (recorded.time - first) * 1e-9 / self._config.rate
                while (wait := due - time.monotonic()) > 0:
                    if not spin(wait):
                        return
            if not self._play_one(recorded, spin):
                return
            if time.monotonic() - shown > 5.0:
                shown = time.monotonic()
                self.get_logger().info(f'at {(recorded.time - first) * 1e-9:.1f} s of the bag')
        if not self._result.samples:
            mend = f'holds no {self._list.sensor} in the chosen part'
            raise InputError(Fault('bag', self._config.bag, mend))
        if self._wait_for_quiet(spin):
            self._finish(time.monotonic() - began)

    def _play_one(self, recorded: Recorded, spin: Callable[[float], bool]) -> bool:
        self._time = recorded.time
        if recorded.topic == self._list.recorded_actions:
            self._note_action(self._result.recorded, recorded.data)
        publisher = self._publishers_of.get(recorded.topic)
        if publisher is None:
            return True
        if recorded.time >= self._clock_due:
            self._to_clock.publish(Clock(clock=to_time(recorded.time * 1e-9)))
            self._clock_due = recorded.time + CLOCK_PERIOD
        if recorded.topic != self._list.sensor:
            # It is ahead of the next sample on its way to each consumer, which takes it first.
            publisher.publish(recorded.data)
            return True
        return self._play_sample(publisher, recorded, spin)

    def _play_sample(
        self, publisher: Any, recorded: Recorded, spin: Callable[[float], bool]
    ) -> bool:
        result, stamp = self._result, header_stamp(recorded.data)
        if not result.samples:
            result.start = stamp
            for before in self._publishers_of.values():  # goals and the like are there by now
                before.wait_for_all_acked(Duration(seconds=self._config.pace_timeout))
        result.samples += 1
        result.last = stamp
        self._keeper.sent(stamp, time.monotonic())
        publisher.publish(recorded.data)
        while self._keeper.waiting(time.monotonic()):
            if not spin(0.1):
                return False
        if self._keeper.late:
            raise Sim2RealError(
                f'{", ".join(sorted(self._keeper.late))} did not acknowledge the sample at '
                f'{result.seconds(stamp * 1e-9):g} s within {self._config.pace_timeout:g} s'
            )
        return True

    def _wait_for_consumers(self, spin: Callable[[float], bool]) -> bool:
        """Until each is up and connected; what it missed could not be told from a drop."""
        deadline = time.monotonic() + START_TIMEOUT
        sensor = self._publishers_of[self._list.sensor]
        while True:
            missing = self._consumers - self._ready
            # Who is seen to listen to anything must be connected: a goal must not come late.
            heard = all(
                publisher.get_subscription_count() >= self.count_subscribers(publisher.topic_name)
                for publisher in self._publishers_of.values()
            )
            heard &= sensor.get_subscription_count() >= len(self._consumers)
            listeners = self.get_subscriptions_info_by_topic(sensor.topic_name)
            known = not lacking(self._consumers, listeners)
            known |= time.monotonic() > deadline - START_TIMEOUT + NAMED_WITHIN
            if heard and known and not missing:
                return True
            if time.monotonic() > deadline:
                names = ', '.join(sorted(missing or self._consumers))
                raise Sim2RealError(f'{names} did not come up within {START_TIMEOUT:g} s')
            if not spin(0.05):
                return False

    def _check_needs(self) -> None:
        """Whether somebody publishes all that the policy cannot act without.

        Raises:
            InputError: what is missing.
        """
        if 'policy' not in self._consumers:
            return
        faults = Faults()
        space = self.get_namespace()
        for name, kinds in self.get_topic_names_and_types():
            if not NEEDED.intersection(kinds) or self.count_publishers(name):
                continue
            listeners = self.get_subscriptions_info_by_topic(name)
            lacks = f'holds no {name.removeprefix(space).lstrip("/")} ({kinds[0]})'
            if ('policy', space) in ((end.node_name, end.node_namespace) for end in listeners):
                faults.add('bag', self._config.bag, f'{lacks}: the policy acts on it')
            elif not all(map(is_named, listeners)):  # others listen too, and may never be named
                self.get_logger().warning(f'the bag {lacks}: if the policy acts on it, it waits')
        faults.check()

    def _wait_for_quiet(self, spin: Callable[[float], bool]) -> bool:
        """Until what the consumers said last has arrived."""
        self._changed = time.monotonic()
        deadline = self._changed + LINGER
        while time.monotonic() - self._changed < QUIET:
            if time.monotonic() > deadline:
                raise Sim2RealError(
                    f'{self._heard} does not end {LINGER:g} s after the last sample: '
                    'does a node outside of the replay publish it?'
                )
            if not spin(QUIET):
                return False
        return True

    def _finish(self, took: float) -> None:
        if self._config.json:
            write_json(self._config.json, self._result.as_json())
        self._finished = True
        samples = self._result.samples
        self.get_logger().info(
            f'{samples} samples in {took:.1f} s ({samples / max(took, 1e-9):.0f}/s)'
        )

    def close(self) -> None:
        """Close the bags and say goodbye; the bag of a replay that did not finish is discarded."""
        error = None if self._finished else Sim2RealError('stopped early')
        self._stack.__exit__(type(error) if error else None, error, None)
        self._health.close()


def spin(node: PlayerNode, stop: threading.Event) -> None:
    """Play to the end, or until ``stop`` is set."""
    with core.executing(node) as executor:

        def once(timeout: float) -> bool:
            executor.spin_once(timeout_sec=timeout)
            return not stop.is_set()

        node.play(once)


def main(args: list[str] | None = None) -> int:
    """Run the player."""
    return core.main(PlayerNode, args, spin)


if __name__ == '__main__':
    sys.exit(main())
