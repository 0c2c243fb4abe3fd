"""Shipping against a real receiver, a dead one, a wrong one and one that never answers."""

import dataclasses
import http.server
import itertools
import json
import queue
import random
import shutil
import socket
import threading

import pytest

from sim2real_capture import uplink as uplink_module
from sim2real_capture.access import AccessFile, add_token
from sim2real_capture.clip import SHIPPED
from sim2real_capture.library import list_clips, read_manifest, verify
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.transports import (
    RefusedError,
    ShipError,
    SpoiledError,
    UnreachableError,
    load_credentials,
)
from sim2real_capture.transports_http import HttpTransport
from sim2real_capture.uplink import Receipt, Throttle, Uplink, backoff, ship, urgency
from test.clips import copy_of, event_of
from test.ports import reserved_port

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
def port():
    """Of this test alone: bound all the while, and refusing until the test listens to it."""
    with reserved_port() as number:
        yield number


@pytest.fixture
def answering():
    """Starts a server that answers to a clip that is whole, or to all, with a status."""
    servers = []

    def make(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                files = json.loads(body)['files'].items()
                self.answer(202 if status == 422 and not sent else status, {
                    'offsets': {name: 0 for name, entry in files}, 'sha256': '0' * 64
                })  # fmt: skip

            def do_PATCH(self):
                sent.append(self.rfile.read(int(self.headers['Content-Length'])))
                self.answer(200, {}, int(self.headers['Upload-Offset']) + len(sent[-1]))

            def do_GET(self):
                self.answer(200, {'time': 0.0})

            def answer(self, status, values, offset=None):
                text = json.dumps(values).encode()
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(text)))
                if offset is not None:
                    self.send_header('Upload-Offset', str(offset))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                """Say nothing."""

        sent = []
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
    assert (receipt.clip, receipt.receiver) == ('clip-1', server.url)
    assert abs(receipt.clock_offset) <= receipt.clock_offset_error + 1e-3  # the same clock
    arrived = tmp_path / 'library' / 'clip-1'
    verify(arrived)
    assert read_manifest(arrived) == read_manifest(clip)
    said = json.loads((clip / SHIPPED).read_text())
    assert said['sha256'] == receipt.sha256 and said['clock_offset'] == receipt.clock_offset
    assert list_clips(clip.parent)[0].shipped == server.url
    assert ship(clip, server.url).sha256 == receipt.sha256  # again: nothing is sent


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
    [(status, RefusedError) for status in (400, 409, 413)]
    + [(status, UnreachableError) for status in (307, 401, 403, 404, 408, 429, 503, 507)]
    + [(500, ShipError), (201, ShipError), (422, SpoiledError)],
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
    with pytest.raises(UnreachableError, match='127.0.0.1:9'):
        ship(clip, 'http://127.0.0.1:9')


def test_waits_double_up_to_a_limit():
    waits = itertools.islice(backoff(1.0, 5.0, lambda: 0.0), 5)
    assert list(waits) == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert list(itertools.islice(backoff(1.0, 5.0, lambda: 0.5), 3)) == [0.75, 1.5, 3.0]


def test_a_cap_holds_on_average():
    now = [100.0]
    throttle = Throttle(1000.0, lambda: now[0])
    for size in (500, 1000, 10, 490):
        now[0] += throttle.take(size)
    assert now[0] == pytest.approx(101.51)  # the last starts when the first 1510 B are through
    assert throttle.fit(1 << 20) == 1024 and Throttle(0.0).take(1 << 30) == 0.0


def test_what_matters_more_goes_first(clip):
    info = list_clips(clip.parent)[0]
    infos = [
        dataclasses.replace(info, clip=name, created=created, detectors=detectors)
        for name, created, detectors in (
            ('a', '1', ('imu',)), ('b', '2', ('collision',)), ('c', '3', ('imu', 'operator')),
            ('d', '0', ('collision',)),
        )
    ]  # fmt: skip
    ranked = sorted(infos, key=lambda i: urgency(i, ('operator', 'collision')))
    assert [i.clip for i in ranked] == ['c', 'd', 'b', 'a']


def test_ships_when_the_receiver_comes_and_when_woken(start, clip, tmp_path, port):
    uplink, reports = start(clip.parent, f'http://127.0.0.1:{port}')
    for _ in range(2):
        assert 'trying again in 0.0' in reports.get(timeout=WAIT)
    server = ReceiverServer(tmp_path / 'library', port=port)
    try:
        receipts = iter(lambda: reports.get(timeout=WAIT), None)
        assert next(r for r in receipts if isinstance(r, Receipt)).clip == 'clip-1'
        copy_of(clip, 'clip-2')
        uplink.wake()
        assert reports.get(timeout=WAIT).clip == 'clip-2'
        assert uplink.shipped == 2
        assert [i.clip for i in list_clips(tmp_path / 'library')] == ['clip-1', 'clip-2']
    finally:
        assert server.close(10.0)


def test_one_that_is_refused_is_told_once_and_does_not_hold_up_others(start, server, clip):
    (copy_of(clip, 'broken') / 'broken_0.mcap').unlink()
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


def test_a_spool_drains_in_order_of_priority_and_is_emptied(start, server, clip, tmp_path):
    for name, detector in (('clip-2', 'imu'), ('clip-3', 'collision'), ('clip-4', 'operator')):
        event = {'detector': detector, 'stamp': 0.0, 'score': 1.0, 'threshold': 1.0}
        copy_of(clip, name, events=[event])
    uplink, reports = start(
        clip.parent, server.url, priority=('operator', 'collision'), keep=False, once=True
    )
    assert uplink.wait(WAIT)
    told = [reports.get_nowait().clip for _ in range(4)]
    assert told == ['clip-4', 'clip-3', 'clip-1', 'clip-2']
    assert uplink.deleted == 4 and list(clip.parent.glob('clip-*')) == []
    assert {i.clip for i in list_clips(tmp_path / 'library')} == set(told)


def test_hours_offline_drain_in_order_of_priority(start, clip, tmp_path, port):
    """Clips of many hours, some sealed between tries, all deleted once they are acknowledged."""
    rng, detectors, wanted = random.Random(2), ('imu', 'collision', 'operator', 'drift'), []

    def seal(hour):
        detector, name = rng.choice(detectors), f'h-{rng.randrange(1 << 30)}'
        created = f'2026-11-{1 + hour // 24:02}T{hour % 24:02}:00:00+00:00'
        copy_of(clip, name, spool, events=[event_of(detector)], created=created)
        order = {'operator': 0, 'collision': 1}.get(detector, 2)
        wanted.append((order, created, name))

    spool = tmp_path / 'spool'
    spool.mkdir()
    for hour in range(12):
        seal(hour)
    priority = ('operator', 'collision')
    uplink, reports = start(
        spool, f'http://127.0.0.1:{port}', priority=priority, keep=False, longest_wait=0.3
    )
    for hour in range(12, 30):
        if hour % 6 == 0:
            assert 'trying again' in reports.get(timeout=WAIT)
        seal(hour)
        uplink.wake()
    assert len(list_clips(spool)) == 30 and uplink.deleted == 0
    server = ReceiverServer(tmp_path / 'library', port=port)
    try:
        told = iter(lambda: reports.get(timeout=WAIT), None)
        receipts = (report for report in told if isinstance(report, Receipt))
        shipped = [receipt.clip for receipt in itertools.islice(receipts, 30)]
    finally:
        assert server.close(10.0)
    assert shipped == [name for _, _, name in sorted(wanted)]
    assert list_clips(spool) == [] and uplink.deleted == 30
    assert {info.clip for info in list_clips(tmp_path / 'library')} == set(shipped)


def test_nothing_is_deleted_for_an_acknowledgement_of_another_hash(start, answering, clip):
    uplink, reports = start(clip.parent, answering(201), keep=False)
    for _ in range(3):
        assert 'another hash' in reports.get(timeout=WAIT)
    assert uplink.deleted == 0 and [info.clip for info in list_clips(clip.parent)] == ['clip-1']
    verify(clip)


MANY = b'1' + b'0' * 400
WHOLE = b'{"offsets": {"clip-1_0.mcap": %b, "metadata.yaml": %b}}' % (MANY, MANY)


@pytest.mark.parametrize(
    ('first', 'rest'),
    [
        (b'<html lang=de>Bitte anmelden: G\xe4ste</html>', b''),  # a guest network's, in Latin 1
        (b'[' * 100_000, b''),
        (b'{"offsets": {"clip-1_0.mcap": -7}}', b'{}'),
        (WHOLE, b'{"time": %b}' % MANY),
        (WHOLE, b'{"time": NaN}'),
        (b'{"sha256": ["x"]}', b''),
        (None, b''),  # without an end
    ],
)
def test_whatever_answers_the_uplink_goes_on(start, clip, first, rest):
    with socket.create_server(('127.0.0.1', 0)) as listening:
        listening.settimeout(WAIT)
        stop = threading.Event()
        threading.Thread(
            target=answer_with, args=(listening, first, rest, stop), daemon=True
        ).start()
        url = f'http://127.0.0.1:{listening.getsockname()[1]}'
        uplink, reports = start(clip.parent, url, keep=False, deadline=5.0)
        for _ in range(2):
            assert 'trying again' in reports.get(timeout=WAIT)
        assert uplink.alive and uplink.shipped == uplink.deleted == 0
        uplink.close(10.0)
        stop.set()
    verify(clip)


def answer_with(listening, first, rest, stop):
    """Answer each request for a clip with bytes (endlessly if None), others with other bytes."""
    said = b'Content-Type: text/html; charset=utf-8\r\nUpload-Offset: -3\r\n'
    while not stop.is_set():
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(1.0)
            try:
                asked = connection.recv(1 << 16)
                text = first if asked.startswith(b'PUT') else rest
                missing = text is not None and b'offsets' in text
                head = (b'HTTP/1.1 202 On\r\n' if missing else b'HTTP/1.1 200 OK\r\n') + said
                while text is None:
                    connection.sendall(head + b'\r\n' + bytes(1 << 20))
                length = b'Content-Length: %d\r\nConnection: close\r\n\r\n' % len(text)
                connection.sendall(head + length + text)
                while connection.recv(1 << 16):  # what else it sends
                    continue
            except OSError:
                continue


def test_credentials_that_change_are_shown_without_a_restart(start, clip, tmp_path):
    """As after a new token; what will not do in between is told, and changes nothing."""
    keys, robot = tmp_path / 'keys.yaml', tmp_path / 'robot.yaml'
    robot.write_text('token: old')
    add_token(keys, 'viewers', 'anna')
    server = ReceiverServer(tmp_path / 'library', access=AccessFile(keys))
    try:
        uplink, reports = start(clip.parent, server.url, credentials=load_credentials(robot))
        assert '401' in reports.get(timeout=WAIT)
        robot.write_text('token: [')
        told = iter(lambda: reports.get(timeout=WAIT), None)
        assert 'old credentials hold' in next(t for t in told if 'trying again' not in t)
        robot.write_text(f'token: {add_token(keys, "robots", "arm7")}')
        assert next(r for r in told if isinstance(r, Receipt)).clip == 'clip-1'
        assert uplink.alive
    finally:
        assert server.close(10.0)


def test_credentials_that_change_while_they_are_read_are_shown_next(
    start, clip, tmp_path, monkeypatch
):
    keys, robot = tmp_path / 'keys.yaml', tmp_path / 'robot.yaml'
    robot.write_text('token: old')
    shown = load_credentials(robot)
    robot.write_text('token: older')  # before the uplink starts
    later = [f'token: {add_token(keys, "robots", "arm7")}']

    def load(path):
        found = load_credentials(path)
        if later:
            robot.write_text(later.pop())
        return found

    monkeypatch.setattr(uplink_module, 'load_credentials', load)
    server = ReceiverServer(tmp_path / 'library', access=AccessFile(keys))
    try:
        _, reports = start(clip.parent, server.url, credentials=shown)
        told = [reports.get(timeout=WAIT)]
        while not isinstance(told[-1], Receipt) and len(told) < 20:
            told.append(reports.get(timeout=WAIT))
        assert told[-1].clip == 'clip-1'
    finally:
        assert server.close(10.0)


def test_a_store_without_room_is_waited_for(start, clip, tmp_path):
    """The quota holds, nothing there is deleted, nothing here; room that people make is used."""
    size = sum(path.stat().st_size for path in clip.iterdir())
    for name in ('clip-2', 'clip-3'):
        copy_of(clip, name)
    library, most = tmp_path / 'library', 2 * size + 2000
    server = ReceiverServer(library, store_bytes=most)
    try:
        uplink, reports = start(clip.parent, server.url, keep=False)
        told = iter(lambda: reports.get(timeout=WAIT), None)
        refusal = next(t for t in told if isinstance(t, str))
        assert '507' in refusal and 'store_bytes' in refusal and 'trying again' in refusal
        assert [info.clip for info in list_clips(library)] == ['clip-1', 'clip-2']
        assert [info.clip for info in list_clips(clip.parent)] == ['clip-3'] and not uplink.refused
        usage = server.receiver.usage
        assert (
            usage.full and usage.used <= usage.most == most and 'full' in server.receiver.trouble
        )
        shutil.rmtree(library / 'clip-1')
        server.receiver._counted = -1e9  # looked long ago
        assert next(r for r in told if isinstance(r, Receipt)).clip == 'clip-3'
        assert server.receiver.trouble == '' and list_clips(clip.parent) == []
    finally:
        assert server.close(10.0)


def test_what_matters_more_goes_before_what_is_under_way(start, server, clip, monkeypatch):
    """The large one is left in the middle, and goes on where it was."""
    real, sent = HttpTransport.append, []

    async def append(self, outgoing, name, offset, block):
        if not sent:
            block = block[:1000]
            event = {'detector': 'operator', 'stamp': 0.0, 'score': 1.0, 'threshold': 1.0}
            copy_of(spool / 'clip-1', 'urgent', events=[event])
            uplink.wake()
        sent.append((outgoing.clip, offset))
        return await real(self, outgoing, name, offset, block)

    monkeypatch.setattr(HttpTransport, 'append', append)
    spool = clip.parent / 'spool'
    spool.mkdir()
    uplink, reports = start(spool, server.url, priority=('operator',))
    clip.rename(spool / 'clip-1')
    uplink.wake()
    assert [reports.get(timeout=WAIT).clip for _ in range(2)] == ['urgent', 'clip-1']
    assert sent[0] == ('clip-1', 0) and sent[1][0] == 'urgent' and ('clip-1', 1000) in sent


def test_a_receiver_that_puts_a_file_back_for_ever_is_left(answering, clip, monkeypatch):
    async def back(self, clip, name, offset, block):
        return 0

    monkeypatch.setattr(HttpTransport, 'append', back)
    with pytest.raises(ShipError, match='does not get beyond 0 B'):
        ship(clip, answering(422))


def test_two_that_share_a_spool(start, server, clip, tmp_path):
    """Each clip arrives once, whoever is faster; the slower one takes no offence."""
    for i in range(2, 12):
        copy_of(clip, f'clip-{i}')
    both = [start(clip.parent, server.url, keep=False, once=True) for _ in range(2)]
    assert all(uplink.wait(WAIT) for uplink, _ in both)
    assert list_clips(clip.parent) == [] and len(list_clips(tmp_path / 'library')) == 11
    assert server.receiver.received == 11 and sum(uplink.deleted for uplink, _ in both) == 11
    assert all(uplink.refused == set() for uplink, _ in both)
