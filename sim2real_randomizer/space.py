"""A space: what varies, and how, from one YAML file.

::

    parameters:
      link.gripper.mass: {distribution: uniform, low: 0.0, high: 2.5, combine: additive, unit: kg}
      joint.*.viscous_friction: {distribution: log_uniform, low: 0.5, high: 2.0}

Keys are addresses; ``*`` and ``?`` stand for the robot's own joints, links and joint sensors,
and an address written out has precedence over a pattern. ``combine`` says how a drawn number
meets the nominal value (``absolute``, ``additive``, ``scale``; default: the address's own).
``unit`` may be written and must then be right: the address's SI unit, or 1 for a scale.
``of`` names another quantity of the same object whose value of this very draw takes the place of
the nominal one: ``joint.*.static_friction: {..., combine: scale, of: coulomb_friction}``.
What a draw holds is always absolute and SI, and every draw starts from the nominal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim2real_core import nominal as core_nominal
from sim2real_core.addresses import (
    COMBINATIONS,
    SENSED,
    Address,
    Quantity,
    combine,
    parse_address,
    quantity,
)
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.files import find, names
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Draw
from sim2real_core.yaml_file import YamlFile, read_yaml
from sim2real_randomizer import distributions
from sim2real_randomizer.distributions import Array, Distribution
from sim2real_randomizer.keyed import Integers, uniforms

Nominal = Callable[[str], float]
WILDCARDS = '*?['
WHOLE = ('world.solver_iterations',)
# Parameters of a distribution that set the lower and the upper end of what it can give.
_ENDS = {'constant': ('value', 'value'), 'categorical': ('values', 'values')}


@dataclass(frozen=True)
class Variation:
    """How one address varies.

    Attributes:
        distribution: what numbers are drawn.
        combine: how a number meets the value it starts from.
        of: quantity of the same object whose drawn value it starts from; the address's own
            nominal value when empty.
    """

    distribution: Distribution
    combine: str = 'absolute'
    of: str = ''

    def values(self, uniforms: Array, start: Array | float) -> Array:
        """Absolute values [SI] for uniform numbers in (0, 1), of the same shape.

        Args:
            uniforms: any shape.
            start: the value they start from, or one for each number [SI].
        """
        sampled = self.distribution.sample(uniforms)
        return np.asarray(combine(self.combine, start, sampled))  # type: ignore[arg-type]

    def range(self, starts: tuple[float, float]) -> tuple[float, float]:
        """Smallest and largest absolute value [SI] when it starts from between these two."""
        ends = [combine(self.combine, s, x) for s in starts for x in self.distribution.support]
        return min(ends), max(ends)

    def as_mapping(self) -> dict[str, Any]:
        """What a space file says of it, but for the unit."""
        of = {'of': self.of} if self.of else {}
        return {**self.distribution.as_mapping(), 'combine': self.combine, **of}


@dataclass(frozen=True)
class Space:
    """What varies on one robot. Load it with :func:`load_space`, or build it from variations.

    Attributes:
        profile: the robot.
        variations: address to how it varies.
        path: file it came from, if any.

    Raises:
        InputError: every fault, by address.
    """

    profile: RobotProfile = field(repr=False)
    variations: Mapping[str, Variation]
    path: Path | None = None
    _fitted: Mapping[str, Variation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fitted, wrong = _fit(self.variations, self.profile)
        faults = Faults()
        for address, error in wrong.items():
            for fault in error.faults:
                faults.add(f'{address}.{fault.field}', fault.value, fault.mend)
        faults.check()
        object.__setattr__(self, '_fitted', fitted)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What varies, in the order of the file."""
        return tuple(self.variations)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what the space means, whatever its file looks like."""
        meaning = {a: v.as_mapping() for a, v in self.variations.items()}
        text = json.dumps(meaning, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def range(self, address: str) -> tuple[float, float]:
        """Smallest and largest absolute value of an address [SI]."""
        variation = self._fitted[address]
        return variation.range(_starts(address, variation, self._fitted, self.profile))

    def nominal(self, address: str) -> float:
        """Nominal value of an address [SI], from profile and URDF."""
        return core_nominal.nominal(self.profile, address)

    def draw(
        self, seed: int, episode: int, environment: int = 0, nominal: Nominal | None = None
    ) -> Draw:
        """One world; a function of the arguments alone.

        Args:
            seed: seed of the whole run.
            episode: number of the episode.
            environment: index of the environment.
            nominal: nominal value of an address, e.g. ``simulator.nominal``; that of the
                profile when None.
        """
        values = self.draw_many(seed, episode, environment, nominal)
        return Draw(
            episode=episode,
            seed=seed,
            environment=environment,
            values={address: float(value) for address, value in values.items()},
            space=self.content_hash,
            profile=self.profile.content_hash,
        )

    def draw_many(
        self,
        seed: int,
        episodes: Integers,
        environments: Integers = 0,
        nominal: Nominal | None = None,
    ) -> dict[str, Array]:
        """Many worlds at once, equal to those of :meth:`draw` bit for bit.

        Args:
            seed: seed of the whole run.
            episodes: number or numbers of episodes.
            environments: index or indices, broadcast against ``episodes``: pass (n,) and (n,)
                for n worlds, or (n, 1) and (m,) for all n * m.
            nominal: see :meth:`draw`.

        Returns:
            Address to absolute values [SI], of the broadcast shape.
        """
        start = nominal or self.nominal
        values: dict[str, Array] = {}
        # Those that start from another drawn value come after it.
        for address, variation in sorted(self._fitted.items(), key=lambda item: bool(item[1].of)):
            base: Array | float = 0.0
            if variation.of:
                of = _base(address, variation.of)
                base = values[of] if of in values else start(of)
            elif variation.combine != 'absolute':
                base = start(address)
            drawn = variation.values(uniforms(seed, address, environments, episodes), base)
            # Combining may round a value at the very end of the range to just outside it.
            what = self._quantities[address]
            drawn = np.clip(drawn, what.low, what.high)
            values[address] = np.round(drawn) if address in WHOLE else drawn
        return {address: values[address] for address in self._fitted}

    @cached_property
    def _quantities(self) -> dict[str, Quantity]:
        return {address: quantity(address, self.profile) for address in self.variations}

    def to_yaml(self) -> str:
        """Text of a file that :func:`load_space` reads back; patterns are expanded."""
        entries = {
            address: {
                **variation.as_mapping(),
                'unit': '1' if variation.combine == 'scale' else self._quantities[address].unit,
            }
            for address, variation in self.variations.items()
        }
        return str(
            yaml.safe_dump(
                {'parameters': entries}, sort_keys=False, width=math.inf, default_flow_style=None
            )
        )


def load_space(name: str | Path, profile: RobotProfile) -> Space:
    """Load a space by path or by the name of a shipped one, for a robot.

    Args:
        name: of the space; :func:`default_space` when empty.
        profile: the robot.

    Raises:
        InputError: every fault of the file, with line, address, value and what would be right.
    """
    path = find('randomization', name) if name else default_space(profile)
    return space_from_yaml(read_yaml(path), profile)


def default_space(profile: RobotProfile) -> Path:
    """The space of a robot for which nobody names one.

    ``<profile>_space.yaml`` beside the profile, else the shipped one of the robot's name, else
    the shipped ``none``.
    """
    beside = profile.path.with_name(f'{profile.path.stem}_space.yaml')
    if beside.is_file():
        return beside
    shipped = profile.name in names('randomization')
    return find('randomization', profile.name if shipped else 'none')


def space_from_yaml(file: YamlFile, profile: RobotProfile) -> Space:
    """Build a space from parsed YAML. See :func:`load_space`."""
    faults = Faults(str(file.path), file.lines)
    for key in file.data:
        if key != 'parameters':
            faults.add(str(key), file.data[key], 'unknown; known: parameters', path=(key,))
    given = file.data.get('parameters')
    if 'parameters' not in file.data or not isinstance(given, (Mapping, type(None))):
        faults.add(
            'parameters', given, 'give a mapping of address to how it varies', path=('parameters',)
        )
        given = None
    given = given or {}
    found = _Grouped(faults)
    keys = _expanded(given, profile, faults)
    variations: dict[str, Variation] = {}
    for address, key in keys.items():
        try:
            variations[address] = _variation(address, given[key], profile)
        except InputError as error:
            found.add(address, key, error)
    for address, wrong in _fit(variations, profile)[1].items():
        found.add(address, keys[address], wrong)
    found.name(list(keys.values()))
    faults.check()
    return Space(profile, variations, file.path)


class _Grouped:
    """Faults of entries; a fault that all addresses of a pattern share is named once."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._found: dict[tuple[Any, str, str], tuple[list[str], object]] = {}

    def add(self, address: str, key: Any, error: InputError) -> None:
        for fault in error.faults:
            addresses, _ = self._found.setdefault(
                (key, fault.field, fault.mend), ([], fault.value)
            )
            addresses.append(address)

    def name(self, keys: list[Any]) -> None:
        """Hand them over; ``keys``: the key of every address."""
        for (key, what, mend), (addresses, value) in self._found.items():
            shared = len(addresses) == keys.count(key)
            for name in [str(key)] if shared else addresses:
                self._faults.add(
                    f'{name}.{what}'.rstrip('.'), value, mend, path=('parameters', key, what)
                )


def _expanded(given: Mapping[Any, Any], profile: RobotProfile, faults: Faults) -> dict[str, Any]:
    """Every address with the key that says how it varies, in the order of the file."""
    written_out = {str(key) for key in given}
    matched: dict[str, Any] = {}
    for key in given:
        for address in _matches(key, profile, faults):
            if address in written_out and address != key:
                continue  # it has precedence over a pattern
            if address in matched:
                mend = f'{matched[address]} matches {address} too; keep one'
                faults.add('parameters', key, mend, path=('parameters', key))
            matched[address] = key
    return matched


def _matches(key: Any, profile: RobotProfile, faults: Faults) -> list[str]:
    """The addresses a key means: one, or those that a pattern matches."""
    path = ('parameters', key)
    try:
        parsed = parse_address(str(key))
        if not any(c in parsed.name for c in WILDCARDS):
            quantity(parsed, profile)
            return [str(key)]
    except InputError as error:
        faults.add('parameters', key, error.faults[0].mend, path=path)
        return []
    known = _names(parsed, profile)
    names = [name for name in known if fnmatchcase(name, parsed.name)]
    if not names:
        of = ', '.join(known) or 'joint, actuator, link or joint sensor only'
        faults.add('parameters', key, f'the pattern matches nothing; known: {of}', path=path)
    return [str(Address(parsed.kind, name, parsed.quantity)) for name in names]


def _names(parsed: Address, profile: RobotProfile) -> list[str]:
    """Names a pattern may match: what the robot has."""
    if parsed.kind in ('joint', 'actuator'):
        return list(profile.joint_names)
    if parsed.kind == 'link':  # a link without mass is a mere frame
        return [name for name, link in profile.urdf.links.items() if link.mass > 0]
    if parsed.kind == 'sensor':
        return [f'{joint}_{what}' for joint in profile.joint_names for what in SENSED]
    return []


def _variation(address: str, given: Any, profile: RobotProfile) -> Variation:
    """Variation of one address from its entry in the file; faults are named by its keys."""
    faults = Faults()
    if not isinstance(given, Mapping):
        faults.add('', given, 'write e.g. {distribution: uniform, low: 0.5, high: 2.0}')
        faults.check()
    what = quantity(address, profile)
    how = given.get('combine', what.combine)
    if how not in COMBINATIONS:
        faults.add('combine', how, f'must be one of {", ".join(COMBINATIONS)}')
    unit = '1' if how == 'scale' else what.unit
    if 'unit' in given and _bare(str(given['unit'])) != _bare(unit):
        why = 'a scale has no unit' if how == 'scale' else 'convert the numbers to SI'
        faults.add('unit', given['unit'], f'must be {unit}: {why}')
    of = given.get('of', '')
    if 'of' in given:
        _check_of(address, of, how, what, profile, faults)
    rest = {k: v for k, v in given.items() if k not in ('combine', 'unit', 'of')}
    found = None
    try:
        found = distributions.from_mapping(rest)
    except InputError as error:
        faults.extend(error)
    faults.check()
    assert found is not None  # else there was a fault
    return Variation(found, how, of)


def _check_of(
    address: str, of: Any, how: str, what: Quantity, profile: RobotProfile, faults: Faults
) -> None:
    """``of`` names another quantity of the same object that can be combined with."""
    try:
        base = quantity(_base(address, str(of)), profile)
    except InputError as error:
        faults.add('of', of, error.faults[0].mend)
        return
    if how == 'absolute':
        faults.add('of', of, 'an absolute value starts from nothing; use combine: scale')
    elif base.unit != what.unit:
        faults.add('of', of, f'must be a quantity in {what.unit}; this one is in {base.unit}')


def _base(address: str, of: str) -> str:
    """Address of another quantity of the same object."""
    parsed = parse_address(address)
    return str(Address(parsed.kind, parsed.name, of))


def _bare(unit: str) -> str:
    """A unit without the signs that people write differently: ``N*m``, ``N m``, ``m/s²``."""
    for written, meant in (('²', '2'), ('^', ''), ('*', ''), ('·', ''), (' ', '')):
        unit = unit.replace(written, meant)
    return unit


def _fit(
    variations: Mapping[str, Variation], profile: RobotProfile
) -> tuple[dict[str, Variation], dict[str, InputError]]:
    """The variations with their tails cut to what each address admits, and what is wrong.

    What starts from a variation that is wrong itself is left out of both.
    """
    fitted: dict[str, Variation] = {}
    wrong: dict[str, InputError] = {}
    for address, variation in sorted(variations.items(), key=lambda item: bool(item[1].of)):
        base = _base(address, variation.of) if variation.of else ''
        if base in variations and variations[base].of:
            mend = f'{base} itself is of {variations[base].of}; name one that is of nothing'
            wrong[address] = InputError(Fault('of', variation.of, mend))
            continue
        if base in wrong:
            continue
        try:
            starts = _starts(address, variation, fitted, profile)
            fitted[address] = _fitted(address, variation, starts, profile)
        except InputError as error:
            wrong[address] = error
    return {a: fitted[a] for a in variations if a in fitted}, wrong


def _starts(
    address: str,
    variation: Variation,
    others: Mapping[str, Variation],
    profile: RobotProfile,
) -> tuple[float, float]:
    """Smallest and largest value that an address starts from."""
    if variation.combine == 'absolute':
        return 0.0, 0.0
    base = _base(address, variation.of) if variation.of else address
    if variation.of and base in others:
        return others[base].range(_starts(base, others[base], others, profile))
    start = core_nominal.nominal(profile, base)
    return start, start


def _fitted(
    address: str, variation: Variation, starts: tuple[float, float], profile: RobotProfile
) -> Variation:
    """A variation with its tails cut to what the address admits.

    Raises:
        InputError: it can give an inadmissible value, or scales a value of zero.
    """
    faults = Faults()
    what = quantity(address, profile)
    how, found = variation.combine, variation.distribution
    if how == 'scale' and starts == (0.0, 0.0):
        if found.support[0] != found.support[1]:
            faults.add('combine', how, 'no factor changes a value of 0; use combine: absolute')
        faults.check()
        return variation
    if how != 'absolute' and not all(map(math.isfinite, starts)):
        faults.add('combine', how, 'its nominal value is unlimited; use combine: absolute')
        faults.check()
    ranges = [_before(how, start, what) for start in starts]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    try:
        found = found.within(low, high)
    except InputError as error:  # the mean lies outside
        faults.extend(error)
        faults.check()
    names = _ENDS.get(found.kind, ('low', 'high'))
    for end, name in dict(zip(found.support, names)).items():
        if low <= end <= high:
            continue
        unit = '' if how == 'scale' else f' {what.unit}'
        of = f'{starts[0]:g}' if starts[0] == starts[1] else f'{starts[0]:g} to {starts[1]:g}'
        by = '' if how == 'absolute' else f' ({how}, starting from {of} {what.unit})'
        faults.add(name, end, f'must lie within [{low:g}, {high:g}]{unit}{by}')
    faults.check()
    return replace(variation, distribution=found)


def _before(how: str, start: float, what: Quantity) -> tuple[float, float]:
    """The admissible range of a number before it is combined with the value it starts from."""
    if how == 'absolute':
        return what.low, what.high
    if how == 'additive':
        return what.low - start, what.high - start
    if start == 0:
        return -math.inf, math.inf
    low, high = sorted((what.low / start, what.high / start))
    return low, high
