"""Reads a space file: everything in it, with the line of every fault.

See :mod:`sim2real_randomizer.space` for what may stand in it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sim2real_core.addresses import (
    COMBINATIONS,
    QUANTITIES,
    SENSED,
    Address,
    Quantity,
    parse_address,
    quantity,
)
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile import RobotProfile
from sim2real_core.yaml_file import YamlFile
from sim2real_randomizer import distributions
from sim2real_randomizer.config import CurriculumConfig
from sim2real_randomizer.distributions import Constant, Distribution
from sim2real_randomizer.expressions import Expression, parse
from sim2real_randomizer.joint import JOINTS, Member, make
from sim2real_randomizer.variation import Growth, Variation, When

WILDCARDS = '*?['
PERIOD = 0.1
"""[s]"""
SECTIONS = ('parameters', 'joint', 'constraints', 'period', 'curriculum')
Path_ = tuple[object, ...]


@dataclass
class Contents:
    """What a file says.

    Attributes:
        variations: address to how it varies, in the order of the file.
        places: address to where the file says so.
        constraints: name to what must hold.
        period: of updates within an episode [s].
        curriculum: settings of the automatic curriculum.
    """

    variations: dict[str, Variation] = field(default_factory=dict)
    places: dict[str, Path_] = field(default_factory=dict)
    constraints: dict[str, Expression] = field(default_factory=dict)
    period: float = PERIOD
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)


class Grouped:
    """Faults of addresses; one that all addresses of a place share is named once."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._found: dict[tuple[Path_, str, str], tuple[list[str], object]] = {}

    def add(self, address: str, place: Path_, error: InputError) -> None:
        """Faults of what stands at a place, for one of its addresses."""
        for fault in error.faults:
            addresses, _ = self._found.setdefault(
                (place, fault.field, fault.mend), ([], fault.value)
            )
            addresses.append(address)

    def name(self, places: list[Path_]) -> None:
        """Hand them over; ``places``: that of every address."""
        for (place, what, mend), (addresses, value) in self._found.items():
            shared = len(addresses) == places.count(place)
            whole = str(place[-1]) if place[0] == 'parameters' else '.'.join(map(str, place))
            for name in [whole] if shared else addresses:
                path = (*place, *what.split('.'))
                self._faults.add(f'{name}.{what}'.rstrip('.'), value, mend, path=path)


def read_space(file: YamlFile, profile: RobotProfile, faults: Faults, found: Grouped) -> Contents:
    """Read all sections; what is wrong goes to ``faults`` and ``found``."""
    contents = Contents()
    for key in file.data:
        if key not in SECTIONS:
            mend = f'unknown; known: {", ".join(SECTIONS)}'
            faults.add(str(key), file.data[key], mend, path=(key,))
    given = _section(file, 'parameters', 'address to how it varies', faults)
    if 'parameters' not in file.data and 'joint' not in file.data:
        faults.add('parameters', None, 'give a mapping of address to how it varies')
    for name, entry in _section(file, 'joint', 'name to a joint distribution', faults).items():
        _read_joint(str(name), entry, file, profile, contents, faults)
    # What is written out under `parameters` has precedence over a joint distribution.
    for address, key in _expanded(given, profile, faults).items():
        contents.variations.pop(address, None)
        contents.places[address] = ('parameters', key)
        try:
            contents.variations[address] = _variation(address, given[key], profile)
        except InputError as error:
            found.add(address, ('parameters', key), error)
    constraints = _section(file, 'constraints', 'name to what must hold', faults)
    for name, entry in constraints.items():
        _read_constraint(str(name), entry, profile, contents, faults)
    _read_period(file, contents, faults)
    _read_curriculum(file, contents, faults)
    return contents


def _section(file: YamlFile, name: str, what: str, faults: Faults) -> Mapping[Any, Any]:
    given = file.data.get(name)
    if isinstance(given, Mapping) or (given is None and name != 'parameters'):
        return given or {}
    if given is not None:
        faults.add(name, given, f'give a mapping of {what}', path=(name,))
    return {}


def _read_period(file: YamlFile, contents: Contents, faults: Faults) -> None:
    period = file.data.get('period', PERIOD)
    if type(period) in (int, float) and 1e-3 <= period <= 1e3:
        contents.period = float(period)
    else:
        faults.add('period', period, 'must lie within [0.001, 1000] s', path=('period',))


def _read_curriculum(file: YamlFile, contents: Contents, faults: Faults) -> None:
    given = file.data.get('curriculum', {})
    if not isinstance(given, Mapping):
        faults.add('curriculum', given, 'give a mapping of settings', path=('curriculum',))
        return
    try:
        contents.curriculum = CurriculumConfig.from_mapping(
            given, file=str(file.path), lines=file.lines, path=('curriculum',)
        )
    except InputError as error:
        faults.extend(error)


# Addresses and patterns


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
    known = _names(parsed.kind, profile)
    names = [name for name in known if fnmatchcase(name, parsed.name)]
    if not names:
        of = ', '.join(known) or 'joint, actuator, link or joint sensor only'
        faults.add('parameters', key, f'the pattern matches nothing; known: {of}', path=path)
    return [str(Address(parsed.kind, name, parsed.quantity)) for name in names]


def _names(kind: str, profile: RobotProfile) -> list[str]:
    """Names a pattern may match: what the robot has."""
    if kind in ('joint', 'actuator'):
        return list(profile.joint_names)
    if kind == 'link':  # a link without mass is a mere frame
        return [name for name, link in profile.urdf.links.items() if link.mass > 0]
    if kind == 'sensor':
        return [f'{joint}_{what}' for joint in profile.joint_names for what in SENSED]
    return []


# Parameters


def _variation(address: str, given: Any, profile: RobotProfile) -> Variation:
    """Variation of one address from its entry in the file; faults are named by its keys."""
    faults = Faults()
    if not isinstance(given, Mapping):
        faults.add('', given, 'write e.g. {distribution: uniform, low: 0.5, high: 2.0}')
        faults.check()
    what, of = quantity(address, profile), given.get('of', '')
    expression_alone = 'of' in given and 'distribution' not in given
    how = given.get('combine', 'scale' if expression_alone else what.combine)
    if how not in COMBINATIONS or (expression_alone and 'combine' in given):
        mend = f'must be one of {", ".join(COMBINATIONS)}, and needs a distribution'
        faults.add('combine', how, mend)
    _check_unit(given, how, '1' if how == 'scale' and not expression_alone else what.unit, faults)
    if 'of' in given:
        of = of if isinstance(of, (str, int, float)) and not isinstance(of, bool) else ''
        if how == 'absolute':
            faults.add('of', of, 'an absolute value starts from nothing; use combine: scale')
        elif not of and of != 0:
            faults.add('of', given['of'], 'give an expression of other addresses')
    timing = _timing(given, faults)
    coupled = given.get('coupled', True)
    if not isinstance(coupled, bool) or ('coupled' in given and not address.endswith('.mass')):
        faults.add('coupled', coupled, "true or false, of a link's mass")
    known = ('combine', 'unit', 'of', 'when', 'grow', 'coupled')
    rest = {k: v for k, v in given.items() if k not in known}
    found: Distribution = Constant(1.0)
    try:
        if rest or not expression_alone:
            found = distributions.from_mapping(rest)
    except InputError as error:
        faults.extend(error)
    faults.check()
    return Variation(found, how, str(of), coupled=coupled, **timing)


def _check_unit(given: Mapping[Any, Any], how: str, unit: str, faults: Faults) -> None:
    if 'unit' in given and _bare(str(given['unit'])) != _bare(unit):
        why = 'a scale has no unit' if how == 'scale' else 'convert the numbers to SI'
        faults.add('unit', given['unit'], f'must be {unit}: {why}')


def _timing(given: Mapping[Any, Any], faults: Faults) -> dict[str, Any]:
    """When it is drawn and how it grows."""
    timing: dict[str, Any] = {}
    for key, read in (('when', When.read), ('grow', Growth.read)):
        try:
            if key in given:
                timing[key] = read(given[key])
        except InputError as error:
            faults.extend(error)
    return timing


def _bare(unit: str) -> str:
    """A unit without the signs that people write differently: ``N*m``, ``N m``, ``m/s²``."""
    for written, meant in (('²', '2'), ('^', ''), ('*', ''), ('·', ''), (' ', '')):
        unit = unit.replace(written, meant)
    return unit


# Joint distributions


def _read_joint(
    name: str,
    given: Any,
    file: YamlFile,
    profile: RobotProfile,
    contents: Contents,
    faults: Faults,
) -> None:
    """Members of one joint distribution."""
    wrong = Faults()
    variations: dict[str, Variation] = {}
    try:
        if not isinstance(given, Mapping):
            mend = 'write {distribution: normal, addresses: [...], mean: [...], covariance: [...]}'
            raise InputError(Fault('', given, mend))
        variations = _members(name, dict(given), file.path.parent, profile, wrong)
    except InputError as error:
        wrong.extend(error)
    for address in variations:
        if address in contents.variations:
            wrong.add('addresses', address, 'belongs to another joint distribution already')
    for fault in wrong.found:
        path = ('joint', name, *fault.field.split('.'))
        faults.add(f'joint.{name}.{fault.field}'.rstrip('.'), fault.value, fault.mend, path=path)
    if not wrong.found:
        contents.variations.update(variations)
        contents.places.update(dict.fromkeys(variations, ('joint', name)))


def _members(
    name: str, given: dict[str, Any], folder: Path, profile: RobotProfile, faults: Faults
) -> dict[str, Variation]:
    kind = given.pop('distribution', None)
    if kind not in JOINTS:
        faults.add('distribution', kind, f'must be one of {", ".join(JOINTS)}')
    if 'file' in given:
        given = {**_table(folder / str(given.pop('file'))), **given}
    addresses = given.pop('addresses', None)
    if not isinstance(addresses, (list, tuple)) or not addresses:
        faults.add('addresses', addresses, 'give a list of addresses')
    if faults.found:
        return {}
    quantities: dict[str, Quantity] = {}
    for index, address in enumerate(map(str, addresses)):
        try:
            quantities[address] = quantity(address, profile)
        except InputError as error:
            faults.add(f'addresses.{index}', address, error.faults[0].mend)
    timing = _timing(given, faults)
    when = timing.get('when', When())
    if 'grow' in timing:
        faults.add('grow', given['grow'], 'not of a joint distribution')
    combinations = _each(given.pop('combine', 'absolute'), addresses, 'combine', faults)
    units = _each(given.pop('unit', None), addresses, 'unit', faults)
    for address, how, unit in zip(quantities, combinations, units):
        if how not in COMBINATIONS:
            faults.add('combine', how, f'must be one of {", ".join(COMBINATIONS)}')
        if unit is not None:
            expected = '1' if how == 'scale' else quantities[address].unit
            _check_unit({'unit': unit}, str(how), expected, faults)
    ends = _ends(given, addresses, faults) if kind == 'normal' else {}
    rest = {k: v for k, v in given.items() if k not in ('when', 'grow')}
    if faults.found:
        return {}
    joint = make(str(kind), name, tuple(quantities), rest)
    return {
        address: Variation(
            Member(joint, address, *(ends[k][i] for k in ends)), str(how), when=when
        )
        for i, (address, how) in enumerate(zip(quantities, combinations))
    }


def _ends(given: dict[str, Any], addresses: Any, faults: Faults) -> dict[str, list[float]]:
    """Where a joint normal distribution is cut, by address; null: nowhere."""
    ends = {}
    for name, none in (('low', -math.inf), ('high', math.inf)):
        values = _each(given.pop(name, None), addresses, name, faults)
        if not all(v is None or (type(v) in (int, float) and math.isfinite(v)) for v in values):
            faults.add(name, values, 'give numbers, or null where there is no end')
        ends[name] = [none if value is None else value for value in values]
    return ends


def _each(given: Any, addresses: Any, name: str, faults: Faults) -> list[Any]:
    """One for each address, from one for all or a list."""
    if not isinstance(given, list):
        return [given] * len(addresses)
    if len(given) != len(addresses):
        faults.add(name, given, f'give one for all, or {len(addresses)}')
    return given


def _table(path: Path) -> dict[str, Any]:
    """Samples from a CSV file: a line of addresses, then a line of numbers for each sample."""
    try:
        with path.open(encoding='utf-8', newline='') as file:
            head, *rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
        samples = tuple(tuple(map(float, row)) for row in rows)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        mend = f'give a CSV file with a line of addresses, then lines of numbers ({error})'
        raise InputError(Fault('file', str(path), mend)) from error
    return {'addresses': [name.strip() for name in head], 'samples': samples}


# Constraints


def _read_constraint(
    name: str, given: Any, profile: RobotProfile, contents: Contents, faults: Faults
) -> None:
    """One constraint: text, or ``{condition: text, for: joint.*}``."""
    condition, objects = given, ['']
    try:
        if isinstance(given, Mapping) and set(given) == {'condition', 'for'}:
            condition = given['condition']
            kind, _, pattern = str(given['for']).partition('.')
            objects = [f'{kind}.{n}' for n in _names(kind, profile) if fnmatchcase(n, pattern)]
            if not objects or kind not in QUANTITIES:
                known = ', '.join(_names(kind, profile)) or 'joint.*, actuator.*, link.*, sensor.*'
                raise InputError(Fault('for', given['for'], f'matches nothing; known: {known}'))
        if not isinstance(condition, str):
            mend = "write 'a <= b', or {condition: 'a <= b', for: joint.*}"
            raise InputError(Fault('', given, mend))
        for owner in objects:
            label = f'{name} of {owner}' if owner else name
            contents.constraints[label] = parse(condition, owner)
    except InputError as error:
        for fault in error.faults:
            path = ('constraints', name, fault.field)
            faults.add(f'constraints.{name}', fault.value, fault.mend, path=path)
