"""To a folder of any machine with SSH.

::

    <folder>/.incoming/<clip>/   arriving: each file as far as it got
    <folder>/<clip>/             kept: appears whole, by one rename

SFTP has no hashes: once all is there it is read back and compared, before the rename. The other
machine's clock is that of a file just written there (``received.json`` says it), in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import posixpath
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from sim2real_capture.clip import MANIFEST
from sim2real_capture.store import RECEIVED
from sim2real_capture.transports import (
    Clock,
    Credentials,
    Outgoing,
    RefusedError,
    SpoiledError,
    UnreachableError,
    arrival,
)
from sim2real_core.errors import MissingError

INCOMING = '.incoming'
READ = 1 << 18
GRAIN = 1.0 + 0.01
"""Times of files are whole seconds [s], of a clock that the kernel reads at its ticks."""


class SftpTransport:
    """A folder on another machine. See :class:`sim2real_capture.transports.Transport`.

    Args:
        url: ``sftp://user@host:port/folder``; ``/~/folder`` is below the user's home.
        credentials: ``key`` is the private key, ``authority`` a ``known_hosts`` file; without,
            those of the user who runs this, and the agent.
        deadline: for each answer [s].

    Raises:
        MissingError: asyncssh is not installed.
    """

    def __init__(self, url: str, credentials: Credentials, deadline: float) -> None:
        try:
            import asyncssh
        except ModuleNotFoundError as error:
            raise MissingError("asyncssh is missing: pip install 'sim2real[sftp]'") from error
        parts = urlsplit(url)
        self._ssh = asyncssh
        self.address = url.rstrip('/')
        self.block, self.least = 1 << 17, 1
        self._folder = unquote(parts.path).removeprefix('/~/').rstrip('/') or '.'
        self._deadline = deadline
        self._options: dict[str, Any] = {
            'connect_timeout': deadline,
            'login_timeout': deadline,
            'keepalive_interval': deadline,  # a silent server ends the connection
        }
        given = {
            'host': parts.hostname,
            'port': parts.port,
            'username': unquote(parts.username or ''),
            'client_keys': credentials.key,
            'known_hosts': credentials.authority,
        }
        self._options.update({key: value for key, value in given.items() if value})
        self._connection: Any = None
        self._client: Any = None
        self._watch: asyncio.TimerHandle | None = None
        self._silent = False

    async def begin(self, clip: Outgoing) -> Mapping[str, int]:
        """How many bytes of each file are there."""
        async with self._answering() as client:
            if await self._kept(client, clip):
                return clip.sizes
            await client.makedirs(self._incoming(clip), exist_ok=True)
            return {name: await self._size(client, clip, name) for name in clip.sizes}

    async def append(self, clip: Outgoing, name: str, offset: int, block: bytes) -> int:
        """Append to a file."""
        async with self._answering() as client:
            await self._write(client, clip, name, offset, block)
            return await self._size(client, clip, name)

    async def finish(self, clip: Outgoing) -> Clock | None:
        """Read back, compare, and let the clip appear."""
        async with self._answering() as client:
            if await self._kept(client, clip):
                return None
            incoming = self._incoming(clip)
            for name, wanted in clip.hashes.items():
                path = posixpath.join(incoming, name)
                if await self._hash(client, path) != wanted:
                    await client.remove(path)
                    raise SpoiledError(f'{clip.clip}: {name} arrived with another hash')
            clock = await self._put(client, posixpath.join(incoming, MANIFEST), clip.manifest)
            if clock is not None:
                note = arrival(clock, time.time())
                await self._put(client, posixpath.join(incoming, RECEIVED), note)
            await client.rename(incoming, posixpath.join(self._folder, clip.clip))
            return clock

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), 1.0)

    def _incoming(self, clip: Outgoing) -> str:
        return posixpath.join(self._folder, INCOMING, clip.clip)

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[Any]:
        """A connected client; what goes wrong with it ends the connection.

        Keys are read at each connection; one that is being written is a ``ValueError``.
        """
        silence, self._silent = f'no answer within {self._deadline:g} s', False
        try:
            if self._client is None:
                self._connection = await self._ssh.connect(**self._options)
                self._expect()
                self._client = await self._connection.start_sftp_client()
            self._expect()
            yield self._client
        except (self._ssh.Error, OSError, asyncio.TimeoutError, ValueError) as error:
            await self.close()
            reason = silence if self._silent else str(error) or silence
            raise UnreachableError(f'{self.address}: {reason}') from error
        finally:
            self._expect_nothing()

    def _expect(self) -> None:
        """An answer within the deadline, else the connection ends, and with it all waiting.

        A server whose disk hangs still keeps the connection alive; to cancel what waits for it
        would wait for it, too, to close its file.
        """
        self._expect_nothing()
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(self._deadline, self._give_up)

    def _expect_nothing(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def _give_up(self) -> None:
        self._silent = True
        if self._connection is not None:
            self._connection.abort()

    async def _kept(self, client: Any, clip: Outgoing) -> bool:
        """Whether the clip is there, whole; RefusedError when another has its name."""
        kept = await self._read(client, posixpath.join(self._folder, clip.clip, MANIFEST))
        if kept not in (None, clip.manifest):
            raise RefusedError(f'{clip.clip}: {self.address}: another clip has this name')
        return kept is not None

    async def _size(self, client: Any, clip: Outgoing, name: str) -> int:
        try:
            attributes = await client.stat(posixpath.join(self._incoming(clip), name))
        except self._ssh.SFTPNoSuchFile:
            return 0
        return int(attributes.size)

    async def _write(
        self, client: Any, clip: Outgoing, name: str, offset: int, block: bytes
    ) -> None:
        path = posixpath.join(self._incoming(clip), name)
        async with client.open(path, 'r+b' if offset else 'wb') as stream:
            await stream.write(block, offset)

    async def _put(self, client: Any, path: str, data: bytes) -> Clock | None:
        """Write a small file; its time is that of the other machine, if it tells any."""
        async with client.open(path, 'wb') as stream:
            sent, start = time.time(), time.monotonic()
            await stream.write(data)
            trip = time.monotonic() - start
            await self._sync(stream)
        said = (await client.stat(path)).mtime
        return (
            None if said is None else Clock.read(float(said), sent, trip, 'file time', grain=GRAIN)
        )

    async def _read(self, client: Any, path: str) -> bytes | None:
        try:
            async with client.open(path, 'rb') as stream:
                return bytes(await stream.read())
        except (self._ssh.SFTPNoSuchFile, self._ssh.SFTPNoSuchPath):
            return None

    async def _hash(self, client: Any, path: str) -> str:
        digest = hashlib.sha256()
        async with client.open(path, 'rb') as stream:
            while block := await stream.read(READ):
                self._expect()
                digest.update(block)
            await self._sync(stream)
        return digest.hexdigest()

    async def _sync(self, stream: Any) -> None:
        with contextlib.suppress(self._ssh.SFTPError):  # not all servers can
            await stream.fsync()
