"""``sim2real policy build``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = "build a policy's TensorRT engine on this machine, and compare it with ONNX Runtime"
DETAILS = """The engine fits this GPU, this TensorRT and this bundle, and is kept under
~/.cache/sim2real/engines, where the policy node finds it. An engine whose actions differ from
those of ONNX Runtime by more than the tolerance is not kept (exit status 1)."""
EXAMPLE = """
sim2real policy build policy.onnx
sim2real policy build policy.onnx --precision fp16 --json build.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    from sim2real_policy.runtime_names import PRECISIONS, TOLERANCE

    parser.add_argument('bundle', help='an ONNX file, or the name of a shipped one')
    _common.add_robot(parser, required=False)
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='fp32',
        help='int8 is for models that say themselves how they are quantized (default: fp32)',
    )
    defaults = ', '.join(f'{value:g} for {name}' for name, value in TOLERANCE.items())
    parser.add_argument(
        '--tolerance',
        type=_common.positive,
        help=f'largest difference, relative to the largest action (default: {defaults})',
    )
    parser.add_argument('--folder', type=Path, help='keep the engine here instead')
    parser.add_argument('--rebuild', action='store_true', help='build it even if it is there')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Build it, compare it, keep it."""
    from sim2real_core.files import find
    from sim2real_policy.bundle import check_robot, load_bundle
    from sim2real_policy.parity import ParityError
    from sim2real_policy.runtime_tensorrt import TensorRtRuntime

    bundle = load_bundle(find('policies', args.bundle, '.onnx'))
    if args.robot:
        from sim2real_core.profile import load_profile

        check_robot(bundle.meta, load_profile(args.robot))
    result = {'bundle': str(bundle.path), 'content_hash': bundle.content_hash}
    with _common.progress({'build': f'building {args.precision} on this GPU'}) as tell:
        tell('build', 0.0, 'this takes a minute or more')
        try:
            runtime = TensorRtRuntime(
                bundle,
                args.precision,
                folder=args.folder,
                tolerance=args.tolerance,
                rebuild=args.rebuild,
            )
        except ParityError as error:
            _common.finish(args, {**result, 'ok': False, 'parity': error.parity.as_json()})
            raise
        tell('build', 1.0)
    about = runtime.about
    runtime.close()
    _common.finish(args, {**result, 'ok': True, **about})
    built = f'built in {runtime.built:.1f} s' if runtime.built else 'was there'
    differs = about['parity']['relative']
    print(f'{runtime.engine}: {built}, differs from ONNX Runtime by {differs:.2e}')
    return 0
