"""The whole of a fit: recordings in, parameters and scores out.

The model is chosen on the training data alone; what is held out is scored once for each model and
method, and all of these scores are kept.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.batch import base, least_squares
from sim2real_sysid.batch.bandwidth import quiet_bandwidth
from sim2real_sysid.batch.base import Whole
from sim2real_sysid.batch.bodies import Bodies
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording, Recording, clean, split
from sim2real_sysid.batch.drives import drive_estimates, servo_efforts
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.models import LATENESS, MODELS, coulomb
from sim2real_sysid.batch.output_error import OutputError, refine
from sim2real_sysid.batch.regression import Regression
from sim2real_sysid.batch.rollouts import Rollouts, cut, drivable
from sim2real_sysid.batch.scores import Scores, score
from sim2real_sysid.batch.signals import long_enough, motions, segments_of, widest
from sim2real_sysid.batch.steps import timing_of, with_step_timing
from sim2real_sysid.dynamics import RigidBody, check_base
from sim2real_sysid.payload import payload_tells
from sim2real_sysid.torque_constants import torque_constants_of

Array = npt.NDArray[np.float64]
Tell = Callable[..., None]

CHAINS = (0.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5)  # [s], tried from the longest
ON_COURSE = 0.1  # error of a simulation, as a share of the range of the motion
LEAST_REACH = 0.1  # [m], of a robot whose joints are all in one place
STAGES = {
    'read': 'filter the recordings',
    'fit': 'least squares',
    'refine': 'simulate',
    'score': 'score',
}
"""Stages of the work and what to call them."""


@dataclass(frozen=True)
class Scored:
    """A fit with its scores.

    Attributes:
        found: the fit.
        train: scores on the training data.
        heldout: scores on what was held out; None where nothing was.
    """

    found: Fitted
    train: Scores
    heldout: Scores | None


@dataclass(frozen=True)
class FitResult:
    """What a fit found.

    Attributes:
        profile: the robot.
        config: settings.
        model: that was chosen.
        choice: model to its cross-validated error on the training data.
        scored: every fit that was scored; the first one is the result.
        parameters: address to its estimate, of the first one and of the drives.
        train: recordings it was fitted to.
        heldout: recordings it was not.
        regressions: of the two.
        whole: base parameters and bodies, where they were asked for.
        notes: what should be known of the recordings.
    """

    profile: RobotProfile
    config: FitConfig
    model: str
    choice: Mapping[str, float]
    scored: tuple[Scored, ...]
    parameters: Mapping[str, ParameterEstimate]
    train: tuple[Recording, ...]
    heldout: tuple[Recording, ...]
    regressions: tuple[Regression, Regression | None]
    whole: Whole | None
    notes: tuple[str, ...]

    @property
    def best(self) -> Scored:
        """The result."""
        return self.scored[0]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        best, relative = self.best, self.config.relative_std
        return {
            'robot': self.profile.name,
            'model': self.model,
            'method': best.found.method,
            'parameters': _json(self.parameters),
            'train': best.train.as_json(),
            'heldout': None if best.heldout is None else best.heldout.as_json(),
            'models': [
                {
                    'model': one.found.layout.model,
                    'method': one.found.method,
                    'cross_validation': self.choice.get(one.found.layout.model),
                    'parameters': _json(one.found.estimates(self.profile, relative)),
                    'train': one.train.as_json(),
                    'heldout': None if one.heldout is None else one.heldout.as_json(),
                }
                for one in self.scored
            ],
            'recordings': {
                'train': [r.name for r in self.train],
                'heldout': [r.name for r in self.heldout],
                'seconds': sum(r.duration for r in self.train),
            },
            **({} if self.whole is None else dataclasses.asdict(self.whole)),
            'notes': list(self.notes),
        }


def _json(parameters: Mapping[str, ParameterEstimate]) -> dict[str, dict[str, Any]]:
    return {
        address: {
            'mean': found.mean,
            'std': found.std,
            'status': found.status,
            'unit': found.unit,
            **({'confounded': list(found.confounded)} if found.confounded else {}),
        }
        for address, found in parameters.items()
    }


def fit(
    profile: RobotProfile,
    raw: Sequence[RawRecording],
    config: FitConfig,
    *,
    heldout: Sequence[RawRecording] = (),
    model: str = '',
    tell: Tell = lambda *_: None,
) -> FitResult:
    """Fit a robot's parameters to recordings.

    Args:
        profile: the robot.
        raw: recordings to fit to.
        config: settings.
        heldout: recordings to score on; the end of ``raw`` when there are none.
        model: of ``MODELS``; ``''`` chooses by the training data, ``all`` refines each of them.
        tell: told the stage (of ``STAGES``), the share of it that is done, and what to say.

    Raises:
        InputError: recordings that cannot be used, or a base that floats; says why.
        MissingError: pinocchio is not installed.
    """
    if model not in ('', 'all', *MODELS):
        raise InputError(Fault('model', model, f'must be all or one of {", ".join(MODELS)}'))
    check_base(profile)
    body = RigidBody(profile)
    constants = np.array(torque_constants_of(config.torque_constants, len(profile.joints)))
    raw, heldout = (
        [replace(one, effort=one.effort * constants) for one in part] for part in (raw, heldout)
    )
    train, notes = _usable(raw, profile, body)
    scored_on, more = _usable(heldout, profile, body)
    notes += more
    if not heldout and config.heldout > 0:
        train, scored_on = split(train, config.heldout)
    measured = np.all([recording.measured for recording in train + scored_on], axis=0)
    commanded = not measured.any()
    if commanded:
        if not drivable(profile, train + scored_on):
            mend = "must be measured, or there must be commands, and the profile the drives' gains"
            raise InputError(Fault('effort', 'none', mend))
        notes.append("no effort is measured: it is computed from commands and the drives' gains")
        train, scored_on = (
            [servo_efforts(recording, profile, config.bandwidth) for recording in part]
            for part in (train, scored_on)
        )
        measured = np.ones(len(profile.joints), dtype=bool)
    told = payload_tells(body, len(profile.joints))
    reach, bodies = max(body.reach, LEAST_REACH) if told else 0.0, Bodies(profile)
    bandwidth = config.bandwidth or quiet_bandwidth(train)
    notes += _about_filter(train + scored_on, bandwidth)

    def regress(recordings: Sequence[Recording], begin: float) -> Regression:
        filtered = motions(
            recordings,
            bodies,
            bandwidth,
            lambda share: tell('read', begin + 0.5 * share),
        )
        return Regression(profile, filtered, measured, reach)

    regression = regress(train, 0.0)
    other = regress(scored_on, 0.5) if scored_on else None
    tell('fit', 0.0)
    fits = {name: least_squares.fit(regression, name) for name in MODELS}
    fits = {name: f for name, f in fits.items() if name == model or not without_stribeck(f)}
    _, choice = least_squares.choose(regression, fits)
    # To leave the lateness open costs little, to take it as none costs a bias: by name alone.
    late = {name: found for name, found in fits.items() if found.layout.has(LATENESS)}
    chosen, _ = least_squares.choose(regression, late or fits)
    chosen = model if model in MODELS else chosen
    drives = drive_estimates(profile, train, measured=not commanded)
    timing = timing_of(profile, train, drives)

    unseen = least_squares.unseen_friction(regression)

    def floor(found: Fitted) -> Fitted:
        found = with_step_timing(found, profile, timing)
        return with_model_error(found, config.model_error, unseen)

    fits = least_squares.with_inertia(regression, fits, chosen)
    starts = {name: floor(found) for name, found in fits.items()}
    refined = {}
    if config.method != 'least_squares':
        names = list(fits) if model == 'all' else [chosen]
        for k, name in enumerate(names):
            refined[name] = floor(
                _refined(
                    profile,
                    train,
                    fits[name],
                    config,
                    commanded,
                    functools.partial(_tell_of, tell, name, k, len(names)),
                )
            )
    ordered = [refined.get(chosen, starts[chosen])]
    others = [f for f in refined.values() if f.method != 'least_squares']
    ordered += [
        f
        for f in (*others, *starts.values())
        if (f.layout, f.method) != (ordered[0].layout, ordered[0].method)
    ]
    scored = []

    def scored_by(recordings: Sequence[Recording], data: Regression, found: Fitted) -> Scores:
        return score(profile, recordings, data, found, commanded=commanded, threads=config.threads)

    for k, found in enumerate(ordered):
        tell('score', k / len(ordered))
        scored.append(
            Scored(
                found,
                scored_by(train, regression, found),
                None if other is None else scored_by(scored_on, other, found),
            )
        )
    whole = None
    if config.bodies == 'all':
        whole = base.whole(regression, bodies, fits[chosen], config.relative_std, timing)
    parameters = dict(ordered[0].estimates(profile, config.relative_std))
    parameters.update(drives)
    return FitResult(
        profile,
        config,
        chosen,
        choice,
        tuple(scored),
        parameters,
        tuple(train),
        tuple(scored_on),
        (regression, other),
        whole,
        tuple(notes),
    )


def _usable(
    raw: Sequence[RawRecording], profile: RobotProfile, body: RigidBody
) -> tuple[list[Recording], list[str]]:
    """Cleaned recordings without what cannot be believed, and notes."""
    from sim2real_sysid.batch.belief import believed

    recordings, notes = [], []
    for one in raw:
        doubted, findings = believed(one, profile, body)
        notes += [f'{one.name}: {words}' for words in findings]
        try:
            recording = clean(doubted, profile)
        except InputError as error:  # for lack of what was doubted: that is what must be mended
            why = '; '.join(findings)
            faults = [replace(f, mend=f'{f.mend}; {why}') for f in error.faults]
            raise InputError(*faults) from error
        notes += [f'{one.name}: {note}' for note in recording.notes]
        recordings.append(recording)
    return recordings, notes


def _about_filter(recordings: Sequence[Recording], bandwidth: float) -> list[str]:
    """What the filter of the positions does, in words."""
    segments, notes = segments_of(recordings), []
    short = [segment.duration for segment in segments if not long_enough(segment, bandwidth)]
    if bandwidth < max(widest(segment.period) for segment in segments):
        notes.append(f'positions are filtered at {bandwidth:g} Hz')
    if short:
        notes.append(f'{sum(short):.3g} s in {len(short)} pieces too short for that are left out')
    return notes


def without_stribeck(found: Fitted) -> bool:
    """Whether a model has a Stribeck effect and no joint shows one: it is a smaller model then."""
    shape = found.layout
    return shape.has('stribeck_velocity') and not shape.of(found.mean, 'stribeck_velocity').any()


def _tell_of(tell: Tell, name: str, k: int, count: int, share: float, words: str) -> None:
    """Progress of the k-th model."""
    tell('refine', (k + share) / count, f'{name}: {words}')


def with_model_error(found: Fitted, share: float, unseen: Array) -> Fitted:
    """What was found, with what the model itself may be wrong by: no data makes it better.

    Args:
        found: by least squares or otherwise.
        share: of every parameter.
        unseen: (nj, 2) of friction, see :func:`unseen_rise`.
    """
    shape = found.layout
    joints, friction = np.arange(shape.joints), np.abs(coulomb(shape, found.mean))
    effects = np.zeros((shape.joints, len(found.mean)))
    for quantity in shape.quantities:
        for k, kind in enumerate(('coulomb_friction', 'viscous_friction')):
            if quantity.startswith(kind):
                effects[joints, shape.place(quantity)] = unseen[:, k] * friction
    covariance = found.covariance + np.diag((share * found.mean) ** 2) + effects.T @ effects
    return replace(found, covariance=covariance)


def _refined(
    profile: RobotProfile,
    train: Sequence[Recording],
    start: Fitted,
    config: FitConfig,
    commanded: bool,
    progress: Callable[[float, str], None],
) -> Fitted:
    chain = config.window or course(profile, train, start, commanded, config.threads)
    if config.method == 'auto' and chain > 0:
        return start
    problem = OutputError(
        profile, train, start, chain=chain, commanded=commanded, threads=config.threads
    )
    if config.method == 'cma':
        from sim2real_sysid.batch.robust import evolve

        return evolve(problem, config.evaluations, config.seed, progress)
    if config.method == 'sbi':
        from sim2real_sysid.batch.inference import simulation_based

        return simulation_based(problem, config.evaluations, config.seed, progress)
    return refine(problem, config.iterations, progress)


def course(
    profile: RobotProfile,
    recordings: Sequence[Recording],
    found: Fitted,
    commanded: bool,
    threads: int,
) -> float:
    """The longest of ``CHAINS`` [s] over which simulations stay on course; 0 for all of it."""
    for chain in CHAINS:
        windows = cut(recordings, chain)
        rollouts = Rollouts(
            profile, windows, found.layout.addresses, commanded=commanded, threads=threads
        )
        states, _ = rollouts(found.mean)
        error = (np.moveaxis(states[0, 0, :-1], 0, 1) - windows.position)[windows.counts]
        reach = np.maximum(np.ptp(windows.position[windows.counts], axis=0), 1e-9)
        if (np.sqrt(np.mean(np.square(error), axis=0)) <= ON_COURSE * reach).all():
            return chain
    return CHAINS[-1]
