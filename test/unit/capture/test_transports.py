"""Other ways than our receiver, against real servers; each is skipped by name where it is not."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from sim2real_capture.clip import MANIFEST, SHIPPED
from sim2real_capture.library import list_clips, verify
from sim2real_capture.store import RECEIVED
from sim2real_capture.transports import (
    Credentials,
    RefusedError,
    ShipError,
    SpoiledError,
    UnreachableError,
    load_credentials,
    open_transport,
    outgoing,
)
from sim2real_capture.uplink import Uplink, deliver, ship
from sim2real_core.errors import InputError
from test.clips import copy_of, event_of, renew
from test.s3 import Storage

ROOT = Path(__file__).parents[3]


@pytest.fixture
def storage(monkeypatch):
    """An S3 storage with an empty bucket, whose clock is a minute ahead."""
    pytest.importorskip('boto3', reason='boto3 is not installed')
    running = Storage('failures', skew=60.0)
    for name, value in (
        ('AWS_ENDPOINT_URL', running.url),
        ('AWS_ACCESS_KEY_ID', 'robot'),
        ('AWS_SECRET_ACCESS_KEY', 'secret'),
        ('AWS_DEFAULT_REGION', 'us-east-1'),
        ('AWS_CONFIG_FILE', os.devnull),
        ('AWS_SHARED_CREDENTIALS_FILE', os.devnull),
    ):
        monkeypatch.setenv(name, value)
    yield running
    running.close()


@pytest.fixture
def machine(tmp_path):
    """A machine with SSH: its address, what a robot shows there, and its folder."""
    asyncssh = pytest.importorskip('asyncssh', reason='asyncssh is not installed')
    home, keys = tmp_path / 'machine', tmp_path / 'keys'
    home.mkdir()
    keys.mkdir()
    host_key, robot_key = (asyncssh.generate_private_key('ssh-ed25519') for _ in range(2))
    robot_key.write_private_key(keys / 'robot')
    loop, ready, stop, port = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def serve():
        server = await asyncssh.listen(
            '127.0.0.1', 0,
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(
                robot_key.export_public_key().decode()
            ),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(home).encode()),
        )  # fmt: skip
        port.append(server.get_port())
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    known = f'[127.0.0.1]:{port[0]} {host_key.export_public_key().decode()}'
    (keys / 'known_hosts').write_text(known)
    shown = Credentials(key=str(keys / 'robot'), authority=str(keys / 'known_hosts'))
    yield f'sftp://robot@127.0.0.1:{port[0]}/store', shown, home / 'store'
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


def content(storage):
    """Of each object of the bucket, by key."""
    return {key: stored.data for key, stored in storage.objects['failures'].items()}


def check_clock(receipt, note, ahead, source):
    """The clock is so far ahead, within what was said; sender and place have noted it alike."""
    assert receipt.clock_source == source and receipt.clock_offset_error < 1.0
    assert abs(receipt.clock_offset - ahead) <= receipt.clock_offset_error + 1e-3
    noted = json.loads(note)
    keys = ('clock_offset', 'clock_offset_error', 'clock_source')
    assert [noted[key] for key in keys] == [getattr(receipt, key) for key in keys]
    at = datetime.fromisoformat(noted['at']).timestamp()
    assert abs(at - ahead - time.time()) < 20.0


async def cut_after(transport, clip, appends):
    """Deliver a clip until so many blocks got there."""
    real, left = transport.append, [appends]

    async def append(*given):
        if not left[0]:
            raise UnreachableError('cut')
        left[0] -= 1
        return await real(*given)

    transport.append = append
    try:
        return await deliver(clip, transport)
    finally:
        await transport.close()


def test_s3_goes_on_where_it_was(storage, clip):
    with (clip / 'clip-1_0.mcap').open('ab') as stream:  # two parts and a rest
        stream.write(bytes(11 << 20))
    renew(clip)
    url = 's3://failures/arm7'
    with pytest.raises(UnreachableError, match='cut'):
        asyncio.run(cut_after(open_transport(url), clip, 1))
    assert content(storage) == {}
    offsets = asyncio.run(open_transport(url).begin(outgoing(clip)))
    assert offsets == {'clip-1_0.mcap': 5 << 20, 'metadata.yaml': 0}
    receipt = ship(clip, url)
    kept = content(storage)
    assert list(kept)[-1] == f'arm7/clip-1/{MANIFEST}' and storage.uploads == {}
    note = kept.pop(f'arm7/clip-1/{RECEIVED}')
    names = (MANIFEST, 'clip-1_0.mcap', 'metadata.yaml')
    assert kept == {f'arm7/clip-1/{name}': (clip / name).read_bytes() for name in names}
    sent = [path for method, path in storage.asked if 'partNumber' in path]
    assert len(sent) == len(set(sent)) == 4  # three of one file, one of the other; none twice
    assert json.loads((clip / SHIPPED).read_text())['receiver'] == receipt.receiver == url
    check_clock(receipt, note, 60.0, 'date header')
    assert ship(clip, url).sha256 == receipt.sha256
    assert content(storage) == {**kept, f'arm7/clip-1/{RECEIVED}': note}


def test_s3_puts_together_what_was_cut_off_before(storage, clip):
    transport = open_transport('s3://failures')
    transport._complete = lambda where: None  # it dies just before
    with pytest.raises(ShipError, match='is not there'):
        asyncio.run(cut_after(transport, clip, 9))
    assert content(storage) == {}
    ship(clip, 's3://failures')
    assert f'clip-1/{MANIFEST}' in content(storage)


@pytest.mark.parametrize('checked', [True, False])
def test_s3_tells_what_was_spoiled(storage, clip, checked):
    """By the storage's checksum; by reading back where it keeps none."""
    ship(clip, 's3://failures')
    stored = storage.objects['failures']['clip-1/clip-1_0.mcap']
    stored.data = stored.data[:100] + bytes([stored.data[100] ^ 1]) + stored.data[101:]
    digest = hashlib.sha256(hashlib.sha256(stored.data).digest()).digest()
    stored.checksum = f'{base64.b64encode(digest).decode()}-1' if checked else ''
    (clip / SHIPPED).unlink()
    with pytest.raises(SpoiledError):
        ship(clip, 's3://failures')
    assert not (clip / SHIPPED).exists()
    ship(clip, 's3://failures')  # anew
    assert content(storage)['clip-1/clip-1_0.mcap'] == (clip / 'clip-1_0.mcap').read_bytes()


def test_s3_takes_no_other_clip_of_the_same_name(storage, clip):
    ship(clip, 's3://failures')
    before = content(storage)
    manifest = json.loads((clip / MANIFEST).read_text())
    (clip / MANIFEST).write_text(json.dumps({**manifest, 'end': 'changed'}))
    with pytest.raises(RefusedError, match='another clip'):
        ship(clip, 's3://failures')
    assert content(storage) == before


async def overtaken(transport, clip, other):
    """Deliver a clip; just before it is finished, another of its name is there."""
    real = transport.finish

    async def finish(sent):
        await asyncio.to_thread(other)
        return await real(sent)

    transport.finish = finish
    try:
        return await deliver(clip, transport)
    finally:
        await transport.close()


def renamed(clip, folder):
    """Another clip of the same name."""
    shutil.copytree(clip, folder / clip.name)
    manifest = json.loads((clip / MANIFEST).read_text())
    (folder / clip.name / MANIFEST).write_text(json.dumps({**manifest, 'end': 'changed'}))
    return folder / clip.name


def test_s3_acknowledges_no_other_clip_that_came_first(storage, clip, tmp_path):
    url, other = 's3://failures', renamed(clip, tmp_path / 'other')
    with pytest.raises(RefusedError, match='another clip'):
        asyncio.run(overtaken(open_transport(url), clip, lambda: ship(other, url)))


@pytest.mark.parametrize(
    ('bucket', 'secret', 'said'),
    [('nowhere', 'secret', 'NoSuchBucket'), ('failures', 'wrong', 'SignatureDoesNotMatch')],
)
def test_s3_that_lets_nobody_in_is_tried_again(storage, clip, monkeypatch, bucket, secret, said):
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', secret)
    with pytest.raises(UnreachableError, match=rf'{bucket}.*{said}'):
        ship(clip, f's3://{bucket}')
    assert not (clip / SHIPPED).exists() and content(storage) == {}


def test_s3_has_a_spool_drained_in_order_and_only_then_emptied(storage, clip):
    spool, kept = clip.parent / 'spool', []
    spool.mkdir()
    for name in ('usual', 'urgent'):
        copy_of(clip, name, spool, events=[event_of('operator' if name == 'urgent' else 'imu')])
    real = storage.done

    def done(request, body):
        kept.append({info.clip for info in list_clips(spool)})
        return real(request, body)

    storage.done = done
    uplink = Uplink(spool, 's3://failures', priority=('operator',), keep=False, once=True)
    assert uplink.wait(30.0)
    puts = [path for method, path in storage.asked if MANIFEST in path and method == 'PUT']
    assert puts == [f'/failures/{name}/{MANIFEST}' for name in ('urgent', 'usual')]
    last = [i for i, asked in enumerate(storage.asked) if asked == ('PUT', puts[0])]
    assert all('urgent' in there for there in kept[: last[0] + 1])
    assert list_clips(spool) == [] and kept[-1] == {'usual'}


def test_a_process_ends_though_s3_does_not_answer(storage, clip):
    script = (
        'import sys; from pathlib import Path; from sim2real_capture.uplink import Uplink\n'
        'uplink = Uplink(Path(sys.argv[1]), "s3://failures", deadline=600.0)\n'
        'sys.stdin.readline(); assert uplink.close(20.0)'
    )
    with socket.create_server(('127.0.0.1', 0)) as deaf:
        port = deaf.getsockname()[1]
        ours = {'AWS_ENDPOINT_URL': f'http://127.0.0.1:{port}', 'PYTHONPATH': str(ROOT)}
        with subprocess.Popen(
            [sys.executable, '-c', script, str(clip.parent)],
            stdin=subprocess.PIPE,
            env={**os.environ, **ours},
        ) as process:
            try:
                deaf.settimeout(60.0)
                asking, _ = deaf.accept()
                process.stdin.write(b'\n')
                process.stdin.close()
                assert process.wait(60.0) == 0
                asking.close()
            finally:
                process.kill()


def test_sftp_goes_on_where_it_was(machine, clip):
    url, shown, store = machine
    transport = open_transport(url, shown)
    transport.block = 1000
    with pytest.raises(UnreachableError, match='cut'):
        asyncio.run(cut_after(transport, clip, 2))
    assert (store / '.incoming' / 'clip-1' / 'clip-1_0.mcap').stat().st_size == 2000
    assert not (store / 'clip-1').exists()
    receipt = ship(clip, url, credentials=shown)
    verify(store / 'clip-1')
    assert (store / 'clip-1' / MANIFEST).read_bytes() == (clip / MANIFEST).read_bytes()
    assert list((store / '.incoming').iterdir()) == []
    check_clock(receipt, (store / 'clip-1' / RECEIVED).read_text(), 0.0, 'file time')
    assert ship(clip, url, credentials=shown).sha256 == receipt.sha256


def test_sftp_reads_back_and_tells_what_was_spoiled(machine, clip):
    url, shown, store = machine
    incoming = store / '.incoming' / 'clip-1'
    incoming.mkdir(parents=True)
    data = bytearray((clip / 'clip-1_0.mcap').read_bytes())
    data[100] ^= 1
    (incoming / 'clip-1_0.mcap').write_bytes(data)
    with pytest.raises(SpoiledError):
        ship(clip, url, credentials=shown)
    ship(clip, url, credentials=shown)
    verify(store / 'clip-1')


def test_sftp_takes_no_other_clip_of_the_same_name(machine, clip):
    url, shown, store = machine
    shutil.copytree(clip, store / 'clip-1')
    (store / 'clip-1' / MANIFEST).write_text('{}')
    with pytest.raises(RefusedError, match='another clip'):
        ship(clip, url, credentials=shown)


def test_sftp_acknowledges_no_other_clip_that_came_first(machine, clip):
    url, shown, store = machine
    transport = open_transport(url, shown)
    with pytest.raises(RefusedError, match='another clip'):
        asyncio.run(overtaken(transport, clip, lambda: renamed(clip, store)))
    assert json.loads((store / 'clip-1' / MANIFEST).read_text())['end'] == 'changed'


def test_sftp_to_a_machine_that_tells_no_times_goes_without_a_clock(machine, clip, monkeypatch):
    import asyncssh

    url, shown, store = machine
    real = asyncssh.SFTPClient.stat

    async def timeless(*given, **named):
        found = await real(*given, **named)
        found.mtime = None
        return found

    monkeypatch.setattr(asyncssh.SFTPClient, 'stat', timeless)
    assert ship(clip, url, credentials=shown).clock_offset is None
    verify(store / 'clip-1')
    assert not (store / 'clip-1' / RECEIVED).exists()


def test_sftp_with_a_key_that_is_being_written_is_tried_again(machine, clip):
    url, shown, _ = machine
    key = Path(shown.key)
    whole = key.read_bytes()
    key.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreachableError, match='sftp://'):
        ship(clip, url, credentials=shown)
    key.write_bytes(whole)
    ship(clip, url, credentials=shown)


def test_sftp_to_a_machine_whose_disk_hangs_has_a_deadline(machine, clip, monkeypatch):
    import asyncssh

    async def hanging(*_):
        await asyncio.sleep(600.0)

    url, shown, store = machine
    for call in ('open', 'write', 'close'):
        with monkeypatch.context() as patch:
            patch.setattr(asyncssh.SFTPServer, call, hanging)
            with pytest.raises(UnreachableError, match=r'no answer within 0\.5 s'):
                ship(clip, url, 0.5, shown)
    assert not (store / 'clip-1').exists()
    ship(clip, url, credentials=shown)
    verify(store / 'clip-1')


def test_sftp_talks_to_no_machine_it_does_not_know(machine, clip, tmp_path):
    url, shown, store = machine
    (tmp_path / 'nobody').write_text('')
    with pytest.raises(UnreachableError):
        ship(
            clip,
            url,
            credentials=Credentials(shown.token, '', shown.key, str(tmp_path / 'nobody')),
        )
    assert not store.exists()


def test_credentials_are_files_beside_their_file(tmp_path):
    (tmp_path / 'ca.pem').write_text('')
    (tmp_path / 'robot.yaml').write_text('token: abc\nauthority: ca.pem\n')
    credentials = load_credentials(tmp_path / 'robot.yaml')
    assert credentials == Credentials('abc', '', '', str(tmp_path / 'ca.pem'))
    assert load_credentials('') == Credentials()


@pytest.mark.parametrize(
    'text',
    [
        'tokens: x',
        'token: [x]',
        'token: "a\\nb"',
        'token: ключ',
        'key: nothing.pem',
        '[]',
        '{',
        'x',
    ],
)
def test_credentials_that_will_not_do(tmp_path, text):
    (tmp_path / 'robot.yaml').write_text(text)
    with pytest.raises(InputError, match='robot.yaml'):
        load_credentials(tmp_path / 'robot.yaml')


@pytest.mark.parametrize(
    'url', ['ftp://host', 'http://', 'sftp://host:port/x', 'http://[::1', 'http://host:0', '']
)
def test_addresses_of_no_transport(url):
    with pytest.raises(InputError, match='receiver'):
        open_transport(url)


@pytest.mark.parametrize(('name', 'value'), [('AWS_PROFILE', 'nobody'), ('AWS_ENDPOINT_URL', 'x')])
def test_s3_with_settings_that_will_not_do(monkeypatch, name, value):
    pytest.importorskip('boto3')
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match='AWS_'):
        open_transport('s3://bucket')
