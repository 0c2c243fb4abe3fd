"""Other ways than our receiver, against real servers; each is skipped by name where it is not."""

import asyncio
import json
import shutil
import threading
import urllib.request

import pytest

from sim2real_capture import transports_s3
from sim2real_capture.clip import MANIFEST, SHIPPED
from sim2real_capture.library import verify
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
from sim2real_capture.uplink import deliver, ship
from sim2real_core.errors import InputError


@pytest.fixture
def bucket(monkeypatch):
    """An S3 server with an empty bucket, and a client."""
    server = pytest.importorskip('moto.server', reason='moto (with its server) is not installed')
    boto3 = pytest.importorskip('boto3', reason='boto3 is not installed')
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in (
        ('AWS_ENDPOINT_URL', f'http://{host}:{port}'),
        ('AWS_ACCESS_KEY_ID', 'robot'),
        ('AWS_SECRET_ACCESS_KEY', 'secret'),
        ('AWS_DEFAULT_REGION', 'us-east-1'),
    ):
        monkeypatch.setenv(name, value)
    reset = urllib.request.Request(f'http://{host}:{port}/moto-api/reset', method='POST')
    urllib.request.urlopen(reset, timeout=10).close()  # it outlives its servers
    client = boto3.client('s3')
    client.create_bucket(Bucket='failures')
    yield client
    client.close()
    running.stop()


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


def objects(client):
    """Content by key."""
    found = client.list_objects_v2(Bucket='failures').get('Contents', ())
    read = client.get_object
    return {o['Key']: read(Bucket='failures', Key=o['Key'])['Body'].read() for o in found}


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


def test_s3_goes_on_where_it_was(bucket, clip, monkeypatch):
    monkeypatch.setattr(transports_s3, 'PART', 5 << 20)
    with (clip / 'clip-1_0.mcap').open('ab') as stream:  # two parts and a rest
        stream.write(bytes(11 << 20))
    renew(clip)
    url = 's3://failures/arm7'
    with pytest.raises(UnreachableError, match='cut'):
        asyncio.run(cut_after(open_transport(url), clip, 1))
    assert objects(bucket) == {}
    offsets = asyncio.run(open_transport(url).begin(outgoing(clip)))
    assert offsets == {'clip-1_0.mcap': 5 << 20, 'metadata.yaml': 0}
    receipt = ship(clip, url)
    names = (MANIFEST, 'clip-1_0.mcap', 'metadata.yaml')
    kept = {f'arm7/clip-1/{name}': (clip / name).read_bytes() for name in names}
    assert objects(bucket) == kept
    assert json.loads((clip / SHIPPED).read_text())['receiver'] == receipt.receiver == url
    assert ship(clip, url).sha256 == receipt.sha256 and objects(bucket) == kept


def test_s3_puts_together_what_was_cut_off_before(bucket, clip):
    transport = open_transport('s3://failures')
    transport._complete = lambda where: None  # it dies just before
    with pytest.raises(ShipError, match='is not there'):
        asyncio.run(cut_after(transport, clip, 9))
    assert objects(bucket) == {}
    ship(clip, 's3://failures')
    assert f'clip-1/{MANIFEST}' in objects(bucket)


def renew(clip):
    """Make a manifest fit its files."""
    import hashlib

    manifest = json.loads((clip / MANIFEST).read_text())
    for name, entry in manifest['files'].items():
        data = (clip / name).read_bytes()
        entry.update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (clip / MANIFEST).write_text(json.dumps(manifest))


def test_s3_tells_what_was_spoiled(bucket, clip):
    ship(clip, 's3://failures')
    digest = outgoing(clip).hashes['clip-1_0.mcap']
    data = bytearray((clip / 'clip-1_0.mcap').read_bytes())
    data[100] ^= 1
    bucket.put_object(
        Bucket='failures',
        Key='clip-1/clip-1_0.mcap',
        Body=bytes(data),
        Metadata={'sha256': digest},
    )
    with pytest.raises(SpoiledError):
        ship(clip, 's3://failures')
    ship(clip, 's3://failures')  # anew
    assert objects(bucket)['clip-1/clip-1_0.mcap'] == (clip / 'clip-1_0.mcap').read_bytes()


def test_s3_without_its_bucket_is_tried_again(bucket, clip):
    with pytest.raises(UnreachableError, match='nowhere'):
        ship(clip, 's3://nowhere')
    assert not (clip / SHIPPED).exists()


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


@pytest.mark.parametrize('text', ['tokens: x', 'token: [x]', 'key: nothing.pem', '[]', '{', 'x'])
def test_credentials_that_will_not_do(tmp_path, text):
    (tmp_path / 'robot.yaml').write_text(text)
    with pytest.raises(InputError, match='robot.yaml'):
        load_credentials(tmp_path / 'robot.yaml')


def test_addresses_of_no_transport():
    with pytest.raises(InputError, match='receiver'):
        open_transport('ftp://host')
