"""The sysid node: joint states in, estimates out."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState

from sim2real_core import node as core
from sim2real_core.commands_ros import CommandsFirst
from sim2real_core.messages import estimate_to_message, to_seconds
from sim2real_core.profile import load_profile
from sim2real_core.qos import ANSWERS, LATCHED, RELIABLE, sensor_qos
from sim2real_core.records import Estimate
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.conversions import Array, JointStateReader, read_stamp
from sim2real_sysid.estimator import OnlineIdentifier

SHOWN = 30.0  # s of message time for which a change is a warning
LAST_WORD = Duration(seconds=1.0)  # how long the last estimate may take to arrive


class SysidNode(Node):
    """Identifies the robot whose joint states it hears; see ``SysidConfig``.

    Everything follows message time and happens in the callback, so that a replay gives the same
    estimates again.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('sysid', **kwargs)
        self._config = core.declare(self, SysidConfig)
        profile = load_profile(self._config.robot)
        self._identifier = OnlineIdentifier(profile, self._config)
        self._reader = JointStateReader(profile.joint_names)
        self._actions = JointStateReader(profile.joint_names)
        self._interface = profile.command.interface
        self._estimate: Estimate | None = None
        self._due = 0.0  # time of the next estimate [s]
        self._samples = 0
        self._reported: Counter[str] = Counter()
        self._publisher = self.create_publisher(DiagnosticArray, '~/estimate', LATCHED)
        self._pace = core.Pace(self, self._config.paced)
        self.create_subscription(
            JointState,
            profile.topics.joint_states,
            self._on_sample,
            sensor_qos(self._config.paced),
            raw=True,  # see JointStateReader
        )
        waits = self._config.paced and self._config.commander != ''
        applied = self.create_subscription(
            JointState, 'policy/action_applied', self._on_action, ANSWERS if waits else RELIABLE
        )
        self._first = CommandsFirst(self, [applied], self._config.commander) if waits else None
        lacks = self._first.lacks if self._first is not None else lambda: ''
        self._health = core.Health(self, self._status, lacks)

    def _on_sample(self, data: bytes) -> None:
        if self._first is not None:
            self._first.take()
        sample = self._reader.read_serialized(data)
        if sample is not None:  # else it is about another robot's joints
            if self._first is not None:
                self._first.asked(sample[0])
            self._take(*sample)
        if self._config.paced:
            self._pace.done(read_stamp(data))

    def _on_action(self, message: JointState) -> None:
        """What was sent in answer to the sample of this stamp, in the field of the interface."""
        if self._first is not None:
            self._first.heard(to_seconds(message.header.stamp))
        action = self._actions.read_field(message, self._interface)
        if action is not None:
            self._identifier.command(*action)

    def _take(self, stamp: float, position: Array, effort: Array) -> None:
        self._samples += 1
        self._identifier.update(stamp, position, effort)
        period = self._config.publish_period
        late = stamp - self._due
        if self._estimate is None or late >= -1e-9 or late < -period:
            # On the grid of the period, unless time jumped.
            regular = self._estimate is not None and abs(late) < period
            self._due = (self._due if regular else stamp) + period
            self._publish()

    def _publish(self) -> None:
        self._estimate = self._identifier.estimate()
        self._publisher.publish(estimate_to_message(self._estimate))

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        """Level, message and values for /diagnostics."""
        faults = self._identifier.faults
        values: dict[str, object] = {'samples': self._samples, **faults}
        fresh = faults - self._reported
        self._reported = Counter(faults)
        if self._estimate is None:
            return DiagnosticStatus.OK, 'waiting for joint states', values
        identified, total = len(self._estimate.identified), len(self._estimate.parameters)
        values['identified'] = f'{identified} of {total}'
        values['changes'] = len(self._estimate.changes)
        recent = [c for c in self._estimate.changes if self._estimate.stamp - c.stamp < SHOWN]
        if recent:
            return DiagnosticStatus.WARN, '; '.join(c.said for c in recent), values
        troubles = self._identifier.troubles
        if troubles:
            return DiagnosticStatus.WARN, '; '.join(map(str, troubles)), values
        if fresh:
            worst = '; '.join(f'{reason} ({n})' for reason, n in fresh.most_common())
            return DiagnosticStatus.WARN, worst, values
        return DiagnosticStatus.OK, f'{identified} of {total} parameters identified', values

    def close(self) -> None:
        """Publish the last estimate and say goodbye."""
        self._publish()
        self._publisher.wait_for_all_acked(LAST_WORD)
        self._health.close()


def main(args: list[str] | None = None) -> int:
    """Entry point of the executable ``sysid``."""
    return core.main(SysidNode, args)


if __name__ == '__main__':
    sys.exit(main())
