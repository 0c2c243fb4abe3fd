"""Takes clips over HTTP and keeps them, on the workstation.

A clip arrives as content, then as a name for it::

    PUT /clips/<clip>     manifest.json   -> 202 {"missing": [sha256, ...]}
    PUT /blobs/<sha256>   the bytes       -> 201, or 422 when they hash to something else
    PUT /clips/<clip>     manifest.json   -> 201 {"clip", "sha256"}, the acknowledgement
    GET /clips                            -> what is kept, oldest first
    GET /clips/<clip>                     -> its manifest

The acknowledgement is given once every file was verified, is on the disk and the clip's folder
has appeared under its name, whole. Every request may be repeated: the same manifest again is
acknowledged again (200), another manifest under a known name is refused (409).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

from sim2real_capture.clip import (
    BAG_METADATA,
    MANIFEST,
    PART,
    check_name,
    lock_folder,
    make_folder,
    sync,
)
from sim2real_capture.library import bag_name, is_sha256, list_clips, parse_manifest
from sim2real_core.errors import Fault, InputError, MissingError

MOST_MANIFEST = 4 << 20
BLOBS = '.blobs'
CLEANUP = 1.0  # [s] for requests that are being served when the server is closed


class Receiver:
    """Keeps clips in a folder, each as a rosbag2 folder of its own.

    Args:
        folder: made when it is not there. Content that was sent but never named by a clip is
            removed at start; its sender sends it again.

    Raises:
        InputError: another receiver keeps its clips there, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received = 0
        self.refused = 0
        self._blobs = folder / BLOBS
        make_folder(folder)
        try:
            self._lock = lock_folder(folder)
        except BlockingIOError as error:
            mend = 'another receiver keeps its clips there; give each a folder of its own'
            raise InputError(Fault('folder', str(folder), mend)) from error
        shutil.rmtree(self._blobs, ignore_errors=True)
        self._blobs.mkdir()
        self._committing = asyncio.Lock()

    def close(self) -> None:
        """Let another receiver have the folder."""
        os.close(self._lock)

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=MOST_MANIFEST, middlewares=[self._errors])
        app.router.add_put('/blobs/{sha256}', self._put_blob)
        app.router.add_put('/clips/{clip}', self._put_clip)
        app.router.add_get('/clips', self._get_clips)
        app.router.add_get('/clips/{clip}', self._get_clip)
        return app

    @web.middleware
    async def _errors(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Errors as JSON with a status that tells the sender whether to try again."""
        try:
            return await handler(request)
        except InputError as error:
            self.refused += 1
            return _answer(400, error=str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return _answer(507, error='the disk is full')

    async def _put_blob(self, request: web.Request) -> web.Response:
        wanted = request.match_info['sha256']
        if not is_sha256(wanted):
            raise InputError(Fault('sha256', wanted, '64 hexadecimal digits'))
        part = self._blobs / f'{uuid.uuid4().hex}{PART}'
        digest = hashlib.sha256()
        try:
            with part.open('wb') as stream:
                async for block in request.content.iter_chunked(1 << 18):
                    digest.update(block)
                    stream.write(block)
            if digest.hexdigest() != wanted:
                self.refused += 1
                return _answer(422, error='the content has another hash', found=digest.hexdigest())
            await asyncio.to_thread(sync, part)
            part.replace(self._blobs / wanted)
        finally:
            part.unlink(missing_ok=True)
        return _answer(201, sha256=wanted)

    async def _put_clip(self, request: web.Request) -> web.Response:
        name = check_name(request.match_info['clip'])
        body = await request.read()
        manifest = parse_manifest(body, f'manifest of {name}')
        if manifest['clip'] != name:
            raise InputError(Fault('clip', manifest['clip'], f'the address says {name}'))
        acknowledgement = {'clip': name, 'sha256': hashlib.sha256(body).hexdigest()}
        async with self._committing:
            final = self.folder / name
            if final.exists():
                if (final / MANIFEST).read_bytes() == body:
                    return _answer(200, **acknowledgement)
                self.refused += 1
                return _answer(409, error='another clip has this name')
            hashes = [manifest['files'][f]['sha256'] for f in (bag_name(name), BAG_METADATA)]
            missing = [h for h in hashes if not (self._blobs / h).is_file()]
            if missing:
                return _answer(202, missing=missing)
            await asyncio.to_thread(self._commit, final, manifest['files'], body)
            self.received += 1
        return _answer(201, **acknowledgement)

    def _commit(self, final: Path, files: dict[str, dict[str, str]], manifest: bytes) -> None:
        """Build the clip's folder aside, then let it appear."""
        part = self._blobs / (final.name + PART)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name, entry in files.items():
            (self._blobs / entry['sha256']).rename(part / name)
        (part / MANIFEST).write_bytes(manifest)
        sync(part / MANIFEST)
        sync(part)
        part.rename(final)
        sync(self.folder)

    async def _get_clips(self, _request: web.Request) -> web.Response:
        clips = await asyncio.to_thread(list_clips, self.folder)
        return web.json_response([info.as_json() for info in clips])

    async def _get_clip(self, request: web.Request) -> web.Response:
        path = self.folder / check_name(request.match_info['clip']) / MANIFEST
        if not path.is_file():
            return _answer(404, error='no such clip')
        return web.Response(body=path.read_bytes(), content_type='application/json')


class ReceiverServer:
    """A receiver that serves from a thread of its own until closed.

    Args:
        folder: where clips are kept.
        host: address to listen on; the loopback unless given.
        port: 0 takes a free one.

    Raises:
        MissingError: the address cannot be had.
        InputError: another receiver has the folder, or it cannot be made.
    """

    def __init__(self, folder: Path, host: str = '127.0.0.1', port: int = 0) -> None:
        self.receiver: Receiver
        self.url = ''
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        started = threading.Event()
        self._failure: OSError | InputError | None = None
        self._thread = threading.Thread(
            target=self._run, args=(folder, host, port, started), name='receiver', daemon=True
        )
        self._thread.start()
        started.wait()
        if isinstance(self._failure, InputError):
            raise self._failure
        if self._failure is not None:
            raise MissingError(
                f'cannot listen on {host}:{port} ({self._failure}); choose another port'
            ) from self._failure

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def close(self, timeout: float = 2.0) -> bool:
        """Stop serving; False when it did not end in time [s]."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, folder: Path, host: str, port: int, started: threading.Event) -> None:
        async def serve() -> None:
            async with self._serving(folder, host, port):
                started.set()
                await self._stop.wait()

        try:
            self._loop.run_until_complete(serve())
        except (OSError, InputError) as error:
            if started.is_set():
                raise
            self._failure = error
        finally:
            self._loop.close()
            started.set()

    @contextlib.asynccontextmanager
    async def _serving(self, folder: Path, host: str, port: int) -> AsyncIterator[None]:
        self.receiver = Receiver(folder)
        runner = web.AppRunner(self.receiver.app(), access_log=None)
        try:
            await runner.setup()
            site = web.TCPSite(runner, host, port)
            await site.start()
            address = runner.addresses[0]
            shown = f'[{address[0]}]' if ':' in address[0] else address[0]
            self.url = f'http://{shown}:{address[1]}'
            yield
        finally:
            # Where its shutdown_timeout is given depends on aiohttp's version.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(runner.cleanup(), CLEANUP)
            await _cancel_others()
            self.receiver.close()


async def _cancel_others() -> None:
    """End what else runs in this loop: uploads that were not done in time."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _answer(status: int, **values: object) -> web.Response:
    return web.json_response(values, status=status)
