"""What a policy says of itself: all that a robot must know to run it.

In a bundle it is written as JSON under ``sim2real.*``, floats so that reading gives the same bits;
``metadata_reader.py`` reads it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sim2real_core.errors import Faults, InputError
from sim2real_core.files import version
from sim2real_policy.action import Action, is_number, one_of, vector
from sim2real_policy.guard import LIMITS, Limits
from sim2real_policy.images import ImageInput
from sim2real_policy.observation import KINDS, TWIST, ObservationLayout, Term

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

SCHEMA = 2
PREFIX = 'sim2real.'
GOALS = ('none', 'tool_position', 'base_position', 'base_velocity')


@dataclass(frozen=True, kw_only=True)
class Normalizer:
    """The network sees ``(observation - mean) / std``; (size of the observation,) each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ('mean', 'std'):
            object.__setattr__(self, name, vector(faults, name, getattr(self, name)))
        for index, value in enumerate(self.std):
            if value <= 0:
                faults.add(f'std[{index}]', value, 'must be positive')
        faults.check()


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the goal of the policy is.

    Attributes:
        kind: ``tool_position`` (where the tool shall be), ``base_position`` (where the base shall
            be), ``base_velocity`` (the twist it shall have) or ``none``.
        frame: frame that goals are given in: the robot's base link, or the odometry's frame for
            ``base_position``.
    """

    kind: str = 'none'
    frame: str = ''

    def __post_init__(self) -> None:
        faults = Faults()
        one_of(faults, 'kind', self.kind, GOALS)
        if not isinstance(self.frame, str) or (self.kind != 'none') != bool(self.frame):
            faults.add('frame', self.frame, 'name the frame of goals, and only where there is one')
        faults.check()


def natural_goal(terms: Iterable[Term], profile: RobotProfile) -> Goal:
    """The goal that an observation implies, in the robot's base link."""
    seen = {name for term in terms for name in KINDS[term.kind]}
    for name, kind in (('goal', 'tool_position'), ('velocity_goal', 'base_velocity')):
        if name in seen:
            return Goal(kind=kind, frame=profile.base_link)
    return Goal()


@dataclass(frozen=True, kw_only=True)
class RecurrentState:
    """What a model hands to itself from one step to the next; zeros after a reset.

    Attributes:
        input: name of the model's input.
        output: name of the model's output that is the next step's input.
        shape: of either, for one robot, e.g. (layers, 1, hidden).
    """

    input: str
    output: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ('input', 'output'):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                faults.add(name, value, 'must be text')
        shape = self.shape if isinstance(self.shape, (tuple, list)) else ()
        object.__setattr__(self, 'shape', tuple(shape))
        if not shape or any(type(n) is not int or n < 1 for n in shape):
            faults.add('shape', self.shape, 'must be whole numbers, 1 or more each')
        faults.check()


@dataclass(frozen=True, kw_only=True)
class Gains:
    """Of the robot's own position loop when the policy was trained; (nj,) each.

    Attributes:
        stiffness: [N*m/rad or N/m].
        damping: [N*m*s/rad or N*s/m].
    """

    stiffness: tuple[float, ...]
    damping: tuple[float, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ('stiffness', 'damping'):
            object.__setattr__(self, name, vector(faults, name, getattr(self, name), low=0.0))
        faults.check()


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a policy saw in training, before it was normalized; (size of the observation,) each."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ('low', 'high'):
            object.__setattr__(self, name, vector(faults, name, getattr(self, name)))
        for index, (low, high) in enumerate(zip(self.low, self.high)):
            if low > high:
                faults.add(f'low[{index}]', low, f'must be at most high ({high:g})')
        faults.check()


@dataclass(frozen=True, kw_only=True)
class BundleMetadata:
    """All that a robot must know of a policy. SI units.

    Attributes:
        robot: name of the robot it was trained for.
        joints: names of the joints it observes; the order of everything that is per joint.
        observation: what it sees (terms, or a layout of these joints).
        action: what its output means.
        limits: within which it was trained to move, per command element; the robot's own still
            count.
        default_position: (nj,) pose that positions count from [rad or m].
        control_period: time between two actions [s].
        goal: what its goal is.
        normalizer: of the observation; None when the network has it inside, or needs none.
        space: content hash of the randomization space it was trained in, or ``''``.
        profile: content hash of the robot profile it was trained with, or ``''``.
        training: how it came about; anything JSON can say.
        commands: names of what its actions command, in order, when these are not the joints: of a
            twist, elements of ``observation.TWIST``.
        images: what the model sees beside the observation.
        state: what the model hands to itself.
        gains: of the robot's own position loop in training; None when not known.
        training_range: of the observations in training; None when not known.
        suite_version: version of this suite that wrote it, or ``''``.
    """

    robot: str
    joints: tuple[str, ...]
    observation: ObservationLayout
    action: Action
    limits: Limits
    default_position: tuple[float, ...]
    control_period: float
    goal: Goal = field(default_factory=Goal)
    normalizer: Normalizer | None = None
    space: str = ''
    profile: str = ''
    training: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    images: tuple[ImageInput, ...] = ()
    state: tuple[RecurrentState, ...] = ()
    gains: Gains | None = None
    training_range: Range | None = None
    suite_version: str = ''

    def __post_init__(self) -> None:
        faults = Faults()
        put = object.__setattr__
        for name in ('robot', 'space', 'profile', 'suite_version'):
            value = getattr(self, name)
            if not isinstance(value, str) or (name == 'robot' and not value):
                faults.add(name, value, 'must be text')
        put(self, 'joints', tuple(self.joints))
        put(self, 'commands', tuple(self.commands))
        for name in ('joints', 'commands'):
            names = getattr(self, name)
            if len(set(names)) != len(names) or (name == 'joints' and not names):
                faults.add(name, names, 'must be different names, at least one')
        put(self, 'images', tuple(self.images))
        put(self, 'state', tuple(self.state))
        put(self, 'default_position', vector(faults, 'default_position', self.default_position))
        if not is_number(self.control_period) or not 1e-4 <= self.control_period <= 10.0:
            faults.add('control_period', self.control_period, 'must be from 0.0001 to 10 s')
        else:
            put(self, 'control_period', float(self.control_period))
        try:
            if not isinstance(self.observation, ObservationLayout):
                layout = ObservationLayout(self.observation, self.joints, self.command_names)
                put(self, 'observation', layout)
            self._check_sizes(faults)
        except InputError as error:
            faults.extend(error)
        self._check_names(faults)
        try:
            put(self, 'training', json.loads(json.dumps(dict(self.training), allow_nan=False)))
        except (TypeError, ValueError) as error:
            faults.add('training', self.training, f'must be what JSON can say ({error})')
        faults.check()

    @property
    def command_names(self) -> tuple[str, ...]:
        """Names of what its actions command, in order."""
        return self.commands or self.joints

    def _check_sizes(self, faults: Faults) -> None:
        layout = self.observation
        joints, commands, size = len(self.joints), len(self.command_names), layout.size
        sized: list[tuple[str, tuple[float, ...], int, str]] = [
            ('default_position', self.default_position, joints, 'one for each joint'),
            ('action.scale', self.action.scale, commands, 'one for each command element'),
            ('limits.lower', self.limits.lower, commands, 'one for each command element'),
        ]
        for name, count, each in (
            ('gains', joints, 'one for each joint'),
            ('normalizer', size, 'as the observation'),
            ('training_range', size, 'as the observation'),
        ):
            part = getattr(self, name)
            vectors = {} if part is None else asdict(part)
            sized += [(f'{name}.{key}', v, count, each) for key, v in vectors.items()]
        for name, values, count, each in sized:
            if len(values) != count:
                faults.add(name, values, f'must have {count} elements, {each}')
        if (layout.joints, layout.commands) != (self.joints, self.command_names):
            mend = f'must be of {self.joints}, commanding {self.command_names}'
            faults.add('observation', (layout.joints, layout.commands), mend)
        if (self.action.meaning == 'twist') != bool(self.commands):
            faults.add('commands', self.commands, 'name the elements of a twist, and only of one')
        if not set(self.commands) <= set(TWIST):
            faults.add('commands', self.commands, f'must be of {", ".join(TWIST)}')
        if {'goal', 'velocity_goal'} & layout.inputs and self.goal.kind == 'none':
            faults.add('goal.kind', 'none', 'the observation shows a goal: say what it is')

    def _check_names(self, faults: Faults) -> None:
        """A model's inputs have different names, and so have its outputs."""
        for field_name, names in (
            ('images', [image.name for image in self.images]),
            ('state', [state.output for state in self.state]),
        ):
            if len(set(names)) != len(names):
                faults.add(field_name, names, 'must have different names')
        inputs = [i.name for i in self.images] + [s.input for s in self.state]
        if len(set(inputs)) != len(inputs):
            faults.add('state', inputs, 'inputs of the model must have different names')

    @classmethod
    def for_robot(
        cls,
        profile: RobotProfile,
        observation: Iterable[Term],
        action: Action,
        *,
        control_period: float | None = None,
        **others: Any,
    ) -> BundleMetadata:
        """Metadata of a policy for all joints of a robot, in its order, pose, gains and limits.

        Args:
            profile: the robot.
            observation: what it sees.
            action: what its output means.
            control_period: the profile's when None [s].
            others: further fields of :class:`BundleMetadata`; they go before the robot's.
        """
        terms = tuple(observation)
        gains = {n: tuple(profile.array(n).tolist()) for n in ('stiffness', 'damping')}
        values: dict[str, Any] = dict(
            robot=profile.name,
            joints=profile.joint_names,
            observation=terms,
            action=action,
            limits=Limits.of(profile),
            commands=profile.command_names if action.meaning == 'twist' else (),
            default_position=tuple(joint.default_position for joint in profile.joints),
            control_period=control_period or profile.rates.control_period,
            goal=natural_goal(terms, profile),
            gains=Gains(**gains) if any(map(any, gains.values())) else None,
            profile=profile.content_hash,
            suite_version=version(),
        )
        return cls(**(values | others))

    def to_properties(self) -> dict[str, str]:
        """As ``metadata_props`` (without the hash); :meth:`from_properties` gives it back."""
        limits = {  # JSON has no infinity: null is no limit
            name: [value if math.isfinite(value) else None for value in getattr(self.limits, name)]
            for name in LIMITS
        }
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ('action', 'goal', 'normalizer', 'gains', 'training_range'):
            values[name] = asdict(values[name]) if values[name] else None
        for name in ('images', 'state'):
            values[name] = [asdict(part) for part in values[name]]
        values.update(schema=SCHEMA, observation=self.observation.to_json(), limits=limits)
        return {PREFIX + name: json.dumps(v, allow_nan=False) for name, v in values.items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], *, file: str = '') -> BundleMetadata:
        """Read metadata, of this schema or an earlier one.

        Args:
            properties: as in the file; names without ``sim2real.`` are somebody else's.
            file: named in faults.

        Raises:
            InputError: every fault, missing and unknown fields included.
        """
        from sim2real_policy.metadata_reader import read_metadata

        return read_metadata(properties, file)
