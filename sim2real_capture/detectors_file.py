"""Detectors from a YAML file, thresholds from a calibration.

::

    detectors:
      tracking_error: {persistence: 0.1}
      collision: {kind: dynamics_residual, persistence: 0.04, time: 0.05}
      gripper_silent: {kind: silence, topics: [gripper/state], longest: [0.5]}

The name is what events and clips are called after; the kind is the name where none is given.
A threshold of 0 takes what calibration found, else what the kind suggests; a detector that has
neither, or that still has to learn, is dormant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors import Detector, Scorer
from sim2real_capture.detectors_kinds import KINDS
from sim2real_capture.detectors_learned import LearningScorer
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.files import find
from sim2real_core.yaml_file import read_yaml

if TYPE_CHECKING:
    from sim2real_capture.calibration import Calibrated, Calibration
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]
NAME = re.compile(r'[a-z][a-z0-9_]{0,63}')


@dataclass(frozen=True)
class Entry:
    """One detector of a file: its name, kind and settings."""

    name: str
    kind: str
    settings: Any

    def scorer(self, robot: RobotProfile, resolve: Callable[[str], str] = str) -> Scorer:
        """A new scorer of it.

        Raises:
            InputError: settings that do not fit the robot.
            MissingError: a library that it needs is not installed.
        """
        return KINDS[self.kind].make(self.settings, robot, resolve)

    @property
    def least(self) -> float:
        """The smallest threshold that calibration may set."""
        return KINDS[self.kind].least or 0.0

    @property
    def calibrated(self) -> bool:
        """Whether nominal episodes set its threshold: its kind allows it, and none is given."""
        return KINDS[self.kind].least is not None and not all(
            v > 0 for v in self.settings.threshold
        )


def read_detectors(name: str | Path) -> tuple[Entry, ...]:
    """The detectors of a file.

    Args:
        name: a path, or the name of a shipped file (``default``, ``all``).

    Raises:
        InputError: every fault of the file, with its line.
    """
    found = read_yaml(find('detectors', name))
    faults = Faults(str(found.path), found.lines)
    given = found.data.get('detectors')
    for key in sorted(set(found.data) - {'detectors'}):
        faults.add(key, found.data[key], 'unknown; known here: detectors', path=(key,))
    if not isinstance(given, dict):
        faults.add('detectors', given, 'must map names to settings', path=('detectors',))
        given = {}
    entries = [
        entry
        for key, values in given.items()
        if (entry := _entry(str(key), values, faults)) is not None
    ]
    faults.check()
    return tuple(entries)


def _entry(name: str, values: Any, faults: Faults) -> Entry | None:
    path = ('detectors', name)
    values = {} if values is None else values
    if not NAME.fullmatch(name):
        faults.add(name, name, 'must be lower-case letters, digits and "_"', path=path)
        return None
    if not isinstance(values, dict):
        faults.add(name, values, 'must map settings to values', path=path)
        return None
    kind = values.get('kind', name)
    if kind not in KINDS:
        known = ', '.join(KINDS)
        faults.add(f'{name}.kind', kind, f'must be one of {known}', path=(*path, 'kind'))
        return None
    rest = {key: value for key, value in values.items() if key != 'kind'}
    if isinstance(rest.get('threshold'), (int, float)):
        rest['threshold'] = [rest['threshold']]
    try:
        settings = KINDS[kind].settings.from_mapping(
            rest, file=faults.file, lines=faults.lines, path=path
        )
    except InputError as error:
        faults.extend(error)
        return None
    return Entry(name, kind, settings)


@dataclass
class Detectors:
    """What a file and a calibration make.

    Attributes:
        active: the detectors.
        entries: the entry of each.
        dormant: name to the reason why it is not among them.
    """

    active: list[Detector] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    dormant: dict[str, str] = field(default_factory=dict)


def build(
    entries: Sequence[Entry],
    robot: RobotProfile,
    calibration: Calibration | None = None,
    resolve: Callable[[str], str] = str,
) -> Detectors:
    """Detectors from entries.

    Args:
        entries: of a file.
        robot: whose they are.
        calibration: thresholds and what was learned, if there is one.
        resolve: makes topic names full.

    Raises:
        InputError: settings or a calibration that do not fit the robot.
    """
    made, faults = Detectors(), Faults()
    for entry in entries:
        known = calibration.detectors.get(entry.name) if calibration else None
        try:
            found = _made(entry, robot, known, resolve)
        except InputError as error:
            for fault in error.faults:
                faults.add(f'{entry.name}.{fault.field}', fault.value, fault.mend)
            continue
        if isinstance(found, str):
            made.dormant[entry.name] = found
        else:
            made.active.append(found)
            made.entries.append(entry)
    faults.check()
    return made


def _made(
    entry: Entry, robot: RobotProfile, known: Calibrated | None, resolve: Callable[[str], str]
) -> Detector | str:
    """The detector, or why it is dormant."""
    scorer = entry.scorer(robot, resolve)
    if isinstance(scorer, LearningScorer):
        if known is None or not known.learned:
            return 'has not learned: sim2real capture calibrate'
        scorer.load({name: np.asarray(value) for name, value in known.learned.items()})
    threshold = _threshold(entry, scorer, known)
    if threshold is None:
        return 'has no threshold: give one, or sim2real capture calibrate'
    unlimited = [n for n, t in zip(scorer.elements, np.atleast_1d(threshold)) if np.isinf(t)]
    if unlimited:
        mend = (
            f'{", ".join(unlimited)} has no {robot.command.drives} limit: '
            'give one in the profile, or a threshold here'
        )
        raise InputError(Fault('threshold', entry.settings.threshold, mend))
    given = entry.settings
    return Detector(
        entry.name, scorer, threshold, persistence=given.persistence, rearm=given.rearm
    )


def _threshold(entry: Entry, scorer: Scorer, known: Calibrated | None) -> Array | None:
    """Given, else calibrated, else suggested; (k,) or (); None where there is none."""
    given, default = np.array(entry.settings.threshold), scorer.suggested
    if len(given) == 1:
        given = given[0]
    elif len(given) != len(scorer.elements):
        mend = f'give one value, or one for each of {len(scorer.elements)}'
        raise InputError(Fault('threshold', entry.settings.threshold, mend))
    if (given > 0).all():
        return np.asarray(given)
    if known is not None:
        if set(known.threshold) != set(scorer.elements):
            mend = 'the calibration is of another robot; calibrate for this one'
            raise InputError(Fault('threshold', sorted(known.threshold), mend))
        default = np.array([known.threshold[name] for name in scorer.elements])
    if default is None:
        return None
    return np.where(given > 0, given, default)
