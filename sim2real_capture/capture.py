"""The whole of capture without ROS: messages and samples in; events, clips and reports out."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim2real_capture.clip import Context, clip_name
from sim2real_capture.config import CaptureConfig
from sim2real_capture.detectors import (
    Detector,
    Sample,
    TrackingErrorDetector,
    default_lag,
    default_threshold,
)
from sim2real_capture.recorder import Recorder
from sim2real_capture.ring import Record, Ring, SensorClock
from sim2real_capture.transports import load_credentials
from sim2real_capture.uplink import Receipt, Uplink
from sim2real_capture.writer import ClipWriter, Failed, Sealed
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.joint_states import UNSTAMPED
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Event

Array = npt.NDArray[np.float64]
Report = Sealed | Failed | Receipt | str

STALL = 5.0
"""A clip whose time stands still for this long [s] ends with what it has."""
SOURCES = ('applied', 'sent')
"""Where the command in force is taken from: what was really applied, else what was asked for."""
RECENT = 8
"""Commands remembered of each source, so that one in force is there though newer ones are."""
STATIC_TRANSFORMS = 32
"""Messages that make up the state of ``tf_static``: it has many publishers, all else has one."""


class Capture:
    """Detectors, ring, clips and uplink, wired together.

    All times are nanoseconds; ``now`` is the ROS time of receipt. Call from one thread.

    Args:
        config: the settings.
        profile: the robot.
        context: called when a clip starts, for what is in force.
        on_report: called from background threads with what became of clips.

    Raises:
        InputError: settings that do not fit the robot.
    """

    def __init__(
        self,
        config: CaptureConfig,
        profile: RobotProfile,
        context: Callable[[], Context],
        on_report: Callable[[Report], None],
    ) -> None:
        self._profile = profile
        self.detectors: list[Detector] = [tracking_detector(config, profile)]
        self._clock = SensorClock(carry=not config.paced)
        before, after = round(config.before * 1e9), round(config.after * 1e9)
        spool = Path(config.folder).expanduser()
        self.ring = Ring(before, config.ring_bytes)
        self._context = context
        self.writer = ClipWriter(
            spool,
            lambda: replace(self._context(), latched=tuple(self.ring.pinned)),
            on_report,
            clip_bytes=config.clip_bytes,
            spool_bytes=config.spool_bytes,
        )
        self.recorder = Recorder(
            self.ring,
            self.writer,
            before=before,
            after=after,
            longest=round(config.longest * 1e9),
            clip_bytes=config.clip_bytes,
            name_clip=lambda event: clip_name(
                event.detector, datetime.now(timezone.utc), secrets.token_hex(3)
            ),
        )
        self.uplink: Uplink | None = None
        if config.receiver:
            self.uplink = Uplink(
                spool,
                config.receiver,
                deadline=config.ship_timeout,
                credentials=load_credentials(config.receiver_credentials),
                rate=config.ship_rate,
                priority=config.ship_first,
                keep=config.keep_shipped,
                on_shipped=on_report,
                on_trouble=on_report,
            )
        self.sealed = 0
        self.failed = 0
        self.ignored = 0
        self.trouble = ''
        self._commands: dict[str, deque[tuple[int, Array]]] = {
            source: deque(maxlen=RECENT) for source in SOURCES
        }
        self._paced = config.paced
        self._sampled = -1  # stamp of the newest joint state
        # Why nothing is watched, if so.
        self._unmeasured = 'no joint states of this robot yet'
        self._uncommanded = f'no command heard yet, on {profile.command.topic} say'
        self._progress = (-1, time.monotonic())

    def pin(self, topic: str) -> None:
        """A latched topic: what it said last belongs into every clip."""
        self.ring.pinned[topic] = STATIC_TRANSFORMS if topic.endswith('tf_static') else 1

    def record(self, topic: str, kind: str, data: bytes, now: int) -> None:
        """A message without a stamp to go by."""
        self.recorder.push(Record(topic, kind, self._clock.at(now), data))

    def command(
        self, source: str, values: Array | None, now: int, stamp: int | None = None
    ) -> None:
        """A command.

        Args:
            source: one of ``SOURCES``.
            values: (nj,); None when it was not usable.
            now: ROS time.
            stamp: of the joint state it answers, where it says; it is in force after that one.
        """
        if values is None:
            self.ignored += 1
        else:
            self._commands[source].append((stamp or self._clock.at(now), values))

    def sample(
        self, record: Record, measured: Array | None, now: int, fault: str = ''
    ) -> list[tuple[Event, str]]:
        """A joint state.

        Args:
            record: the message, with its own stamp.
            measured: (nj,) the commanded quantity; None when the message was not usable.
            now: ROS time.
            fault: why ``measured`` is None.

        Returns:
            The events it gave rise to, each with the clip that records it.
        """
        if record.stamp == self._sampled == 0:
            self._unmeasured = UNSTAMPED
            self.ignored += 1
            self.recorder.push(record._replace(stamp=self._clock.at(now)))
            return []
        self._unmeasured = fault
        if self._clock.sample(record.stamp, now):
            self.recorder.clock_went_back()
            self._sampled = -1
            for given in self._commands.values():
                given.clear()
        self.recorder.push(record)
        stamp = record.stamp
        command, self._sampled = self._command_in_force(stamp), stamp
        if measured is None:
            self.ignored += 1
            return []
        if command is not None:
            self._uncommanded = ''
        sample = Sample(stamp * 1e-9, measured, command)
        events = [event for d in self.detectors if (event := d.update(sample)) is not None]
        return [(event, self.recorder.trigger(event, stamp)) for event in events]

    def trigger(self, detail: str, now: int) -> tuple[Event, str]:
        """A person asks for a clip; the event, and the clip."""
        stamp = self._clock.at(now)
        event = Event(stamp * 1e-9, 'operator', 0.0, 0.0, detail=detail)
        return event, self.recorder.trigger(event, stamp)

    def watch(self, now: int) -> None:
        """Call about twice a second of steady time: ends a clip that gets no messages."""
        stamp, moment = self._clock.at(now), time.monotonic()
        if stamp != self._progress[0]:
            self._progress = stamp, moment
            self.recorder.advance(stamp)
        elif moment - self._progress[1] > STALL:
            self.recorder.finish('time stood still')

    def take(self, report: Report) -> None:
        """Count a report; call with each, in the thread of all other calls.

        Raises:
            BaseException: the one that ended the clip writer, or the uplink died.
        """
        if isinstance(report, Sealed):
            self.sealed += 1
            if self.uplink:
                self.uplink.wake()
        elif isinstance(report, Failed):
            if report.crash is not None:
                raise report.crash
            self.failed += 1
            self.trouble = f'{report.clip}: {report.reason}'
            if report.clip and report.clip == self.recorder.clip:
                self.recorder.finish('not written')
        else:
            self.trouble = report if isinstance(report, str) else ''

    def status(self) -> tuple[bool, str, dict[str, object]]:
        """Whether all is well, in a word, and the counters."""
        recording = f'recording {self.recorder.clip}' if self.recorder.clip else 'watching'
        values: dict[str, object] = {
            'clips': self.sealed,
            'clips_failed': self.failed,
            'clips_deleted_after_shipping': self.writer.deleted,
            'messages_dropped': self.writer.dropped,
            'ring_messages': len(self.ring),
            'ring_evicted_early': self.ring.evicted,
            'samples_ignored': self.ignored,
        }
        faults = [
            f'{key.replace("_", " ")}: {values[key]}'
            for key in ('clips_failed', 'messages_dropped', 'ring_evicted_early')
            if values[key]
        ]
        if blind := self._unmeasured or self._uncommanded:
            faults.append(f'blind: {blind}')
        if self.uplink:
            values['clips_shipped'] = self.uplink.shipped
            values['clips_deleted_after_shipping'] = self.writer.deleted + self.uplink.deleted
            if not self.uplink.alive:
                faults.append('the uplink died')
        if self.trouble:
            faults.append(self.trouble)
        return not faults, '; '.join([recording, *faults]), values

    def close(self, timeout: float = 2.0) -> bool:
        """Seal what is open; False when not all threads ended in time [s]."""
        self.recorder.finish('node stopped')
        end = time.monotonic() + timeout
        done = self.writer.close(timeout)
        if self.uplink:
            done = self.uplink.close(max(0.1, end - time.monotonic())) and done
        return done

    def _command_in_force(self, stamp: int) -> Array | None:
        """The newest command before a stamp; None when the robot no longer heeds it for its age.

        In a paced run a command without a stamp may come just before or just after the joint
        state it answers is taken, as processes happen to run: it counts from the next one on.
        """
        for source in SOURCES:
            before = self._sampled if self._paced and source == 'sent' else stamp
            given = next((g for g in reversed(self._commands[source]) if g[0] < before), None)
            if given and stamp - given[0] <= self._profile.command.timeout * 1e9:
                return given[1]
        return None


def tracking_detector(config: CaptureConfig, profile: RobotProfile) -> TrackingErrorDetector:
    """The tracking error detector as configured, the profile filling in what is 0.

    Raises:
        InputError: not one value for all joints, nor one for each, or none for one about which
            the profile tells nothing.
    """
    threshold = _filled('threshold', config.threshold, default_threshold(profile))
    interface, faults = profile.command.interface, Faults()
    for name, value in zip(profile.joint_names, threshold):
        if not np.isfinite(value):
            mend = f'{name} has no {interface} limit: give one in the profile, or a threshold here'
            faults.add('threshold', config.threshold, mend)
    faults.check()
    return TrackingErrorDetector(
        profile.joint_names,
        threshold,
        lag=_filled('lag', config.lag, default_lag(profile)),
        persistence=config.persistence,
        settling=config.settling,
        continuous=[interface == 'position' and j.type == 'continuous' for j in profile.joints],
    )


def _filled(field: str, given: tuple[float, ...], default: Array) -> Array:
    if len(given) not in (1, len(default)):
        raise InputError(Fault(field, given, f'give one value, or one for each of {len(default)}'))
    values = np.array(given)
    return np.where(values > 0, values, default)
