"""``sim2real capture ship``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'ship the clips of a spool to a receiver, to S3 or over SFTP'
DETAILS = (
    """What was cut off goes on where it was. Exit status 1 when not all were acknowledged."""
)
EXAMPLE = """
sim2real capture ship --to http://127.0.0.1:8378
sim2real capture ship spool --to s3://failures/arm7 --rate 200e3
sim2real capture ship spool --to sftp://clips@store/arm7 --credentials robot.yaml --delete
"""


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
    clips = list_clips(args.folder or CaptureConfig().folder)
    left = [clip.clip for clip in clips if not clip.shipped and clip.end != 'damaged']
    shipped: list[Receipt] = []

    def on_shipped(receipt: Receipt) -> None:
        shipped.append(receipt)
        print(f'shipped {receipt.clip} ({len(shipped)} of {len(left)})', flush=True)

    uplink = Uplink(
        Path(args.folder or CaptureConfig().folder).expanduser(),
        args.to,
        on_shipped=on_shipped,
        on_trouble=lambda words: _common.warn([words]),
        deadline=args.timeout,
        credentials=load_credentials(args.credentials),
        rate=args.rate,
        priority=args.first,
        keep=not args.delete,
        once=True,
    )
    try:
        uplink.wait(args.within)
    finally:
        uplink.close()
    missing = sorted(set(left) - {receipt.clip for receipt in shipped})
    _common.finish(args, {'shipped': [r.__dict__ for r in shipped], 'missing': missing})
    print(f'{len(shipped)} clips shipped, {len(missing)} not')
    return 1 if missing else 0
