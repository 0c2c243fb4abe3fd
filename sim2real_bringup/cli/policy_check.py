"""``sim2real policy check``."""

from __future__ import annotations

import argparse
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'verify and measure how this machine runs a policy'
DETAILS = """Looks for a GPU, TensorRT and the other runtimes; builds what is to be built; compares
each runtime with ONNX Runtime on the CPU; times them; on a GPU also a CUDA graph against single
launches, and the device's memory over many calls. Attach the JSON report to an issue.
What is not installed is no failure, unless --runtime asks for it."""
EXAMPLE = """
sim2real policy check policy.onnx --json check.json
sim2real policy check policy.onnx --runtime tensorrt --runtime tensorrt-fp16 --calls 1000000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    from sim2real_policy.runtime_names import RUNTIME_NAMES

    parser.add_argument('bundle', help='an ONNX file, or the name of a shipped one')
    _common.add_robot(parser, required=False)
    parser.add_argument(
        '--runtime',
        action='append',
        default=[],
        choices=RUNTIME_NAMES,
        help='check this one, which must be there (repeatable); default: all that are there',
    )
    parser.add_argument(
        '--calls',
        type=_common.natural,
        default=10_000,
        help="steps over which the device's memory must not grow (default: 10000)",
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check it, show it."""
    from sim2real_core.files import find
    from sim2real_policy.bundle import check_robot, load_bundle
    from sim2real_policy.check import STAGES, check

    bundle = load_bundle(find('policies', args.bundle, '.onnx'))
    if args.robot:
        from sim2real_core.profile import load_profile

        check_robot(bundle.meta, load_profile(args.robot))
    with _common.progress(STAGES) as tell:
        report = check(bundle, args.runtime, memory_calls=args.calls, tell=tell)
    _common.finish(args, report)
    gpu = report['machine']['gpu']
    print(f'GPU: {gpu.get("missing") or gpu["name"]}')
    _common.show_table(
        ('runtime', 'differs by', 'p50 [us]', 'p99 [us]', 'max [us]', 'remark'),
        [_row(row) for row in report['runtimes']],
    )
    print(f'the runtime adds {report["overhead"]["overhead"] * 1e6:.1f} us to ONNX Runtime')
    for failure in report['failures']:
        print(f'FAILED: {failure}')
    return 0 if report['ok'] else 1


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    if row['missing']:
        return row['name'], '', '', '', '', row['missing']
    times = [f'{row["latency"][name] * 1e6:.0f}' for name in ('p50', 'p99', 'max')]
    remark = row['report'].get('cuda_graph', '')
    return row['name'], f'{row["parity"]["relative"]:.1e}', *times, remark and f'graph {remark}'
