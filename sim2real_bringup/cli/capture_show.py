"""``sim2real capture show``."""

from __future__ import annotations

import argparse
import math

from sim2real_bringup.cli import _common

HELP = 'show a clip, after its files were checked against their hashes'
EXAMPLE = """
sim2real capture show ~/.ros/sim2real/spool/<clip>
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('clip', help="a clip's folder, or a file in it")
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    from sim2real_capture.library import show_clip

    clip = show_clip(args.clip)
    _common.finish(args, clip)
    for key in ('clip', 'created', 'end', 'profile', 'bundle', 'shipped', 'path'):
        print(f'{key:>9}: {clip[key] or "-"}')
    print(f'{"duration":>9}: {clip["duration"]:.3f} s, {clip["messages"]} messages')
    for event in clip['events']:
        stamp, score, threshold = (
            float(event.get(key, math.nan)) for key in ('stamp', 'score', 'threshold')
        )
        told = f'{score:.4g}, over {threshold:.4g}'
        print(f'{"event":>9}: {event["detector"]} at {stamp:.3f} s: {told}')
        print(f'{"":>9}  {event.get("detail", "")}')
    rows = [(name, topic['type'], topic['messages']) for name, topic in clip['topics'].items()]
    _common.show_table(('topic', 'type', 'messages'), rows)
    return 0
