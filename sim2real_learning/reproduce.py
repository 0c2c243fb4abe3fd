"""Does a failure recur in simulation? The commands of a clip, replayed in what is known of it.

Every world that the clip tells of is simulated, side by side: the nominal robot, the one that was
identified (``estimate``), the simulated world it happened in (``draw``), both, and hypotheses of
the user's (``given``). All start in the recorded state, a while before the alarm, with drives that
have heard the commands before; then they get the recorded commands at their recorded times, and
the detectors see what the simulated sensors say. Beside them the same detectors see the recording
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
from sim2real_capture.signals import Sample
from sim2real_core.addresses import quantity
from sim2real_core.errors import Fault, InputError
from sim2real_core.joint_states import shortest
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Event
from sim2real_learning.clips import QUANTITIES, Clip, Stamps
from sim2real_sim.mujoco_simulator import MujocoSimulator

Array = npt.NDArray[np.float64]
Tell = Callable[[float], None]

LEAD = 2.0
"""How long before the alarm the simulation starts [s]."""
HEARD = 0.5
"""Commands before the start that the drives have heard [s]."""
WITHIN = 0.25
"""An alarm this near to the recorded one is the same [s]."""


@dataclass(frozen=True)
class World:
    """Parameters over time.

    Attributes:
        name: for people.
        changes: from when on [ns] which ``{address: value}`` holds; in order, the first from the
            beginning.
    """

    name: str
    changes: tuple[tuple[int, Mapping[str, float]], ...]

    def at(self, time: int) -> Mapping[str, float]:
        """What holds at a time [ns]."""
        held = [values for since, values in self.changes if since <= time]
        return held[-1] if held else self.changes[0][1]


def worlds_of(clip: Clip, given: Sequence[tuple[float, str, float]] = ()) -> list[World]:
    """The worlds that a clip tells of; the nominal one first.

    Args:
        clip: what was recorded.
        given: hypotheses: time after the alarm [s], address and value; on top of all else.
    """
    begin = int(clip.states.stamp[0])
    draws = list(clip.draws)
    if not draws or draws[0][0] > begin:
        # Before the first that was heard it was nominal, or as the clip says for all of it.
        told = {} if draws else (clip.manifest.get('draw') or {}).get('values') or {}
        draws = [(begin, told), *draws]
    estimate = {
        address: float(known['mean'])
        for address, known in (clip.manifest.get('estimate') or {}).items()
        if isinstance(known, Mapping) and known.get('status') == 'identified'
    }
    worlds = [World('nominal', ((begin, {}),))]
    drawn = any(values for _, values in draws)
    if drawn:
        worlds.append(World('draw', tuple(draws)))
    if estimate:
        worlds.append(World('estimate', ((begin, estimate),)))
    if drawn and estimate:
        both = tuple((time, {**estimate, **values}) for time, values in draws)
        worlds.append(World('estimate and draw', both))
    if given:
        worlds.append(World('given', _given(worlds[-1], given, alarm_of(clip))))
    return worlds


def _given(
    under: World, given: Sequence[tuple[float, str, float]], alarm: int
) -> tuple[tuple[int, Mapping[str, float]], ...]:
    """Hypotheses on top of a world."""
    since = [(alarm + round(after * 1e9), {a: v}) for after, a, v in given if after > -math.inf]
    always = {a: v for after, a, v in given if after == -math.inf}
    times = sorted({time for time, _ in (*under.changes, *since)})
    changes = []
    for time in times:
        added = dict(always)
        for begin, values in since:
            if begin <= time:
                added.update(values)
        changes.append((time, {**under.at(time), **added}))
    return tuple(changes)


def alarm_of(clip: Clip) -> int:
    """Stamp of the first alarm [ns]; the middle of a clip without one."""
    if 'stamp' in clip.event:
        return round(float(clip.event['stamp']) * 1e9)
    return int(clip.states.stamp[len(clip.states.stamp) // 2])


@dataclass(frozen=True)
class Outcome:
    """How one world went.

    Attributes:
        world: its name.
        rms: (nj,) root mean square of the difference to the recorded position [rad or m].
        largest: (nj,) largest difference.
        alarms: that the detectors raised.
        delay: of the same alarm behind the recording's [s]; nan where there was none.
        recurs: whether the same alarm was raised at about the same time; None where no detector
            here can raise it.
        ignored: addresses that were not simulated, and why.
        diverged: the simulation blew up.
    """

    world: str
    rms: Array
    largest: Array
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
        detectors: makes new detectors; those that judge joint states are shown these.
        lead: how long before the alarm to start [s].
        seed: of the sensor noise.
        contacts: whether to simulate contacts.
        tell: told how much is done, 0 to 1.

    Raises:
        InputError: the clip has no whole joint state, or no command.
    """
    whole = np.isfinite(clip.state('position')).all(axis=1)
    stamps = clip.states.stamp[whole]
    times, commands = _commands(clip, profile)
    if len(stamps) < 2 or not len(times):
        mend = 'must hold joint states and commands of the robot'
        raise InputError(Fault('clip', str(clip.folder), mend))
    recorded = {name: clip.state(name)[whole] for name in QUANTITIES}
    alarm = alarm_of(clip)
    first = int(np.searchsorted(stamps, alarm - round(lead * 1e9)).clip(0, len(stamps) - 2))
    run = _Run(profile, len(worlds), seed, contacts)
    run.begin(recorded, stamps, first, times, commands)
    simulated, ignored = run.go(worlds, stamps[first:], times, commands, tell)
    command = _in_force(clip, profile, stamps)
    on_recording = _alarms(profile, detectors(), stamps, recorded, command)
    known = {detector.name for detector in detectors()}
    wanted = clip.event.get('detector', '')
    reference = next(
        (e.stamp for e in on_recording if _same(e, clip.event, alarm * 1e-9)), alarm * 1e-9
    )
    outcomes = []
    continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
    for k, world in enumerate(worlds):
        told = {
            name: np.concatenate([values[:first], simulated[name][:, k]])
            for name, values in recorded.items()
        }
        events = _alarms(profile, detectors(), stamps, told, command)
        events = tuple(e for e in events if e.stamp >= stamps[first] * 1e-9)
        again = next((e for e in events if _same(e, clip.event, reference)), None)
        off = np.abs(
            shortest(simulated['position'][:, k] - recorded['position'][first:], continuous)
        )
        outcomes.append(
            Outcome(
                world=world.name,
                rms=np.sqrt((off**2).mean(axis=0)),
                largest=off.max(axis=0),
                alarms=events,
                delay=again.stamp - reference if again else math.nan,
                recurs=(again is not None) if wanted in known else None,
                ignored=ignored[k],
                diverged=bool(run.simulator.diverged[k]),
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
        position=recorded['position'][first:],
        command=command[first:],
        simulated=simulated['position'],
    )


def _commands(clip: Clip, profile: RobotProfile) -> tuple[Stamps, Array]:
    """When the robot got which command: as they were applied, later by what the way took."""
    table = clip.applied if len(clip.applied.stamp) else clip.sent
    late = max(0, int(np.median(table.time - table.stamp))) if len(table.stamp) else 0
    return table.stamp + late, _of_joints(table.values, profile)


def _of_joints(commands: Array, profile: RobotProfile) -> Array:
    """Commands (n, nc) as the joints' drives are told them (n, nj): a twist turns wheels.

    Raises:
        InputError: nothing is known of what obeys a twist.
    """
    if not profile.twist:
        return commands
    if profile.wheels is None:
        mend = 'a simulator needs them to obey a twist: name joints, radius, separation'
        raise InputError(Fault('wheels', None, mend, str(profile.path)))
    speeds = profile.wheels.speeds(profile.joint_names, profile.command_names)
    return np.asarray(commands @ speeds.T)


def _in_force(clip: Clip, profile: RobotProfile, stamps: Stamps) -> Array:
    """The command before each joint state (n, nj); NaN where there is none that is heeded."""
    table = clip.applied if len(clip.applied.stamp) else clip.sent
    place = np.searchsorted(table.stamp, stamps) - 1
    command = _of_joints(table.values[place], profile)
    age = (stamps - table.stamp[place]) * 1e-9
    command[(place < 0) | (age > profile.command.timeout)] = np.nan
    return command


def _same(event: Event, recorded: Mapping[str, Any], when: float) -> bool:
    """Whether an alarm is the recorded one: its detector, about its time, one of its joints."""
    said, told = set(event.detail.split()), set(str(recorded.get('detail', '')).split())
    return (
        event.detector == recorded.get('detector')
        and abs(event.stamp - when) <= WITHIN
        and (not told or bool(said & told))
    )


def _alarms(
    profile: RobotProfile,
    detectors: Sequence[Detector],
    stamps: Stamps,
    told: Mapping[str, Array],
    command: Array,
) -> tuple[Event, ...]:
    """Alarms that joint states raise."""
    watching = [detector for detector in detectors if issubclass(Sample, detector.scorer.takes)]
    found = []
    for sample in _samples(profile, stamps, told, command):
        events = (detector.update(sample) for detector in watching)
        found += [event for event in events if event is not None]
    return tuple(found)


def _samples(
    profile: RobotProfile, stamps: Stamps, told: Mapping[str, Array], command: Array
) -> Iterator[Sample]:
    commanded = profile.command.drives
    for k, stamp in enumerate(stamps.tolist()):
        known = {n: v[k] if np.isfinite(v[k]).all() else None for n, v in told.items()}
        measured = known.get(commanded)
        if measured is not None:
            given = command[k] if np.isfinite(command[k]).all() else None
            yield Sample(stamp * 1e-9, measured, given, **known)


class _Run:
    """The simulations, side by side.

    Attributes:
        simulator: of all worlds.
    """

    def __init__(self, profile: RobotProfile, worlds: int, seed: int, contacts: bool) -> None:
        self._profile = profile
        self.simulator = MujocoSimulator(profile, nsim=worlds, seed=seed, contacts=contacts)
        self._step = round(self.simulator.timestep * 1e9)

    def begin(
        self,
        recorded: Mapping[str, Array],
        stamps: Stamps,
        first: int,
        times: Stamps,
        commands: Array,
    ) -> None:
        """Put the robots where the recorded one was, with drives that know what was commanded."""
        velocity = recorded['velocity'][first]
        if not np.isfinite(velocity).all():
            apart = (stamps[first + 1] - stamps[first]) * 1e-9
            velocity = np.diff(recorded['position'][first : first + 2], axis=0)[0] / apart
        self.simulator.reset(position=recorded['position'][first], velocity=velocity)
        self._velocity, self._position = velocity, recorded['position'][first]
        steps = np.arange(stamps[first] - round(HEARD * 1e9), stamps[first], self._step)
        heard = commands[np.maximum(np.searchsorted(times, steps, side='right') - 1, 0)]
        self._heard = np.repeat(heard[:, None], self.simulator.nsim, axis=1)

    def go(
        self,
        worlds: Sequence[World],
        stamps: Stamps,
        times: Stamps,
        commands: Array,
        tell: Tell,
    ) -> tuple[dict[str, Array], list[dict[str, str]]]:
        """Step through all instants at which something happens.

        Returns:
            What the sensors said at the stamps, by quantity (n, worlds, nj); and for each world
            the addresses that were left out, and why.
        """
        simulator, step, start = self.simulator, self._step, int(stamps[0])

        def steps(moments: Stamps) -> Stamps:
            return -((start - moments) // step)  # the first step that begins then or later

        ignored: list[dict[str, str]] = [{} for _ in worlds]
        for k, world in enumerate(worlds):
            ignored[k].update(self._enter(k, world.at(start)))
        simulator.reset(position=self._position, velocity=self._velocity)
        simulator.prime(self._heard)
        agenda: dict[int, list[tuple[str, int, Any]]] = {}
        for k, world in enumerate(worlds):
            for time, values in world.changes:
                if time > start:
                    at = int(steps(np.array(time)))
                    agenda.setdefault(at, []).append(('world', k, values))
        last = int(np.searchsorted(times, start, side='right')) - 1
        for k in range(max(last, 0), len(times)):
            at = max(0, int(steps(times[k])))
            agenda.setdefault(at, []).append(('command', 0, commands[k]))
            until = times[k] + round(self._profile.command.timeout * 1e9)
            if k + 1 < len(times) and times[k + 1] > until > start:
                agenda.setdefault(int(steps(until)), []).append(('hold', 0, None))
        for k, at in enumerate(((stamps - start) / step).round().astype(np.int64).tolist()):
            agenda.setdefault(at, []).append(('read', k, None))
        shape = (len(stamps), len(worlds), len(self._profile.joints))
        said = {name: np.full(shape, np.nan) for name in QUANTITIES}
        now = 0
        for at in sorted(agenda):
            if at > now:
                simulator.step(at - now)
                now = at
            for what, k, values in sorted(agenda[at], key=lambda item: item[0] != 'read'):
                if what == 'read':
                    reading = simulator.read()
                    for name in QUANTITIES:
                        said[name][k] = getattr(reading, name)
                    tell(k / len(stamps))
                elif what == 'command':
                    simulator.command(values)
                elif what == 'hold':
                    simulator.hold()
                else:
                    ignored[k].update(self._enter(k, values))
            if now >= round((int(stamps[-1]) - start) / step):
                break
        return said, ignored

    def _enter(self, k: int, values: Mapping[str, float]) -> dict[str, str]:
        """Make one simulation a world; what cannot be is left out and told."""
        left = {}
        good = {}
        for address, value in values.items():
            try:
                limits = quantity(address, self._profile)
            except InputError as error:
                left[address] = error.faults[0].mend
                continue
            if not limits.low <= value <= limits.high:
                left[address] = f'{value:g} is not within [{limits.low:g}, {limits.high:g}]'
            elif not self.simulator.has(address):
                left[address] = 'the simulator does not have it'
            else:
                good[address] = value
        try:
            self.simulator.apply(good, [k])
        except InputError as error:
            self.simulator.apply({}, [k])
            left.update({fault.field: fault.mend for fault in error.faults})
        return left
