"""Thresholds from nominal episodes, by split conformal prediction on the episode maximum.

An episode raises a false alarm when any element of any detector reaches a level above its
threshold, so one number is calibrated: the largest ratio of level and reference over all of
them. Part of the episodes teach the scorers that learn and give each element its reference
(the largest level it usually reaches); the others give that ratio. With n of these and a stated
rate ``alpha``, the k-th smallest ratio, ``k = ceil((n + 1)(1 - alpha))``, is exceeded by a fresh
nominal episode with a probability of at most ``alpha`` (and more than ``alpha - 1 / (n + 1)``,
ties aside), whatever the distribution: Vovk et al. 2005. With n = 1000 and 5 % that is k = 951.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors import Level, Scorer
from sim2real_capture.detectors_file import Entry
from sim2real_capture.detectors_learned import LearningScorer, Recording
from sim2real_capture.signals import Signal
from sim2real_core.errors import Fault, InputError, MissingError
from sim2real_core.files import write_json
from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]
SCHEMA = 1
LEARNING, REFERENCE = 0.2, 0.2
"""Parts of the episodes that are learned from, and that give references; the rest calibrates."""


@dataclass(frozen=True)
class Calibrated:
    """What calibration found for one detector.

    Attributes:
        threshold: element to its threshold.
        persistence: with which it was calibrated [s].
        learned: name to array, empty for scorers that do not learn.
    """

    threshold: Mapping[str, float]
    persistence: float
    learned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """A thresholds file.

    Attributes:
        alpha: stated rate of episodes with a false alarm.
        episodes: how many gave the thresholds.
        duration: length of the longest of these [s]; longer ones raise more false alarms.
        profile: content hash of the robot's profile.
        detectors: by name.
    """

    alpha: float
    episodes: int
    duration: float
    profile: str
    detectors: Mapping[str, Calibrated]

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        detectors = {
            name: {
                'threshold': {element: float(v) for element, v in found.threshold.items()},
                'persistence': found.persistence,
                'learned': {key: np.asarray(v).tolist() for key, v in found.learned.items()},
            }
            for name, found in self.detectors.items()
        }
        write_json(
            path,
            {
                'schema': SCHEMA,
                'alpha': self.alpha,
                'episodes': self.episodes,
                'duration': self.duration,
                'profile': self.profile,
                'detectors': detectors,
            },
        )


def load_calibration(path: str | Path) -> Calibration:
    """Read a thresholds file.

    Raises:
        InputError: it is none.
    """
    path = Path(path).expanduser()
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        if data['schema'] != SCHEMA:
            raise ValueError(f'schema {data["schema"]}')
        detectors = {
            name: Calibrated(
                {element: float(value) for element, value in found['threshold'].items()},
                float(found['persistence']),
                {key: np.asarray(v, dtype=float) for key, v in found['learned'].items()},
            )
            for name, found in data['detectors'].items()
        }
        return Calibration(
            float(data['alpha']),
            int(data['episodes']),
            float(data['duration']),
            str(data['profile']),
            detectors,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        mend = f'give a file made by sim2real capture calibrate ({error})'
        raise InputError(Fault('thresholds', str(path), mend)) from error


def conformal_rank(count: int, alpha: float) -> int:
    """Which of ``count`` sorted values, from 1, a fresh one exceeds at a rate of at most alpha.

    Raises:
        InputError: ``count`` is less than ``1 / alpha - 1``.
    """
    if not 0.0 < alpha < 1.0:
        raise InputError(Fault('alpha', alpha, 'must be between 0 and 1'))
    rank = math.ceil((count + 1) * (1.0 - alpha) - 1e-9)
    if rank > count:
        need = math.ceil(1.0 / alpha - 1.0 - 1e-9)
        whole = math.ceil(need / (1.0 - LEARNING - REFERENCE))
        mend = (
            f'a rate of {alpha:g} takes at least {need} nominal episodes beside those that are '
            f'learned from: give {whole} or more in all'
        )
        raise InputError(Fault('episodes', count, mend))
    return rank


def peaks(scorer: Scorer, persistence: float, recording: Iterable[Signal]) -> Array | None:
    """Largest level (*batch, k) that each element reaches; None where it was never scored."""
    scorer.reset()
    level, peak = Level(persistence), None
    for signal in recording:
        if isinstance(signal, scorer.takes):
            score = scorer.score(signal)
            if score is not None:
                now = level.update(signal.stamp, score)
                peak = np.array(now) if peak is None else np.maximum(peak, now)
    return peak


def calibrate(
    entries: Sequence[Entry],
    robot: RobotProfile,
    recordings: Sequence[Recording],
    alpha: float,
    rng: np.random.Generator,
    tell: Callable[[float], None] = lambda share: None,
) -> tuple[Calibration, dict[str, str]]:
    """Thresholds at which at most ``alpha`` of nominal episodes raise an alarm of any detector.

    Args:
        entries: the detectors; those with given or natural thresholds are left out.
        robot: whose they are.
        recordings: nominal episodes, exchangeable with those to come.
        alpha: stated rate, of all detectors together.
        rng: chooses what is learned from.
        tell: told how far it is, 0 to 1.

    Returns:
        The calibration, and name to reason of detectors that could not be calibrated.

    Raises:
        InputError: too few episodes, or nothing to calibrate.
    """
    shuffled = [recordings[index] for index in rng.permutation(len(recordings))]
    first = round(LEARNING * len(shuffled))
    second = first + round(REFERENCE * len(shuffled))
    taught, held = shuffled[:first], shuffled[second:]
    conformal_rank(sum(recording.episodes for recording in held), alpha)
    scorers, skipped = _taught(entries, robot, taught, rng)
    found: dict[str, list[Array]] = {name: [] for name in scorers}
    heard: set[str] = set()
    duration = 0.0
    for index, recording in enumerate(shuffled[first:]):
        tell(index / len(shuffled[first:]))
        signals = list(recording)
        if signals:
            duration = max(duration, signals[-1].stamp - signals[0].stamp)
        for name, (entry, scorer) in scorers.items():
            peak = peaks(scorer, entry.settings.persistence, signals)
            if peak is None:  # it had nothing to say, and so raised no alarm
                peak = np.zeros((1, len(scorer.elements)))
            else:
                heard.add(name)
            rows = np.maximum(peak, 0.0).reshape(-1, peak.shape[-1])
            found[name].append(np.broadcast_to(rows, (recording.episodes, rows.shape[1])))
    given = sum(recording.episodes for recording in shuffled[first:second])
    levels = {name: np.concatenate(rows) for name, rows in found.items()}
    for name in set(scorers) - heard:
        skipped[name] = 'the recordings hold nothing that it takes'
        del levels[name]
    if not levels:
        raise InputError(Fault('detectors', sorted(skipped), 'none of them can be calibrated'))
    thresholds = _thresholds(scorers, levels, given, alpha)
    detectors = {
        name: Calibrated(
            dict(zip(scorer.elements, thresholds[name])),
            entry.settings.persistence,
            scorer.learned if isinstance(scorer, LearningScorer) else {},
        )
        for name, (entry, scorer) in scorers.items()
        if name in thresholds
    }
    count = sum(recording.episodes for recording in held)
    return Calibration(alpha, count, duration, robot.content_hash, detectors), skipped


def _taught(
    entries: Sequence[Entry],
    robot: RobotProfile,
    recordings: Sequence[Recording],
    rng: np.random.Generator,
) -> tuple[dict[str, tuple[Entry, Scorer]], dict[str, str]]:
    """Scorers of what can be calibrated, and why others cannot."""
    scorers, skipped = {}, {}
    for entry in entries:
        if not entry.calibrated:
            continue
        try:
            scorer = entry.scorer(robot)
            if isinstance(scorer, LearningScorer):
                scorer.fit(recordings, rng)
        except (InputError, MissingError) as error:
            skipped[entry.name] = str(error)
            continue
        scorers[entry.name] = (entry, scorer)
    return scorers, skipped


def _thresholds(
    scorers: Mapping[str, tuple[Entry, Scorer]],
    levels: Mapping[str, Array],
    given: int,
    alpha: float,
) -> dict[str, Array]:
    """Thresholds (k,) by name.

    Args:
        scorers: by name.
        levels: (n, k) largest level of each episode and element, by name.
        given: how many of the n episodes, the first ones, give the references.
        alpha: stated rate.
    """
    share = alpha / sum(rows.shape[1] for rows in levels.values())
    references, ratio = {}, np.zeros(len(next(iter(levels.values()))) - given)
    for name, rows in levels.items():
        usual = np.zeros(rows.shape[1])
        if given:
            # By hand: NumPy names the method of a quantile differently from version to version.
            rank = min(given - 1, math.ceil((1.0 - share) * given) - 1)
            usual = np.sort(rows[:given], axis=0)[rank]
        references[name] = np.maximum(usual, scorers[name][0].least)
        ratio = np.maximum(ratio, (rows[given:] / references[name]).max(axis=1))
    factor = np.sort(ratio)[conformal_rank(len(ratio), alpha) - 1]
    return {
        name: np.maximum(factor * reference, scorers[name][0].least)
        for name, reference in references.items()
    }
