"""Reads metadata from a model file's properties, naming every fault; migrates older schemas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sim2real_core.errors import Faults, InputError
from sim2real_policy.action import Action
from sim2real_policy.guard import Limits
from sim2real_policy.images import ImageInput
from sim2real_policy.metadata import (
    PREFIX,
    SCHEMA,
    BundleMetadata,
    Gains,
    Goal,
    Normalizer,
    Range,
    RecurrentState,
)
from sim2real_policy.observation import ObservationLayout

HASH_KEY = f'{PREFIX}content_hash'

PARTS: dict[str, type[Any]] = {
    'action': Action,
    'goal': Goal,
    'limits': Limits,
    'normalizer': Normalizer,
    'gains': Gains,
    'training_range': Range,
}
LISTS: dict[str, type[Any]] = {'images': ImageInput, 'state': RecurrentState}
OPTIONAL = ('normalizer', 'gains', 'training_range')

Part = TypeVar('Part')


def read_metadata(properties: Mapping[str, str], file: str) -> BundleMetadata:
    """See :meth:`sim2real_policy.metadata.BundleMetadata.from_properties`."""
    return _Reader(migrated(properties), file).read()


def migrated(properties: Mapping[str, str]) -> dict[str, str]:
    """Properties as the newest schema has them; those of an unknown one as they are."""
    values = dict(properties)
    while (step := _MIGRATIONS.get(values.get(f'{PREFIX}schema', ''))) is not None:
        step(values)
    return values


def _from_1(values: dict[str, str]) -> None:
    """Schema 1 had no images, no state, no gains, no ranges, no version and no twist."""
    absent = {
        'commands': '[]',
        'images': '[]',
        'state': '[]',
        'gains': 'null',
        'training_range': 'null',
        'suite_version': '""',
    }
    values.update({PREFIX + name: text for name, text in absent.items()}, **{_SCHEMA_KEY: '2'})
    try:
        terms = json.loads(values.get(f'{PREFIX}observation', ''))
    except (ValueError, RecursionError):
        return  # the reader names it
    if isinstance(terms, list):
        terms = [{'topic': '', **term} if isinstance(term, dict) else term for term in terms]
        values[f'{PREFIX}observation'] = json.dumps(terms)


_SCHEMA_KEY = f'{PREFIX}schema'
_MIGRATIONS: dict[str, Callable[[dict[str, str]], None]] = {'1': _from_1}


class _Reader(Faults):
    """Reads metadata, collecting faults under their field names."""

    def __init__(self, properties: Mapping[str, str], file: str) -> None:
        super().__init__(file)
        self.properties = properties

    def read(self) -> BundleMetadata:
        fields = ('schema', *BundleMetadata.__dataclass_fields__)
        known = {PREFIX + name for name in fields} | {HASH_KEY}
        for key, text in self.properties.items():
            if key.startswith(PREFIX) and key not in known:
                self.add(key, text, 'unknown; a newer version of this suite may know it')
        raw = {name: self.json(PREFIX + name) for name in fields}
        if raw['schema'] != SCHEMA and _SCHEMA_KEY in self.properties:
            mend = f'must be {SCHEMA} or less; a newer version of this suite may know it'
            self.add(_SCHEMA_KEY, raw['schema'], mend)
        del raw['schema']
        for name in ('joints', 'commands'):
            raw[name] = self.names(name, raw[name])
        if not isinstance(raw['training'], dict):
            self.add(f'{PREFIX}training', raw['training'], 'must be a mapping')
            raw['training'] = {}
        raw['limits'] = _unlimited(raw['limits'])
        for name, kind in PARTS.items():
            if raw[name] is not None or name not in OPTIONAL:
                raw[name] = self.part(name, kind, raw[name])
        for name, kind in LISTS.items():
            raw[name] = self.parts(name, kind, raw[name])
        if raw['joints'] or not self.found:
            try:
                raw['observation'] = ObservationLayout.from_json(
                    raw['observation'], raw['joints'], raw['commands']
                )
            except InputError as error:
                self.nested('', error)
        # What could be read is checked as a whole only when every part could be.
        self.check()
        try:
            return BundleMetadata(**raw)
        except InputError as error:
            self.nested('', error)
        self.check()
        raise AssertionError('an InputError names at least one fault')

    def json(self, key: str) -> Any:
        """One property parsed; a fault and None when it is missing or no JSON."""
        if key not in self.properties:
            self.add(key, None, 'missing; write the bundle anew')
            return None
        try:
            return json.loads(self.properties[key])
        except (ValueError, RecursionError) as error:
            self.add(key, self.properties[key][:80], f'must be JSON ({error})')
            return None

    def names(self, name: str, found: Any) -> tuple[str, ...]:
        """A list of names."""
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return tuple(found)
        self.add(PREFIX + name, found, 'must be a list of names')
        return ()

    def part(self, name: str, kind: type[Part], values: Any) -> Part | None:
        """A nested record; its faults get its name in front."""
        if PREFIX + name.partition('[')[0] not in self.properties:
            return None  # already named
        wanted = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        if not isinstance(values, Mapping) or set(values) != set(wanted):
            self.add(PREFIX + name, values, f'must have exactly {", ".join(wanted)}')
            return None
        try:
            return kind(**values)
        except InputError as error:
            self.nested(f'{name}.', error)
            return None

    def parts(self, name: str, kind: type[Part], values: Any) -> tuple[Part | None, ...]:
        """A list of nested records."""
        if not isinstance(values, list):
            if PREFIX + name in self.properties:
                self.add(PREFIX + name, values, 'must be a list')
            return ()
        return tuple(self.part(f'{name}[{i}]', kind, value) for i, value in enumerate(values))

    def nested(self, before: str, error: InputError) -> None:
        """Take over faults, with the file's field names."""
        for fault in error.faults:
            self.add(PREFIX + before + fault.field, fault.value, fault.mend)


def _unlimited(limits: Any) -> Any:
    """Limits as read from JSON, with null turned into infinity."""
    if not isinstance(limits, Mapping):
        return limits
    return {
        name: [(-math.inf if name == 'lower' else math.inf) if v is None else v for v in values]
        if isinstance(values, list)
        else values
        for name, values in limits.items()
    }
