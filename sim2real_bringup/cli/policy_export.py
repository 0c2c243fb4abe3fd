"""``sim2real policy export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile
    from sim2real_policy.description import Description
    from sim2real_policy.export import Network

HELP = 'make a bundle of a network: torch, rsl-rl, TorchScript, ONNX, mjlab or LEAPP'
DETAILS = """SOURCE is an ONNX file (plain, a bundle, or with what mjlab or BeyondMimic write into
it, also with the motion that it follows), TorchScript or a checkpoint of rsl-rl (.pt),
FILE.py:FUNCTION that returns a torch module, or the YAML file of a LEAPP export. What SOURCE does
not say of itself is said in a YAML file (--about; --template prints one with comments) or taken
from the robot profile. The bundle is compared with the network on random observations; it is not
written when they differ by more than 1e-5."""
EXAMPLE = """
sim2real policy export --template > about.yaml
sim2real policy export model_1500.pt --about about.yaml --robot arm6 --out out/policy.onnx
sim2real policy export config/policies/arm6.pt --robot arm6 --out out/policy.onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('source', nargs='?', default='', help='the network')
    parser.add_argument('--about', type=Path, metavar='FILE', help='YAML that describes it')
    _common.add_robot(parser, required=False)
    parser.add_argument('--out', type=_common.output_file, metavar='FILE', help='bundle to write')
    parser.add_argument('--space', default='', help='randomization space it was trained in')
    parser.add_argument('--template', action='store_true', help='print a YAML with comments')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Make it, and show what it became."""
    from sim2real_core.errors import Faults
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_policy.description import Description, read_description
    from sim2real_policy.export import export_network
    from sim2real_policy.inspection import as_mapping

    if args.template:
        print(find('policies', 'template').read_text(encoding='utf-8'), end='')
        return 0
    faults = Faults()
    for name in ('source', 'out', 'robot'):
        if not getattr(args, name):
            faults.add(name if name == 'source' else f'--{name}', '', 'must be given')
    faults.check()
    profile = load_profile(args.robot)
    told = read_description(args.about) if args.about else Description()
    if args.space:
        from sim2real_randomizer.space import load_space

        hashed = {'space': load_space(args.space, profile).content_hash}
        told = Description({**told.values, **hashed}, told.file, told.lines)
    network, file = _network(args.source, profile, told)
    made = export_network(network, told, profile, file, args.out)
    _common.warn(made.remarks)
    print(
        f'wrote {args.out}: {made.bundle.meta.observation.size} observations, '
        f'{len(made.bundle.meta.command_names)} commands; it differs from {args.source} by '
        f'{made.difference:.1e} at most'
    )
    result = as_mapping(made.bundle)
    result.update(parity=made.difference, remarks=made.remarks, source=args.source)
    _common.finish(args, result)
    return 0


def _network(source: str, profile: RobotProfile, told: Description) -> tuple[Network, Path]:
    """The network, and its file."""
    from sim2real_core.errors import Fault, InputError

    path = Path(source).expanduser()
    kind = path.suffix.lower()
    if kind in ('.onnx', '.yaml', '.yml') and not path.is_file():
        raise InputError(Fault('source', source, 'give an existing file'))
    if kind == '.onnx':
        from sim2real_policy.onnx_source import read_onnx

        return read_onnx(path, profile, told.values), path
    if kind in ('.yaml', '.yml'):
        from sim2real_policy.foreign_leapp import read_leapp

        return read_leapp(path, profile, told.values), path
    from sim2real_learning.export import read_torch

    file, _, function = str(path).rpartition(':')
    return read_torch(str(path), told), Path(file) if function and file.endswith('.py') else path
