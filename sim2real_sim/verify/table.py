"""The table of what a simulator was seen to do, and what it says of a set of addresses.

A row is a kind of quantity and a route by which it is changed; ``quantities`` says the same of
each address that belongs to the kind, without the name of its link or joint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_core.files import share

STATUSES = ('verified', 'unsupported', 'no_effect')
"""From the best to the worst."""

RESPAWNS = {'respawn', 'services', 'services respawn'}
"""Routes that take a respawn; over the services a simulator may do so without saying it."""


class Finding(NamedTuple):
    """What a probe found out.

    Attributes:
        kind: row of the table.
        quantity: kind and quantity of the address (``link.com.x``); ``''`` for what has none.
        route: by which it was changed; ``''`` when there is none.
        status: ``verified``, ``no_effect`` (it is applied, but what follows is not what
            mechanics says) or ``unsupported``.
        error: relative to mechanics; None where nothing was measured.
        note: why, where it is not verified.
    """

    kind: str
    quantity: str
    route: str
    status: str
    error: float | None
    note: str = ''


def quantity_of(address: str) -> str:
    """An address without its name: ``link.gripper.mass`` is ``link.mass``.

    Raises:
        InputError: no such address.
    """
    parsed = parse_address(address)
    return f'{parsed.kind}.{parsed.quantity}'


def rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Rows of the table: a kind and route is as good as the worst of its quantities."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        grouped.setdefault((finding.kind, finding.route), []).append(finding)
    table = []
    for (kind, route), group in grouped.items():
        errors = [finding.error for finding in group if finding.error is not None]
        row: dict[str, Any] = {
            'kind': kind,
            'route': route,
            'status': max((finding.status for finding in group), key=STATUSES.index),
            'error': max(errors) if errors else None,
            'quantities': {f.quantity: f.status for f in group if f.quantity},
        }
        notes = dict.fromkeys(finding.note for finding in group if finding.note)
        if notes:
            row['note'] = '; '.join(notes)
        table.append(row)
    return table


def missing(table: Mapping[str, Any], required: Iterable[str]) -> list[str]:
    """Required kinds that no route was seen to change."""
    verified = {row['kind'] for row in table['rows'] if row['status'] == 'verified'}
    return [kind for kind in required if kind not in verified]


def unverified(addresses: Iterable[str], table: Mapping[str, Any]) -> tuple[str, ...]:
    """Addresses that a simulator was not seen to obey, in their order.

    Args:
        addresses: what a space asks for.
        table: of the simulator in use, as :func:`load_table` gives.

    Raises:
        InputError: no such address.
    """
    known = {
        quantity
        for row in table['rows']
        for quantity, status in row['quantities'].items()
        if status == 'verified'
    }
    return tuple(address for address in addresses if quantity_of(address) not in known)


def respawning(addresses: Iterable[str], table: Mapping[str, Any]) -> tuple[str, ...]:
    """Addresses that a simulator was seen to obey only when it spawns the model anew.

    Args:
        addresses: those that are to change while the robot moves.
        table: of the simulator in use, as :func:`load_table` gives.

    Raises:
        InputError: no such address.
    """
    routes: dict[str, set[str]] = {}
    for row in table['rows']:
        for quantity, status in row['quantities'].items():
            if status == 'verified':
                routes.setdefault(quantity, set()).add(row['route'])
    slow = {quantity for quantity, ways in routes.items() if ways <= RESPAWNS}
    return tuple(address for address in addresses if quantity_of(address) in slow)


def load_table(name: str | Path) -> dict[str, Any]:
    """A table by the backend's name (the shipped one) or by the path of its file.

    Raises:
        InputError: there is none, or it is no table.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        path = share() / 'docs' / 'verified' / f'{name}.json'
    mend = 'give a backend with a table in docs/verified, or what `sim2real sim verify` wrote'
    try:
        table = json.loads(path.read_text(encoding='utf-8'))
        if all({'kind', 'status', 'quantities'} <= set(row) for row in table['rows']):
            return dict(table)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(Fault('table', str(name), mend)) from error
    raise InputError(Fault('table', str(name), mend))
