"""Shipping against a real receiver, a dead one, a wrong one and one that never answers."""

import http.server
import itertools
import json
import queue
import shutil
import socket
import threading

import pytest

from sim2real_capture.clip import MANIFEST, SHIPPED
from sim2real_capture.library import list_clips, read_manifest, verify
from sim2real_capture.receiver import ReceiverServer
from sim2real_capture.uplink import Receipt, RefusedError, ShipError, Uplink, backoff, ship

WAIT = 20.0


@pytest.fixture
def server(tmp_path):
    """A receiver on a free port."""
    running = ReceiverServer(tmp_path / 'library')
    yield running
    assert running.close(10.0)


@pytest.fixture
def deaf():
    """An address that takes connections and never answers."""
    with socket.create_server(('127.0.0.1', 0)) as listening:
        yield f'http://127.0.0.1:{listening.getsockname()[1]}'


@pytest.fixture
def answering():
    """Starts a server that answers to all content, or all else, with a status."""
    servers = []

    def make(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                asked = self.path.startswith('/clips') and status == 422
                answer = {}
                if asked:  # let it send the content first
                    answer = {'missing': [e['sha256'] for e in json.loads(body)['files'].values()]}
                text = json.dumps(answer).encode()
                self.send_response(202 if asked else status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f'http://127.0.0.1:{server.server_port}'

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def start():
    """Starts uplinks, whose reports go to a queue; closes them afterwards."""
    made = []

    def make(spool, url, **options):
        reports = queue.SimpleQueue()
        settings = {'first_wait': 0.01, 'longest_wait': 0.05, **options}
        made.append(Uplink(spool, url, on_shipped=reports.put, on_trouble=reports.put, **settings))
        return made[-1], reports

    yield make
    for uplink in made:
        assert uplink.close(10.0)


def test_a_clip_arrives_whole_and_is_marked(server, clip, tmp_path):
    receipt = ship(clip, server.url)
    assert receipt == Receipt('clip-1', receipt.sha256, server.url)
    arrived = tmp_path / 'library' / 'clip-1'
    verify(arrived)
    assert read_manifest(arrived) == read_manifest(clip)
    assert json.loads((clip / SHIPPED).read_text())['sha256'] == receipt.sha256
    assert list_clips(clip.parent)[0].shipped == server.url
    assert ship(clip, server.url) == receipt  # again: nothing is sent, all is well


def test_a_clip_that_was_tampered_with_is_refused(server, clip, tmp_path):
    bag = clip / 'clip-1_0.mcap'
    data = bytearray(bag.read_bytes())
    data[100] ^= 1
    bag.write_bytes(data)
    with pytest.raises(RefusedError, match='damaged here'):
        ship(clip, server.url)
    assert not (clip / SHIPPED).exists() and list_clips(tmp_path / 'library') == []


@pytest.mark.parametrize(
    ('status', 'error'),
    [(400, RefusedError), (409, RefusedError), (413, RefusedError)]
    + [(status, ShipError) for status in (404, 408, 422, 429, 500, 507)],
)
def test_only_an_answer_that_will_not_change_is_for_good(answering, clip, status, error):
    """A proxy that restarts, say, or content spoiled on the way, are no reasons to give up."""
    with pytest.raises(ShipError) as caught:
        ship(clip, answering(status))
    assert type(caught.value) is error


def test_a_clip_that_lost_a_file_is_refused(server, clip):
    (clip / 'metadata.yaml').unlink()
    with pytest.raises(RefusedError, match='gone'):
        ship(clip, server.url)


def test_the_deadline_holds(deaf, clip):
    with pytest.raises(ShipError, match=r'within 0\.2 s'):
        ship(clip, deaf, deadline=0.2)
    assert not (clip / SHIPPED).exists()


def test_a_dead_receiver_is_said(clip):
    with pytest.raises(ShipError, match='clip-1'):
        ship(clip, 'http://127.0.0.1:9')


def test_waits_double_up_to_a_limit():
    assert list(itertools.islice(backoff(1.0, 5.0), 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_ships_when_the_receiver_comes_and_when_woken(start, clip, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as reserved:
        port = reserved.getsockname()[1]
    uplink, reports = start(clip.parent, f'http://127.0.0.1:{port}')
    assert 'trying again in 0.01 s' in reports.get(timeout=WAIT)
    assert 'trying again in 0.02 s' in reports.get(timeout=WAIT)
    server = ReceiverServer(tmp_path / 'library', port=port)
    try:
        receipts = iter(lambda: reports.get(timeout=WAIT), None)
        assert next(r for r in receipts if isinstance(r, Receipt)).clip == 'clip-1'
        second = clip.parent / 'clip-2'
        shutil.copytree(clip, clip.parent / 'clip-2.part')
        (clip.parent / 'clip-2.part' / SHIPPED).unlink()
        (clip.parent / 'clip-2.part' / 'clip-1_0.mcap').rename(
            clip.parent / 'clip-2.part' / 'clip-2_0.mcap'
        )
        manifest = json.loads((clip / MANIFEST).read_text())
        manifest['clip'] = 'clip-2'
        manifest['files']['clip-2_0.mcap'] = manifest['files'].pop('clip-1_0.mcap')
        (clip.parent / 'clip-2.part' / MANIFEST).write_text(json.dumps(manifest))
        (clip.parent / 'clip-2.part').rename(second)
        uplink.wake()
        assert reports.get(timeout=WAIT).clip == 'clip-2'
        assert uplink.shipped == 2
        assert [i.clip for i in list_clips(tmp_path / 'library')] == ['clip-1', 'clip-2']
    finally:
        assert server.close(10.0)


def test_one_that_is_refused_is_told_once_and_does_not_hold_up_others(start, server, clip):
    shutil.copytree(clip, clip.parent / 'broken')
    manifest = json.loads((clip / MANIFEST).read_text())
    manifest['clip'] = 'broken'
    manifest['files']['broken_0.mcap'] = manifest['files'].pop('clip-1_0.mcap')
    (clip.parent / 'broken' / MANIFEST).write_text(json.dumps(manifest))  # its file is missing
    uplink, reports = start(clip.parent, server.url)
    told = [reports.get(timeout=WAIT), reports.get(timeout=WAIT)]
    assert 'refused for good' in told[0] and told[1].clip == 'clip-1'
    uplink.wake()
    with pytest.raises(queue.Empty):
        reports.get(timeout=0.3)
    assert uplink.refused == {'broken'} and uplink.alive


def test_closing_does_not_wait_for_a_receiver_that_never_answers(start, deaf, clip):
    uplink, _ = start(clip.parent, deaf, deadline=1000.0)
    assert uplink.close(10.0)
    assert not uplink.alive and not (clip / SHIPPED).exists()
