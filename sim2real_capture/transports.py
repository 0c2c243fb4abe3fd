"""Ways to a place that keeps clips: one small protocol, and what implements it.

A transport tells how far each file of a clip got there, appends to it, and finishes the clip once
it is whole: only then the clip is seen there under its name. All may be repeated at any time.

====================  =======================================  ==========================
address               place                                    library
====================  =======================================  ==========================
``http(s)://host``    ``sim2real capture receive``             aiohttp
``s3://bucket/path``  storage that speaks S3                   boto3 (extra ``s3``)
``sftp://user@host``  a folder of any machine with SSH         asyncssh (extra ``sftp``)
====================  =======================================  ==========================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from sim2real_capture.clip import MANIFEST
from sim2real_capture.config import check_address
from sim2real_capture.library import parse_manifest
from sim2real_capture.watched import Mark, mark
from sim2real_core.errors import Faults, InputError, Sim2RealError


class ShipError(Sim2RealError):
    """A clip was not acknowledged."""


class RefusedError(ShipError):
    """The receiver will never take this clip as it is; trying again is of no use."""


class UnreachableError(ShipError):
    """The way there is cut, or nobody is let in: other clips fare no better."""


class SpoiledError(ShipError):
    """It arrived with another hash: spoiled on the way, or here."""


@dataclass(frozen=True)
class Clock:
    """How the receiver's clock stands.

    Attributes:
        offset: receiver's minus this machine's [s].
        error: it is no further off than this [s].
        source: how it was measured: ``round trip`` (asked for its time), ``date header`` (of
            its answers), ``file time`` (of a file just written there).
    """

    offset: float
    error: float
    source: str

    @classmethod
    def read(cls, said: float, sent: float, trip: float, source: str, grain: float = 0.0) -> Clock:
        """From one reading, taken to be from the middle of its trip, as NTP does.

        Args:
            said: the time that came back [s].
            sent: this machine's when it was asked for [s].
            trip: how long that took [s].
            source: see above.
            grain: what ``said`` was rounded down to a multiple of [s].
        """
        return cls(said + grain / 2 - (sent + trip / 2), (trip + grain) / 2, source)

    def note(self) -> dict[str, Any]:
        """As it is noted beside a clip, on either side."""
        return {
            'clock_offset': self.offset,
            'clock_offset_error': self.error,
            'clock_source': self.source,
        }


@dataclass(frozen=True)
class Outgoing:
    """A sealed clip to be sent.

    Attributes:
        folder: where it lies.
        clip: its id.
        manifest: as bytes.
        sha256: of the manifest, which names the hashes of all files.
        sizes: bytes by file.
        hashes: SHA-256 by file.
    """

    folder: Path
    clip: str
    manifest: bytes
    sha256: str
    sizes: Mapping[str, int]
    hashes: Mapping[str, str]


class Transport(Protocol):
    """A way to a place that keeps clips.

    All methods raise UnreachableError, or RefusedError for good.

    Attributes:
        address: of the place, for people.
        block: bytes to be appended at once.
        least: no fewer, but at a file's end.
    """

    address: str
    block: int
    least: int

    async def begin(self, clip: Outgoing) -> Mapping[str, int]:
        """How many bytes of each file are there."""

    async def append(self, clip: Outgoing, name: str, offset: int, block: bytes) -> int:
        """Append to a file; gives where it goes on, which may be elsewhere than expected."""

    async def finish(self, clip: Outgoing) -> Clock | None:
        """Have the clip verified and kept, durably; SpoiledError when it is not what was sent.

        Returns:
            How the clock there stands; None when it could not be read.
        """

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True)
class Credentials:
    """What a robot shows, from a YAML file of these keys; ``''`` where it has none.

    Attributes:
        token: for a receiver.
        certificate: PEM file to show instead (mutual TLS).
        key: PEM file of the certificate; of ``sftp``, the private key.
        authority: PEM file that the receiver's certificate is checked against; of ``sftp``, a
            ``known_hosts`` file.
        source: that YAML file, ``''`` where there is none.
    """

    token: str = ''
    certificate: str = ''
    key: str = ''
    authority: str = ''
    source: str = field(default='', compare=False)

    def mark(self) -> Mark:
        """Another one once a file of these was changed."""
        return mark(self.source, self.certificate, self.key, self.authority)


NOBODY = Credentials()
"""Shows nothing."""


def load_credentials(path: str | Path) -> Credentials:
    """Read a robot's credentials; ``''`` is none.

    Raises:
        InputError: every fault found.
    """
    if not str(path):
        return Credentials()
    file = Path(path).expanduser()
    faults = Faults(str(file))
    import yaml

    try:
        data: Any = yaml.safe_load(file.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.add('credentials', str(file), f'give a YAML file ({error})')
        faults.check()
    known = tuple(name for name in Credentials.__dataclass_fields__ if name != 'source')
    for key, value in data.items() if isinstance(data, dict) else ((str(file), data),):
        if key not in known:
            faults.add(str(key), '...', f'unknown; known: {", ".join(known)}')
        elif not isinstance(value, str):
            faults.add(str(key), type(value).__name__, 'must be a text')
        elif key == 'token' and not (value.isascii() and value.isprintable()):
            faults.add(str(key), '...', 'must be one line of ASCII characters')
        elif key != 'token' and not (file.parent / Path(value).expanduser()).is_file():
            faults.add(str(key), value, 'must be a file')
    faults.check()
    places = {k: str(file.parent / Path(v).expanduser()) for k, v in data.items() if k != 'token'}
    return Credentials(**{**data, **places}, source=str(file))


def open_transport(
    url: str, credentials: Credentials = NOBODY, deadline: float = 60.0
) -> Transport:
    """The transport of an address.

    Args:
        url: see the table above.
        credentials: what this robot shows.
        deadline: for each answer [s].

    Raises:
        InputError: no such transport, or a file of the credentials is not what it should be.
        MissingError: its library is not installed.
    """
    faults = Faults()
    check_address(url, faults, 'receiver')
    faults.check()
    scheme = urlsplit(url).scheme
    if scheme == 's3':
        from sim2real_capture.transports_s3 import S3Transport

        return S3Transport(url, deadline)
    if scheme == 'sftp':
        from sim2real_capture.transports_sftp import SftpTransport

        return SftpTransport(url, credentials, deadline)
    from sim2real_capture.transports_http import HttpTransport

    return HttpTransport(url, credentials, deadline)


def arrival(clock: Clock, now: float) -> bytes:
    """What lies beside a clip at a place that notes nothing itself: ``received.json``.

    Args:
        clock: of that place.
        now: this machine's time [s].
    """
    at = datetime.fromtimestamp(now + clock.offset, timezone.utc)
    note = {'robot': '', 'at': at.isoformat(timespec='milliseconds'), **clock.note()}
    return json.dumps(note, indent=1).encode()


def outgoing(folder: Path) -> Outgoing:
    """A sealed clip, ready to be sent.

    Raises:
        RefusedError: it is damaged, or gone.
    """
    try:
        body = (folder / MANIFEST).read_bytes()
        manifest = parse_manifest(body, str(folder / MANIFEST))
    except FileNotFoundError as error:
        raise RefusedError(f'{folder.name}: a file of it is gone: {error}') from error
    except InputError as error:
        raise RefusedError(f'{folder.name}: damaged here: {error}') from error
    files = manifest['files']
    return Outgoing(
        folder,
        manifest['clip'],
        body,
        hashlib.sha256(body).hexdigest(),
        {name: entry['size'] for name, entry in files.items()},
        {name: entry['sha256'] for name, entry in files.items()},
    )
