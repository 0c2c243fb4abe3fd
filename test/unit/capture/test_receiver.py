"""The receiver over real HTTP: what it takes, what it refuses, what it says."""

import asyncio
import hashlib
import http.client
import json
import shutil
import socket
import time
import urllib.request

import pytest
from aiohttp import web

from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import list_clips, verify
from sim2real_capture.receiver import BLOBS, ReceiverServer
from sim2real_core.errors import InputError, MissingError


@pytest.fixture
def server(tmp_path):
    """A receiver on a free port."""
    running = ReceiverServer(tmp_path / 'library')
    yield running
    assert running.close(10.0)


@pytest.fixture
def ask(server):
    """Sends a request as it is, without tidying its path; gives status and JSON."""
    host, port = server.url.removeprefix('http://').split(':')
    connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def send(method, path, body=None):
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    yield send
    connection.close()


def files_of(clip):
    """Content by hash."""
    manifest = json.loads((clip / MANIFEST).read_text())
    return {e['sha256']: (clip / name).read_bytes() for name, e in manifest['files'].items()}


def test_content_then_name_then_acknowledgement(server, ask, clip, tmp_path):
    manifest = (clip / MANIFEST).read_bytes()
    acknowledgement = {'clip': 'clip-1', 'sha256': hashlib.sha256(manifest).hexdigest()}
    status, answer = ask('PUT', '/clips/clip-1', manifest)
    assert status == 202 and set(answer['missing']) == set(files_of(clip))
    assert ask('GET', '/clips') == (200, [])
    for sha256, data in files_of(clip).items():
        assert ask('PUT', f'/blobs/{sha256}', data) == (201, {'sha256': sha256})
    assert ask('PUT', '/clips/clip-1', manifest) == (201, acknowledgement)
    assert ask('PUT', '/clips/clip-1', manifest) == (200, acknowledgement)  # again, as good
    (listed,) = ask('GET', '/clips')[1]
    (info,) = list_clips(tmp_path / 'library')
    assert listed == info.as_json()
    assert ask('GET', '/clips/clip-1') == (200, json.loads(manifest))
    verify(info.path)
    assert list((tmp_path / 'library' / BLOBS).iterdir()) == []
    assert server.receiver.received == 1


def test_content_that_hashes_to_something_else_is_refused(server, ask, clip):
    (sha256, data), *_ = files_of(clip).items()
    tampered = bytes([data[0] ^ 1]) + data[1:]
    status, answer = ask('PUT', f'/blobs/{sha256}', tampered)
    assert status == 422 and answer['found'] == hashlib.sha256(tampered).hexdigest()
    status, answer = ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())
    assert status == 202 and sha256 in answer['missing']
    assert server.receiver.refused == 1


def test_one_name_has_one_content(ask, clip):
    manifest = (clip / MANIFEST).read_bytes()
    for sha256, data in files_of(clip).items():
        ask('PUT', f'/blobs/{sha256}', data)
    assert ask('PUT', '/clips/clip-1', manifest)[0] == 201
    other = json.dumps({**json.loads(manifest), 'end': 'changed'}).encode()
    assert ask('PUT', '/clips/clip-1', other)[0] == 409
    assert ask('GET', '/clips/clip-1')[1]['end'] == 'complete'


@pytest.mark.parametrize(
    'path',
    [
        '/clips/..%2f..%2fescape',
        '/clips/%2e%2e',
        '/clips/.hidden',
        '/clips/x.part',
        '/clips/a%00b',
        '/clips/../../escape',
        '/blobs/..%2f..%2fescape',
        '/blobs/' + 'A' * 64,
        '/blobs/' + '../' * 21 + 'x',
        '/blobs/x',
    ],
)
def test_paths_that_lead_elsewhere_are_refused(ask, clip, tmp_path, path):
    before = sorted(p for p in tmp_path.rglob('*'))
    status, _ = ask('PUT', path, (clip / MANIFEST).read_bytes())
    assert status in (400, 404, 405)
    assert sorted(p for p in tmp_path.rglob('*')) == before


@pytest.mark.parametrize('field', ['clip', 'files'])
def test_manifests_that_lead_elsewhere_are_refused(ask, clip, field):
    manifest = json.loads((clip / MANIFEST).read_text())
    if field == 'clip':
        manifest['clip'] = '../clip-1'
    else:
        manifest['files']['../../escape'] = manifest['files'].pop('metadata.yaml')
    status, answer = ask('PUT', '/clips/clip-1', json.dumps(manifest).encode())
    assert status == 400 and field in answer['error']


def test_address_and_manifest_must_agree(ask, clip):
    status, answer = ask('PUT', '/clips/clip-2', (clip / MANIFEST).read_bytes())
    assert status == 400 and 'clip-2' in answer['error']


def test_an_unknown_clip_is_not_found(ask):
    assert ask('GET', '/clips/nothing')[0] == 404


def test_an_upload_cut_off_leaves_nothing(server, clip, tmp_path):
    (sha256, data), *_ = files_of(clip).items()
    host, port = server.url.removeprefix('http://').split(':')

    async def cut_off():
        _, writer = await asyncio.open_connection(host, int(port))
        head = f'PUT /blobs/{sha256} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n'
        writer.write(head.encode() + data[: len(data) // 2])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    asyncio.run(cut_off())
    assert server.close(10.0)  # ends with its connections
    assert list((tmp_path / 'library' / BLOBS).iterdir()) == []


def test_a_restart_forgets_unnamed_content_and_keeps_clips(clip, tmp_path):
    folder = tmp_path / 'library'
    (folder / BLOBS).mkdir(parents=True)
    (folder / BLOBS / ('0' * 64)).write_bytes(b'unnamed')
    shutil.copytree(clip, folder / 'clip-1')
    server = ReceiverServer(folder)
    assert server.close(10.0)
    assert list((folder / BLOBS).iterdir()) == []
    assert [info.clip for info in list_clips(folder)] == ['clip-1']


def test_a_folder_has_one_receiver(server, tmp_path):
    with pytest.raises(InputError, match='of its own'):
        ReceiverServer(tmp_path / 'library')
    assert server.close(10.0)
    assert ReceiverServer(tmp_path / 'library').close(10.0)


def test_a_taken_port_is_said(server, tmp_path):
    port = int(server.url.rsplit(':', 1)[1])
    with pytest.raises(MissingError, match=f'127.0.0.1:{port}'):
        ReceiverServer(tmp_path / 'other', port=port)


def test_a_folder_that_is_a_file_is_bad_input(tmp_path):
    (tmp_path / 'library').write_text('')
    with pytest.raises(InputError, match='folder = .*library'):
        ReceiverServer(tmp_path / 'library')


def test_old_versions_of_aiohttp_will_do(clip, tmp_path, monkeypatch):
    """Up to 3.8 (Ubuntu 22.04) a runner hands what it does not know to every connection."""
    real = web.AppRunner
    monkeypatch.setattr(web, 'AppRunner', lambda app, *, access_log: real(app, access_log=None))
    server = ReceiverServer(tmp_path / 'library')
    with urllib.request.urlopen(server.url + '/clips', timeout=10) as answer:
        assert json.load(answer) == []
    assert server.close(10.0)


def test_closing_does_not_wait_for_a_sender_that_stopped_in_the_middle(server, clip, tmp_path):
    (sha256, data), *_ = files_of(clip).items()
    host, port = server.url.removeprefix('http://').split(':')
    with socket.create_connection((host, int(port))) as sender:
        head = f'PUT /blobs/{sha256} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n'
        sender.sendall(head.encode() + data[: len(data) // 2])
        blobs = tmp_path / 'library' / BLOBS
        until = time.monotonic() + 10.0
        while not list(blobs.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)
        assert server.close(10.0)
    assert list(blobs.iterdir()) == []
