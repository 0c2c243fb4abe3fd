"""What the verbs share that write down what was identified."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_sysid.export import Export


def add_estimate(parser: argparse.ArgumentParser) -> None:
    """``ESTIMATE``."""
    parser.add_argument(
        'estimate',
        type=Path,
        metavar='ESTIMATE',
        help='JSON of sysid fit or replay, or a bag, whose last estimate counts',
    )


def add_model(parser: argparse.ArgumentParser, kind: str) -> None:
    """Arguments of the verbs that write a model of this kind."""
    add_estimate(parser)
    _common.add_robot(parser)
    parser.add_argument(
        '--out', type=_common.output, required=True, metavar=kind, help='file to write'
    )
    _common.add_json(parser)


def write_model(args: argparse.Namespace, made: Export) -> int:
    """Write a model and show what is in it; 1 when nothing was identified."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(made.text, encoding='utf-8')
    result = {
        'written': dict(made.written), 'unsaid': dict(made.unsaid), 'notes': list(made.notes)
    }  # fmt: skip
    _common.finish(args, result)
    _common.warn(made.notes)
    rows = [(address, f'{value:.6g}', '') for address, value in made.written.items()]
    rows += [(address, '', f'only in a comment; {why}') for address, why in made.unsaid.items()]
    _common.show_table(('address', 'value', ''), rows, str(args.out))
    return 0 if rows else 1
