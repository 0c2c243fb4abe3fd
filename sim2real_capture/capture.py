"""The whole of capture without ROS: messages and samples in; events, clips and reports out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim2real_capture.calibration import load_calibration
from sim2real_capture.clip import Context, clip_name
from sim2real_capture.commands import Commands
from sim2real_capture.config import CaptureConfig
from sim2real_capture.detectors_file import build, read_detectors
from sim2real_capture.recorder import Recorder
from sim2real_capture.ring import Record, Ring, SensorClock
from sim2real_capture.rules import Rules, read_rules
from sim2real_capture.scores import ScoreCurve, score_topic
from sim2real_capture.signals import Ages, Sample, Signal
from sim2real_capture.transports import load_credentials
from sim2real_capture.uplink import Receipt, Uplink
from sim2real_capture.writer import ClipWriter, Failed, Sealed
from sim2real_core.joint_states import UNSTAMPED
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Event

Array = npt.NDArray[np.float64]
Report = Sealed | Failed | Receipt | str

STALL = 5.0
"""A clip whose time stands still for this long [s] ends with what it has."""
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
        resolve: makes topic names full.

    Raises:
        InputError: settings that do not fit the robot.
    """

    def __init__(
        self,
        config: CaptureConfig,
        profile: RobotProfile,
        context: Callable[[], Context],
        on_report: Callable[[Report], None],
        resolve: Callable[[str], str] = str,
    ) -> None:
        self._profile = profile
        calibration = load_calibration(config.thresholds) if config.thresholds else None
        self._built = build(read_detectors(config.detectors), profile, calibration, resolve)
        self.detectors = self._built.active
        self.entries = self._built.entries
        self._curves = [
            ScoreCurve(resolve(score_topic(d.name)), d.threshold) for d in self.detectors
        ]
        self._clock = SensorClock(carry=not config.paced)
        # ROS time when topics whose silence is watched were heard last; 0 before the first watch.
        watched = {t for d in self.detectors if d.scorer.takes is Ages for t in d.scorer.elements}
        self._heard = dict.fromkeys([] if config.paced else watched, 0)
        before, after = round(config.before * 1e9), round(config.after * 1e9)
        spool = Path(config.folder).expanduser()
        self.rules = read_rules(config.rules) if config.rules else Rules()
        self.ring = Ring(before, config.ring_bytes, budget=self.rules.budget)
        self._context = context
        self.writer = ClipWriter(
            spool,
            lambda: replace(
                self._context(),
                latched=tuple(self.ring.pinned),
                rules=self.rules.as_json(),
                compression=config.compression,
            ),
            on_report,
            clip_bytes=config.clip_bytes,
            spool_bytes=config.spool_bytes,
            private_days=config.private_days,
            priority=config.ship_first,
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
        self._commands = Commands(profile.command.timeout, config.paced)
        self._sampled = -1  # stamp of the newest joint state
        # Why nothing is watched, if so.
        self._unmeasured = 'no joint states of this robot yet'
        self._uncommanded = f'no command heard yet, on {profile.command.topic} say'
        self._progress = (-1, time.monotonic())

    @property
    def watched(self) -> tuple[str, ...]:
        """Topics whose silence is an event."""
        return tuple(self._heard)

    def pin(self, topic: str) -> None:
        """A latched topic: what it said last belongs into every clip."""
        self.ring.pinned[topic] = STATIC_TRANSFORMS if topic.endswith('tf_static') else 1

    def record(self, topic: str, kind: str, data: bytes, now: int) -> None:
        """A message without a stamp to go by."""
        self._hear(topic, now)
        self._keep(Record(topic, kind, self._clock.at(now), data))

    def _keep(self, record: Record) -> None:
        """Record it, unless a rule excludes its topic, which detectors may hear all the same."""
        if not self.rules.of(record.topic).exclude:
            self.recorder.push(record)

    def _hear(self, topic: str, now: int) -> None:
        if topic in self._heard:
            self._heard[topic] = now

    def command(
        self, source: str, values: Array | None, now: int, stamp: int | None = None
    ) -> None:
        """A command.

        Args:
            source: one of ``commands.SOURCES``.
            values: (nj,); None when it was not usable.
            now: ROS time.
            stamp: of the joint state it answers, where it says; it is in force after that one.
        """
        if values is None:
            self.ignored += 1
        else:
            self._commands.add(source, values, stamp or self._clock.at(now))

    def sample(
        self,
        record: Record,
        measured: Array | None,
        now: int,
        fault: str = '',
        **more: Array | None,
    ) -> list[tuple[Event, str]]:
        """A joint state.

        Args:
            record: the message, with its own stamp.
            measured: (nj,) the commanded quantity; None when the message was not usable.
            now: ROS time.
            fault: why ``measured`` is None.
            more: ``position``, ``velocity`` and ``effort`` (nj,), as far as they are usable.

        Returns:
            The events it gave rise to, each with the clip that records it.
        """
        self._hear(record.topic, now)
        if record.stamp == self._sampled == 0:
            self._unmeasured = UNSTAMPED
            self.ignored += 1
            self._keep(record._replace(stamp=self._clock.at(now)))
            return []
        self._unmeasured = fault
        if self._clock.sample(record.stamp, now):
            self.recorder.clock_went_back()
            self._sampled = -1
            self._commands.clear()
        self._keep(record)
        stamp = record.stamp
        command, self._sampled = self._commands.in_force(stamp, self._sampled), stamp
        if measured is None:
            self.ignored += 1
            return []
        if command is not None:
            self._uncommanded = ''
        return self.detect(Sample(stamp * 1e-9, measured, command, **more), stamp)

    def detect(self, signal: Signal, stamp: int) -> list[tuple[Event, str]]:
        """Show a signal to the detectors that take its kind.

        Args:
            signal: what was heard.
            stamp: when, on the records' time line, see :meth:`at`.

        Returns:
            The events it gave rise to, each with the clip that records it.
        """
        raised = []
        for detector, curve in zip(self.detectors, self._curves):
            if not isinstance(signal, detector.scorer.takes):
                continue
            event = detector.update(signal)
            if event is not None:
                raised.append(event)
            told = curve.add(detector.score, stamp, event is not None)
            if told is not None:
                self._keep(told)
        return [(event, self.recorder.trigger(event, stamp)) for event in raised]

    def at(self, now: int) -> int:
        """The time on the records' time line of a message received at ROS time ``now``."""
        return self._clock.at(now)

    def trigger(self, detail: str, now: int) -> tuple[Event, str]:
        """A person asks for a clip; the event, and the clip."""
        stamp = self._clock.at(now)
        event = Event(stamp * 1e-9, 'operator', 0.0, 0.0, detail=detail)
        return event, self.recorder.trigger(event, stamp)

    def watch(self, now: int) -> list[tuple[Event, str]]:
        """Call a few times a second of steady time: ends a clip that gets no messages.

        Returns:
            Events of inputs that fell silent, each with the clip that records it.
        """
        stamp, moment = self._clock.at(now), time.monotonic()
        if stamp != self._progress[0]:
            self._progress = stamp, moment
            self.recorder.advance(stamp)
        elif moment - self._progress[1] > STALL:
            self.recorder.finish('time stood still')
        if not self._heard:
            return []
        # From now where it was never heard, or where time went back.
        self._heard = {topic: min(heard or now, now) for topic, heard in self._heard.items()}
        ages = {topic: (now - heard) * 1e-9 for topic, heard in self._heard.items()}
        return self.detect(Ages(stamp * 1e-9, ages), stamp)

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
            'clips_lost_to_quota': self.writer.lost,
            'messages_dropped': self.writer.dropped,
            'ring_messages': len(self.ring),
            'ring_evicted_early': self.ring.evicted,
            'samples_ignored': self.ignored,
            'detectors': ' '.join(detector.name for detector in self.detectors),
            'detectors_dormant': ' '.join(self._built.dormant),
        }
        faults = [
            f'{key.replace("_", " ")}: {values[key]}'
            for key in (
                'clips_failed',
                'clips_lost_to_quota',
                'messages_dropped',
                'ring_evicted_early',
            )
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
