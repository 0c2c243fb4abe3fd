"""What may happen on the way: crashes, full disks, cut and slow networks, many robots."""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import sim2real_capture
from sim2real_capture.access import add_token, load_access
from sim2real_capture.catalogue import Catalogue
from sim2real_capture.clip import SHIPPED
from sim2real_capture.library import list_clips, verify
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.transports import Credentials
from sim2real_capture.uplink import Receipt, Uplink
from test.clips import copy_of, renew

CRASHES = Path(__file__).with_name('crashes.py')
WAIT = 60.0


def run_crashes(*given, timeout=100.0):
    """Run the program; gives what became of the clips."""
    root = str(Path(sim2real_capture.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, CRASHES, *map(str, given)],
        env={**os.environ, 'PYTHONPATH': root}, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_nothing_lost(found):
    assert found['lost'] == [] and found['damaged'] == [] and found['left'] == []
    assert found['arrived'] >= found['sealed'] > 0


def test_killed_25_times_at_random(tmp_path):
    check_nothing_lost(run_crashes('kill', tmp_path, 25, 1))


@pytest.mark.soak
@pytest.mark.parametrize('seed', range(2, 7))
def test_killed_500_times_at_random(tmp_path, seed):
    found = run_crashes('kill', tmp_path, 100, seed, timeout=600.0)
    check_nothing_lost(found)
    assert found['sealed'] > 50


def test_a_receiver_without_room_takes_what_fits_and_the_rest_later(tmp_path):
    found = run_crashes('full', tmp_path)
    check_nothing_lost(found)
    assert set(found['early']) <= {'clip-1', 'clip-3'} and found['arrived'] == 4


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of so many bytes."""
    place = tmp_path / 'disk'
    place.mkdir()

    def mount(size, again=False):
        options = f'size={size}' + (',remount' if again else '')
        told = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', place], capture_output=True, text=True
        )
        if told.returncode:
            pytest.skip(f'no small disk can be mounted: {told.stderr.strip()}')
        return place

    if shutil.which('mount') is None:
        pytest.skip('there is no mount')
    yield mount
    subprocess.run(['umount', '-l', place], capture_output=True, check=False)


def copies_of(clip, spool, count):
    """Sealed clips of other names in a folder."""
    spool.mkdir(exist_ok=True)
    for i in range(count):
        copy_of(clip, f'{spool.name}-{i}', spool)
    return spool


def wait_for(condition):
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_full_disk_of_the_receiver(clip, tmp_path, small_disk):
    library = small_disk('200k') / 'library'
    spool = copies_of(clip, tmp_path / 'spool', 20)
    troubles = []
    server = ReceiverServer(library)
    uplink = Uplink(
        spool, server.url, on_trouble=troubles.append, keep=False, first_wait=0.02,
        longest_wait=0.05,
    )  # fmt: skip
    try:
        wait_for(lambda: any('disk is full' in words for words in troubles))
        assert uplink.alive and len(list_clips(library)) < 20
        small_disk('64m', again=True)
        wait_for(lambda: not list_clips(spool))
    finally:
        assert uplink.close(10.0) and server.close(10.0)
    assert len(list_clips(library)) == 20
    for info in list_clips(library):
        verify(info.path)
    catalogue = Catalogue(library)
    assert len(catalogue.entries()) == 20
    catalogue.close()


def test_a_full_disk_of_the_robot(clip, tmp_path, small_disk):
    """What is acknowledged cannot be marked: it is, once there is room."""
    disk = small_disk('1m')
    spool = copies_of(clip, disk / 'spool', 1)
    with (disk / 'rest').open('wb', buffering=0) as stream, pytest.raises(OSError, match='space'):
        while True:
            stream.write(bytes(512))
    troubles = []
    server = ReceiverServer(tmp_path / 'library')
    uplink = Uplink(
        spool, server.url, on_trouble=troubles.append, first_wait=0.02, longest_wait=0.05
    )
    try:
        wait_for(lambda: any('space' in words for words in troubles))
        assert uplink.alive and len(list_clips(tmp_path / 'library')) == 1
        (disk / 'rest').unlink()
        wait_for(lambda: (spool / 'spool-0' / SHIPPED).exists())
    finally:
        assert uplink.close(10.0) and server.close(10.0)


class Network:
    """A TCP proxy before a server: slow, and cut now and then.

    Args:
        port: of the server.
        rate: [B/s] towards it; 0 is as fast as it goes.
        cut: gives after how many bytes a connection is cut; None never.
    """

    def __init__(self, port, rate=0.0, cut=lambda: None):
        self._port, self._rate, self._cut = port, rate, cut
        self.passed, self.cuts = 0, 0
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10.0)
        self.url = f'http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}'

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)

    def _run(self, ready):
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._pass, '127.0.0.1', 0, limit=1 << 12)
        )
        self._loop.call_soon(ready.set)
        self._loop.run_forever()

    async def _pass(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection('127.0.0.1', self._port)
        back = asyncio.ensure_future(self._copy(far_reader, writer, 0.0, None))
        await self._copy(reader, far_writer, self._rate, self._cut())
        back.cancel()
        for one in (writer, far_writer):
            one.transport.abort()

    async def _copy(self, reader, writer, rate, left):
        try:
            while block := await reader.read(1 << 10):
                if rate:
                    self.passed += len(block)
                    await asyncio.sleep(len(block) / rate)
                if left is not None and (left := left - len(block)) < 0:
                    self.cuts += 1
                    return
                writer.write(block)
                await writer.drain()
        except ConnectionError:
            return


def ship_all_through(clip, tmp_path, clips, rate, cut, deadline):
    """Drain a spool over a bad network; gives it, and the size of all."""
    spool, server = (
        copies_of(clip, tmp_path / 'spool', clips),
        ReceiverServer(tmp_path / 'library'),
    )
    network = Network(int(server.url.rsplit(':', 1)[1]), rate, cut)
    uplink = Uplink(
        spool, network.url, deadline=deadline, first_wait=0.01, longest_wait=0.05, once=True
    )
    try:
        assert uplink.wait(100.0 * clips + WAIT)
    finally:
        uplink.close()
        network.close()
        assert server.close(10.0)
    arrived = list_clips(tmp_path / 'library')
    assert len(arrived) == clips == sum(1 for info in list_clips(spool) if info.shipped)
    for info in arrived:
        verify(info.path)
    files = [p for info in arrived for p in info.path.iterdir()]
    return network, sum(p.stat().st_size for p in files)


def test_a_network_that_is_cut_again_and_again(clip, tmp_path):
    rng = random.Random(3)
    network, size = ship_all_through(
        clip, tmp_path, 6, 1e6, lambda: rng.choice([500, 2500, 6000, 12000]), 5.0
    )
    assert network.cuts >= 3 and network.passed < 6 * size


def test_a_slow_network(clip, tmp_path):
    """10 kB/s, and an answer takes longer than the uplink waits for one at first."""
    network, size = ship_all_through(clip, tmp_path, 1, 10e3, lambda: None, 0.8)
    assert network.cuts == 0 and network.passed > size


@pytest.mark.soak
def test_a_slow_network_that_is_cut(clip, tmp_path):
    rng = random.Random(4)
    bag = clip / 'clip-1_0.mcap'
    network, size = ship_all_through(
        enlarged(clip, bag, 300_000), tmp_path, 2, 10e3,
        lambda: rng.choice([9_000, 40_000, 90_000, 10**9]), 10.0,
    )  # fmt: skip
    assert network.cuts >= 3 and network.passed < 2 * size


def enlarged(clip, bag, size):
    """A clip with so many bytes more, that do not compress."""
    magic = b'\x89MCAP0\r\n'
    bag.write_bytes(bag.read_bytes() + random.Random(0).randbytes(size) + magic)
    return renew(clip)


def test_50_robots_at_once(clip, tmp_path):
    names = [f'robot{i:02}' for i in range(50)]
    tokens = {name: add_token(tmp_path / 'keys.yaml', 'robots', name) for name in names}
    server = ReceiverServer(tmp_path / 'library', access=load_access(tmp_path / 'keys.yaml'))
    troubles, receipts = [], []
    uplinks = [
        Uplink(
            copies_of(clip, tmp_path / name, 2), server.url, credentials=Credentials(tokens[name]),
            on_trouble=troubles.append, on_shipped=receipts.append, once=True,
        )
        for name in names
    ]  # fmt: skip
    try:
        assert all(uplink.wait(WAIT) for uplink in uplinks)
    finally:
        assert server.close(10.0)
    assert troubles == [] and len(receipts) == 100
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    catalogue = Catalogue(tmp_path / 'library')
    robots = {entry.clip: entry.robot for entry in catalogue.entries()}
    catalogue.close()
    assert robots == {f'{name}-{i}': name for name in names for i in range(2)}
    for info in list_clips(tmp_path / 'library'):
        verify(info.path)
