"""Takes clips over HTTP and keeps them, on the workstation.

A robot announces a clip, sends what is missing from where it got to, and names it again::

    GET   /time                   -> {"time": s}, for its clock's offset
    PUT   /clips/<clip>           manifest.json -> 202 {"offsets": {file: bytes here, ...}}
    PATCH /clips/<clip>/<file>    Upload-Offset: n, the bytes from n on, as many as it likes
                                  -> 204 Upload-Offset: m, or 409 with the one that is wanted
    PUT   /clips/<clip>           manifest.json -> 201 {"clip", "sha256"}, the acknowledgement;
                                  422 {"error"} when files arrived with another hash: send anew

The acknowledgement is given once every file was verified, is on the disk and the clip's folder
has appeared under its name, whole. Every request may be repeated: the same manifest again is
acknowledged again (200), another manifest under a known name is refused (409). What was sent of
a clip survives a cut connection, and a restart. Where there is no room, by the quota or on the
disk, new clips are refused (507) until people have made some: the sender waits, and nothing is
deleted here but what a sender began and left for an hour, where its room is wanted.
:mod:`sim2real_capture.page` is for people.
"""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from sim2real_capture.access import ANYONE, OPEN, Access, AccessFile, Caller
from sim2real_capture.catalogue import Catalogue
from sim2real_capture.clip import check_name, lock_folder, make_folder
from sim2real_capture.page import Page
from sim2real_capture.store import (
    FullError,
    OffsetError,
    SpoiledError,
    Store,
    TakenError,
    TooLargeError,
    UnknownError,
    Usage,
    manifest_hash,
)
from sim2real_core.errors import Fault, InputError

MOST_MANIFEST = 4 << 20
BLOCK = 1 << 18
CLIP_BYTES = 4 << 30
STALL = 60.0
"""A sender that says nothing for this long [s] is let go."""
KEPT_FOR = 30 * 86400.0
"""What nobody goes on sending for this long [s] is forgotten."""
KEPT_WHEN_FULL = 3600.0
"""The same, while there is no room for another clip."""
OFFSET = 'Upload-Offset'
RECOUNT = 5.0
"""The folder is looked at again for what people did to it this often at most [s]."""
CLOCK_OFFSET, CLOCK_ERROR = 'Clock-Offset', 'Clock-Offset-Error'
LOOPBACK = ('127.0.0.1', 'localhost', '::1')

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Keeps clips in a folder, each as a rosbag2 folder of its own.

    Args:
        folder: made when it is not there.
        access: who may do what; without credentials anyone who reaches it may do everything.
        clip_bytes: the most one clip may take.
        store_bytes: the most all may take; 0 is no limit.

    Raises:
        InputError: another receiver keeps its clips there, or it cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        access: Access | AccessFile = OPEN,
        clip_bytes: int = CLIP_BYTES,
        store_bytes: int = 0,
    ) -> None:
        self.folder = folder
        self.received = 0
        self.refused = 0
        self._access = access
        make_folder(folder)
        try:
            self._lock = lock_folder(folder)
        except BlockingIOError as error:
            mend = 'another receiver keeps its clips there; give each a folder of its own'
            raise InputError(Fault('folder', str(folder), mend)) from error
        self._store = Store(folder, clip_bytes, store_bytes)
        self._store.forget_older(time.time() - KEPT_FOR)
        self._catalogue = Catalogue(folder)
        self._behind = False
        self._counted = time.monotonic()
        self._committing = asyncio.Lock()

    def close(self) -> None:
        """Let another receiver have the folder."""
        self._catalogue.close()
        os.close(self._lock)

    @property
    def usage(self) -> Usage:
        """How full the store is."""
        return self._store.usage

    @property
    def trouble(self) -> str:
        """What people should mend; ``''`` when there is nothing."""
        usage = self.usage
        taken = f'{usage.used / 1e6:.3g} of {usage.most / 1e6:.3g} MB are taken'
        full = f'full: {taken}; new clips wait on their robots until you make room'
        self._access.now()
        reload = self._access.trouble if isinstance(self._access, AccessFile) else ''
        return '; '.join(filter(None, (full if usage.full else '', reload)))

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(
            client_max_size=MOST_MANIFEST, middlewares=[self._errors, self._guard]
        )
        app.router.add_get('/time', self._get_time)
        app.router.add_put('/clips/{clip}', self._put_clip)
        app.router.add_patch('/clips/{clip}/{file}', self._patch_file)
        Page(self.folder, self._catalogue, self._name, self._state).add_to(app)
        return app

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as JSON with a status that tells the sender whether to try again."""
        try:
            return await handler(request)
        except OffsetError as error:
            headers = {OFFSET: str(error.offset)}
            return web.json_response({'error': str(error)}, status=409, headers=headers)
        except (InputError, TakenError, TooLargeError, UnknownError) as error:
            self.refused += 1
            status = {TakenError: 409, TooLargeError: 413, UnknownError: 404}
            return _answer(status.get(type(error), 400), error=str(error))
        except FullError as error:
            self.refused += 1
            return _answer(507, error=str(error))
        except asyncio.TimeoutError:
            return _answer(408, error=f'nothing came for {STALL:g} s')
        except (web.RequestPayloadError, ConnectionError) as error:  # cut off, or no HTTP
            return _answer(400, error=str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            return _answer(507, error='the disk is full')

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets in who may, and what this page sent rather than another one in the same browser."""
        caller = self._caller(request)
        host = _place(f'//{request.host}').hostname
        if self._access.now().open and host not in LOOPBACK:
            self.refused += 1
            return _answer(403, error='without credentials only this machine is served')
        sending = request.path == '/time' or request.method == 'PATCH' or _is_clip_put(request)
        if caller is None or not (caller.sends if sending else caller.looks):
            self.refused += 1
            answer = _answer(401 if caller is None else 403, error='show a token that may do this')
            if not sending:
                answer.headers['WWW-Authenticate'] = 'Basic realm="sim2real"'
            return answer
        origin = request.headers.get('Origin')
        if origin and _place(origin).netloc != request.host:
            self.refused += 1
            return _answer(403, error='asked by the page of another site')
        return await handler(request)

    def _caller(self, request: web.Request) -> Caller | None:
        shown = request.headers.get('Authorization', '')
        return self._access.now().caller(shown, _common_name(request.transport))

    def _name(self, request: web.Request) -> str:
        """Of the robot or person, once the guard has let them in."""
        caller = self._caller(request)
        return check_name(caller.name if caller else '', 'caller')

    async def _get_time(self, _request: web.Request) -> web.Response:
        return _answer(200, time=time.time())

    async def _put_clip(self, request: web.Request) -> web.Response:
        name, robot = request.match_info['clip'], self._name(request)
        body = await asyncio.wait_for(request.read(), STALL)
        acknowledgement = {'clip': name, 'sha256': manifest_hash(body)}
        async with self._committing:
            try:
                here = self._store.announce(robot, name, body)
            except FullError:
                await self._look_again()
                here = self._store.announce(robot, name, body)
            if here is None:
                return _answer(200, **acknowledgement)
            files = json.loads(body)['files']
            if any(here[file] < entry['size'] for file, entry in files.items()):
                return _answer(202, offsets=here)
            received = {
                'robot': '' if robot == ANYONE else robot,
                'at': datetime.now(timezone.utc).isoformat(timespec='milliseconds'),
                'clock_offset': _number(request.headers.get(CLOCK_OFFSET)),
                'clock_offset_error': _number(request.headers.get(CLOCK_ERROR)),
                'clock_source': 'round trip' if CLOCK_OFFSET in request.headers else '',
            }
            try:
                folder = await asyncio.to_thread(self._store.commit, robot, name, received)
            except SpoiledError as error:
                self.refused += 1
                return _answer(422, error=str(error))
            await asyncio.to_thread(self._enter, folder)
            self.received += 1
        return _answer(201, **acknowledgement)

    async def _look_again(self) -> None:
        """Take in what people did to the folder, forget what stands; call while committing."""
        if time.monotonic() - self._counted > RECOUNT:
            await asyncio.to_thread(self._store.recount)
            await asyncio.to_thread(self._store.forget_older, time.time() - KEPT_FOR)
            await asyncio.to_thread(self._store.make_room, time.time() - KEPT_WHEN_FULL)
            await asyncio.to_thread(self._catalogue.refresh)
            self._counted = time.monotonic()

    async def _state(self) -> tuple[Usage, str]:
        """For the page, which does not wait for a clip that is being verified."""
        if not self._committing.locked():
            async with self._committing:
                await self._look_again()
        return self.usage, self.trouble

    def _enter(self, folder: Path) -> None:
        """Into the catalogue, which may be behind for as long as the disk is full."""
        try:
            if self._behind:
                self._catalogue.refresh()
            else:
                self._catalogue.add(folder)
            self._behind = False
        except sqlite3.Error:
            self._behind = True

    async def _patch_file(self, request: web.Request) -> web.Response:
        offset = request.headers.get(OFFSET, '')
        if not (offset.isascii() and offset.isdigit() and len(offset) < 20):
            raise InputError(Fault(OFFSET, offset, 'must be a number of bytes'))
        clip, file = request.match_info['clip'], request.match_info['file']
        caller = self._caller(request)
        upload = self._store.append(self._name(request), clip, file, int(offset))
        while block := await asyncio.wait_for(request.content.read(BLOCK), STALL):
            if self._caller(request) != caller:
                return _answer(401, error='revoked meanwhile')
            upload.write(block)
        return web.Response(status=204, headers={OFFSET: str(upload.offset)})


def _place(url: str) -> SplitResult:
    """What a header says of a place; nothing where that is no address."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit('')


def _is_clip_put(request: web.Request) -> bool:
    return request.method == 'PUT' and request.path.count('/') == 2


def _common_name(transport: asyncio.BaseTransport | None) -> str:
    """Of the certificate a client showed; the TLS layer has verified it."""
    shown = transport.get_extra_info('peercert') if transport is not None else None
    subject = (pair for part in (shown or {}).get('subject', ()) for pair in part)
    return next((value for key, value in subject if key == 'commonName'), '')


def _number(text: str | None) -> float | None:
    try:
        value = float(text or 'nan')
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _answer(status: int, **values: object) -> web.Response:
    return web.json_response(values, status=status)
