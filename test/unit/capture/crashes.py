"""Capture, uplink and receiver as processes that are killed at random instants, or lack room.

A program of its own, so that it can fork: ``python crashes.py kill <folder> <kills> <seed>`` or
``python crashes.py full <folder>``. It prints what became of the clips, as JSON.
"""

import json
import os
import random
import resource
import signal
import socket
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from rosbags.typesys import Stores, get_typestore

from sim2real_capture.clip import JOURNAL, MANIFEST, PART, Context, Journal, clip_name
from sim2real_capture.clip_sealing import seal
from sim2real_capture.library import list_clips, verify
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.ring import Record
from sim2real_capture.uplink import Uplink
from sim2real_capture.writer import ClipWriter, Sealed
from sim2real_core.errors import InputError
from sim2real_core.records import Event

KIND = 'std_msgs/msg/Float64MultiArray'
DRAIN = 60.0  # [s] for what is left once nobody is killed any more
CONTEXT = Context('arm6', 'f' * 64)


def records(count, rng):
    """Messages that do not compress."""
    store = get_typestore(Stores.LATEST)
    layout = store.types['std_msgs/msg/MultiArrayLayout'](dim=[], data_offset=0)
    made = []
    for i in range(count):
        message = store.types[KIND](layout=layout, data=rng.random(200))
        data = bytes(store.serialize_cdr(message, KIND))
        made.append(Record('/noise', KIND, 10**9 + i * 10**6, data))
    return made


def capture(spool, log, made, more):
    """Writes clip after clip; notes each that was sealed."""

    def report(told):
        if isinstance(told, Sealed):
            os.write(log, f'{told.folder.name}\n'.encode())

    writer = ClipWriter(spool, lambda: CONTEXT, report, clip_bytes=1 << 20, spool_bytes=1 << 30)
    while more:
        now = datetime.now(timezone.utc)
        name = clip_name('test', now, f'{os.getpid()}-{time.monotonic_ns()}')
        writer.start(name, Event(1.0, 'test', 1.0, 0.5), made[:5])
        for record in made[5:]:
            writer.write(record)
        writer.finish('complete')
        time.sleep(0.03)
    writer.close(DRAIN)


def uplink(spool, url):
    """Ships whatever comes; deletes what was acknowledged."""
    running = Uplink(spool, url, deadline=5.0, first_wait=0.02, longest_wait=0.1, keep=False)
    while running.alive:
        running.wake()
        time.sleep(0.02)
    os._exit(1)


def receiver(library, port, room=None):
    """Keeps clips; ``room`` limits the size of its files [B]."""
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    running = ReceiverServer(library, port=port)
    while running.alive:
        time.sleep(0.05)
    os._exit(1)


def start(role, *given):
    """Run a role in a process of its own; gives its id."""
    child = os.fork()
    if child == 0:
        try:
            role(*given)
        finally:
            os._exit(0)
    return child


def kill(child):
    """At once, without a word."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as reserved:
        return reserved.getsockname()[1]


def drain(spool):
    """Wait until nothing is left in the spool; gives what is."""
    end = time.monotonic() + DRAIN
    while list_clips(spool) and time.monotonic() < end:
        time.sleep(0.05)
    return [path.name for path in spool.iterdir()]


def outcome(spool, library, sealed):
    """What became of the clips."""
    damaged = []
    for info in list_clips(library):
        try:
            verify(info.path)
        except InputError as error:
            damaged.append(str(error))
    arrived = [info.clip for info in list_clips(library)]
    return {
        'sealed': len(sealed),
        'arrived': len(arrived),
        'lost': sorted(set(sealed) - set(arrived)),
        'damaged': damaged,
        'left': drain(spool),
    }


def killed_at_random(folder, kills, seed):
    """All three, killed one after the other, again and again."""
    rng = random.Random(seed)
    made = records(40, np.random.default_rng(seed))
    spool, library, port = folder / 'spool', folder / 'library', free_port()
    spool.mkdir()
    log = os.open(folder / 'sealed', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    roles = {
        'capture': (capture, spool, log, made, True),
        'uplink': (uplink, spool, f'http://127.0.0.1:{port}'),
        'receiver': (receiver, library, port),
    }
    running = {name: start(*given) for name, given in roles.items()}
    for _ in range(kills):
        time.sleep(rng.expovariate(1 / 0.08))
        name = rng.choice(list(roles))
        kill(running[name])
        running[name] = start(*roles[name])
    kill(running.pop('capture'))
    os.waitpid(start(capture, spool, log, made, False), 0)  # recovers what was cut off
    drain(spool)
    for child in running.values():
        kill(child)
    return outcome(spool, library, (folder / 'sealed').read_text().split())


def without_room(folder):
    """A receiver whose disk is full, then is not."""
    made = records(60, np.random.default_rng(0))
    spool, library, port = folder / 'spool', folder / 'library', free_port()
    spool.mkdir()
    names = []
    for i, size in enumerate((60, 5, 60, 5)):
        journal = Journal(spool, f'clip-{i}', CONTEXT, datetime.now(timezone.utc))
        for record in made[:size]:
            journal.message(record)
        journal.close('complete')
        journal.release()
        names.append(seal(journal.folder).name)
    assert not list(spool.glob(f'*{PART}/{JOURNAL}'))
    full = start(receiver, library, port, 40_000)
    sender = start(uplink, spool, f'http://127.0.0.1:{port}')
    time.sleep(1.0)
    early = [path.parent.name for path in library.glob(f'*/{MANIFEST}')]
    kill(full)
    roomy = start(receiver, library, port)
    drain(spool)
    kill(sender)
    kill(roomy)
    return {**outcome(spool, library, names), 'early': early}


if __name__ == '__main__':
    what, place, *numbers = sys.argv[1:]
    act = {'kill': killed_at_random, 'full': without_room}[what]
    print(json.dumps(act(Path(place), *map(int, numbers))))
