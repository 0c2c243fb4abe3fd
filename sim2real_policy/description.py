"""What a network must be told about itself, in YAML, and the metadata made of it.

The words are those of :class:`~sim2real_policy.metadata.BundleMetadata`; what is said of each
joint may be one number, a list or a mapping from names. ``config/policies/template.yaml`` explains
every key. Others that describe networks (``foreign_mjlab.py``, ``foreign_leapp.py``) are read into
the same words, and the robot's profile fills what is still missing and can only be one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sim2real_core.errors import Faults, InputError
from sim2real_core.files import version
from sim2real_core.profile import RobotProfile
from sim2real_core.yaml_file import read_yaml
from sim2real_policy.action import MEANINGS, Action, is_number
from sim2real_policy.guard import LIMITS, Limits
from sim2real_policy.images import ImageInput
from sim2real_policy.metadata import (
    BundleMetadata,
    Gains,
    Goal,
    Normalizer,
    Range,
    RecurrentState,
    natural_goal,
)
from sim2real_policy.observation import ObservationLayout, Term

KEYS = (*(n for n in BundleMetadata.__dataclass_fields__ if n != 'suite_version'), 'network')
ASKED = ('control_period', 'observation', 'action')
HOW = 'say it in the YAML (--about); sim2real policy export --template shows how'

Part = TypeVar('Part')


@dataclass(frozen=True)
class Description:
    """What is known of a network, in the words of the YAML.

    Attributes:
        values: by key.
        file: of the YAML, for faults and for files that it names.
        lines: of its keys.
        remarks: what was taken for granted, for a person to check.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    file: str = ''
    lines: Mapping[tuple[object, ...], int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def over(self, other: Description) -> Description:
        """This one, with what it does not say taken from another."""
        values = {**other.values, **self.values}
        return replace(self, values=values, remarks=(*other.remarks, *self.remarks))


def read_description(path: str | Path) -> Description:
    """Read the YAML.

    Raises:
        InputError: no YAML, or keys that are not known.
    """
    found = read_yaml(path)
    faults = Faults(str(found.path), found.lines)
    for key, value in found.data.items():
        if key not in KEYS:
            faults.add(key, value, f'unknown; known: {", ".join(KEYS)}', path=(key,))
    faults.check()
    return Description(found.data, str(found.path), found.lines)


def metadata_of(described: Description, profile: RobotProfile) -> BundleMetadata:
    """Metadata of a network that was described, for a robot.

    Raises:
        InputError: every fault, and everything that must be said but is not.
    """
    return _Builder(described, profile).build()


class _Builder(Faults):
    """Makes the parts of the metadata, collecting faults with lines."""

    def __init__(self, described: Description, profile: RobotProfile) -> None:
        super().__init__(described.file, described.lines)
        self.values = described.values
        self.profile = profile

    def build(self) -> BundleMetadata:
        for name in ASKED:
            if self.values.get(name) is None:
                self.add(name, None, f'missing: {HOW}')
        joints = self.names('joints', self.profile.joint_names)
        for name in joints:
            if name not in self.profile.joint_names:
                has = ', '.join(self.profile.joint_names)
                mend = f'{self.profile.name} has no such joint; it has: {has}'
                self.add('joints', name, mend, path=('joints',))
        self.check()
        commands = self.names('commands', self.twist())
        takes: Sequence[str] = getattr(self.profile, 'command_names', self.profile.joint_names)
        for name in commands:
            if name not in takes:
                mend = f'{self.profile.name} takes {", ".join(takes)}'
                self.add('commands', name, mend, path=('commands',))
        self.check()
        elements = commands or joints
        terms = self.terms()
        made: dict[str, Any] = {
            'action': self.part('action', Action, self.action(elements)),
            'limits': self.part('limits', Limits, self.limits(elements)),
            'goal': self.goal(terms),
            'gains': self.gains(joints),
            'images': self.parts('images', ImageInput),
            'state': self.parts('state', RecurrentState),
            'training': self.mapping('training'),
        }
        self.check()
        layout = self.guarded('observation', lambda: ObservationLayout(terms, joints, commands))
        self.check()
        poses = {name: self.profile.joint(name).default_position for name in joints}
        made['normalizer'] = self.table('normalizer', Normalizer, ('mean', 'std'), layout)
        made['training_range'] = self.table('training_range', Range, ('low', 'high'), layout)
        made['default_position'] = self.each(
            'default_position', self.values.get('default_position', poses), joints
        )
        self.check()
        meta = self.guarded(
            '',
            lambda: BundleMetadata(
                robot=self.values.get('robot', self.profile.name),
                joints=joints,
                commands=commands,
                observation=layout,
                control_period=self.values['control_period'],
                space=self.values.get('space', ''),
                profile=self.values.get('profile', self.profile.content_hash),
                suite_version=version(),
                **made,
            ),
        )
        self.check()
        return meta

    def twist(self) -> tuple[str, ...]:
        """What a robot takes that is told a twist."""
        action = self.values['action']
        told = isinstance(action, Mapping) and action.get('meaning') == 'twist'
        return getattr(self.profile, 'command_names', ()) if told else ()

    def action(self, elements: Sequence[str]) -> Mapping[str, Any]:
        """Scale and offset for each element."""
        given = self.values['action']
        if not isinstance(given, Mapping):
            self.add('action', given, f'must be a mapping with meaning, one of {list(MEANINGS)}')
            return {}
        found = {'scale': 1.0, 'offset': 0.0, **given}
        for name in ('scale', 'offset'):
            found[name] = self.each(f'action.{name}', found[name], elements)
        return found

    def limits(self, elements: Sequence[str]) -> Mapping[str, Any]:
        """The robot's own, where nothing else is said."""
        given = self.mapping('limits')
        own = Limits.of(self.profile, elements)
        found = {
            name: self.each(f'limits.{name}', given.get(name, getattr(own, name)), elements)
            for name in LIMITS
        }
        return {**given, **found}

    def gains(self, joints: Sequence[str]) -> Gains | None:
        """The robot's own, where nothing else is said."""
        given = self.values.get('gains')
        own = {
            name: [getattr(self.profile.joint(joint), name) for joint in joints]
            for name in ('stiffness', 'damping')
        }
        if given is None:
            same = self.values.get('profile', '') in ('', self.profile.content_hash)
            known = same and any(map(any, own.values()))
            return Gains(**own) if known else None  # type: ignore[arg-type]
        given = self.mapping('gains')
        each = {n: self.each(f'gains.{n}', given.get(n, own[n]), joints) for n in own}
        return self.part('gains', Gains, {**given, **each})

    def goal(self, terms: Sequence[Term]) -> Goal | None:
        """What the terms imply, where nothing else is said."""
        if self.values.get('goal') is None:
            return natural_goal(terms, self.profile)
        return self.part('goal', Goal, self.mapping('goal'))

    def terms(self) -> tuple[Term, ...]:
        """The observation's terms."""
        return tuple(term for term in self.parts('observation', Term) if term is not None)

    def table(
        self, name: str, kind: type[Part], columns: tuple[str, str], layout: ObservationLayout
    ) -> Part | None:
        """Two values for each element of the observation, here or in a file."""
        if self.values.get(name) is None:
            return None
        given = self.mapping(name)
        if set(given) == {'file'}:
            given = self.from_file(name, str(given['file']), columns)
        if given and set(given) != set(columns):
            self.add(name, sorted(given), f'give {" and ".join(columns)}, or file', path=(name,))
        if not given or set(given) != set(columns):
            return None
        each = {c: self.each(f'{name}.{c}', given[c], layout.labels) for c in columns}
        return self.part(name, kind, each)

    def from_file(self, name: str, file: str, columns: tuple[str, str]) -> dict[str, Any]:
        """Arrays of a file beside the YAML."""
        path = Path(self.file).parent / Path(file).expanduser()
        try:
            found = np.load(path, allow_pickle=False)
            if isinstance(found, np.ndarray) and columns == ('low', 'high') and found.ndim == 2:
                return {'low': found.min(axis=0).tolist(), 'high': found.max(axis=0).tolist()}
            return {column: np.ravel(found[column]).tolist() for column in columns}
        except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
            mend = f'must hold the arrays {" and ".join(columns)} ({error})'
            self.add(f'{name}.file', file, mend, path=(name, 'file'))
            return {}

    def each(self, name: str, given: Any, names: Sequence[str]) -> tuple[Any, ...]:
        """One value for each name, from a number, a list or a mapping."""
        path = tuple(name.split('.'))
        if is_number(given):
            return (given,) * len(names)
        if isinstance(given, Mapping):
            for key in given:
                if key not in names:
                    mend = f'no such name; there are: {", ".join(names)}'
                    self.add(f'{name}.{key}', given[key], mend, path=(*path, key))
            for key in names:
                if key not in given:
                    self.add(f'{name}.{key}', None, 'missing', path=path)
            return tuple(given[key] for key in names) if set(given) == set(names) else ()
        if not isinstance(given, (list, tuple)) or len(given) != len(names):
            mend = f'must be a number, or {len(names)} of them: {", ".join(names)}'
            self.add(name, given, mend, path=path)
            return ()
        return tuple(given)

    def names(self, key: str, default: Sequence[str]) -> tuple[str, ...]:
        """A list of names."""
        given = self.values.get(key)
        if given is None:
            return tuple(default)
        if isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given):
            return tuple(given)
        self.add(key, given, 'must be a list of names', path=(key,))
        return tuple(default)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A mapping, empty when it is left out."""
        given = self.values.get(key)
        if given is None or isinstance(given, Mapping):
            return given or {}
        self.add(key, given, 'must be a mapping', path=(key,))
        return {}

    def parts(self, key: str, kind: type[Part]) -> tuple[Part | None, ...]:
        """A list of records."""
        given = self.values.get(key) or ()
        if not isinstance(given, (list, tuple)):
            self.add(key, given, 'must be a list', path=(key,))
            return ()
        return tuple(self.part(f'{key}[{i}]', kind, item) for i, item in enumerate(given))

    def part(self, name: str, kind: type[Part], values: Any) -> Part | None:
        """A record; its faults get its name in front."""
        known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        if not isinstance(values, Mapping):
            self.add(name, values, f'must be a mapping of {", ".join(known)}', path=_path(name))
            return None
        before = len(self.found)
        for key in values:
            if key not in known:
                mend = f'unknown; known: {", ".join(known)}'
                self.add(f'{name}.{key}', values[key], mend, path=(*_path(name), key))
        if len(self.found) > before:
            return None
        try:
            return self.guarded(name, lambda: kind(**values))
        except TypeError as error:  # says which is missing
            self.add(name, dict(values), f'{error}'.partition('__init__() ')[2], path=_path(name))
            return None

    def guarded(self, name: str, make: Callable[[], Part]) -> Any:
        """What is made, or None and its faults under a name."""
        try:
            return make()
        except InputError as error:
            for fault in error.faults:
                inner = f'{name}.{fault.field}' if name else fault.field
                inner = fault.field if fault.field.startswith('observation') else inner
                self.add(inner, fault.value, fault.mend, path=_path(inner))
            return None


def _path(name: str) -> tuple[object, ...]:
    """``images[1].topic`` as the key path of the YAML."""
    steps: list[object] = []
    for word in name.split('.'):
        key, _, index = word.partition('[')
        steps.append(key)
        if index:
            steps.append(int(index.rstrip(']')) if index.rstrip(']').isdigit() else index)
    return tuple(steps)
