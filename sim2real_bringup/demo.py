"""The whole loop on one machine, over topics: a hidden robot, identified, learned, measured.

::

    hidden parameters -> surrogate (simulator node)
    nominal policy drives it -> sysid estimates it -> the space is narrowed
    fine-tuning in that space        oracle: the same, with the hidden truth
    both drive the surrogate over the same goals -> the gap before and after
    a fault is injected -> detected, clip written, shipped, replayed
"""

from __future__ import annotations

import functools
import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy

from sim2real_bringup.conductor import NAME as CONDUCTOR
from sim2real_bringup.conductor import Conductor, Recording
from sim2real_bringup.config import DemoConfig
from sim2real_bringup.replay import environment, replay
from sim2real_bringup.runner import die_with_parent
from sim2real_capture.library import ClipInfo, list_clips
from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError, Sim2RealError
from sim2real_core.files import find, write_json
from sim2real_core.kinematics import build_model
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_core.records import Draw, Estimate, Event
from sim2real_learning.config import FINE_TUNING, ReachTask, TrainConfig
from sim2real_learning.gap import Gap
from sim2real_learning.metrics import Evaluation, judge
from sim2real_learning.reach import Goals, draw_goals
from sim2real_learning.workflow import task_of
from sim2real_policy.bundle import load_bundle
from sim2real_randomizer.distributions import Constant
from sim2real_randomizer.narrow import narrow_with_report
from sim2real_randomizer.space import Space, Variation, load_space

Tell = Callable[[str, float], None]
"""Called with a stage and how much of it is done, 0 to 1."""

STAGES = {
    'drive': 'nominal policy drives the surrogate; it is identified',
    'learn': 'fine-tune in the narrowed space, and the oracle in the truth',
    'after': 'fine-tuned policy drives the surrogate',
    'oracle': 'oracle drives the surrogate',
    'fault': 'a drive fails; it is detected, captured, shipped, replayed',
}
RELATIVE = 0.10
"""Largest standard deviation, relative to the mean, of a parameter that counts as identified."""
EXCITED = ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset', 'mass')
"""What any motion excites. What friction does below some 0.03 rad/s, motion from goal to goal
hardly shows, and times of drives are told to so many milliseconds, however short they are."""
FAULT_AFTER = 4.0
"""Time of motion before the fault [s]."""
CAUGHT = 0.5
"""Longest time from fault to detection [s]."""
RECEIVER_PORT = 28378
"""Plus the ROS domain, so that demos run side by side."""
TWO_SIDED = 1.959963984540054
"""Half-width of a 95 % interval in standard deviations."""


@dataclass(frozen=True)
class Result:
    """What the demo found; :meth:`as_json` is the report's numbers."""

    config: DemoConfig
    profile: RobotProfile
    hidden: Mapping[str, float]
    estimate: Estimate
    timeline: tuple[Estimate, ...]
    changes: tuple[Any, ...]
    nominal: Evaluation
    before: Gap
    after: Gap
    paths: Mapping[str, Evaluation]
    rewards: Mapping[str, list[float]]
    fault: Mapping[str, Any]
    recording: Recording
    clip: ClipInfo | None
    seconds: Mapping[str, float]

    def truth(self, address: str) -> float:
        """True value of an address on the surrogate [SI]."""
        return self.hidden.get(address, nominal(self.profile, address))

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Every estimate beside the truth; ``covered``: the 95 % interval contains it."""
        rows = {}
        for address, known in self.estimate.parameters.items():
            truth = self.truth(address)
            identified = known.status == 'identified'
            relative = known.std / abs(known.mean) if known.mean else math.inf
            rows[address] = {
                'truth': truth,
                'mean': known.mean,
                'std': known.std if math.isfinite(known.std) else None,
                'status': known.status,
                'unit': known.unit,
                'hidden': address in self.hidden,
                'excited': parse_address(address).quantity in EXCITED,
                'sharp': identified and relative <= RELATIVE,
                'covered': abs(known.mean - truth) <= TWO_SIDED * known.std
                if identified
                else None,
            }
        return rows

    def as_json(self) -> dict[str, Any]:
        """All numbers of the report."""
        rows = self.parameters()
        hidden = [row for row in rows.values() if row['hidden'] and row['excited']]
        covered = [row['covered'] for row in rows.values() if row['covered'] is not None]
        before, after = self.before.as_json(), self.after.as_json()
        return {
            'robot': self.profile.name,
            'surrogate_seed': self.config.surrogate_seed,
            'parameters': rows,
            'hidden': dict(self.hidden),
            'identification': {
                'excited': len(hidden),
                'sharp': sum(row['sharp'] for row in hidden),
                'share': sum(row['sharp'] for row in hidden) / max(len(hidden), 1),
                'intervals': len(covered),
                'covered': sum(covered),
                'coverage': sum(covered) / max(len(covered), 1),
            },
            'nominal': self.nominal.summary(),
            'gap': {
                'before': before,
                'after': after,
                'ratio': after['median_excess'] / before['median_excess']
                if before['median_excess'] > 0
                else None,
            },
            'fault': dict(self.fault),
            'clip': None if self.clip is None else self.clip.as_json(),
            'seconds': dict(self.seconds),
        }

    def verdict(self) -> dict[str, bool]:
        """What the demo claims, and whether it held."""
        return {
            'gap shrank': self.after.as_json()['median_excess']
            < self.before.as_json()['median_excess'],
            'fault caught': bool(self.fault['caught']),
            'clip shipped and replayed': bool(self.fault['shipped'] and self.fault['replayed']),
        }


def run_demo(config: DemoConfig, tell: Tell = lambda stage, share: None) -> Result:
    """Run the whole loop.

    Args:
        config: what to run.
        tell: told of progress.

    Raises:
        Sim2RealError: a node died or did not answer; names it and its log.
    """
    begun = time.monotonic()
    _training(config)  # its faults at once, not from the processes that learn
    out = Path(config.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    profile = load_profile(config.robot)
    prior = load_space(config.space, profile)
    surrogate = load_space(config.surrogate, profile)
    hidden = dict(surrogate.draw(config.surrogate_seed, 0).values)
    bundle = find('policies', config.policy, '.onnx')
    checkpoint = bundle.with_suffix('.pt')
    if not checkpoint.is_file():
        mend = f'put the checkpoint of the policy there: {checkpoint}'
        raise InputError(Fault('policy', config.policy, mend))
    task = task_of(load_bundle(bundle).meta)
    goals = draw_goals(
        profile, task, config.goals + 1, np.random.default_rng(config.surrogate_seed)
    )
    write_json(out / 'hidden.json', hidden)
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    with _surrogate(config, profile, bundle, out) as conductor:
        tell('drive', 0.0)
        recordings = {'before': _drive(conductor, goals, task, functools.partial(tell, 'drive'))}
        estimate = conductor.estimate
        if estimate is None:
            raise Sim2RealError(f'sysid published no estimate; see {out / "stack.log"}')
        timeline = tuple(conductor.estimates)
        conductor.pause(True)
        narrowed, changes = narrow_with_report(prior, estimate)
        (out / 'narrowed.yaml').write_text(narrowed.to_yaml(), encoding='utf-8')
        truth = Space(profile, {a: Variation(Constant(v)) for a, v in hidden.items()})
        clock('drive')
        learned = _learn(
            profile,
            config,
            checkpoint,
            {'tuned': narrowed, 'oracle': truth},
            goals,
            out,
            functools.partial(tell, 'learn'),
        )
        clock('learn')
        for stage, name in (('after', 'tuned'), ('oracle', 'oracle')):
            tell(stage, 0.0)
            conductor.load(str(out / f'{name}.onnx'))
            conductor.reset()
            conductor.pause(False)
            recordings[stage] = _drive(conductor, goals, task, functools.partial(tell, stage))
            conductor.pause(True)
            clock(stage)
        tell('fault', 0.0)
        conductor.load(str(out / 'tuned.onnx'))
        conductor.reset()
        conductor.pause(False)
        fault, recording, alarm = _break(conductor, profile, goals, task)
        tell('fault', 0.6)
        clip = None if alarm is None else _shipped(conductor, out, alarm)
    tell('fault', 0.8)
    fault['shipped'] = clip is not None
    fault['replayed'] = bool(clip and alarm and _replays(clip, alarm, config, out))
    clock('fault')
    seconds['all'] = time.monotonic() - begun
    period = 1.0 / profile.rates.joint_state_rate
    paths = {
        name: judge(task, conductor.tool_path(recorded, task.duration), goals.position[1:], period)
        for name, recorded in recordings.items()
    }
    return Result(
        config=config,
        profile=profile,
        hidden=hidden,
        estimate=estimate,
        timeline=timeline,
        changes=changes,
        nominal=learned['nominal']['evaluation'],
        before=Gap(learned['nominal']['same'], paths['before'], paths['oracle']),
        after=Gap(learned['tuned']['same'], paths['after'], paths['oracle']),
        paths=paths,
        rewards={name: learned[name]['rewards'] for name in ('tuned', 'oracle')},
        fault=fault,
        recording=recording,
        clip=clip,
        seconds=seconds,
    )


class _Clock:
    """Notes how long each stage took."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self, stage: str) -> None:
        now = time.monotonic()
        self._seconds[stage] = now - self._last
        self._last = now


@contextmanager
def _surrogate(
    config: DemoConfig, profile: RobotProfile, bundle: Path, out: Path
) -> Iterator[Conductor]:
    """The stack around a surrogate, in a ROS domain of its own, and its conductor."""
    settings = {
        'simulator.realtime_factor': 0.0,
        'simulator.paced': True,
        'simulator.pace_consumers': [CONDUCTOR, 'policy'],
        'simulator.pace_observers': ['sysid', 'capture'],
        'simulator.pace_timeout': 8.0,
        'simulator.parameters_file': str(out / 'hidden.json'),
        'simulator.seed': config.surrogate_seed,
        'policy.paced': True,
        'sysid.paced': True,
        'capture.paced': True,
        'capture.folder': str(out / 'spool'),
        'receiver.folder': str(out / 'clips'),
    }
    varies = load_space(config.surrogate, profile).variations
    if not any(address.endswith('.position_offset') for address in varies):
        settings['sysid.zero_error'] = 0.0  # its encoders are homed
    command = [sys.executable, '-m', 'sim2real_bringup.cli', 'up', 'all']
    command += ['--nodes', 'simulator,policy,sysid,capture,receiver']
    command += ['--robot', config.robot, '--bundle', str(bundle)]
    for folder in ('spool', 'clips'):
        shutil.rmtree(out / folder, ignore_errors=True)  # of an earlier demo
    log = out / 'stack.log'
    with environment(None) as variables, log.open('w', encoding='utf-8') as stream:
        domain = int(variables['ROS_DOMAIN_ID'])
        port = RECEIVER_PORT + domain
        settings['receiver.port'] = port
        settings['capture.receiver'] = f'http://127.0.0.1:{port}'
        for name, value in settings.items():
            text = value if isinstance(value, str) else json.dumps(value)
            command += ['--param', f'{name}={text}']
        before = dict(os.environ)
        os.environ.update(variables)  # for the conductor here, as for the nodes
        stack = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
        conductor = None
        try:
            rclpy.init(domain_id=domain)
            conductor = Conductor(profile)
            yield conductor
            if stack.poll() is not None:
                raise Sim2RealError(f'the stack ended with status {stack.returncode}')
        except Sim2RealError as error:
            raise Sim2RealError(f'{error}\n{_tail(log)}') from error
        finally:
            if conductor is not None:
                conductor.close()
            rclpy.try_shutdown()
            os.environ.clear()
            os.environ.update(before)
            stack.send_signal(signal.SIGINT)
            try:
                stack.wait(10.0)
            except subprocess.TimeoutExpired:
                stack.kill()
                stack.wait()


def _tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    text = log.read_text(encoding='utf-8', errors='replace').splitlines()
    return '\n'.join([f'the end of {log}:', *text[-lines:]])


def _drive(
    conductor: Conductor, goals: Goals, task: ReachTask, progress: Callable[[float], None]
) -> Recording:
    """Lead the policy through all goals but the first, from wherever the robot is."""
    count = len(goals.position) - 1
    return conductor.run_goals(
        goals.position[1:], task.duration, lambda number: progress(number / count)
    )


def _learn(
    profile: RobotProfile,
    config: DemoConfig,
    checkpoint: Path,
    spaces: Mapping[str, Space],
    goals: Goals,
    out: Path,
    progress: Callable[[float], None],
) -> dict[str, dict[str, Any]]:
    """Fine-tune in each space, one process each; and measure the nominal policy beside it."""
    context = multiprocessing.get_context('spawn')
    results = context.Queue()
    counters = {name: context.Value('i', 0) for name in spaces}
    workers = {}
    for name, space in spaces.items():
        (out / f'{name}.yaml').write_text(space.to_yaml(), encoding='utf-8')
        workers[name] = context.Process(
            target=learn,
            args=(name, config, str(checkpoint), str(out), goals, counters[name], results),
            daemon=True,
        )
        workers[name].start()
    found: dict[str, dict[str, Any]] = {}
    total = config.iterations * len(spaces)
    while len(found) < len(spaces) + 1:
        progress(sum(counter.value for counter in counters.values()) / total)
        try:
            name, result = results.get(timeout=0.5)
        except multiprocessing.queues.Empty:  # type: ignore[attr-defined]
            dead = [n for n, w in workers.items() if w.exitcode not in (None, 0)]
            if dead:
                raise Sim2RealError(f'fine-tuning of {", ".join(dead)} died') from None
            continue
        if isinstance(result, Exception):
            raise result
        found[name] = result
    for worker in workers.values():
        worker.join(10.0)
    return found


def _training(config: DemoConfig) -> TrainConfig:
    changes = {'iterations': config.iterations, 'environments': config.environments}
    return TrainConfig(**{**FINE_TUNING, **changes})


def learn(
    name: str,
    config: DemoConfig,
    checkpoint: str,
    folder: str,
    goals: Goals,
    counter: Any,
    results: Any,
) -> None:
    """Fine-tune one policy, in a process of its own; the results go into the queue."""
    from sim2real_learning.workflow import evaluate_bundle, train_bundle

    die_with_parent()

    def progress(iteration: int, reward: float) -> None:
        counter.value = iteration

    try:
        out = Path(folder)
        profile = load_profile(config.robot)
        space = load_space(out / f'{name}.yaml', profile)
        bundle = out / f'{name}.onnx'
        trained = train_bundle(
            profile,
            space,
            bundle,
            _training(config),
            seed=config.surrogate_seed,
            start=Path(checkpoint),
            progress=progress,
        )
        count = len(goals.position) - 1
        same = evaluate_bundle(bundle, profile, space, count, goals=goals)
        results.put((name, {'rewards': trained['rewards'], 'same': same}))
        if name == 'oracle':
            nominal_bundle = find('policies', config.policy, '.onnx')
            results.put(
                (
                    'nominal',
                    {
                        'evaluation': evaluate_bundle(nominal_bundle, profile, None, 100),
                        'same': evaluate_bundle(nominal_bundle, profile, None, count, goals=goals),
                    },
                )
            )
    except Exception as error:
        results.put((name, Sim2RealError(f'fine-tuning of {name}: {error!r}')))
        raise


def heaviest_joint(profile: RobotProfile) -> str:
    """The joint that gravity loads most for its strength, in the default pose."""
    import pinocchio

    from sim2real_core.kinematics import Kinematics

    model = build_model(profile)
    q = Kinematics(profile).configuration(profile.array('default_position'))
    load = pinocchio.computeGeneralizedGravity(model, model.createData(), q)
    columns = [model.joints[model.getJointId(name)].idx_v for name in profile.joint_names]
    share = np.abs(load[columns]) / profile.array('effort')
    return profile.joint_names[int(np.argmax(share))]


def _break(
    conductor: Conductor,
    profile: RobotProfile,
    goals: Goals,
    task: ReachTask,
) -> tuple[dict[str, Any], Recording, Event | None]:
    """A drive loses its torque in the middle of the motion; the first alarm is the fault's."""
    joint = heaviest_joint(profile)
    address = f'actuator.{joint}.gain'
    before = len(conductor.events)
    state: dict[str, float] = {}

    def inject(stamp: float) -> None:
        state['stamp'] = stamp
        conductor.request(Draw(episode=0, seed=0, values={address: 0.0}))

    recording = conductor.run_goals(
        goals.position[1:4], task.duration, after=(FAULT_AFTER, inject)
    )
    # Each drive began at time 0: stamps of earlier ones say nothing here.
    earlier, now = (
        _alarms(part) for part in (conductor.events[:before], conductor.events[before:])
    )
    alarm = next((e for e in now if e.stamp >= state['stamp']), None)
    delay = None if alarm is None else alarm.stamp - state['stamp']
    fault = {
        'address': address,
        'value': 0.0,
        'stamp': state['stamp'],
        'outcome': conductor.applied[-1].outcomes.get(address, '') if conductor.applied else '',
        'delay': delay,
        'caught': delay is not None and delay <= CAUGHT,
        'detail': '' if alarm is None else alarm.detail,
        'score': None if alarm is None else alarm.score,
        'threshold': None if alarm is None else alarm.threshold,
        'false_alarms': len(earlier) + sum(e.stamp < state['stamp'] for e in now),
    }
    return fault, recording, alarm


def _alarms(events: Iterable[Event]) -> list[Event]:
    """Events as they were raised; each comes again, with its clip, when that was written."""
    return [event for event in events if not event.clip]


def _shipped(conductor: Conductor, out: Path, alarm: Event) -> ClipInfo:
    """Wait until the clip of an alarm lies at the receiver."""

    def arrived() -> list[ClipInfo]:
        names = {e.clip for e in conductor.events if e.clip and replace(e, clip='') == alarm}
        return [clip for clip in list_clips(out / 'clips') if clip.clip in names]

    conductor.wait(lambda: bool(arrived()), 'the clip of the fault at the receiver', 30.0)
    return arrived()[0]


def _replays(clip: ClipInfo, alarm: Event, config: DemoConfig, out: Path) -> bool:
    """Whether the alarm is raised again when the clip is replayed through the capture node."""
    with (out / 'replay.log').open('w', encoding='utf-8') as log:
        try:
            result = replay(clip.path, config.robot, ['capture'], output=log)
        except Sim2RealError as error:
            log.write(f'{error}\n')
            return False
    return any(
        event['detector'] == alarm.detector
        and set(event['detail'].split()) & set(alarm.detail.split())  # of joints
        for event in result['events']
    )
