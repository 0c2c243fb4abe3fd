"""The receiver over real HTTP: what it takes, what it refuses, what it says."""

import hashlib
import http.client
import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request

import aiohttp
import pytest
from aiohttp import web

from sim2real_capture import receiver_server
from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import list_clips, verify
from sim2real_capture.receiver import OFFSET
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.store import INCOMING, RECEIVED
from sim2real_core.errors import InputError, MissingError
from test.clips import copy_of


@pytest.fixture
def server(tmp_path):
    """A receiver on a free port."""
    running = ReceiverServer(tmp_path / 'library')
    yield running
    assert running.close(10.0)


@pytest.fixture
def ask(server):
    """Sends a request as it is, without tidying its path; gives status and JSON, or offset."""
    host, port = server.url.removeprefix('http://').split(':')
    connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def send(method, path, body=None, **headers):
        named = {name.replace('_', '-'): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        text = response.read()
        if OFFSET in response.headers:
            return response.status, int(response.headers[OFFSET])
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    yield send
    connection.close()


def files_of(clip):
    """Content by name."""
    manifest = json.loads((clip / MANIFEST).read_text())
    return {name: (clip / name).read_bytes() for name in manifest['files']}


def send_all(ask, clip):
    """Announce a clip and send its files; gives what the last announcement is answered."""
    manifest = (clip / MANIFEST).read_bytes()
    assert ask('PUT', f'/clips/{clip.name}', manifest)[0] == 202
    for name, data in files_of(clip).items():
        path = f'/clips/{clip.name}/{name}'
        assert ask('PATCH', path, data, Upload_Offset='0') == (204, len(data))
    return ask('PUT', f'/clips/{clip.name}', manifest, Clock_Offset='0.5')


def waiting(folder):
    """Files that are arriving."""
    return [p for p in (folder / INCOMING).rglob('*') if p.is_file() and p.name != MANIFEST]


def test_announced_then_sent_then_acknowledged(server, ask, clip, tmp_path):
    manifest = (clip / MANIFEST).read_bytes()
    acknowledgement = {'clip': 'clip-1', 'sha256': hashlib.sha256(manifest).hexdigest()}
    answer = ask('PUT', '/clips/clip-1', manifest)
    assert answer == (202, {'offsets': dict.fromkeys(files_of(clip), 0)})
    assert ask('GET', '/clips') == (200, [])
    assert send_all(ask, clip) == (201, acknowledgement)
    assert ask('PUT', '/clips/clip-1', manifest) == (200, acknowledgement)  # again, as good
    (listed,) = ask('GET', '/clips')[1]
    (info,) = list_clips(tmp_path / 'library')
    assert listed == info.as_json()
    assert ask('GET', '/clips/clip-1') == (200, json.loads(manifest))
    verify(info.path)
    received = json.loads((info.path / RECEIVED).read_text())
    assert received['clock_offset'] == 0.5 and received['clock_offset_error'] is None
    assert received['robot'] == ''  # nobody had to say who they are
    assert waiting(tmp_path / 'library') == [] and server.receiver.received == 1


def test_a_file_goes_on_where_it_was_cut_also_after_a_restart(clip, tmp_path):
    data, path = files_of(clip)['clip-1_0.mcap'], '/clips/clip-1/clip-1_0.mcap'
    manifest, half = (clip / MANIFEST).read_bytes(), len(files_of(clip)['clip-1_0.mcap']) // 2
    for part in ('first', 'second'):
        server = ReceiverServer(tmp_path / 'library')
        host, port = server.url.removeprefix('http://').split(':')
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request('PUT', '/clips/clip-1', manifest)
        here = json.load(connection.getresponse())['offsets']['clip-1_0.mcap']
        assert here == (0 if part == 'first' else half)
        sent = data[:half] if part == 'first' else data[half:]
        for at, status, reached in ((here + 1, 409, here), (here, 204, here + len(sent))):
            connection.request('PATCH', path, sent, {OFFSET: str(at)})
            response = connection.getresponse()
            response.read()
            assert (response.status, int(response.headers[OFFSET])) == (status, reached)
        connection.close()
        assert server.close(10.0)
    (arrived,) = (tmp_path / 'library' / INCOMING).glob('*/clip-1/clip-1_0.mcap')
    assert arrived.read_bytes() == data


def test_content_that_hashes_to_something_else_is_sent_anew(server, ask, clip, tmp_path):
    manifest, files = (clip / MANIFEST).read_bytes(), files_of(clip)
    data = files['clip-1_0.mcap']
    ask('PUT', '/clips/clip-1', manifest)
    path = '/clips/clip-1/clip-1_0.mcap'
    ask('PATCH', path, bytes([data[0] ^ 1]) + data[1:], Upload_Offset='0')
    ask('PATCH', '/clips/clip-1/metadata.yaml', files['metadata.yaml'], Upload_Offset='0')
    status, answer = ask('PUT', '/clips/clip-1', manifest)
    assert status == 422 and 'clip-1_0.mcap' in answer['error']
    offsets = {'clip-1_0.mcap': 0, 'metadata.yaml': len(files['metadata.yaml'])}
    assert ask('PUT', '/clips/clip-1', manifest) == (202, {'offsets': offsets})
    assert server.receiver.refused == 1
    ask('PATCH', path, data, Upload_Offset='0')
    assert ask('PUT', '/clips/clip-1', manifest)[0] == 201
    verify(tmp_path / 'library' / 'clip-1')


def test_more_than_announced_is_refused(ask, clip, tmp_path):
    ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())
    data = files_of(clip)['metadata.yaml']
    path = '/clips/clip-1/metadata.yaml'
    assert ask('PATCH', path, data + b'x', Upload_Offset='0')[0] == 413
    assert sum(p.stat().st_size for p in waiting(tmp_path / 'library')) <= len(data)


@pytest.mark.parametrize('offset', ['', '-1', '0x1', '1' * 30, '²', None])
def test_an_offset_is_a_number(ask, clip, offset):
    ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())
    headers = {} if offset is None else {'Upload_Offset': offset.encode()}
    assert ask('PATCH', '/clips/clip-1/metadata.yaml', b'x', **headers)[0] == 400


def test_what_was_not_announced_is_not_taken(ask, clip, tmp_path):
    assert ask('PATCH', '/clips/clip-1/metadata.yaml', b'x', Upload_Offset='0')[0] == 404
    ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())
    for name in (MANIFEST, RECEIVED, 'other', '..%2fx'):
        assert ask('PATCH', f'/clips/clip-1/{name}', b'x', Upload_Offset='0')[0] == 404
    assert waiting(tmp_path / 'library') == []


def test_a_clip_that_is_no_mcap_file_is_refused(ask, clip, tmp_path):
    data = b'#!/bin/sh\n' * 10
    (clip / 'clip-1_0.mcap').write_bytes(data)
    manifest = json.loads((clip / MANIFEST).read_text())
    entry = {'sha256': hashlib.sha256(data).hexdigest(), 'size': len(data)}
    manifest['files']['clip-1_0.mcap'] = entry
    (clip / MANIFEST).write_text(json.dumps(manifest))
    status, answer = send_all(ask, clip)
    assert status == 400 and 'MCAP' in answer['error']
    assert waiting(tmp_path / 'library') == [] and list_clips(tmp_path / 'library') == []


def test_a_clip_that_says_it_is_too_large_is_refused(ask, clip):
    manifest = json.loads((clip / MANIFEST).read_text())
    manifest['files']['clip-1_0.mcap']['size'] = 1 << 40
    assert ask('PUT', '/clips/clip-1', json.dumps(manifest))[0] == 413


def test_one_name_has_one_content(ask, clip):
    assert send_all(ask, clip)[0] == 201
    manifest = json.loads((clip / MANIFEST).read_text())
    other = json.dumps({**manifest, 'end': 'changed'}).encode()
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
        '/clips/.catalogue.sqlite',
        '/clips/x/../../escape',
        '/view/../../escape',
        '/assets/..%2fpage.py',
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


def test_what_arrived_before_a_cut_stays(server, ask, clip, tmp_path):
    data, half = files_of(clip)['clip-1_0.mcap'], len(files_of(clip)['clip-1_0.mcap']) // 2
    ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())
    with begun(server, len(data)) as sender:
        sender.sendall(data[:half])
        wait_for(lambda: sum(p.stat().st_size for p in waiting(tmp_path / 'library')) == half)
    offsets = ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())[1]['offsets']
    assert offsets['clip-1_0.mcap'] == half


def begun(server, length):
    """A connection on which a request of so many bytes was begun."""
    host, port = server.url.removeprefix('http://').split(':')
    sender = socket.create_connection((host, int(port)))
    head = f'PATCH /clips/clip-1/clip-1_0.mcap HTTP/1.1\r\nHost: 127.0.0.1\r\n{OFFSET}: 0\r\n'
    sender.sendall(f'{head}Content-Length: {length}\r\n\r\n'.encode())
    return sender


def wait_for(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(('hours', 'status'), [(0.5, 507), (2.0, 202)])
def test_a_robot_that_never_came_back_takes_room_from_no_other(clip, tmp_path, hours, status):
    """What it began is left where nobody wants the room, and for an hour."""
    library, other = tmp_path / 'library', copy_of(clip, 'clip-2')
    begun = library / INCOMING / 'gone' / 'clip-2'
    begun.mkdir(parents=True)
    shutil.copy(other / MANIFEST, begun)
    size = sum(path.stat().st_size for path in clip.iterdir())
    server = ReceiverServer(library, store_bytes=size + 1000)
    try:
        for path in (begun / MANIFEST, begun):
            os.utime(path, 2 * (time.time() - 3600.0 * hours,))
        server.receiver._counted = -1e9  # looked long ago
        body = (clip / MANIFEST).read_bytes()
        request = urllib.request.Request(f'{server.url}/clips/clip-1', body, method='PUT')
        try:
            assert urllib.request.urlopen(request, timeout=10).status == status
        except urllib.error.HTTPError as error:
            assert error.code == status
        assert begun.exists() == (status == 507)
    finally:
        assert server.close(10.0)


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

    def runner(app, *, access_log, auto_decompress, logger, keepalive_timeout):
        """With what connections know there."""
        return real(
            app,
            access_log=access_log,
            auto_decompress=auto_decompress,
            logger=logger,
            keepalive_timeout=keepalive_timeout,
        )

    monkeypatch.setattr(web, 'AppRunner', runner)
    server = ReceiverServer(tmp_path / 'library')
    with urllib.request.urlopen(server.url + '/clips', timeout=10) as answer:
        assert json.load(answer) == []
    assert server.close(10.0)


def test_a_disk_that_does_not_answer_is_said(tmp_path, monkeypatch):
    gate = threading.Event()
    real = receiver_server.Receiver

    def hanging(*given):
        gate.wait(30)
        return real(*given)

    monkeypatch.setattr(receiver_server, 'Receiver', hanging)
    monkeypatch.setattr(receiver_server, 'START', 0.1)
    with pytest.raises(MissingError, match='not indexed and listening'):
        ReceiverServer(tmp_path / 'library')
    gate.set()


@pytest.mark.skipif(
    tuple(map(int, aiohttp.__version__.split('.')[:2])) < (3, 14),
    reason='aiohttp before 3.14 gives the first request all the time it wants',
)
@pytest.mark.parametrize('said', [b'', b'GET /time HTTP/1.1\r\nHost: 127.0'])
def test_a_connection_that_asks_nothing_is_ended(tmp_path, monkeypatch, said):
    monkeypatch.setattr(receiver_server, 'IDLE', 0.2)
    server = ReceiverServer(tmp_path / 'library')
    host, port = server.url.removeprefix('http://').split(':')
    with socket.create_connection((host, int(port)), timeout=20.0) as caller:
        caller.sendall(said)
        assert caller.recv(1000) == b''
    assert server.close(10.0)


def test_closing_does_not_wait_for_a_sender_that_stopped_in_the_middle(
    server, ask, clip, tmp_path
):
    data = files_of(clip)['clip-1_0.mcap']
    ask('PUT', '/clips/clip-1', (clip / MANIFEST).read_bytes())
    with begun(server, len(data)) as sender:
        sender.sendall(data[:100])
        wait_for(lambda: waiting(tmp_path / 'library'))
        assert server.close(10.0)
