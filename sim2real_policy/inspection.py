"""What a bundle says of itself, as tables for people and as one mapping for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sim2real_core.errors import InputError
from sim2real_policy.bundle import Bundle, check_robot
from sim2real_policy.config import PolicyConfig
from sim2real_policy.guard_about import switched_off
from sim2real_policy.metadata import PREFIX, BundleMetadata

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

ENOUGH = 0.01
"""Relative difference of a gain that is worth a remark."""


@dataclass(frozen=True)
class Table:
    """A table for people: every cell is text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def as_mapping(bundle: Bundle) -> dict[str, Any]:
    """Everything: the metadata at full precision, the file, and the model's ends."""
    texts = bundle.meta.to_properties()
    values = {key.removeprefix(PREFIX): json.loads(text) for key, text in texts.items()}
    return values | {
        'bundle': str(bundle.path),
        'content_hash': bundle.content_hash,
        'bytes': len(bundle.model),
        'command_names': bundle.meta.command_names,
        'observation_labels': bundle.meta.observation.labels,
        'model': asdict(bundle.ends),
    }


def verdict(meta: BundleMetadata, profile: RobotProfile) -> dict[str, Any]:
    """Whether a robot can run it: ``faults`` (why not) and ``remarks`` (what else to know).

    ``guard_off`` names the guard's stages that have nothing to do there by default, and why.
    """
    faults: list[dict[str, Any]] = []
    try:
        check_robot(meta, profile)
    except InputError as error:
        faults = [{'field': f.field, 'value': str(f.value), 'mend': f.mend} for f in error.faults]
    return {
        'robot': profile.name,
        'fits': not faults,
        'faults': faults,
        'remarks': remarks(meta, profile),
        'guard_off': {} if faults else switched_off(meta, profile, PolicyConfig()),
    }


def remarks(meta: BundleMetadata, profile: RobotProfile) -> list[str]:
    """What differs between a robot and the one of the training without forbidding anything."""
    found = []
    if meta.robot == profile.name and meta.profile not in ('', profile.content_hash):
        found.append(f'trained with another version of profile {profile.name}')
    for name in ('stiffness', 'damping') if meta.gains else ():
        for joint, gain in zip(meta.joints, getattr(meta.gains, name)):
            if joint not in profile.joint_names:
                continue
            own = getattr(profile.joint(joint), name)
            if own and not math.isclose(own, gain, rel_tol=ENOUGH):
                found.append(f'{name} of {joint} was {gain:g} in training, is {own:g}')
    if meta.control_period != profile.rates.control_period:
        found.append(
            f'acts every {meta.control_period:g} s; the profile says '
            f'{profile.rates.control_period:g} s'
        )
    return found


def tables(bundle: Bundle) -> list[Table]:
    """Everything, for people; numbers are rounded to six digits."""
    meta = bundle.meta
    found = [_about(bundle), _joints(meta), _observation(meta), _model(bundle)]
    if meta.images:
        columns = ('name', 'topic', 'encoding', 'layout', 'size', 'scale', 'offset')
        rows = []
        for image in meta.images:
            row = [getattr(image, name) for name in columns[:4]]
            row += [f'{image.width} x {image.height}', _text(image.scale), _text(image.offset)]
            rows.append(row)
        found.append(Table('images', columns, rows))
    return found


def _about(bundle: Bundle) -> Table:
    meta = bundle.meta
    rows = {
        'file': str(bundle.path),
        'content hash': bundle.content_hash,
        'size': f'{len(bundle.model)} bytes',
        'written by': f'version {meta.suite_version}' if meta.suite_version else 'not known',
        'robot': meta.robot,
        'profile': meta.profile or 'not known',
        'space': meta.space or 'none',
        'control period': f'{meta.control_period:g} s',
        'action': f'{meta.action.meaning} of {len(meta.command_names)} elements'
        + (f', clipped to +/- {meta.action.clip:g}' if meta.action.clip else ''),
        'observation': f'{meta.observation.size} elements',
        'normalizer': 'in the metadata' if meta.normalizer else 'none, or in the network',
        'goal': f'{meta.goal.kind} in {meta.goal.frame}' if meta.goal.frame else 'none',
        'training': json.dumps(meta.training),
    }
    return Table('bundle', ('what', 'value'), list(rows.items()))


def _joints(meta: BundleMetadata) -> Table:
    """One row for each joint, and each element of a twist."""
    names = [*meta.joints, *(name for name in meta.commands if name not in meta.joints)]
    columns: dict[str, dict[str, float]] = {
        'default': dict(zip(meta.joints, meta.default_position)),
    }
    for name in ('scale', 'offset'):
        columns[f'action {name}'] = dict(zip(meta.command_names, getattr(meta.action, name)))
    for name, values in asdict(meta.limits).items():
        columns[name] = dict(zip(meta.command_names, values))
    for name, values in asdict(meta.gains).items() if meta.gains else ():
        columns[name] = dict(zip(meta.joints, values))
    rows = [[name, *(_text(c.get(name)) for c in columns.values())] for name in names]
    return Table('joints and commands', ('name', *columns), rows)


def _observation(meta: BundleMetadata) -> Table:
    layout = meta.observation
    columns = ('elements', 'term', 'source', 'history', 'scale', 'offset', 'clip')
    more = ('trained on',) if meta.training_range else ()
    rows, begin = [], 0
    for term in layout.terms:
        end = begin + layout.term_size(term) * term.history
        source = term.source or term.topic or (f'<{term.senses}>' if term.senses else '')
        row = [f'{begin}:{end}', term.kind, source, str(term.history)]
        row += [_text(term.scale), _text(term.offset), _text(term.clip)]
        rows.append(row + [_trained(meta, slice(begin, end)) for _ in more])
        begin = end
    title = f"observation of {layout.size} elements; <topic> is as the robot's profile names it"
    return Table(title, (*columns, *more), rows)


def _trained(meta: BundleMetadata, part: slice) -> str:
    assert meta.training_range is not None
    low, high = min(meta.training_range.low[part]), max(meta.training_range.high[part])
    return f'{low:.6g} to {high:.6g}'


def _model(bundle: Bundle) -> Table:
    ends, rows = bundle.ends, []
    meaning = {ends.observation: 'observation', ends.action: 'action'}
    for state in bundle.meta.state:
        meaning[state.input] = f'state, from {state.output}'
        meaning[state.output] = f'state, to {state.input}'
    for kind, shapes in (('input', ends.inputs), ('output', ends.outputs)):
        rows += [
            (kind, name, str(shape), meaning.get(name, 'image'))
            for name, shape in sorted(shapes.items(), key=lambda item: item[0])
        ]
    robots = 'one robot at a time' if ends.single else 'any number of robots at once'
    return Table(f'model, {robots}', ('end', 'name', 'shape', 'meaning'), rows)


def _text(value: float | Iterable[float] | None) -> str:
    """A number or several, to six digits; several equal ones as one."""
    if value is None:
        return '-'
    if isinstance(value, (int, float)):
        return f'{value:.6g}'
    values = [f'{v:.6g}' for v in value]
    return values[0] if len(set(values)) == 1 else ', '.join(values)
