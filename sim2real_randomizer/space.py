"""A space: what varies, and how, from one YAML file.

::

    parameters:
      link.gripper.mass: {distribution: uniform, low: 0.0, high: 2.5, combine: additive, unit: kg}
      joint.*.viscous_friction: {distribution: log_uniform, low: 0.5, high: 2.0}
      joint.*.static_friction:
        {distribution: uniform, low: 1.0, high: 1.5, combine: scale, of: coulomb_friction}
      joint.elbow.armature: {of: 1.2 * joint.shoulder.armature}
      actuator.*.delay:
        {distribution: beta, a: 2, b: 5, low: 0, high: 0.01, when: {interval: [2, 5]}}
    joint:
      gripper:
        distribution: normal
        addresses: [link.gripper.com.x, link.gripper.com.z]
        mean: [0.0, 0.05]
        covariance: [[1e-4, 5e-5], [5e-5, 1e-4]]
      posterior: {distribution: empirical, file: samples.csv}
    constraints:
      sticks: {condition: static_friction < 30, for: joint.*}
    period: 0.1

Keys are addresses; ``*`` and ``?`` stand for the robot's own joints, links and joint sensors,
and an address written out has precedence over a pattern, and over a joint distribution.

``distribution``
    constant, uniform, log_uniform, normal (cut to low and high, else to what is admissible),
    beta, categorical, empirical.
``combine``
    how a drawn number meets the nominal value (``absolute``, ``additive``, ``scale``; default:
    the address's own). ``unit`` may be written and must then be right: the address's SI unit, or
    1 for a scale.
``of``
    an expression of other drawn values that takes the place of the nominal one; alone it is the
    value. See :mod:`sim2real_randomizer.expressions`. A link's inertia starts from the nominal
    one in proportion to the drawn mass; ``coupled: false`` at the mass leaves it nominal, with a
    warning.
``when``
    ``start``, ``reset`` (default), ``{interval: [shortest, longest]}`` in simulated seconds,
    ``{walk: share of the range after one second}``, ``{ornstein_uhlenbeck: time constant}``.
    Within an episode, values change every ``period`` seconds.
``grow``
    ``{from: [low, high], episodes: N}``: the range grows to the whole by episode N;
    ``{from: [low, high], delta: step}``: as the scores allow, see
    :mod:`sim2real_randomizer.curriculum` and the section ``curriculum``.

What a draw holds is always absolute and SI, and every draw starts from the nominal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sim2real_core import nominal as core_nominal
from sim2real_core.addresses import Quantity, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.files import find, names
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Draw
from sim2real_core.yaml_file import YamlFile, read_yaml
from sim2real_randomizer.config import CurriculumConfig
from sim2real_randomizer.distributions import Array, Constant
from sim2real_randomizer.drawing import Keyed, Nominal, Plan, ordered
from sim2real_randomizer.expressions import Expression, Interval
from sim2real_randomizer.joint import Joint, Member
from sim2real_randomizer.keyed import Integers
from sim2real_randomizer.space_file import PERIOD, Grouped, read_space
from sim2real_randomizer.variation import INERTIA, Variation, starting_point

__all__ = ['Space', 'Variation', 'load_space', 'space_from_yaml']

# Parameters of a distribution that set the lower and the upper end of what it can give.
_ENDS = {
    'constant': ('value', 'value'),
    'categorical': ('values', 'values'),
    'empirical': ('samples', 'samples'),
    'joint': ('samples', 'samples'),  # a normal one is cut
}


@dataclass(frozen=True)
class Space:
    """What varies on one robot. Load it with :func:`load_space`, or build it from variations.

    Attributes:
        profile: the robot.
        variations: address to how it varies.
        path: file it came from, if any.
        constraints: name to what must hold in every world.
        period: of updates within an episode [s].
        curriculum: settings of the automatic curriculum.

    Raises:
        InputError: every fault, by address.
    """

    profile: RobotProfile = field(repr=False)
    variations: Mapping[str, Variation]
    path: Path | None = None
    constraints: Mapping[str, Expression] = field(default_factory=dict)
    period: float = PERIOD
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    _fitted: Mapping[str, Variation] = field(init=False, repr=False, compare=False)
    _ranges: Mapping[str, Interval] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'variations', _held(self.variations, self.profile))
        fitted, ranges, wrong = _fit(self.variations, self.profile)
        faults = Faults()
        for address, error in wrong.items():
            for fault in error.faults:
                faults.add(f'{address}.{fault.field}', fault.value, fault.mend)
        broken = set(self.variations) - set(ranges)
        for name, error in _impossible(self.constraints, ranges, broken, self.profile).items():
            faults.add(f'constraints.{name}', error.faults[0].value, error.faults[0].mend)
        faults.check()
        object.__setattr__(self, '_fitted', fitted)
        object.__setattr__(self, '_ranges', ranges)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What varies, in the order of the file."""
        return tuple(self.variations)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is meant, presumably, but should be known."""
        if not self.variations:
            return (f'{self.path or "the space"} varies nothing: every world is nominal',)
        return tuple(
            f'{address}: coupled is false, so the inertia of this link does not follow its mass'
            for address, variation in self.variations.items()
            if not variation.coupled
        )

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what the space means, whatever its file looks like."""
        meaning: dict[str, Any] = {a: v.as_mapping() for a, v in self.variations.items()}
        meaning.update(self._beside())
        text = json.dumps(meaning, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _beside(self) -> dict[str, Any]:
        """Sections of a file beside what varies; those that are as ever are left out."""
        sections: dict[str, Any] = {}
        if self.constraints:
            sections['constraints'] = {
                name: {'condition': c.text, 'for': c.object} if c.object else c.text
                for name, c in self.constraints.items()
            }
        if self.period != PERIOD:
            sections['period'] = self.period
        if self.curriculum != CurriculumConfig():
            sections['curriculum'] = {
                row.name: getattr(self.curriculum, row.name) for row in CurriculumConfig.table()
            }
        return sections

    def range(self, address: str) -> Interval:
        """Smallest and largest absolute value of an address [SI]."""
        return self._ranges[address]

    def nominal(self, address: str) -> float:
        """Nominal value of an address [SI], from profile and URDF."""
        return core_nominal.nominal(self.profile, address)

    @cached_property
    def plan(self) -> Plan:
        """How values follow from uniform numbers."""
        return Plan(self._fitted, self.constraints, self._quantities)

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

        Raises:
            InputError: a constraint that no try satisfies, by name.
        """
        values = self.draw_many(seed, episode, environment, nominal)
        return self.record(values, seed, episode, environment)

    def record(
        self, values: Mapping[str, Array], seed: int, episode: int, environment: int, step: int = 0
    ) -> Draw:
        """The record of one world that was drawn from this space."""
        return Draw(
            episode=episode,
            seed=seed,
            environment=environment,
            values={address: float(value) for address, value in values.items()},
            space=self.content_hash,
            profile=self.profile.content_hash,
            step=step,
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
            Address to absolute values [SI], of the broadcast shape: worlds at the beginning of
            their episodes.

        Raises:
            InputError: a constraint that no try satisfies, by name.
        """
        keyed = Keyed(seed, environments, episodes, self.plan.starts)
        return self.plan.draw(keyed, nominal or self.nominal)

    @cached_property
    def _quantities(self) -> dict[str, Quantity]:
        return {address: quantity(address, self.profile) for address in self.variations}

    def to_yaml(self) -> str:
        """Text of a file that :func:`load_space` reads back; patterns are expanded."""
        missing = {
            member: variation.distribution.joint.name
            for variation in self.variations.values()
            if isinstance(variation.distribution, Member)
            for member in variation.distribution.joint.addresses
            if member not in self.variations
        }
        if missing:
            mend = 'the joint distribution has it, the space has not: write it out'
            raise InputError(*(Fault(a, name, mend) for a, name in missing.items()))
        entries: dict[str, Any] = {}
        joints: dict[str, Any] = {}
        for address, variation in self.variations.items():
            found = variation.distribution
            if isinstance(found, Member):
                joints[found.joint.name] = self._joint(found.joint)
                continue
            unit = '1' if variation.combine == 'scale' else self._quantities[address].unit
            entries[address] = {**variation.as_mapping(), 'unit': unit}
        sections = {'parameters': entries, **({'joint': joints} if joints else {})}
        return str(
            yaml.safe_dump(
                {**sections, **self._beside()},
                sort_keys=False,
                width=math.inf,
                default_flow_style=None,
            )
        )

    def _joint(self, joint: Joint) -> dict[str, Any]:
        """What a file says of a joint distribution."""
        mapping = joint.as_mapping()
        combine, low, high = [], [], []
        for address in joint.addresses:
            variation = self.variations[address]
            member = variation.distribution
            combine.append(variation.combine)
            if isinstance(member, Member):
                mapping['when'] = variation.when.written()
            else:  # it left, and is written out
                member = Member(joint, address)
            low.append(member.low if math.isfinite(member.low) else None)
            high.append(member.high if math.isfinite(member.high) else None)
        ends = {'low': low, 'high': high}
        return {
            **mapping,
            'combine': combine,
            **{k: v for k, v in ends.items() if any(end is not None for end in v)},
        }


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
    found = Grouped(faults)
    contents = read_space(file, profile, faults, found)
    _, ranges, wrong = _fit(_held(contents.variations, profile), profile)
    for address, error in wrong.items():
        found.add(address, contents.places[address], error)
    found.name(list(contents.places.values()))
    broken = set(contents.places) - set(ranges)
    for name, error in _impossible(contents.constraints, ranges, broken, profile).items():
        (fault,), key = error.faults, name.partition(' of ')[0]
        faults.add(f'constraints.{name}', fault.value, fault.mend, path=('constraints', key))
    faults.check()
    return Space(
        profile,
        contents.variations,
        file.path,
        contents.constraints,
        contents.period,
        contents.curriculum,
    )


def _held(variations: Mapping[str, Variation], profile: RobotProfile) -> dict[str, Variation]:
    """The variations; the inertia that shall not follow a mass is held where it is.

    Simulators let it follow, unless a draw says otherwise.
    """
    held = dict(variations)
    for address, variation in variations.items():
        if not variation.coupled:
            link = address.rpartition('.')[0]
            for what in INERTIA:
                held.setdefault(f'{link}.{what}', Variation(Constant(1.0), 'scale'))
    return held


def _fit(
    variations: Mapping[str, Variation], profile: RobotProfile
) -> tuple[dict[str, Variation], dict[str, Interval], dict[str, InputError]]:
    """The variations with their tails cut to what each address admits, their ranges, and faults.

    What starts from a variation that is wrong itself is left out of all.
    """
    fitted: dict[str, Variation] = {}
    ranges: dict[str, Interval] = {}
    wrong: dict[str, InputError] = {}
    readable = {}
    for address, variation in variations.items():
        try:
            starting_point(address, variations)
            readable[address] = variation
        except InputError as error:
            wrong[address] = _as_field(error, 'of')
    order: list[str] | None = None
    while order is None:
        try:
            order = ordered(readable)
        except InputError as error:
            (fault,) = error.faults
            address = fault.field[: -len('.of')]
            wrong[address] = _as_field(error, 'of')
            del readable[address]  # the rest may have faults of its own
    for address in order:
        variation, start = variations[address], starting_point(address, variations)
        used = start.addresses if start is not None else ()
        if any(other in variations and other not in ranges for other in used):
            continue
        try:
            starts = _starts(address, variation, start, ranges, profile)
            fitted[address] = _fitted(address, variation, starts, profile)
            _check_growth(address, fitted[address])
            what = quantity(address, profile)
            low, high = fitted[address].range(starts)
            ranges[address] = max(low, what.low), min(high, what.high)
        except InputError as error:
            wrong[address] = error
    return {a: fitted[a] for a in variations if a in ranges}, ranges, wrong


def _as_field(error: InputError, name: str) -> InputError:
    return InputError(*(replace(fault, field=name) for fault in error.faults))


def _starts(
    address: str,
    variation: Variation,
    start: Expression | None,
    ranges: Mapping[str, Interval],
    profile: RobotProfile,
) -> Interval:
    """Smallest and largest value that an address starts from."""
    if variation.combine == 'absolute':
        return 0.0, 0.0
    if start is None:
        value = core_nominal.nominal(profile, address)
        return value, value
    try:
        start.check_unit(lambda a: quantity(a, profile).unit, quantity(address, profile).unit)
        low, high = start.bounds(*_looks(ranges, profile))
    except InputError as error:
        raise _as_field(error, 'of') from error
    if not (math.isfinite(low) and math.isfinite(high)):
        mend = 'can be without bounds; give what it depends on low and high, or use min and max'
        raise InputError(Fault('of', start.text, mend))
    return low, high


def _looks(ranges: Mapping[str, Interval], profile: RobotProfile) -> Any:
    """Where an expression finds ranges and nominal values."""

    def nominal(address: str) -> float:
        return core_nominal.nominal(profile, address)

    def drawn(address: str) -> Interval:
        return ranges[address] if address in ranges else (nominal(address),) * 2

    return drawn, nominal


def _check_growth(address: str, variation: Variation) -> None:
    """A range that grows begins inside the whole one, and can be that small."""
    grow = variation.grow
    if grow is None:
        return
    variation.at(0.0)
    low, high = variation.distribution.support
    if not low <= grow.low <= grow.high <= high:
        mend = f'must lie within [{low:g}, {high:g}], where it grows to'
        raise InputError(Fault('grow.from', [grow.low, grow.high], mend))
    if grow.delta and variation.when.kind != 'reset':
        mend = 'what grows by its scores is drawn at every reset'
        raise InputError(Fault('when', variation.when.written(), mend))


def _impossible(
    constraints: Mapping[str, Expression],
    ranges: Mapping[str, Interval],
    broken: Container[str],
    profile: RobotProfile,
) -> dict[str, InputError]:
    """Constraints that compare different units, or that no world can satisfy.

    Of what depends on a broken variation only the units are known.
    """
    wrong = {}
    for name, condition in constraints.items():
        try:
            condition.check_unit(lambda a: quantity(a, profile).unit, None)
            if any(address in broken for address in condition.addresses):
                continue
            if condition.bounds(*_looks(ranges, profile))[1] == 0.0:
                spans = [f'{a} from {ranges[a][0]:g} to {ranges[a][1]:g}'
                         for a in condition.addresses if a in ranges]  # fmt: skip
                mend = f'no world satisfies it: {", ".join(spans) or "nothing in it varies"}'
                raise InputError(Fault('condition', condition.text, mend))
        except InputError as error:
            wrong[name] = error
    return wrong


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
