"""``sim2real sysid excite``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common
from sim2real_sysid.excitation_config import ExcitationConfig

if TYPE_CHECKING:
    from sim2real_sysid.excitation import Excitation

HELP = 'find a motion that tells friction, armature and payload of a robot'
DETAILS = """A periodic trajectory within the limits of position, velocity, acceleration and
effort, clear of the robot itself and of the floor, that begins and ends at rest in the default
pose. The policy node runs it behind its guard: sim2real up excite, or up robot --trajectory."""
EXAMPLE = """
sim2real sysid excite --robot arm6 --out excite.yaml --plot excite.png
sim2real sysid excite --robot my_robot.yaml --duration 30 --criterion d-optimal --seed 3
sim2real up excite --robot arm6 --trajectory excite.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _common.add_robot(parser)
    _common.add_config(parser, ExcitationConfig)
    parser.add_argument(
        '--out', type=_common.output, metavar='YAML', help='write the trajectory here'
    )
    parser.add_argument(
        '--plot',
        type=_common.output_file,
        metavar='PNG',
        help="plot the joints within their limits, and the tool's way",
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Find it, write it, show it."""
    from sim2real_core.profile import load_profile
    from sim2real_sysid.excitation import excite
    from sim2real_sysid.excitation_plot import plot

    profile = load_profile(args.robot)
    config = ExcitationConfig(**_common.given(args, ExcitationConfig))
    with _common.progress({'search': f'exciting {profile.name}'}) as tell:
        found = excite(profile, config, lambda share, text: tell('search', share, text))
    trajectory = found.trajectory
    if args.out:
        made = {
            'criterion': config.criterion,
            'identify': config.identify,
            'seed': config.seed,
            'condition_number': f'{found.condition:.4g}',
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(trajectory.to_yaml(profile, made), encoding='utf-8')
    if args.plot:
        title = (
            f'{profile.name}: one of {trajectory.periods} periods, condition number '
            f'{found.condition:.3g}'
        )
        plot(profile, trajectory, args.plot, title)
    _common.finish(args, found.as_json())
    _common.warn(found.notes)
    _show(found, config.share)
    return 0


def _show(found: Excitation, share: float) -> None:
    """What is used of the limits, and what the motion tells."""
    trajectory = found.trajectory
    parts = {'position': 1.0, 'velocity': share, 'acceleration': share, 'effort': share}
    _common.show_table(
        ('joint', *parts),
        (
            (joint, *(f'{found.used[name][j] * part:.0%}' for name, part in parts.items()))
            for j, joint in enumerate(trajectory.joints)
        ),
        'used of the limits',
    )
    period = 1.0 / trajectory.base_frequency
    print(f'{trajectory.periods} periods of {period:g} s, {trajectory.duration:g} s in all')
    print(f'condition number {found.condition:.3g} (of random motion: {found.before:.3g})')
    if found.left_out:
        print(f'not to be told from others: {", ".join(found.left_out)}')
    if found.clearance < float('inf'):
        print(f'nearest to itself or the floor: {found.clearance:.3f} m')
