"""The capture node: keeps the last seconds, and writes them down when something goes wrong."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from sim2real_capture import conversions, decoding
from sim2real_capture.capture import Capture, Report
from sim2real_capture.clip import Context
from sim2real_capture.config import CaptureConfig
from sim2real_capture.ring import Record
from sim2real_capture.topics_ros import DEPTH, OnMessage, RecordedTopics, subscribe_raw
from sim2real_capture.uplink import Receipt
from sim2real_capture.writer import Failed, Sealed
from sim2real_core.commands_ros import CommandsFirst
from sim2real_core.joint_states import concerns
from sim2real_core.messages import event_to_message, to_seconds
from sim2real_core.node import Health, Pace, declare
from sim2real_core.node import main as run
from sim2real_core.profile import load_profile
from sim2real_core.qos import ANSWERS, RELIABLE, recorder_qos
from sim2real_core.records import Event

JOINT_STATE = 'sensor_msgs/msg/JointState'


class CaptureNode(Node):
    """Feeds a :class:`Capture` from topics. See :class:`CaptureConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('capture', **options)
        config = declare(self, CaptureConfig)
        self._profile = profile = load_profile(config.robot)
        self._bundle = ''
        self._latest: dict[str, bytes] = {}  # draw and estimate, not decoded until needed
        self._reports: deque[Report] = deque()
        self._closing = False
        self._wake = self.create_guard_condition(self._take_reports)
        self.capture = Capture(
            config, profile, self._in_force, self._report, self.resolve_topic_name
        )
        takes = {detector.scorer.takes for detector in self.capture.detectors}
        self._decoders = decoding.decoders(
            takes, self.capture.entries, profile, self.resolve_topic_name
        )
        self._pace = Pace(self, config.paced)
        self._told = decoding.CommandReader(profile)
        self._events = self.create_publisher(DiagnosticArray, '~/events', RELIABLE)
        self.create_service(Trigger, '~/trigger', self._on_trigger)
        self._draw, self._estimate, self._diagnostics = (
            self.resolve_topic_name(name)
            for name in ('randomizer/draw', 'sysid/estimate', '/diagnostics')
        )
        # Commands at once; the rest when a publisher shows its type and QoS. In a paced run all
        # streams are reliable, and there from the beginning.
        streams: dict[str, tuple[str, OnMessage]] = {
            profile.command.topic: (profile.command.type, partial(self._on_command, 'sent')),
            'policy/action_applied': (JOINT_STATE, partial(self._on_command, 'applied')),
        }
        deep = recorder_qos(config.paced, depth=DEPTH)
        answers = ANSWERS if config.paced and config.commander != '' else deep
        made = [subscribe_raw(self, t, kind, answers, take) for t, (kind, take) in streams.items()]
        states = profile.topics.joint_states
        if config.paced:
            subscribe_raw(self, states, JOINT_STATE, deep, self._on_joint_states)
        self._first = CommandsFirst(self, made, config.commander) if config.paced else None
        named = set(map(self.resolve_topic_name, (*streams, states)))
        told = profile.topics
        others = (told.imu, told.odometry, told.goal, told.velocity_goal, *config.topics)
        found: dict[str, OnMessage] = {
            topic: self._on_message
            for topic in (
                *filter(self._recorded, others),
                *self._decoders,
                *self.capture.watched,
            )
            if self.resolve_topic_name(topic) not in named
        }
        if not config.paced:
            found[states] = self._on_joint_states
        types: dict[str, tuple[str, ...]] = {
            **{topic: decoder.types for topic, decoder in self._decoders.items()},
            **dict.fromkeys(
                (self._draw, self._estimate, self._diagnostics), (decoding.DIAGNOSTICS,)
            ),
            states: (JOINT_STATE,),
        }
        self._topics = RecordedTopics(self, found, self.capture.pin, frozenset({states}), types)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.25, self._topics.discover, clock=steady)
        self.create_timer(
            0.25, lambda: self._announce(self.capture.watch(self._now())), clock=steady
        )
        lacks = self._first.lacks if self._first is not None else lambda: ''
        self._health = Health(self, self._status, lacks)

    def _recorded(self, topic: str) -> bool:
        """Whether rules let a topic be recorded."""
        return not self.capture.rules.of(self.resolve_topic_name(topic)).exclude

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _on_message(self, topic: str, kind: str, data: bytes) -> None:
        if topic in (self._draw, self._estimate) and self._recorded(topic):
            self._latest[topic] = data
        elif topic == self._diagnostics and b'content_hash' in data:
            health = deserialize_message(data, DiagnosticArray)
            told = conversions.bundle_of(health, self.get_namespace())
            self._bundle = told or self._bundle
        now = self._now()
        self.capture.record(topic, kind, data, now)
        if topic in self._decoders:
            stamp = self.capture.at(now)
            message = deserialize_message(data, conversions.message_class(kind))
            for signal in self._decoders[topic].signals(message, stamp * 1e-9):
                self._announce(self.capture.detect(signal, stamp))

    def _on_command(self, source: str, topic: str, kind: str, data: bytes) -> None:
        now = self._now()
        self.capture.record(topic, kind, data, now)
        message = deserialize_message(data, conversions.message_class(kind))
        stamp = None
        if source == 'applied':
            stamp = decoding.stamp_of(message)
            if self._first is not None:
                self._first.heard(to_seconds(message.header.stamp))
        self.capture.command(source, self._told(message), now, stamp)

    def _on_joint_states(self, topic: str, kind: str, data: bytes) -> None:
        if self._first is not None:
            self._first.take()
        message, now = deserialize_message(data, JointState), self._now()
        names, quantity = self._profile.joint_names, self._profile.command.drives
        if not concerns(message.name, names):  # a gripper's, say
            self.capture.record(topic, kind, data, now)
        else:
            values = decoding.quantities(message, names)
            fault = ''
            if values[quantity] is None:
                fault = decoding.missing_values(message, names, quantity)
            record = Record(topic, kind, decoding.stamp_of(message), data)
            self._announce(self.capture.sample(record, values[quantity], now, fault, **values))
            if self._first is not None:
                self._first.asked(to_seconds(message.header.stamp))
        self._pace.done(message.header.stamp)

    def _on_trigger(self, _request: Trigger.Request, response: Trigger.Response) -> Any:
        event, clip = self.capture.trigger('asked for by service', self._now())
        self._announce([(event, clip)])
        response.success, response.message = True, clip
        return response

    def _announce(self, raised: list[tuple[Event, str]]) -> None:
        for event, clip in raised:
            self._events.publish(event_to_message(event))
            score = f'{event.score:.3g}, over {event.threshold:.3g}'
            what = f'{event.detector}: {event.detail} ({score})'
            self.get_logger().warning(f'{what}; recording {clip}')

    def _in_force(self) -> Context:
        latest = {
            topic: deserialize_message(data, DiagnosticArray)
            for topic, data in self._latest.items()
        }
        draw, estimate = latest.get(self._draw), latest.get(self._estimate)
        return Context(
            profile=self._profile.name,
            profile_hash=self._profile.content_hash,
            bundle=self._bundle,
            draw=conversions.draw_json(draw) if draw else {},
            estimate=conversions.estimate_json(estimate) if estimate else {},
        )

    def _report(self, report: Report) -> None:
        """From the writer's and the uplink's threads to the node's."""
        self._reports.append(report)
        if not self._closing:
            self._wake.trigger()

    def _take_reports(self) -> None:
        while self._reports:
            report = self._reports.popleft()
            self.capture.take(report)
            if isinstance(report, Sealed):
                how = 'recovered' if report.recovered else 'sealed'
                self.get_logger().info(f'{how} {report.folder}')
                for event in report.events:
                    event = replace(event, clip=report.folder.name)
                    self._events.publish(event_to_message(event))
            elif isinstance(report, Receipt):
                self.get_logger().info(f'shipped {report.clip} to {report.receiver}')
            elif isinstance(report, Failed):
                self.get_logger().error(f'{report.clip}: {report.reason}')
            else:
                self.get_logger().warning(report)

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        well, message, values = self.capture.status()
        for topic, why in self._topics.unheard.items():
            well, message = False, f'{message}; {topic} not recorded: {why}'
        values['topics_without_publisher'] = ' '.join(self._topics.waiting)
        return DiagnosticStatus.OK if well else DiagnosticStatus.WARN, message, values

    def close(self) -> None:
        """Seal what is open, tell of it, stop the threads."""
        self._closing = True
        if not self.capture.close():
            self.get_logger().warning('clips are not all written; the next start goes on')
        self._take_reports()
        self._health.close()


def main(args: list[str] | None = None) -> int:
    """Run the capture node."""
    return run(CaptureNode, args)


if __name__ == '__main__':
    sys.exit(main())
