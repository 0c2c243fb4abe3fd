"""``sim2real capture ls``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'list the clips of a spool or of a receiver'
EXAMPLE = """
sim2real capture ls
sim2real capture ls ~/.ros/sim2real/clips --json clips.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        'folder', nargs='?', default='', help="folder of clips; the capture node's if not given"
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List them."""
    from sim2real_capture.config import CaptureConfig
    from sim2real_capture.library import clip_info, list_clips, unsealed_folders

    folder = args.folder or CaptureConfig().folder
    clips = list_clips(folder) + [clip_info(path) for path in unsealed_folders(folder)]
    _common.finish(args, {'clips': [clip.as_json() for clip in clips]})
    rows = [
        (
            clip.clip,
            ', '.join(clip.detectors),
            clip.detail,
            f'{clip.duration:.1f}',
            f'{clip.size / 1e6:.2f}',
            clip.end,
            clip.shipped,
        )
        for clip in clips
    ]
    _common.show_table(('clip', 'detector', 'detail', 's', 'MB', 'end', 'shipped to'), rows)
    return 0
