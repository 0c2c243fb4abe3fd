"""``sim2real policy bench``."""

from __future__ import annotations

import argparse
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'how long a policy takes on this machine, and what the suite adds to it'
DETAILS = """Times ONNX Runtime's own run against the suite's runtime on the same inputs, in
turns, and with --robot whole control cycles by stage (joint states in, guarded commands out, no
ROS). Exit status 1 when the runtime adds more than 20 us, or when more than one cycle in a hundred
takes longer than the control period."""
EXAMPLE = """
sim2real policy bench policy.onnx --robot arm6 --json bench.json
sim2real policy bench policy.onnx --robot arm6 --runtime tensorrt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    from sim2real_policy.runtime_names import NAMES, REFERENCE

    parser.add_argument('bundle', help='an ONNX file, or the name of a shipped one')
    _common.add_robot(parser, required=False)
    parser.add_argument(
        '--runtime', choices=NAMES, help=f'of the cycles, with --robot (default: {REFERENCE})'
    )
    parser.add_argument(
        '--calls', type=_common.natural, default=5000, help='steps to time (default: 5000)'
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure it, show it."""
    from sim2real_core.errors import Fault, InputError
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_policy.bench import OVERHEAD, cycles, overhead
    from sim2real_policy.bundle import check_robot, load_bundle
    from sim2real_policy.check import machine
    from sim2real_policy.runtime_names import REFERENCE
    from sim2real_policy.runtimes import make_runtime

    if args.runtime and not args.robot:
        raise InputError(Fault('--robot', '', 'must be given: --runtime is of its cycles'))
    bundle = load_bundle(find('policies', args.bundle, '.onnx'))
    profile = load_profile(args.robot) if args.robot else None
    if profile is not None:
        check_robot(bundle.meta, profile)
    calls = max(args.calls, 100)
    with _common.progress({'bench': 'timing'}) as tell:
        tell('bench', 0.0)
        result: dict[str, Any] = {'bundle': bundle.path.name}
        result['overhead'] = overhead(bundle, calls)
        tell('bench', 0.5)
        ok = result['overhead']['overhead'] <= OVERHEAD
        if profile is not None:
            runtime = make_runtime(args.runtime or REFERENCE, bundle)
            result['cycle'] = cycles(bundle, profile, runtime, calls)
            runtime.close()
            ok &= result['cycle']['missed'] <= 0.01
        tell('bench', 1.0)
    _common.finish(args, {**result, 'machine': machine(), 'ok': ok})
    figures = [('ONNX Runtime run', result['overhead']['raw'])]
    figures.append(('this runtime', result['overhead']['runtime']))
    figures += [
        (f'cycle: {name}', f) for name, f in result.get('cycle', {}).items() if name != 'missed'
    ]
    rows = [(n, *(f'{f[key] * 1e6:.1f}' for key in ('p50', 'p99', 'max'))) for n, f in figures]
    _common.show_table(('what', 'p50 [us]', 'p99 [us]', 'max [us]'), rows)
    added = result['overhead']['overhead'] * 1e6
    print(f'the runtime adds {added:.1f} us to ONNX Runtime (bar {OVERHEAD * 1e6:.0f})')
    if args.robot:
        print(f'{result["cycle"]["missed"]:.2%} of cycles took longer than the control period')
    return 0 if ok else 1
