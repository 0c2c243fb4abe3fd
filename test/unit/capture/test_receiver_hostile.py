"""Malformed and hostile requests against a receiver in a process of its own."""

import gzip
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import sim2real_capture
from sim2real_capture.access import add_token
from sim2real_capture.clip import MANIFEST, SHIPPED
from sim2real_capture.library import list_clips, verify
from sim2real_capture.transports import Credentials
from sim2real_capture.uplink import ship

PROGRAM = """
import sys, time
from pathlib import Path
from sim2real_capture.access import AccessFile
from sim2real_capture.receiver_server import ReceiverServer
server = ReceiverServer(
    Path(sys.argv[1]), access=AccessFile(Path(sys.argv[2])), clip_bytes=1 << 20,
    store_bytes=1 << 24,
)
print(server.url, flush=True)
while server.alive: time.sleep(0.1)
"""
PATHS = (
    '/clips/../../escape', '/clips/..%2f..%2fescape', '/clips/%2e%2e', '/clips/.incoming',
    '/clips/.catalogue.sqlite', '/clips/a%00b', '/clips/%ff%fe', '/clips/' + 'a' * 4000,
    '/clips/clip-1/../../../escape', '/clips/clip-1/..%2f..%2f..%2fescape', '/clips//x',
    '/clips/x.part',
    '/clips/clip-1/manifest.json', '/clips/clip-1/received.json', '/clips/con', '/clips/~', '/',
    '/view/..%2f..%2fetc%2fpasswd', '/assets/..%2f..%2fpage.py', '/time', '/nothing', '*', 'x',
)  # fmt: skip
BOMB = gzip.compress(bytes(20 << 20))
METHODS = ('PUT', 'PATCH', 'GET', 'POST', 'DELETE', 'HEAD', 'OPTIONS', 'CONNECT', 'FOO', 'put')


class Attacker:
    """Makes requests that must do no harm.

    Args:
        clip: a sealed clip, to begin from.
        token: of a robot.
        seed: of all choices.
    """

    def __init__(self, clip, token, seed):
        self._rng = random.Random(seed)
        self._manifest = json.loads((clip / MANIFEST).read_text())
        self._data = (clip / 'clip-1_0.mcap').read_bytes()
        self._token = token
        self._seen = []

    def request(self):
        """Bytes to send, and whether that is all of a request, so that there is an answer."""
        kinds = (
            self._anywhere, self._garbage, self._mutated, self._huge, self._wrong_hash,
            self._replayed, self._wrong_token, self._offset, self._deep, self._chunked,
            self._label, self._packed, self._astray,
        )  # fmt: skip
        kind = self._rng.choice(kinds)
        made = kind(), kind not in (self._garbage, self._huge, self._anywhere)
        if kind == self._replayed and self._seen:
            made = self._rng.choice(self._seen)
        self._seen.append(made)
        del self._seen[:-50]
        return made

    def _http(self, method, path, body=b'', length=None, **headers):
        said = {
            'Host': '127.0.0.1', 'Authorization': f'Bearer {self._token}',
            'Content-Length': str(len(body) if length is None else length),
            **{name.replace('_', '-'): value for name, value in headers.items()},
        }  # fmt: skip
        lines = [f'{method} {path} HTTP/1.1', *(f'{k}: {v}' for k, v in said.items()), '', '']
        return '\r\n'.join(lines).encode('utf-8', 'surrogateescape') + body

    def _anywhere(self):
        method, path = self._rng.choice(METHODS), self._rng.choice(PATHS)
        return self._http(method, path, json.dumps(self._manifest).encode(), Upload_Offset='0')

    def _garbage(self):
        data = self._rng.randbytes(self._rng.randrange(1, 3000))
        return self._rng.choice((b'', b'PUT ', b'GET / HTTP/1.1\r\n', b'\x16\x03\x01')) + data

    def _mutated(self):
        """A manifest with something in it that should not be there."""
        manifest = json.loads(json.dumps(self._manifest))
        evil = self._rng.choice((
            None, -1, 1 << 70, 1e308, float('nan'), '../../escape', '\ud800', '\0', [], {}, [[]],
            True, 'x' * 10_000, {'sha256': '0' * 64, 'size': 1}, {'type': 1, 'messages': 'x'},
        ))  # fmt: skip
        place, key = self._rng.choice((
            (manifest, self._rng.choice(list(manifest))),
            (manifest['files'], self._rng.choice(('clip-1_0.mcap', '../x', 'metadata.yaml'))),
            (manifest['files']['metadata.yaml'], self._rng.choice(('sha256', 'size'))),
            (manifest['topics'], '/evil'), (manifest['events'][0], 'detector'),
        ))  # fmt: skip
        place[key] = evil
        name = manifest['clip'] if self._rng.random() < 0.5 else 'clip-1'
        path = (
            f'/clips/{name}' if isinstance(name, str) and name.isprintable() else '/clips/clip-1'
        )
        return self._http('PUT', path.replace(' ', ''), json.dumps(manifest).encode())

    def _huge(self):
        length = self._rng.choice((1 << 62, 10**30, 1 << 33, -5, 5 << 20))
        body = bytes(self._rng.choice((0, 1000, 300_000)))
        method, path = self._rng.choice((('PUT', '/clips/clip-1'), ('PATCH', '/clips/clip-1/x')))
        return self._http(method, path, body, length, Upload_Offset='0')

    def _chunked(self):
        body = b''.join(b'%x\r\n%s\r\n' % (60_000, bytes(60_000)) for _ in range(90))
        head = self._http('PUT', '/clips/clip-1', b'', None, Transfer_Encoding='chunked')
        return head.replace(b'Content-Length: 0\r\n', b'') + body + b'0\r\n\r\n'

    def _announced(self, **changes):
        """Announce a clip, or send a file of it, none of which will fit the other."""
        name = f'hostile-{self._rng.randrange(20)}'
        manifest = {**self._manifest, 'clip': name, **changes}
        files = dict(manifest['files'])
        files[f'{name}_0.mcap'] = files.pop('clip-1_0.mcap')
        files[f'{name}_0.mcap']['sha256'] = hashlib.sha256(name.encode()).hexdigest()
        return name, json.dumps({**manifest, 'files': files}).encode()

    def _wrong_hash(self):
        name, body = self._announced()
        sent = self._rng.choice(('manifest', 'bag', 'metadata'))
        if sent == 'manifest':
            return self._http('PUT', f'/clips/{name}', body)
        file = 'metadata.yaml' if sent == 'metadata' else f'{name}_0.mcap'
        data = self._rng.choice((self._data, self._rng.randbytes(len(self._data)), b'', b'x'))
        return self._http('PATCH', f'/clips/{name}/{file}', data, Upload_Offset='0')

    def _replayed(self):
        return self._http('GET', '/time')

    def _wrong_token(self):
        shown = self._rng.choice(
            ('Bearer x', 'Basic eDp5', 'Bearer', '', 'Basic \udcff', 'x' * 6000)
        )
        return self._http('PUT', '/clips/clip-9', b'{}', Authorization=shown)

    def _offset(self):
        offset = self._rng.choice(('-1', '1' * 40, 'x', '0x10', '', '99999999', '1e3', '٣'))
        name, _ = self._announced()
        return self._http('PATCH', f'/clips/{name}/metadata.yaml', b'data', Upload_Offset=offset)

    def _deep(self):
        body = self._rng.choice((b'[' * 200_000, b'{"a":' * 50_000, b'1' * 100_000, b'"\\ud800"'))
        return self._http('PUT', '/clips/clip-1', body)

    def _label(self):
        body = json.dumps({'label': self._rng.choice(('real failure', 1, None, 'x'))}).encode()
        origin = self._rng.choice(('http://evil.example', 'null', 'http://127.0.0.1'))
        return self._http('PUT', '/clips/clip-1/label', body, Origin=origin)

    def _packed(self):
        """A body that says it is packed: one that would be 20 MB, and nonsense."""
        body = self._rng.choice((BOMB, b'nonsense' * 20))
        how = self._rng.choice(('gzip', 'deflate', 'br', 'zstd', 'gzip, gzip', 'x'))
        path = self._rng.choice(('/clips/clip-1', '/clips/clip-1/label'))
        return self._http('PUT', path, body, Content_Encoding=how)

    def _astray(self):
        """Headers that name no place, or an alphabet that there is not."""
        return self._rng.choice(
            (
                self._http('GET', '/time', Host='[::1'),
                self._http('GET', '/time', Origin='http://[bad'),
                self._http('GET', '/time', Host='127.0.0.1:x'),
                self._http(
                    'PUT', '/clips/clip-1/label', b'{}', Content_Type='application/json; charset=z'
                ),
            )
        )


def attack(port, attacker, requests, told):
    """Send so many requests; notes the status of each answer."""
    for _ in range(requests):
        with socket.create_connection(('127.0.0.1', port), timeout=5.0) as sender:
            data, whole = attacker.request()
            try:
                sender.sendall(data)
                if not whole:
                    sender.shutdown(socket.SHUT_WR)
                answer = sender.recv(1 << 12)
            except OSError:  # let go in the middle
                answer = b''
        told.append(answer[9:12].decode(errors='replace'))


def withstand(clip, tmp_path, requests, batches):
    """Attack a receiver; gives the statuses, and its memory [B] after each batch."""
    keys, library = tmp_path / 'keys.yaml', tmp_path / 'library'
    token = add_token(keys, 'robots', 'arm7')
    outside = snapshot(tmp_path, library)
    root = str(Path(sim2real_capture.__file__).parents[1])
    command = [sys.executable, '-c', PROGRAM, str(library), str(keys)]
    with (
        (tmp_path / 'errors').open('wb') as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, 'PYTHONPATH': root}
        ) as process,
    ):
        try:
            url = process.stdout.readline().decode().strip()
            attacker, told, memory = Attacker(clip, token, 5), [], []
            for _ in range(batches):
                attack(int(url.rsplit(':', 1)[1]), attacker, requests // batches, told)
                memory.append(psutil.Process(process.pid).memory_info().rss)
            ship(clip, url, credentials=Credentials(token))
            assert process.poll() is None
        finally:
            process.kill()
    assert [info.clip for info in list_clips(library)] == ['clip-1']
    verify(library / 'clip-1')
    allowed = {tmp_path / 'errors', clip / SHIPPED}
    assert snapshot(tmp_path, library) - allowed == outside
    for path in library.rglob('*'):
        assert path.resolve().is_relative_to(library)
    return told, memory


def snapshot(folder, but):
    return {p for p in folder.rglob('*') if p != but and but not in p.parents}


def check_withstood(told, tmp_path):
    answered, said = set(told), (tmp_path / 'errors').read_text()
    assert '500' not in answered and 'Traceback' not in said, said[-3000:]
    assert {'400', '401', '404', '413'} <= answered


def test_hostile_requests_do_no_harm(clip, tmp_path):
    told, memory = withstand(clip, tmp_path, 900, 3)
    check_withstood(told, tmp_path)
    assert memory[-1] - memory[0] < 32 << 20


@pytest.mark.soak
def test_10_000_hostile_requests_do_no_harm_and_leave_memory_flat(clip, tmp_path):
    told, memory = withstand(clip, tmp_path, 10_000, 10)
    check_withstood(told, tmp_path)
    assert len(told) == 10_000 and memory[-1] - memory[2] < 8 << 20
