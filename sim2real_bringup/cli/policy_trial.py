"""``sim2real policy trial``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'on the robot: listen to the running policy and judge whether it passed its stage'
DETAILS = """Run it beside the policy node, while the policy does its work. What the node says on
/diagnostics at the beginning and the end is judged: deadlines missed, how often the guard had to
change commands, faults, stops. The verdict is written beside the release that is deployed; the
next stage asks for it. Exit status 1 when it was not passed."""
EXAMPLE = """
sim2real policy trial
sim2real policy trial --seconds 300 --json trial.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    from sim2real_policy.stages import FOLDER, Criterion

    least = Criterion().seconds
    parser.add_argument(
        '--seconds',
        type=_common.duration,
        default=least,
        help=f'how long to listen; less than {least:g} passes nothing (default: {least:g})',
    )
    parser.add_argument('--node', default='policy', help='name of the node (default: policy)')
    parser.add_argument(
        '--folder', type=Path, default=Path.home() / FOLDER, help='where releases are'
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Listen, judge, write it down."""
    from sim2real_bringup.trial import listen
    from sim2real_core.errors import Fault, InputError
    from sim2real_core.files import write_json
    from sim2real_policy.guard_reasons import INTERVENTIONS
    from sim2real_policy.stages import CRITERIA, judge

    release = args.folder / 'current'
    try:
        about = json.loads((release / 'release.json').read_text(encoding='utf-8'))
        stage, content_hash = str(about['stage']), str(about['content_hash'])
    except (OSError, ValueError, KeyError) as error:
        mend = 'no release is deployed here: sim2real policy deploy'
        raise InputError(Fault('folder', str(args.folder), mend)) from error
    if stage not in CRITERIA:
        raise InputError(Fault('stage', stage, 'nothing comes after it'))
    with _common.progress({'listen': f'listening to the policy in the stage {stage}'}) as tell:
        heard = listen(args.seconds, args.node, lambda share: tell('listen', share))
    verdict = judge(
        stage, content_hash, heard.first, heard.last, heard.seconds, heard.faults, INTERVENTIONS
    )
    write_json(release / 'trial.json', verdict.as_json())
    _common.finish(args, verdict.as_json())
    for name, value in verdict.figures.items():
        print(f'{name:>9}: {value:.4g}')
    for reason in verdict.reasons:
        print(f'NOT PASSED: {reason}')
    return 0 if verdict.ok else 1
