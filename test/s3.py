"""A storage that speaks as much of S3 as our transport needs, and takes nobody's word for it.

Every request must carry a signature (AWS Signature Version 4, calculated here after its
specification, not by the client's library), and every checksum said must be that of what came.
Parts below 5 MiB are refused, as by the real ones, where they are not the last.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl, quote, unquote
from xml.etree import ElementTree

from aiohttp import web

LEAST_PART = 5 << 20
NAMESPACE = '{http://s3.amazonaws.com/doc/2006-03-01/}'


class Refused(Exception):  # noqa: N818 - named as what it is answered with
    """Of a request: S3's code, and a status."""


@dataclass
class Stored:
    """An object: its bytes, what was said of it, and its checksum."""

    data: bytes
    metadata: dict
    checksum: str = ''


@dataclass
class Uploading:
    """Parts by number, each with its bytes."""

    key: str
    metadata: dict
    checked: bool
    parts: dict = field(default_factory=dict)


class Storage:
    """Buckets served from a thread of its own; ``objects`` may be looked at and changed.

    Args:
        access, secret: the one pair of keys.
        skew: of its clock [s].
    """

    def __init__(self, *buckets, access='robot', secret='secret', skew=0.0):
        self.objects = {bucket: {} for bucket in buckets}
        self.uploads = {}
        self.asked = []  # (method, path and query) of requests that were let in
        self.skew = skew
        self._keys = {access: secret}
        self._numbers = itertools.count(1)
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._serve(ready))
        )
        self._thread.start()
        assert ready.wait(20)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self, ready):
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route('*', '/{path:.*}', self._answer)
        app.on_response_prepare.append(self._date)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, '127.0.0.1', 0).start()
        self.url = f'http://127.0.0.1:{runner.addresses[0][1]}'
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _date(self, _request, response):
        response.headers['Date'] = formatdate(time.time() + self.skew, usegmt=True)

    async def _answer(self, request):
        body = await request.read()
        try:
            check_signature(request, body, self._keys)
            self.asked.append((request.method, request.raw_path))
            return self.done(request, body)
        except Refused as refusal:
            code, status = refusal.args
            return xml('Error', {'Code': code, 'Message': code}, status)

    def done(self, request, body):
        """Do what a request asks for that was let in."""
        bucket, _, key = unquote(request.raw_path.partition('?')[0]).lstrip('/').partition('/')
        if bucket not in self.objects:
            raise Refused('NoSuchBucket', 404)
        query = dict(parse_qsl(request.raw_path.partition('?')[2], keep_blank_values=True))
        if not key and 'uploads' in query:
            return self._list_uploads(query.get('prefix', ''))
        if 'uploads' in query and request.method == 'POST':
            return self._begin(key, request.headers)
        if 'uploadId' in query:
            return self._of_upload(request, bucket, key, query, body)
        return self._of_object(request, self.objects[bucket], key, body)

    def _list_uploads(self, prefix):
        found = [
            {'Upload': {'Key': upload.key, 'UploadId': number}}
            for number, upload in self.uploads.items()
            if upload.key.startswith(prefix)
        ]
        return xml('ListMultipartUploadsResult', [{'IsTruncated': 'false'}, *found])

    def _begin(self, key, headers):
        number = f'upload-{next(self._numbers)}'
        checked = headers.get('x-amz-checksum-algorithm') == 'SHA256'
        self.uploads[number] = Uploading(key, metadata_of(headers), checked)
        return xml('InitiateMultipartUploadResult', {'Key': key, 'UploadId': number})

    def _of_upload(self, request, bucket, key, query, body):
        number = query['uploadId']
        upload = self.uploads.get(number)
        if upload is None or upload.key != key:
            raise Refused('NoSuchUpload', 404)
        if request.method == 'PUT':
            check_body(request.headers, body)
            upload.parts[int(query['partNumber'])] = body
            return web.Response(headers={'ETag': etag(body)})
        if request.method == 'GET':
            rows = [
                {'Part': part_row(n, data, upload.checked)}
                for n, data in sorted(upload.parts.items())
            ]
            return xml('ListPartsResult', [{'IsTruncated': 'false'}, *rows])
        named = [
            {child.tag.removeprefix(NAMESPACE): child.text for child in part}
            for part in ElementTree.fromstring(body)
        ]
        numbers = [int(part['PartNumber']) for part in named]
        if numbers != sorted(set(numbers)) or not set(numbers) <= set(upload.parts) or not numbers:
            raise Refused('InvalidPart', 400)
        parts = [upload.parts[n] for n in numbers]
        if any(len(part) < LEAST_PART for part in parts[:-1]):
            raise Refused('EntityTooSmall', 400)
        for said, part in zip(named, parts):
            if said['ETag'].strip('"') != etag(part).strip('"'):
                raise Refused('InvalidPart', 400)
            if upload.checked and said.get('ChecksumSHA256') != sha256(part):
                raise Refused('InvalidPart', 400)
        digests = b''.join(hashlib.sha256(part).digest() for part in parts)
        checksum = f'{sha256(digests)}-{len(parts)}' if upload.checked else ''
        self.objects[bucket][key] = Stored(b''.join(parts), upload.metadata, checksum)
        del self.uploads[number]
        return xml('CompleteMultipartUploadResult', {'Key': key})

    def _of_object(self, request, objects, key, body):
        if request.method == 'PUT':
            checksum = check_body(request.headers, body)
            objects[key] = Stored(body, metadata_of(request.headers), checksum)
            return web.Response(headers={'ETag': etag(body)})
        if request.method == 'DELETE':
            objects.pop(key, None)
            return web.Response(status=204)
        if key not in objects:
            raise Refused('NoSuchKey', 404)
        stored = objects[key]
        headers = {f'x-amz-meta-{name}': value for name, value in stored.metadata.items()}
        if stored.checksum and request.headers.get('x-amz-checksum-mode') == 'ENABLED':
            headers['x-amz-checksum-sha256'] = stored.checksum
            if '-' in stored.checksum:
                headers['x-amz-checksum-type'] = 'COMPOSITE'
        return web.Response(body=stored.data, headers={'ETag': etag(stored.data), **headers})


def check_signature(request, body, keys):
    """AWS Signature Version 4 of the ``Authorization`` header, as its specification says."""
    kind, _, said = request.headers.get('Authorization', '').partition(' ')
    given = dict(part.strip().split('=', 1) for part in said.split(',') if '=' in part)
    if kind != 'AWS4-HMAC-SHA256' or set(given) != {'Credential', 'SignedHeaders', 'Signature'}:
        raise Refused('AccessDenied', 403)
    access, *scope = given['Credential'].split('/')
    if access not in keys:
        raise Refused('InvalidAccessKeyId', 403)
    signed = given['SignedHeaders'].split(';')
    hashed = request.headers.get('x-amz-content-sha256', '')
    if hashed != hashlib.sha256(body).hexdigest():
        raise Refused('XAmzContentSHA256Mismatch', 400)
    if not {'host', 'x-amz-date', 'x-amz-content-sha256'} <= set(signed):
        raise Refused('AccessDenied', 403)
    path, _, query = request.raw_path.partition('?')
    pairs = sorted(
        (quote(name, safe='-_.~'), quote(value, safe='-_.~'))
        for name, value in parse_qsl(query, keep_blank_values=True)
    )
    canonical = '\n'.join((
        request.method,
        quote(unquote(path), safe='/-_.~'),
        '&'.join(f'{name}={value}' for name, value in pairs),
        *(f'{name}:{" ".join(request.headers[name].split())}' for name in signed),
        '',
        given['SignedHeaders'],
        hashed,
    ))  # fmt: skip
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = '\n'.join(('AWS4-HMAC-SHA256', request.headers['x-amz-date'], '/'.join(scope), digest))
    key = f'AWS4{keys[access]}'.encode()
    for part in scope:
        key = hmac.new(key, part.encode(), 'sha256').digest()
    if not hmac.compare_digest(
        hmac.new(key, text.encode(), 'sha256').hexdigest(), given['Signature']
    ):
        raise Refused('SignatureDoesNotMatch', 403)


def check_body(headers, body):
    """The checksum that was said of what came; it must be its."""
    said = headers.get('x-amz-checksum-sha256', '')
    if said and said != sha256(body):
        raise Refused('BadDigest', 400)
    return said


def metadata_of(headers):
    start = 'x-amz-meta-'
    return {
        n.lower().removeprefix(start): v for n, v in headers.items() if n.lower().startswith(start)
    }


def part_row(number, data, checked):
    row = {'PartNumber': str(number), 'ETag': etag(data), 'Size': str(len(data))}
    return {**row, 'ChecksumSHA256': sha256(data)} if checked else row


def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def etag(data):
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def xml(name, content, status=200):
    root = ElementTree.Element(name)
    if name != 'Error':  # as the real ones
        root.set('xmlns', NAMESPACE.strip('{}'))
    for values in content if isinstance(content, list) else [content]:
        fill(root, values)
    return web.Response(
        body=ElementTree.tostring(root), status=status, content_type='application/xml'
    )


def fill(node, values):
    for key, value in values.items():
        child = ElementTree.SubElement(node, key)
        if isinstance(value, dict):
            fill(child, value)
        else:
            child.text = value
