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
    from sim2real_core.files import find
    from sim2real_policy.bundle import load_bundle

    path = find('policies', args.bundle, '.onnx')
    bundle = load_bundle(path)
    texts = {k.rpartition('.')[2]: text for k, text in bundle.meta.to_properties().items()}
    values = {key: json.loads(text) for key, text in texts.items()}
    values.update(bundle=str(path), content_hash=bundle.content_hash)
    _common.finish(args, values)
    for key, value in values.items():
        print(f'{key:>17}: {value if isinstance(value, str) else json.dumps(value)}')
    return 0
