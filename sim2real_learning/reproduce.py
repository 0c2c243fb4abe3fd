"""Does a failure recur in simulation? The commands of a clip, replayed in what is known of it.

Every world that the clip tells of is simulated, side by side: the nominal robot, the one that was
identified (``estimate``), the simulated world it happened in (``draw``), both, and hypotheses of
the user's (``given``). ``reproduce_worlds.py`` has them, ``reproduce_run.py`` simulates them. The
detectors see what the simulated sensors say. Beside them the same detectors see the recording
itself, so that settings other than the robot's own favour nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors import Detector
from sim2real_capture.signals import ImuSample, Sample
from sim2real_core.joint_states import shortest
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Event
from sim2real_learning.clips import Clip, Stamps
from sim2real_learning.reproduce_run import (
    Body,
    Imu,
    Recorded,
    Run,
    Simulated,
    in_force,
    recorded_of,
)
from sim2real_learning.reproduce_worlds import World, alarm_of, worlds_of

__all__ = ['Outcome', 'Reproduction', 'World', 'reproduce', 'worlds_of']

Array = npt.NDArray[np.float64]
Tell = Callable[[float], None]

LEAD = 2.0
"""How long before the alarm the simulation starts [s]."""
WITHIN = 0.25
"""An alarm this near to the recorded one is the same [s]."""


@dataclass(frozen=True)
class Outcome:
    """How one world went.

    Attributes:
        world: its name.
        rms: (nj,) root mean square of the difference to the recorded position [rad or m].
        largest: (nj,) largest difference.
        moved: largest distance of a mobile robot's body from where odometry has it [m]; nan where
            there is none.
        turned: largest angle between the two [rad]; nan likewise.
        alarms: that the detectors raised.
        delay: of the same alarm behind the recording's [s]; nan where there was none.
        recurs: whether the same alarm was raised at about the same time; None where no detector
            here can raise it.
        ignored: addresses that were not simulated, and what else of the recording, and why.
        diverged: the simulation blew up.
    """

    world: str
    rms: Array
    largest: Array
    moved: float
    turned: float
    alarms: tuple[Event, ...]
    delay: float
    recurs: bool | None
    ignored: Mapping[str, str]
    diverged: bool

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            **vars(self),
            'rms': self.rms.tolist(),
            'largest': self.largest.tolist(),
            'alarms': [vars(event) for event in self.alarms],
        }


@dataclass(frozen=True)
class Reproduction:
    """How closely a failure recurs.

    Attributes:
        clip: its id.
        joints: (nj,) names.
        alarm: the recorded event.
        reference: stamp of the alarm that the others are compared with [s]: the one that the
            detectors raise on the recording, else the recorded one.
        recorded: alarms on the recording.
        outcomes: of the worlds.
        stamp: (n,) [ns], from the start on.
        position: (n, nj) as recorded.
        command: (n, nj) in force; NaN where there was none.
        simulated: (n, worlds, nj).
    """

    clip: str
    joints: tuple[str, ...]
    alarm: Mapping[str, Any]
    reference: float
    recorded: tuple[Event, ...]
    outcomes: tuple[Outcome, ...]
    stamp: Stamps
    position: Array
    command: Array
    simulated: Array = field(repr=False)

    @property
    def best(self) -> Outcome:
        """The world in which it recurs most closely."""
        return min(self.outcomes, key=lambda o: (not o.recurs, o.diverged, float(o.rms.max())))

    @property
    def recurs(self) -> bool | None:
        """Whether it recurs in any world; None where no detector here can raise the alarm."""
        found = [outcome.recurs for outcome in self.outcomes]
        return None if None in found else any(found)

    def as_json(self) -> dict[str, Any]:
        """All but the trajectories, as JSON data."""
        return {
            'clip': self.clip,
            'alarm': dict(self.alarm),
            'joints': list(self.joints),
            'reference': self.reference,
            'recurs': self.recurs,
            'best': self.best.world,
            'recorded': [vars(event) for event in self.recorded],
            'worlds': [outcome.as_json() for outcome in self.outcomes],
        }


def reproduce(
    clip: Clip,
    profile: RobotProfile,
    worlds: Sequence[World],
    detectors: Callable[[], Sequence[Detector]],
    *,
    lead: float = LEAD,
    seed: int = 0,
    contacts: bool = True,
    tell: Tell = lambda share: None,
) -> Reproduction:
    """Replay a clip's commands in simulated worlds.

    Args:
        clip: what was recorded.
        profile: of its robot.
        worlds: to try, see :func:`worlds_of`.
        detectors: makes new detectors; those that judge joint states or an IMU are shown these.
        lead: how long before the alarm to start [s].
        seed: of the sensor noise.
        contacts: whether to simulate contacts.
        tell: told how much is done, 0 to 1.

    Raises:
        InputError: the clip has no whole joint state, or no command.
    """
    recorded = recorded_of(clip, profile)
    stamps, position = recorded.stamp, recorded.joints['position']
    alarm = alarm_of(clip)
    first = int(np.searchsorted(stamps, alarm - round(lead * 1e9)).clip(0, len(stamps) - 2))
    run = Run(profile, recorded, first, worlds, seed=seed, contacts=contacts)
    simulated = run.go(tell)
    command = in_force(clip, profile, stamps)
    judge = _Judge(profile, detectors, recorded, command)
    on_recording = judge.alarms(recorded.joints, recorded.imu)
    known = judge.shown
    reference = next(
        (e.stamp for e in on_recording if _same(e, clip.event, alarm * 1e-9)), alarm * 1e-9
    )
    outcomes = []
    continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
    for k, world in enumerate(worlds):
        events = judge.alarms(*_told(recorded, simulated, first, k))
        events = tuple(e for e in events if e.stamp >= stamps[first] * 1e-9)
        again = next((e for e in events if _same(e, clip.event, reference)), None)
        off = np.abs(shortest(simulated.joints['position'][:, k] - position[first:], continuous))
        moved, turned = _astray(recorded.body, simulated, k, run.raised)
        outcomes.append(
            Outcome(
                world=world.name,
                rms=np.sqrt((off**2).mean(axis=0)),
                largest=off.max(axis=0),
                moved=moved,
                turned=turned,
                alarms=events,
                delay=again.stamp - reference if again else math.nan,
                recurs=(again is not None) if clip.event.get('detector') in known else None,
                ignored=simulated.ignored[k],
                diverged=simulated.diverged[k],
            )
        )
    return Reproduction(
        clip=clip.name,
        joints=profile.joint_names,
        alarm=clip.event,
        reference=reference,
        recorded=on_recording,
        outcomes=tuple(outcomes),
        stamp=stamps[first:],
        position=position[first:],
        command=command[first:],
        simulated=simulated.joints['position'],
    )


def _told(
    recorded: Recorded, simulated: Simulated, first: int, k: int
) -> tuple[dict[str, Array], Imu]:
    """What the sensors say in a world: the recording up to the start, the simulation after it."""
    joints = {
        name: np.concatenate([values[:first], simulated.joints[name][:, k]])
        for name, values in recorded.joints.items()
    }
    stamps = recorded.imu.stamp
    after = stamps >= recorded.stamp[first]
    within = stamps <= recorded.stamp[-1]
    parts = [
        np.where(after[:, None], again[:, k], was)[within]
        for was, again in zip(recorded.imu[1:], simulated.imu)
    ]
    return joints, Imu(stamps[within], *parts)


def _astray(body: Body, simulated: Simulated, k: int, raised: float) -> tuple[float, float]:
    """How far a body goes from where odometry has it: distance [m] and angle [rad]."""
    where, turned = (part[:, k] for part in simulated.body[:2])
    there = np.isfinite(where).all(axis=1)
    if not there.any():
        return math.nan, math.nan
    off = where[there] - body.reading.position[there] - [0.0, 0.0, raised]
    alike = np.abs((turned[there] * body.reading.orientation[there]).sum(axis=1))
    size = np.linalg.norm(body.reading.orientation[there], axis=1)
    angle = 2.0 * np.arccos(np.clip(alike / size, 0.0, 1.0))
    return float(np.linalg.norm(off, axis=1).max()), float(angle.max())


def _same(event: Event, recorded: Mapping[str, Any], when: float) -> bool:
    """Whether an alarm is the recorded one: its detector, about its time, one of its joints."""
    said, told = set(event.detail.split()), set(str(recorded.get('detail', '')).split())
    return (
        event.detector == recorded.get('detector')
        and abs(event.stamp - when) <= WITHIN
        and (not told or bool(said & told))
    )


class _Judge:
    """Shows sensors to new detectors.

    Args:
        profile: of the robot.
        detectors: makes them.
        recorded: when what was measured.
        command: (n, nj) in force at the joint states.
    """

    def __init__(
        self,
        profile: RobotProfile,
        detectors: Callable[[], Sequence[Detector]],
        recorded: Recorded,
        command: Array,
    ) -> None:
        self._commanded = profile.command.drives
        self._make = detectors
        self._stamps, self._command = recorded.stamp, command
        self._has_imu = bool(len(recorded.imu.stamp))

    def _watching(self) -> list[Detector]:
        """Those of new detectors that are shown something."""
        signals = (Sample, ImuSample) if self._has_imu else (Sample,)
        return [d for d in self._make() if any(issubclass(s, d.scorer.takes) for s in signals)]

    @property
    def shown(self) -> set[str]:
        """Names of the detectors that can raise their alarms here."""
        return {detector.name for detector in self._watching()}

    def alarms(self, joints: Mapping[str, Array], imu: Imu) -> tuple[Event, ...]:
        """Alarms that joint states and an IMU raise, in order."""
        watching = self._watching()
        signals: list[Sample | ImuSample] = [*self._samples(joints)]
        signals += [ImuSample(s * 1e-9, r, f) for s, r, f in zip(imu.stamp.tolist(), *imu[1:])]
        found = []
        for signal in sorted(signals, key=lambda signal: signal.stamp):
            for detector in watching:
                if isinstance(signal, detector.scorer.takes):
                    event = detector.update(signal)
                    found += [event] if event is not None else []
        return tuple(found)

    def _samples(self, joints: Mapping[str, Array]) -> Iterator[Sample]:
        for k, stamp in enumerate(self._stamps.tolist()):
            known = {n: v[k] if np.isfinite(v[k]).all() else None for n, v in joints.items()}
            measured = known.get(self._commanded)
            if measured is not None:
                given = self._command[k] if np.isfinite(self._command[k]).all() else None
                yield Sample(stamp * 1e-9, measured, given, **known)
