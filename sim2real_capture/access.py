"""Who may send clips and who may look at them.

A file of credentials names robots and viewers, each with the SHA-256 of a token: the tokens
themselves lie with their owners only (``sim2real capture token`` makes them)::

    robots: {arm7: 9f86d081884c7d65...}
    viewers: {anna: 60303ae22b998861...}
    revoked: [arm8]

The file may be changed at any time and counts from the next request on; one that cannot be read
leaves all as it was.

A robot says ``Authorization: Bearer <token>``; a person's browser asks for name and token. With
mutual TLS a robot's certificate stands for its token: its common name is the robot's name, which
must not be among the ``revoked``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sim2real_capture.clip import check_name
from sim2real_capture.library import is_sha256
from sim2real_capture.watched import mark
from sim2real_core.errors import Fault, Faults, InputError

ROLES = ('robots', 'viewers')
ANYONE = 'anyone'


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: of the robot or person; ``anyone`` where nobody has credentials.
        sends: may send clips.
        looks: may look at clips and label them.
    """

    name: str
    sends: bool
    looks: bool


@dataclass(frozen=True)
class Access:
    """What callers must show.

    Attributes:
        robots: SHA-256 of each robot's token, by name.
        viewers: the same of people.
        certificates: robots may show certificates (the server checks them).
        revoked: robots whose certificates no longer count.
        guarded: there is a file of credentials, even if nobody is in it.
    """

    robots: Mapping[str, str] = field(default_factory=dict)
    viewers: Mapping[str, str] = field(default_factory=dict)
    certificates: bool = False
    revoked: frozenset[str] = frozenset()
    guarded: bool = False

    @property
    def open(self) -> bool:
        """Nobody needs credentials: then the receiver serves this machine only."""
        return self.empty and not self.guarded

    @property
    def empty(self) -> bool:
        """Nobody has credentials."""
        return not (self.robots or self.viewers or self.certificates)

    def now(self) -> Access:
        """What callers must show at this moment; see :class:`AccessFile`."""
        return self

    def caller(self, authorization: str, common_name: str) -> Caller | None:
        """Who asks; None when it is nobody known.

        Args:
            authorization: the HTTP header of that name, ``''`` without.
            common_name: of the verified certificate, ``''`` without.
        """
        if self.open:
            return Caller(ANYONE, sends=True, looks=True)
        if self.certificates and common_name and common_name not in self.revoked:
            try:
                return Caller(check_name(common_name, 'robot'), sends=True, looks=False)
            except InputError:
                return None
        scheme, _, said = authorization.partition(' ')
        if scheme.lower() == 'bearer':
            name = _owner(self.robots, said.strip())
            if name:
                return Caller(name, sends=True, looks=False)
            name = _owner(self.viewers, said.strip())
            return Caller(name, sends=False, looks=True) if name else None
        if scheme.lower() == 'basic':
            name, token = _basic(said)
            if name and _owner(self.viewers, token) == name:
                return Caller(name, sends=False, looks=True)
        return None


OPEN = Access()
"""Nobody has credentials."""


class AccessFile:
    """Credentials as their file has them now; those it had last while it cannot be read.

    Args:
        path: the file.
        certificates: see :class:`Access`.

    Raises:
        InputError: every fault found at the start.
    """

    def __init__(self, path: Path, certificates: bool = False) -> None:
        self._path = path.expanduser()
        self._certificates = certificates
        self._seen = mark(self._path)
        self._access = load_access(self._path, certificates)
        self.trouble = ''
        """Why what it says now does not count; ``''`` when it does."""

    def now(self) -> Access:
        """What callers must show at this moment."""
        seen = mark(self._path)
        if seen != self._seen:
            self._seen = seen
            try:
                self._access = load_access(self._path, self._certificates)
                self.trouble = ''
            except InputError as error:
                self.trouble = f'the credentials were changed, and the old ones hold: {error}'
        return self._access


def load_access(path: str | Path, certificates: bool = False) -> Access:
    """Read a file of credentials; ``''`` is none.

    Raises:
        InputError: every fault found.
    """
    if not str(path):
        return Access(certificates=certificates)
    data = _load(Path(path).expanduser())
    revoked = frozenset(data['revoked'])
    return Access(data['robots'], data['viewers'], certificates, revoked, guarded=True)


def add_token(path: Path, role: str, name: str) -> str:
    """Make a token for a robot or a viewer, in place of the one it had.

    Args:
        path: the file of credentials; made when it is not there.
        role: one of ``ROLES``.
        name: of the robot or person.

    Returns:
        The token; only its hash is kept.

    Raises:
        InputError: the name or the file is not fit for it.
    """
    check_name(name, role[:-1])
    data = _load(path) if path.exists() else {role: {} for role in ROLES}
    token = secrets.token_urlsafe(32)
    data[role][name] = _hash(token)
    _save(path, data)
    return token


def revoke(path: Path, name: str) -> bool:
    """Let a robot or viewer in no longer, with neither token nor certificate.

    Args:
        path: the file of credentials.
        name: of the robot or person.

    Returns:
        Whether it had a token.

    Raises:
        InputError: the file is not fit for it.
    """
    data = _load(path)
    had = [data[role].pop(check_name(name), None) for role in ROLES]
    data['revoked'] = sorted({*data['revoked'], name})
    _save(path, data)
    return any(had)


def _save(path: Path, data: Mapping[str, Any]) -> None:
    if path.exists() and not path.is_file():
        raise InputError(Fault('credentials', str(path), 'must be a file'))
    part = path.with_name(path.name + '.part')
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as stream:
        yaml.safe_dump(data, stream)
    part.replace(path)


def _load(path: Path) -> dict[str, Any]:
    faults = Faults(str(path))
    try:
        data: Any = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.add('credentials', str(path), f'give a YAML file ({error})')
        faults.check()
    if not isinstance(data, dict) or set(data) - {*ROLES, 'revoked'}:
        faults.add('credentials', data, f'may have {", ".join(ROLES)} and revoked')
        faults.check()
    for role in ROLES:
        given = data.setdefault(role, {})
        if not isinstance(given, dict):
            faults.add(role, given, 'must give names, each with the SHA-256 of its token')
            continue
        for name, value in given.items():
            if not is_sha256(value):
                faults.add(f'{role}.{name}', value, 'must be the SHA-256 of a token')
            try:
                check_name(str(name), role[:-1])
            except InputError as error:
                faults.extend(error)
    names = data.setdefault('revoked', [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        faults.add('revoked', names, 'must be a list of names')
    faults.check()
    return data


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode('utf-8', 'surrogateescape')).hexdigest()


def _owner(hashes: Mapping[str, str], token: str) -> str:
    """Whose token it is, compared in a time that does not tell; ``''`` when nobody's."""
    found = _hash(token)
    owners = [name for name, known in hashes.items() if hmac.compare_digest(known, found)]
    return owners[0] if owners else ''


def _basic(said: str) -> tuple[str, str]:
    try:
        name, _, token = base64.b64decode(said.strip(), validate=True).decode().partition(':')
    except ValueError:
        return '', ''
    return name, token
