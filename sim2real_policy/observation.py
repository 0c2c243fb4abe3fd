"""From sensor values to the vector a policy sees.

A layout is an ordered list of terms. With six joints, ``joint_position`` and ``goal_error``
with a history of 2 give

    [ position (6), error one step ago (3), error now (3) ]          size 12

and every element has a label: ``joint_position.elbow``, ``goal_error.x[-1]``, ``goal_error.x[0]``.
Each element is ``clip((value - offset) * scale)``; histories are term by term, oldest first, and
after a reset full of the first sample. The same code serves one robot and thousands: every
array has a leading dimension ``n``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_policy.action import is_number, one_of, vector

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]

KINDS: dict[str, tuple[str, ...]] = {
    'joint_position': ('position',),
    'joint_velocity': ('velocity',),
    'joint_effort': ('effort',),
    'joint_command': ('command',),
    'previous_action': ('action',),
    'goal_position': ('goal',),
    'goal_error': ('goal', 'tool'),
    'tool_position': ('tool',),
    'imu_angular_velocity': ('angular_velocity',),
    'imu_linear_acceleration': ('linear_acceleration',),
    'imu_orientation': ('orientation',),
    'projected_gravity': ('gravity',),
    'base_linear_velocity': ('base_linear_velocity',),
    'base_angular_velocity': ('base_angular_velocity',),
    'base_position': ('base_position',),
    'velocity_command': ('velocity_goal',),
}
"""Kind of a term -> the inputs it is made of (the second is subtracted from the first).

``joint_position``, and ``joint_command`` of a position interface, count from the default pose;
``goal`` and ``tool`` are positions [m] in the base frame; ``action`` is the network's last output,
``command`` what was commanded last. ``orientation`` is the IMU's (x, y, z, w), ``gravity`` the
unit vector downward in its frame; ``base_linear_velocity`` [m/s] and ``base_angular_velocity``
[rad/s] are the odometry's twist, in the base frame, ``base_position`` [m] its position in its own
fixed frame; ``velocity_goal`` is the twist asked for: (linear.x, linear.y, angular.z).
"""

INPUT_SIZES = {
    'position': 0,
    'velocity': 0,
    'effort': 0,
    'command': 0,
    'action': 0,
    'goal': 3,
    'tool': 3,
    'angular_velocity': 3,
    'linear_acceleration': 3,
    'orientation': 4,
    'gravity': 3,
    'base_linear_velocity': 3,
    'base_angular_velocity': 3,
    'base_position': 3,
    'velocity_goal': 3,
}
"""Input -> its number of elements; 0 stands for one for each joint, or each command element."""

TOPICS = {
    'position': 'joint_states',
    'velocity': 'joint_states',
    'effort': 'joint_states',
    'goal': 'goal',
    'angular_velocity': 'imu',
    'linear_acceleration': 'imu',
    'orientation': 'imu',
    'gravity': 'imu',
    'base_linear_velocity': 'odometry',
    'base_angular_velocity': 'odometry',
    'base_position': 'odometry',
    'velocity_goal': 'velocity_goal',
}
"""Input -> the topic it comes from, as a robot profile's ``topics`` calls it."""

COMMANDED = frozenset(('action', 'command'))
"""Inputs with an element for each command element."""

AXES = ('x', 'y', 'z')
TWIST = ('linear.x', 'linear.y', 'angular.z')
QUATERNION = ('x', 'y', 'z', 'w')


@dataclass(frozen=True, kw_only=True)
class Term:
    """One part of an observation.

    Attributes:
        kind: one of :data:`KINDS`.
        source: link of a tool term; ``''`` is the robot's tool link.
        scale: factor; one number, or one for each element.
        offset: subtracted before scaling, in the unit of the value; one number or one each.
        clip: (low, high) after scaling; None leaves the value alone.
        history: number of samples, this one included.
        topic: relative topic it comes from; ``''`` is the one of the robot's profile.
    """

    kind: str
    source: str = ''
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    clip: tuple[float, float] | None = None
    history: int = 1
    topic: str = ''

    def __post_init__(self) -> None:
        faults = Faults()
        if not one_of(faults, 'kind', self.kind, KINDS):
            faults.check()
        if not isinstance(self.source, str):
            faults.add('source', self.source, 'must be the name of a link')
        elif self.source and 'tool' not in KINDS[self.kind]:
            faults.add('source', self.source, 'only a tool term has a source')
        if not isinstance(self.topic, str) or (self.topic and not self.senses):
            faults.add('topic', self.topic, 'name the topic of a term that comes from one')
        for name in ('scale', 'offset'):
            value = getattr(self, name)
            if is_number(value) and math.isfinite(value):
                object.__setattr__(self, name, float(value))
            else:
                object.__setattr__(self, name, vector(faults, name, value))
        if 0.0 in (self.scale if isinstance(self.scale, tuple) else (self.scale,)):
            faults.add('scale', self.scale, 'must not be zero')
        if self.clip is not None:
            object.__setattr__(self, 'clip', vector(faults, 'clip', self.clip))
            if len(self.clip) != 2 or not self.clip[0] < self.clip[1]:
                faults.add('clip', self.clip, 'must be (low, high)')
        if type(self.history) is not int or not 1 <= self.history <= 1000:
            faults.add('history', self.history, 'must be a whole number from 1 to 1000')
        faults.check()

    @property
    def senses(self) -> str:
        """What a profile calls its topic, :data:`TOPICS`; ``''`` when it comes from none."""
        return next((TOPICS[name] for name in KINDS[self.kind] if name in TOPICS), '')


class ObservationLayout:
    """Ordered terms of a robot's observation.

    Args:
        terms: the parts, in order.
        joints: names of the policy's joints, in order.
        commands: names of what it commands, in order; the joints when empty.

    Raises:
        InputError: every fault, by index of the term.

    Attributes:
        size: number of elements, histories included.
        labels: name of each element.
        inputs: what an update needs (see :data:`INPUT_SIZES`).
        tool_link: link of the tool terms; ``''`` is the robot's tool link.
        topics: by what a profile calls them (:data:`TOPICS`), those the terms name themselves.
    """

    def __init__(
        self, terms: Iterable[Term], joints: Iterable[str], commands: Iterable[str] = ()
    ) -> None:
        self.terms = tuple(terms)
        self.joints = tuple(joints)
        self.commands = tuple(commands) or self.joints
        self._check()
        self.inputs = frozenset(i for term in self.terms for i in KINDS[term.kind])
        self.size = sum(self.term_size(term) * term.history for term in self.terms)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObservationLayout):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f'ObservationLayout{self._key!r}'

    @property
    def _key(self) -> tuple[object, ...]:
        return self.terms, self.joints, self.commands

    def term_names(self, term: Term) -> tuple[str, ...]:
        """Names of the elements of one sample of a term."""
        name = KINDS[term.kind][0]
        if INPUT_SIZES[name]:
            return {'velocity_goal': TWIST, 'orientation': QUATERNION}.get(name, AXES)
        return self.commands if name in COMMANDED else self.joints

    def term_size(self, term: Term) -> int:
        """Elements of one sample of a term."""
        return len(self.term_names(term))

    @property
    def topics(self) -> dict[str, str]:
        """Topics that the terms name themselves."""
        return {term.senses: term.topic for term in self.terms if term.topic}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Name of each element, e.g. ``joint_position.elbow`` or ``goal_error.x[-1]``."""
        labels = []
        for term in self.terms:
            names = self.term_names(term)
            for age in range(term.history - 1, -1, -1):
                when = '' if term.history == 1 else f'[{-age}]'
                labels += [f'{term.kind}.{name}{when}' for name in names]
        return tuple(labels)

    @property
    def tool_link(self) -> str:
        """Link of the tool terms; ``''`` is the robot's tool link."""
        return next((t.source for t in self.terms if 'tool' in KINDS[t.kind]), '')

    def _check(self) -> None:
        faults = Faults()
        if not self.terms:
            faults.add('observation', (), 'give at least one term')
        tools = {t.source for t in self.terms if 'tool' in KINDS[t.kind]}
        if len(tools) > 1:
            faults.add('observation', sorted(tools), 'all tool terms must have the same source')
        for index, term in enumerate(self.terms):
            if any(term.kind == before.kind for before in self.terms[:index]):
                faults.add(f'observation[{index}].kind', term.kind, 'given twice; use history')
            size = self.term_size(term)
            if term.topic and term.topic != self.topics[term.senses]:
                mend = f'must be {self.topics[term.senses]}, as of the other {term.senses} terms'
                faults.add(f'observation[{index}].topic', term.topic, mend)
            for name in ('scale', 'offset'):
                value = getattr(term, name)
                if isinstance(value, tuple) and len(value) != size:
                    faults.add(
                        f'observation[{index}].{name}', value, f'must have 1 or {size} elements'
                    )
        faults.check()

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values; :meth:`from_json` gives the layout back, exactly."""
        return [
            {
                'kind': term.kind,
                'source': term.source,
                'size': self.term_size(term),
                'scale': term.scale,
                'offset': term.offset,
                'clip': term.clip,
                'history': term.history,
                'topic': term.topic,
            }
            for term in self.terms
        ]

    @classmethod
    def from_json(
        cls, data: Any, joints: Iterable[str], commands: Iterable[str] = ()
    ) -> ObservationLayout:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: every fault.
        """
        if not isinstance(data, list):
            raise InputError(Fault('observation', data, 'must be a list of terms'))
        faults = Faults()
        terms, sizes = [], []
        for index, item in enumerate(data):
            field = f'observation[{index}]'
            wanted = {'kind', 'source', 'size', 'scale', 'offset', 'clip', 'history', 'topic'}
            if not isinstance(item, Mapping) or set(item) != wanted:
                faults.add(field, item, f'must have exactly {", ".join(sorted(wanted))}')
                continue
            values = {key: item[key] for key in wanted - {'size'}}
            for key in ('scale', 'offset', 'clip'):
                values[key] = tuple(item[key]) if isinstance(item[key], list) else item[key]
            try:
                terms.append(Term(**values))
            except InputError as error:
                for fault in error.faults:
                    faults.add(f'{field}.{fault.field}', fault.value, fault.mend)
            sizes.append(item['size'])
        faults.check()
        layout = cls(terms, joints, commands)
        for index, (term, size) in enumerate(zip(terms, sizes)):
            wide = layout.term_size(term)
            if size != wide:
                faults.add(f'observation[{index}].size', size, f'must be {wide} for {term.kind}')
        faults.check()
        return layout


class Assembler:
    """Builds observations, for ``n`` robots at once, into memory allocated once.

    Args:
        layout: what to build.
        default_position: (nj,) pose that joint positions count from [rad or m].
        position_command: commands are positions, so ``joint_command`` counts from it too.
        n: number of robots.

    Attributes:
        values: (n, size) float32, the newest observation; overwritten by the next update.
    """

    def __init__(
        self,
        layout: ObservationLayout,
        default_position: Array,
        *,
        position_command: bool = True,
        n: int = 1,
    ) -> None:
        self.layout = layout
        self.values: Array32 = np.zeros((n, layout.size), np.float32)
        sizes = [layout.term_size(term) for term in layout.terms]
        ends = np.cumsum(sizes)
        width = int(ends[-1])
        self._now = np.zeros((n, width))
        self._parts: list[tuple[Array, tuple[str, ...]]] = []
        scale, offset = np.ones(width), np.zeros(width)
        low, high = np.full(width, -np.inf), np.full(width, np.inf)
        for term, size, end in zip(layout.terms, sizes, ends, strict=True):
            part = slice(end - size, end)
            self._parts.append((self._now[:, part], KINDS[term.kind]))
            scale[part], offset[part] = term.scale, term.offset
            from_default = ['joint_position'] + ['joint_command'] * position_command
            if term.kind in from_default:
                offset[part] += default_position
            if term.clip is not None:
                low[part], high[part] = term.clip
        self._scale, self._offset = scale, offset
        self._clip = (low, high) if np.isfinite([low, high]).any() else None
        depth = max(term.history for term in layout.terms)
        self._ring = np.zeros((n, depth, width)) if depth > 1 else None
        self._fresh = np.ones(n, bool)
        self._pick = np.array(
            [
                (depth - term.history + age) * width + end - size + element
                for term, size, end in zip(layout.terms, sizes, ends, strict=True)
                for age in range(term.history)
                for element in range(size)
            ]
        )

    def reset(self, ids: npt.NDArray[Any] | slice = slice(None)) -> None:
        """Forget the histories of some robots (all when not given); the next update fills them."""
        self._fresh[ids] = True

    def update(self, inputs: Mapping[str, Array]) -> Array32:
        """Take one sample.

        Args:
            inputs: at least those in ``layout.inputs``, each (n, nj) or (n, 3); see
                :data:`KINDS` for what they are.

        Returns:
            ``values``: (n, size) float32.
        """
        for part, names in self._parts:
            if len(names) == 1:
                part[:] = inputs[names[0]]
            else:
                np.subtract(inputs[names[0]], inputs[names[1]], out=part)
        now = self._now
        now -= self._offset
        now *= self._scale
        if self._clip is not None:
            np.clip(now, *self._clip, out=now)
        ring = self._ring
        if ring is None:
            self.values[:] = now
            return self.values
        ring[:, :-1] = ring[:, 1:]
        ring[:, -1] = now
        if self._fresh.any():
            ring[self._fresh] = now[self._fresh, None]
            self._fresh[:] = False
        self.values[:] = ring.reshape(len(now), -1)[:, self._pick]
        return self.values
