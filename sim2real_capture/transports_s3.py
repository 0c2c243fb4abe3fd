"""To storage that speaks S3, by multipart uploads: the parts that are there need not go again.

::

    s3://<bucket>/<path>/<clip>/<file>            each file, once all its parts are there
    s3://<bucket>/<path>/<clip>/received.json     when, and how far the clocks were apart
    s3://<bucket>/<path>/<clip>/manifest.json     last: a clip that has it is whole

The storage's clock is that of its answers (``Date``), which tell seconds. Keys, region and
endpoint are taken from where boto3 takes them (``AWS_...`` variables, its files).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sim2real_capture.clip import MANIFEST
from sim2real_capture.store import RECEIVED
from sim2real_capture.transports import (
    Clock,
    Outgoing,
    RefusedError,
    ShipError,
    SpoiledError,
    UnreachableError,
    arrival,
)
from sim2real_core.errors import Fault, InputError, MissingError

PART = 5 << 20
"""Bytes of a part: what is cut off within one goes again. S3 wants no smaller ones, but last."""


class S3Transport:
    """A bucket. See :class:`sim2real_capture.transports.Transport`.

    Args:
        url: ``s3://bucket/path``.
        deadline: for the connection, and between two bytes [s].

    Raises:
        MissingError: boto3 is not installed.
        InputError: what boto3 is told elsewhere (profile, endpoint) will not do.
    """

    def __init__(self, url: str, deadline: float) -> None:
        try:
            from boto3.session import Session
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError as error:
            raise MissingError("boto3 is missing: pip install 'sim2real[s3]'") from error
        parts = urlsplit(url)
        self.address = url.rstrip('/')
        self.block = self.least = PART
        self._bucket, self._path = parts.netloc, parts.path.strip('/')
        self._errors = (BotoCoreError, ClientError)
        retries = {'total_max_attempts': 1}  # the uplink tries again itself
        settings = Config(connect_timeout=deadline, read_timeout=deadline, retries=retries)
        try:
            self._client = Session().client('s3', config=settings)  # the keys there are now
        except (BotoCoreError, ValueError) as error:
            mend = f'mend what AWS_... variables or its files say ({error})'
            raise InputError(Fault('receiver', url, mend)) from error
        self._uploads: dict[str, str] = {}

    async def begin(self, clip: Outgoing) -> Mapping[str, int]:
        """How many bytes of each file are there."""
        await self._run(self._kept, clip)
        return {name: await self._run(self._reached, clip, name) for name in clip.sizes}

    async def append(self, clip: Outgoing, name: str, offset: int, block: bytes) -> int:
        """Send a part; the last one makes the file appear."""
        return await self._run(self._append, clip, name, offset, block)

    async def finish(self, clip: Outgoing) -> Clock | None:
        """Compare hashes, then let the manifest appear."""
        return await self._run(self._finish, clip)

    async def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    async def _run(self, call: Callable[..., Any], *given: object) -> Any:
        """In a thread, as boto3 waits; its errors as ours."""
        try:
            return await _in_thread(call, *given)
        except self._errors as error:
            raise UnreachableError(f'{self.address}: {error}') from error

    def _where(self, clip: Outgoing, name: str) -> dict[str, str]:
        key = '/'.join(part for part in (self._path, clip.clip, name) if part)
        return {'Bucket': self._bucket, 'Key': key}

    def _there(self, call: Callable[..., dict[str, Any]], **given: str) -> dict[str, Any] | None:
        """What the storage answers; None when it has no such object."""
        try:
            return call(**given)
        except self._errors as error:
            if getattr(error, 'response', {}).get('Error', {}).get('Code') in ('404', 'NoSuchKey'):
                return None
            raise

    def _head(self, clip: Outgoing, name: str) -> dict[str, Any] | None:
        where = self._where(clip, name)
        return self._there(self._client.head_object, **where, ChecksumMode='ENABLED')

    def _kept(self, clip: Outgoing) -> bool:
        """Whether the clip is there, whole; RefusedError when another has its name."""
        found = self._there(self._client.get_object, **self._where(clip, MANIFEST))
        if found and bytes(found['Body'].read()) != clip.manifest:
            raise RefusedError(f'{clip.clip}: {self.address}: another clip has this name')
        return found is not None

    def _reached(self, clip: Outgoing, name: str) -> int:
        head = self._head(clip, name)
        if head and head['ContentLength'] == clip.sizes[name] and _meant(head, clip, name):
            return clip.sizes[name]
        where = self._where(clip, name)
        found = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=where['Key'])
        ids = [u['UploadId'] for u in found.get('Uploads', ()) if u['Key'] == where['Key']]
        if not ids:
            made = self._client.create_multipart_upload(
                **where, ChecksumAlgorithm='SHA256', Metadata={'sha256': clip.hashes[name]}
            )
            ids = [made['UploadId']]
        self._uploads[where['Key']] = ids[-1]
        reached = sum(part['Size'] for part in self._parts(where))
        if reached == clip.sizes[name]:  # cut off just before it was put together
            self._complete(where)
        return reached

    def _parts(self, where: Mapping[str, str]) -> list[dict[str, Any]]:
        """The parts that are there, from the first on, as far as none is missing."""
        upload = self._uploads[where['Key']]
        pages = self._client.get_paginator('list_parts').paginate(**where, UploadId=upload)
        parts = [part for page in pages for part in page.get('Parts', ())]
        return [part for i, part in enumerate(parts, 1) if part['PartNumber'] == i]

    def _append(self, clip: Outgoing, name: str, offset: int, block: bytes) -> int:
        where = self._where(clip, name)
        given = {**where, 'UploadId': self._uploads[where['Key']]}
        self._client.upload_part(
            **given, PartNumber=offset // PART + 1, Body=block, ChecksumSHA256=_sha256(block)
        )
        if offset + len(block) == clip.sizes[name]:
            self._complete(where)
        return offset + len(block)

    def _complete(self, where: Mapping[str, str]) -> None:
        """Put a file together from its parts."""
        keys = ('PartNumber', 'ETag', 'ChecksumSHA256')
        parts = [{k: part[k] for k in keys if k in part} for part in self._parts(where)]
        given = {**where, 'UploadId': self._uploads[where['Key']]}
        self._client.complete_multipart_upload(**given, MultipartUpload={'Parts': parts})

    def _finish(self, clip: Outgoing) -> Clock | None:
        self._kept(clip)  # the files of another are left alone
        found = []
        for name in clip.sizes:
            sent, start = time.time(), time.monotonic()
            head = self._head(clip, name)
            found.append(_clock(head or {}, sent, time.monotonic() - start))
            if head is None:
                raise ShipError(f'{clip.clip}: {self.address}: {name} is not there')
            if not self._same(clip, name, head):
                self._client.delete_object(**self._where(clip, name))
                raise SpoiledError(f'{clip.clip}: {name} arrived with another hash')
        clock = min((c for c in found if c), key=lambda c: c.error, default=None)
        if not self._kept(clip):
            if clock is not None:
                self._put(clip, RECEIVED, arrival(clock, time.time()))
            self._put(clip, MANIFEST, clip.manifest)
        return clock

    def _put(self, clip: Outgoing, name: str, body: bytes) -> None:
        where, kind = self._where(clip, name), 'application/json'
        self._client.put_object(**where, Body=body, ChecksumSHA256=_sha256(body), ContentType=kind)

    def _same(self, clip: Outgoing, name: str, head: Mapping[str, Any]) -> bool:
        """Whether the storage has what the manifest says: by its checksum, else by reading it."""
        said, whole = str(head.get('ChecksumSHA256', '')), hashlib.sha256()
        if said.endswith(f'-{-(-clip.sizes[name] // PART)}'):
            digests = b''
            for block in _blocks(clip.folder / name):
                whole.update(block)
                digests += hashlib.sha256(block).digest()
            if said.rpartition('-')[0] != _sha256(digests):
                return False
        else:
            body = self._client.get_object(**self._where(clip, name))['Body']
            for block in body.iter_chunks(1 << 20):
                whole.update(block)
        return whole.hexdigest() == clip.hashes[name]


async def _in_thread(call: Callable[..., Any], *given: object) -> Any:
    """Like ``asyncio.to_thread``, yet a process need not wait for the thread to end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(tell: Callable[[Any], None], what: object) -> None:
        if not answer.done():  # cancelled
            tell(what)

    def work() -> None:
        try:
            told: tuple[Callable[[Any], None], object] = answer.set_result, call(*given)
        except Exception as error:
            told = answer.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=work, name='s3', daemon=True).start()
    return await answer


def _clock(answer: Mapping[str, Any], sent: float, trip: float) -> Clock | None:
    """From the date of an answer; None when it has none."""
    said = answer.get('ResponseMetadata', {}).get('HTTPHeaders', {}).get('date', '')
    try:
        date = parsedate_to_datetime(said)
    except ValueError:
        return None
    return Clock.read(date.timestamp(), sent, trip, 'date header', grain=1.0)


def _meant(head: Mapping[str, Any], clip: Outgoing, name: str) -> bool:
    return head.get('Metadata', {}).get('sha256') == clip.hashes[name]


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open('rb') as stream:
        while block := stream.read(PART):
            yield block
