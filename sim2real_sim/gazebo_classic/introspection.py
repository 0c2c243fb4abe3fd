"""What the engine has after every physics step: Gazebo's introspection.

Gazebo offers values by name, ``data://world/<w>/model/<m>/link/<l>?p=pose3d/world_pose``, and
publishes those that a filter names after every step; all values of one message are of one
instant. It tells at once when there are others, also while paused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sim2real_sim.gazebo_classic.ignition import Ignition
from sim2real_sim.gazebo_classic.messages import Messages
from sim2real_sim.world import LinkState, ModelState, Pose, Quaternion, Vector, WorldError

PAUSE = 0.02  # [s] before it is looked for again
NAMES = 10_000  # of values whose places are remembered: those of a few hundred models
PARAMETERS = 'gazebo.msgs.Param_V'
Sample = dict[str, Any]
"""Values by name, at one instant."""


class Step:
    """What a physics step made of the models that are followed.

    A thousand come in a second and few of them are looked at, so values are sorted only then.

    Attributes:
        time: simulated [ns]; -1 when it was not told.

    Args:
        message: all values.
        world: what the names of the world's values begin with.
    """

    __slots__ = ('_message', '_world', 'time')

    def __init__(self, message: Any, world: str) -> None:
        self._message = message
        self._world = world
        clock = _clock(world)
        told = (item.value for item in reversed(message.param) if item.name == clock)  # the last
        self.time = next(map(_nanoseconds, told), -1)

    def state(self, model: str) -> ModelState | None:
        """State of a model; None when it is not followed."""
        values = {item.name: item.value for item in self._message.param}
        prefix = f'{self._world}/model/{model}'
        if f'{prefix}?p=pose3d/world_pose' not in values:
            return None
        return read_state(prefix, values, self.time * 1e-9)


Listener = Callable[[Step], None]


class Introspection:
    """Follows the time and the models that were asked for.

    Attributes:
        partition: where this Gazebo is.
        count: steps seen so far.
        listener: called with each step, in the thread of the transport; must be short.

    Args:
        ignition: the transport.
        messages: Gazebo's message classes.
        partitions: where Gazebo may be, the likeliest first.
        world: name of its world.
        timeout: deadline of every wait [s].

    Raises:
        WorldError: Gazebo does not answer there.
    """

    def __init__(
        self,
        ignition: Ignition,
        messages: Messages,
        partitions: Sequence[str],
        world: str,
        timeout: float,
    ) -> None:
        self._ignition = ignition
        self._messages = messages
        self._timeout = timeout
        self._world = f'data://world/{world}'
        self._clock = _clock(self._world)
        self._parameters = messages.type(PARAMETERS)
        self._known: set[str] = set()  # names of all values
        self._watched: set[str] = set()
        self._latest = b''
        self._parsed: tuple[bytes, Step | None] = (b'', None)
        self.count = 0
        self.listener: Listener | None = None
        self.partition, self._prefix = self._find(partitions)
        ignition.subscribe(f'{self._prefix}items_update', self._receive_names)
        self._filter = self._request('filter_new', [self._clock], 'GzString').data
        ignition.subscribe(f'{self._prefix}filter/{self._filter}', self._receive)

    def time(self) -> int:
        """Simulated time of the last step [ns]; -1 when none was seen yet."""
        return self._step().time

    def clear(self) -> None:
        """Time was set back: what the last step made is no more."""
        self._latest = b''

    def drained(self) -> bool:
        """Whether every step that has arrived here was seen."""
        return self._ignition.drained()

    def wait_time(self, after: int) -> int:
        """Wait until simulated time is later than this, and give it [ns]."""
        what = f'simulated time after {after * 1e-9:.4f} s'
        self._ignition.wait(lambda: self.time() > after, what)
        return self.time()

    def models(self) -> tuple[str, ...]:
        """Models in the world, in the order of their names."""
        start = f'{self._world}/model/'
        named = (item[len(start) :] for item in self._known if item.startswith(start))
        return tuple(sorted({re.split('[/?]', name)[0] for name in named}))

    def refresh(self) -> None:
        """Know now what values there are."""
        empty = self._messages.type('gazebo.msgs.Empty')()
        answer = self._ignition.request(f'{self._prefix}items', empty, PARAMETERS)
        self._known = _names(answer)

    def wait_model(self, model: str, there: bool) -> None:
        """Wait until a model is in the world, or no more."""
        what = f'model {model!r} (its log says why)' if there else f'end of model {model!r}'
        self._ignition.wait(lambda: (model in self.models()) is there, what)

    def watch(self, model: str) -> None:
        """Follow a model from the next step on; its links and joints may have changed."""
        of_model = self._prefixes(model)
        self._watched = {item for item in self._watched if not item.startswith(of_model)}
        self._watched |= {
            item
            for item in self._known
            if item.startswith(of_model) and 'acceleration' not in item
        }
        self._update()

    def forget(self, model: str) -> None:
        """Follow a model no more."""
        of_model = self._prefixes(model)
        self._watched = {item for item in self._watched if not item.startswith(of_model)}
        self._update()

    def has_joint(self, model: str, joint: str) -> bool:
        """Whether a model has a joint that moves."""
        inner = joint.split('::')
        path = '/model/'.join([self._world, model, *inner[:-1]])
        return any(name.startswith(f'{path}/joint/{inner[-1]}?') for name in self._known)

    def watches(self, model: str) -> bool:
        """Whether a model is followed."""
        of_model = self._prefixes(model)
        return any(item.startswith(of_model) for item in self._watched)

    def state(self, model: str) -> ModelState | None:
        """State of a model after the last step; None when it was not followed then."""
        return self._step().state(model)

    def wait_state(self, model: str) -> None:
        """Wait for the first step after a model was followed."""
        self._ignition.wait(lambda: self.state(model), f'state of model {model!r}')

    def close(self) -> None:
        """Follow nothing any more."""
        try:
            self._request('filter_remove', [], 'Empty')
        except WorldError:
            return  # it is gone, and the filter with it

    def _find(self, partitions: Sequence[str]) -> tuple[str, str]:
        """Partition and full prefix of the services of this world's introspection."""
        deadline = time.monotonic() + self._timeout
        what = f'introspection in partition {" or ".join(partitions)}'
        silent: set[str] = set()  # they just ended

        def find() -> list[tuple[str, str]]:
            names = reversed(self._ignition.services())
            matches = [re.fullmatch(r'(@/(.+?)@/introspection/\w+/)items', name) for name in names]
            found = [(match[2], match[1]) for match in matches if match]
            return [both for both in found if both[0] in partitions and both[1] not in silent]

        while True:
            left = max(0.0, deadline - time.monotonic())
            for partition, prefix in self._ignition.wait(find, what, left):
                request = self._messages.type('gazebo.msgs.Empty')()
                try:
                    answer = self._ignition.request(f'{prefix}items', request, PARAMETERS)
                except WorldError:
                    silent.add(prefix)
                    continue
                self._known = _names(answer)
                if self._clock in self._known:
                    return partition, prefix
            if left == 0.0:
                raise WorldError(f'Gazebo: no {what} has {self._world} within {self._timeout:g} s')
            time.sleep(PAUSE)  # it has another world, or is not ready yet

    def _prefixes(self, model: str) -> tuple[str, str]:
        """What the names of a model's values begin with."""
        return f'{self._world}/model/{model}/', f'{self._world}/model/{model}?'

    def _update(self) -> None:
        self._request('filter_update', [self._clock, *sorted(self._watched)], 'Empty')

    def _request(self, service: str, items: Iterable[str], reply: str) -> Any:
        request = self._parameters()
        values = [('item', item) for item in items]
        if service != 'filter_new':
            values.append(('filter_id', self._filter))
        for name, value in values:
            parameter = request.param.add(name=name)
            parameter.value.type = parameter.value.STRING
            parameter.value.string_value = value
        return self._ignition.request(f'{self._prefix}{service}', request, f'gazebo.msgs.{reply}')

    def _receive(self, data: bytes) -> None:
        self._latest = data
        self.count += 1
        if self.listener is not None:
            self.listener(self._step())

    def _receive_names(self, data: bytes) -> None:
        self._known = _names(self._parameters.FromString(data))

    def _step(self) -> Step:
        """The newest step; only those that are looked at are parsed."""
        data, (parsed, step) = self._latest, self._parsed
        if step is None or data is not parsed:
            step = Step(self._parameters.FromString(data), self._world)
            self._parsed = (data, step)
        return step


def _clock(world: str) -> str:
    """Name of simulated time."""
    return f'{world}?p=time/sim_time'


def _names(message: Any) -> set[str]:
    return {parameter.value.string_value for parameter in message.param}


def read_state(prefix: str, sample: Sample, stamp: float) -> ModelState:
    """State of a model from the values under its prefix.

    Names of links and joints of nested models are scoped (``inner::link``).
    """
    links: dict[str, dict[str, Any]] = {}
    joints: dict[str, dict[str, float]] = {}
    for name, value in sample.items():
        kind, thing, what = _place(prefix, name)
        if kind == 'link':
            links.setdefault(thing, {})[what] = value
        elif kind == 'joint':
            joints.setdefault(thing, {})[what] = value.double_value
    return ModelState(
        time=stamp,
        pose=_pose(sample[f'{prefix}?p=pose3d/world_pose'].pose3d_value),
        links={
            name: LinkState(
                _pose(values['world_pose'].pose3d_value),
                _vector(values['world_linear_velocity'].vector3d_value),
                _vector(values['world_angular_velocity'].vector3d_value),
            )
            for name, values in links.items()
        },
        joints={name: (v['position'], v['velocity']) for name, v in joints.items()},
    )


@lru_cache(maxsize=NAMES)
def _place(prefix: str, name: str) -> tuple[str, str, str]:
    """Kind, scoped name and quantity of what ``<prefix>/model/inner/link/name?p=...`` names.

    Kind is ``''`` for what is no link and no first axis of a joint of the model.
    """
    path, _, what = name.partition('?p=')
    if not path.startswith(prefix + '/'):
        return '', '', ''
    parts = path[len(prefix) + 1 :].split('/')
    kind, quantity = parts[-2], what.rpartition('/')[2]
    if kind == 'link' or (kind == 'joint' and what.startswith('axis/0/')):
        return kind, '::'.join(parts[1::2]), quantity
    return '', '', ''


def _pose(message: Any) -> Pose:
    q = message.orientation
    orientation: Quaternion = (q.x, q.y, q.z, q.w)
    return Pose(_vector(message.position), orientation)


def _vector(message: Any) -> Vector:
    return (message.x, message.y, message.z)


def _nanoseconds(value: Any) -> int:
    return int(value.time_value.sec) * 10**9 + int(value.time_value.nsec)
