"""``sim2real capture ship``."""

from __future__ import annotations

import argparse
import math
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_capture.uplink import Uplink

HELP = 'ship the clips of a spool to a receiver, to S3 or over SFTP'
DETAILS = """What was cut off goes on where it was. Exit status 1 when not all were acknowledged.
With --follow it is the robot's uplink as a process of its own, beside a capture node that has no
receiver: it waits for clips, also through hours without a network, until it is interrupted."""
EXAMPLE = """
sim2real capture ship --to http://127.0.0.1:8378
sim2real capture ship spool --to s3://failures/arm7 --rate 200e3
sim2real capture ship spool --to sftp://clips@store/arm7 --credentials robot.yaml --delete
sim2real capture ship --to https://store:8378 --credentials robot.yaml --follow --delete
"""
EVERY = 1.0  # [s] between looks for clips that were sealed meanwhile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        'folder', nargs='?', default='', help="folder of clips; the capture node's if not given"
    )
    parser.add_argument(
        '--to', required=True, metavar='ADDRESS', help='http(s)://, s3:// or sftp://'
    )
    parser.add_argument(
        '--credentials',
        default='',
        metavar='FILE',
        help='YAML: token, certificate, key, authority',
    )
    parser.add_argument(
        '--rate', type=_common.not_negative, default=0.0, metavar='B/S', help='cap; 0 is none'
    )
    parser.add_argument(
        '--first', type=_common.comma_list, default=[], metavar='DETECTOR,...',
        help='detectors whose clips go first, in this order',
    )  # fmt: skip
    parser.add_argument(
        '--timeout', type=_common.duration, default=60.0, metavar='S', help='for each answer'
    )
    parser.add_argument(
        '--for', type=_common.duration, default=None, dest='within', metavar='S',
        help='give up after this long; without, it goes on until all are there',
    )  # fmt: skip
    parser.add_argument(
        '--follow', action='store_true', help='go on with clips that are sealed later'
    )
    parser.add_argument('--delete', action='store_true', help='delete here what is acknowledged')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Ship them."""
    from sim2real_capture.config import CaptureConfig, check_address
    from sim2real_capture.library import list_clips
    from sim2real_capture.transports import load_credentials
    from sim2real_capture.uplink import Receipt, Uplink
    from sim2real_core.errors import Faults

    faults = Faults()
    check_address(args.to, faults, '--to')
    faults.check()
    folder = Path(args.folder or CaptureConfig().folder).expanduser()

    def left() -> list[str]:
        clips = list_clips(folder)
        return [clip.clip for clip in clips if not clip.shipped and clip.end != 'damaged']

    wanted = set(left())  # later ones are not waited for, but may still be shipped
    shipped: list[Receipt] = []

    def on_shipped(receipt: Receipt) -> None:
        shipped.append(receipt)
        wanted.add(receipt.clip)
        count = f'{len(shipped)}' if args.follow else f'{len(shipped)} of {len(wanted)}'
        print(f'shipped {receipt.clip} ({count})', flush=True)

    uplink = Uplink(
        folder,
        args.to,
        on_shipped=on_shipped,
        on_trouble=lambda words: _common.warn([words]),
        deadline=args.timeout,
        credentials=load_credentials(args.credentials),
        rate=args.rate,
        priority=args.first,
        keep=not args.delete,
        once=not args.follow,
    )
    try:
        if args.follow:
            _follow(uplink, args.within)
        else:
            uplink.wait(args.within)
    finally:
        uplink.close()
    missing = sorted(left() if args.follow else wanted.intersection(left()))
    _common.finish(args, {'shipped': [r.__dict__ for r in shipped], 'missing': missing})
    print(f'{len(shipped)} clips shipped, {len(missing)} not')
    return 1 if missing else 0


def _follow(uplink: Uplink, within: float | None) -> None:
    """Wait for clips until interrupted, or for so long [s]."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    end = math.inf if within is None else time.monotonic() + within
    while uplink.alive and time.monotonic() < end and not stop.wait(EVERY):
        uplink.wake()
