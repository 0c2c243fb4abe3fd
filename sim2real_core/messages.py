"""Records as ``diagnostic_msgs/DiagnosticArray``, exactly and back.

One DiagnosticStatus per address; floats travel as ``repr``, so that decoding gives the same
bits. The first status, ``__draw__``, ``__estimate__`` or ``__event__``, carries the record's own
fields and the schema number.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from sim2real_core.addresses import quantity
from sim2real_core.errors import Fault, InputError
from sim2real_core.records import Change, Draw, Estimate, Event, ParameterEstimate

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

SCHEMA = 1
_LEVEL = {
    'verified': DiagnosticStatus.OK,
    'applied': DiagnosticStatus.OK,
    'identified': DiagnosticStatus.OK,
    'unsupported': DiagnosticStatus.WARN,
    'not_identified': DiagnosticStatus.WARN,
    'stale': DiagnosticStatus.STALE,
    'failed': DiagnosticStatus.ERROR,
}


def to_time(seconds: float) -> Time:
    """Seconds as a message time, rounded to the nanosecond."""
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def to_seconds(time: Time) -> float:
    """A message time in seconds."""
    return time.sec + time.nanosec * 1e-9


def _status(name: str, message: str = '', **values: object) -> DiagnosticStatus:
    return DiagnosticStatus(
        name=name,
        message=message,
        level=_LEVEL.get(message, DiagnosticStatus.OK),
        values=[
            KeyValue(key=k, value=repr(v) if isinstance(v, float) else str(v))
            for k, v in values.items()
        ],
    )


def _fields(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def _opened(message: DiagnosticArray, kind: str) -> tuple[dict[str, str], list[Any]]:
    """Fields of the record itself, and the remaining statuses."""
    name = f'__{kind}__'
    if not message.status or message.status[0].name != name:
        found = message.status[0].name if message.status else 'an empty array'
        raise InputError(Fault('status[0].name', found, f'a {kind} starts with {name}'))
    head = _fields(message.status[0])
    if head.get('schema') != str(SCHEMA):
        raise InputError(
            Fault(f'{kind}.schema', head.get('schema'), f'this version reads schema {SCHEMA}')
        )
    return head, list(message.status[1:])


def _array(stamp: float, statuses: list[DiagnosticStatus]) -> DiagnosticArray:
    message = DiagnosticArray(status=statuses)
    message.header.stamp = to_time(stamp)
    return message


def _decoded(kind: str, decode: Any) -> Any:
    try:
        return decode()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(Fault(kind, str(error), 'not a whole record; send it again')) from error


def _unit(address: str, profile: RobotProfile | None) -> str:
    try:
        return quantity(address, profile).unit
    except InputError:  # a draw may ask for what the robot does not have; the outcome says so
        return quantity(address).unit


def draw_to_message(
    draw: Draw, stamp: float = 0.0, profile: RobotProfile | None = None
) -> DiagnosticArray:
    """Encode a Draw.

    Args:
        draw: the draw.
        stamp: of the message [s].
        profile: the robot, for the units that are written beside the values; without it joints
            count as revolute.
    """
    head = _status(
        '__draw__',
        schema=SCHEMA,
        episode=draw.episode,
        seed=draw.seed,
        environment=draw.environment,
        space=draw.space,
        profile=draw.profile,
        step=draw.step,
        tolerance=draw.tolerance,
    )
    rows = [
        _status(a, draw.outcomes.get(a, ''), value=float(v), unit=_unit(a, profile))
        for a, v in draw.values.items()
    ]
    return _array(stamp, [head, *rows])


def draw_from_message(message: DiagnosticArray) -> Draw:
    """Decode a Draw.

    Raises:
        InputError: not a draw, or not whole.
    """
    head, rows = _opened(message, 'draw')
    return _decoded(
        'draw',
        lambda: Draw(
            episode=int(head['episode']),
            seed=int(head['seed']),
            environment=int(head['environment']),
            values={row.name: float(_fields(row)['value']) for row in rows},
            outcomes={row.name: row.message for row in rows if row.message},
            space=head['space'],
            profile=head['profile'],
            # Recordings of before they existed have none.
            step=int(head.get('step', 0)),
            tolerance=float(head.get('tolerance', Draw.tolerance)),
        ),
    )


def estimate_to_message(estimate: Estimate) -> DiagnosticArray:
    """Encode an Estimate."""
    head = _status('__estimate__', schema=SCHEMA, stamp=float(estimate.stamp))
    rows = [
        _status(
            a,
            p.status,
            mean=float(p.mean),
            std=float(p.std),
            status=p.status,
            unit=p.unit,
            **({'confounded': json.dumps(p.confounded)} if p.confounded else {}),
        )
        for a, p in estimate.parameters.items()
    ]
    covariance = _status(
        '__covariance__',
        order=json.dumps(estimate.order),
        value=' '.join(repr(float(v)) for v in np.asarray(estimate.covariance).ravel()),
    )
    changes = [
        _status(
            '__change__',
            f'{change.address} changed',
            stamp=float(change.stamp),
            address=change.address,
            before=float(change.before),
            after=float(change.after),
            score=float(change.score),
        )
        for change in estimate.changes
    ]
    for status in changes:
        status.level = DiagnosticStatus.WARN
    return _array(estimate.stamp, [head, *rows, covariance, *changes])


def estimate_from_message(message: DiagnosticArray) -> Estimate:
    """Decode an Estimate.

    Raises:
        InputError: not an estimate, or not whole.
    """
    head, rows = _opened(message, 'estimate')

    def decode() -> Estimate:
        parameters = {}
        order: tuple[str, ...] = ()
        covariance = np.zeros((0, 0))
        changes = []
        for row in rows:
            values = _fields(row)
            if row.name == '__covariance__':
                order = tuple(json.loads(values['order']))
                flat = [float(v) for v in values['value'].split()]
                covariance = np.array(flat, dtype=float).reshape(len(order), len(order))
            elif row.name == '__change__':
                numbers = (float(values[key]) for key in ('before', 'after', 'score'))
                changes.append(Change(float(values['stamp']), values['address'], *numbers))
            else:
                parameters[row.name] = ParameterEstimate(
                    float(values['mean']),
                    float(values['std']),
                    values['status'],
                    values['unit'],
                    tuple(json.loads(values.get('confounded', '[]'))),
                )
        return Estimate(float(head['stamp']), parameters, order, covariance, tuple(changes))

    return _decoded('estimate', decode)


def event_to_message(event: Event) -> DiagnosticArray:
    """Encode an Event."""
    head = _status(
        '__event__',
        schema=SCHEMA,
        stamp=float(event.stamp),
        detector=event.detector,
        score=float(event.score),
        threshold=float(event.threshold),
        clip=event.clip,
        detail=event.detail,
    )
    head.level = DiagnosticStatus.ERROR
    return _array(event.stamp, [head])


def event_from_message(message: DiagnosticArray) -> Event:
    """Decode an Event.

    Raises:
        InputError: not an event, or not whole.
    """
    head, _ = _opened(message, 'event')
    return _decoded(
        'event',
        lambda: Event(
            stamp=float(head['stamp']),
            detector=head['detector'],
            score=float(head['score']),
            threshold=float(head['threshold']),
            clip=head['clip'],
            detail=head['detail'],
        ),
    )
