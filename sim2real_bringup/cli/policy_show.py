"""``sim2real policy show``."""

from __future__ import annotations

import argparse
import json

from sim2real_bringup.cli import _common

HELP = 'show what a policy bundle says of itself'
EXAMPLE = """
sim2real policy show arm6
sim2real policy show out/policy.onnx --json policy.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bundle', help='an ONNX file, or the name of a shipped one')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it, after its hash was checked."""
    import dataclasses

    from sim2real_core.files import find
    from sim2real_policy.bundle import load_bundle

    path = find('policies', args.bundle, '.onnx')
    bundle = load_bundle(path)
    meta = json.loads(json.dumps(dataclasses.asdict(bundle.meta), default=_plain))
    _common.finish(args, {'bundle': str(path), 'content_hash': bundle.content_hash, **meta})
    print(f'{path}\nsha256 {bundle.content_hash}')
    for key, value in meta.items():
        print(f'{key:>17}: {json.dumps(value)}')
    return 0


def _plain(value: object) -> object:
    """Whatever JSON does not know, as its own text."""
    return dict(value) if hasattr(value, 'keys') else str(value)  # type: ignore[call-overload]
