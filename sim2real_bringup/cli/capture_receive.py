"""``sim2real capture receive``."""

from __future__ import annotations

import argparse
import signal
import threading

from sim2real_bringup.cli import _common

HELP = 'take clips from robots, and show them in a browser'
DETAILS = """Without credentials only this machine is served. `sim2real capture token` makes them;
what changes in their file counts at once. When store_bytes are used up, new clips wait on their
robots until you have deleted some here (their folders) or given more."""
EXAMPLE = """
sim2real capture receive
sim2real capture receive --folder clips --store-bytes 100000000000
sim2real capture receive --folder clips --host 0.0.0.0 --credentials receiver.yaml
"""
EVERY = 0.5  # [s] between looks at whether the server still runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb: the receiver's parameters."""
    from sim2real_capture.config import ReceiverConfig

    for row in ReceiverConfig.table():
        parser.add_argument(
            f'--{row.name.replace("_", "-")}',
            type=type(row.default),
            default=row.default,
            metavar=row.type.upper(),
            help=f'{row.description} ({row.default})' if row.default != '' else row.description,
        )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from sim2real_capture.config import ReceiverConfig
    from sim2real_capture.receiver_server import serve

    names = [row.name for row in ReceiverConfig.table()]
    config = ReceiverConfig(**{name: getattr(args, name) for name in names})
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = serve(config)
    print(f'{server.url} keeps clips in {config.folder}; open it in a browser', flush=True)
    told = ''
    while server.alive and not stop.wait(EVERY):
        trouble = server.receiver.trouble
        if trouble and trouble != told:
            _common.warn([trouble])
        told = trouble
    died = not server.alive
    server.close()
    counts = {'received': server.receiver.received, 'refused': server.receiver.refused}
    _common.finish(args, {'url': server.url, **counts})
    print(f'{counts["received"]} clips received, {counts["refused"]} requests refused')
    return 1 if died else 0
