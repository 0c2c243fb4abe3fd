"""To our own receiver, over HTTP. See :mod:`sim2real_capture.receiver` for the exchange."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from sim2real_capture.transports import (
    Clock,
    Credentials,
    Outgoing,
    RefusedError,
    ShipError,
    SpoiledError,
    UnreachableError,
)
from sim2real_core.errors import Fault, InputError

REFUSED = (400, 409, 413)
"""Answers that will not change: a bad manifest, a name that is taken, too large."""
LEAST, MOST = 1 << 14, 4 << 20
"""A request's bytes: the fewer the slower the way, so that each is answered soon."""
QUICK, SLOW = 0.5, 3.0
"""A request answered sooner [s] lets the next one be larger, one answered later smaller."""
LAST = 253402300800
"""No clock shows more [s]: the year 10000."""
LONGEST = 1 << 20
"""Bytes of an answer; a receiver's are far shorter."""
PROBES = 4
"""Requests of which the quickest gives the clock's offset."""


class HttpTransport:
    """A receiver. See :class:`sim2real_capture.transports.Transport`.

    Args:
        url: its address.
        credentials: what this robot shows.
        deadline: for each answer [s].

    Raises:
        InputError: a file of the credentials is not what it should be.
    """

    def __init__(self, url: str, credentials: Credentials, deadline: float) -> None:
        self.address = url.rstrip('/')
        self.block, self.least = 1 << 16, 1
        self._deadline = deadline
        self._headers = (
            {'Authorization': f'Bearer {credentials.token}'} if credentials.token else {}
        )
        self._tls = _tls(credentials)
        self._session: aiohttp.ClientSession | None = None

    async def begin(self, clip: Outgoing) -> Mapping[str, int]:
        """How many bytes of each file are there."""
        status, answer, _ = await self._ask('PUT', f'/clips/{clip.clip}', clip.manifest)
        if status in (200, 201):
            _check(clip, answer)
            return clip.sizes
        offsets = answer.get('offsets')
        if not isinstance(offsets, dict) or not all(type(n) is int for n in offsets.values()):
            raise ShipError(f'{clip.clip}: the receiver says no offsets: {answer}')
        return {name: offsets.get(name, 0) for name in clip.sizes}

    async def append(self, clip: Outgoing, name: str, offset: int, block: bytes) -> int:
        """Append to a file."""
        start = time.monotonic()
        address, headers = f'/clips/{clip.clip}/{name}', {'Upload-Offset': str(offset)}
        try:
            _, answer, said = await self._ask('PATCH', address, block, headers)
        except UnreachableError:
            self.block = max(self.block // 2, LEAST)
            raise
        took = time.monotonic() - start
        if took < QUICK and len(block) == self.block:
            self.block = min(2 * self.block, MOST)
        elif took > SLOW:
            self.block = max(self.block // 2, LEAST)
        try:
            return int(said.get('Upload-Offset', ''))
        except ValueError:
            raise ShipError(f'{clip.clip}: the receiver says no offset: {answer}') from None

    async def finish(self, clip: Outgoing) -> Clock | None:
        """Have the clip verified and kept."""
        clock = await self._clock()
        headers = {'Clock-Offset': repr(clock.offset), 'Clock-Offset-Error': repr(clock.error)}
        address = f'/clips/{clip.clip}'
        status, answer, _ = await self._ask('PUT', address, clip.manifest, headers)
        if status == 422:
            raise SpoiledError(f'{clip.clip}: {answer.get("error")}')
        if status not in (200, 201):
            raise ShipError(f'{clip.clip}: sent, yet not acknowledged: {answer}')
        _check(clip, answer)
        return clock

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _clock(self) -> Clock:
        """The quickest of a few answers."""
        found = []
        for _ in range(PROBES):
            sent, start = time.time(), time.monotonic()
            _, answer, _ = await self._ask('GET', '/time')
            trip = time.monotonic() - start
            said = answer.get('time')
            if not isinstance(said, (int, float)) or not abs(said) < LAST:
                raise ShipError(f'{self.address}: does not say its time: {answer}')
            found.append(Clock.read(float(said), sent, trip, 'round trip'))
        return min(found, key=lambda clock: clock.error)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """Status, JSON and headers of an answer that leads on."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._deadline),
                auto_decompress=False,  # nothing was asked for that could be packed
                connector=aiohttp.TCPConnector(ssl=self._tls) if self._tls else None,
            )
        address = self.address + path
        try:
            async with self._session.request(
                method, address, data=body, headers=headers, allow_redirects=False
            ) as response:
                status, said = response.status, response.headers
                answer = await _json(response)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            reason = str(error) or f'no answer within {self._deadline:g} s'
            raise UnreachableError(f'{self.address}: {reason}') from error
        if status < 300 or status == 422 or (status == 409 and 'Upload-Offset' in said):
            return status, answer, said
        raise _kind(status, method)(f'{address}: {status} {answer.get("error", answer)}')


def _kind(status: int, method: str) -> type[ShipError]:
    """What an answer means for this clip, and for others."""
    if status in REFUSED:
        return RefusedError
    # A clip forgotten meanwhile (404) is announced anew; a fault of the receiver (500) may be
    # this clip's only.
    return (
        ShipError if status == 500 or (status == 404 and method == 'PATCH') else UnreachableError
    )


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """What an answer says; under ``error`` how it begins, where that is not a JSON object."""
    text = b''
    while len(text) < LONGEST and (block := await response.content.read(LONGEST - len(text))):
        text += block
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {'error': text[:200].decode(errors='replace')}


def _check(clip: Outgoing, answer: Mapping[str, Any]) -> None:
    if answer.get('sha256') != clip.sha256:
        raise ShipError(f'{clip.clip}: acknowledged with another hash: {answer}')


def _tls(credentials: Credentials) -> ssl.SSLContext | None:
    """For the connection; None takes the usual one."""
    if not (credentials.authority or credentials.certificate):
        return None
    try:
        context = ssl.create_default_context(cafile=credentials.authority or None)
        if credentials.certificate:
            context.load_cert_chain(credentials.certificate, credentials.key or None)
    except OSError as error:  # SSLError is one
        raise InputError(Fault('credentials', credentials.certificate, str(error))) from error
    return context
