"""``sim2real gazebo start``."""

from __future__ import annotations

import argparse

HELP = 'run Gazebo Classic (gzserver) with a world until Ctrl-C'
EXAMPLE = """
sim2real gazebo start --world worlds/empty.world
sim2real gazebo start --world my.world --port 11400 --cameras
"""
DETAILS = (
    'The world is taken as it is. Models, plugins and resources are found where\n'
    'GAZEBO_MODEL_PATH, GAZEBO_PLUGIN_PATH and GAZEBO_RESOURCE_PATH say, then in Gazebo itself.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        '--world',
        default='worlds/empty.world',
        help='world file, or one of Gazebo by name (default: worlds/empty.world)',
    )
    parser.add_argument('--port', type=int, default=11345, help='of its master (default: 11345)')
    parser.add_argument('--engine', default='', help='ode, bullet, dart or simbody')
    parser.add_argument('--seed', type=int, help="of the simulation's random numbers")
    parser.add_argument('--paused', action='store_true', help='start with simulated time at rest')
    parser.add_argument('--lockstep', action='store_true', help='physics waits for the sensors')
    parser.add_argument(
        '--cameras', action='store_true', help='render also where there is no display'
    )


def run(args: argparse.Namespace) -> int:
    """Run it; its exit status is ours."""
    import signal

    from sim2real_sim.gazebo_classic.server import Server, partition

    arguments = ['-e', args.engine] if args.engine else []
    arguments += ['--seed', str(args.seed)] if args.seed is not None else []
    arguments += ['-u'] if args.paused else []
    arguments += ['--lockstep'] if args.lockstep else []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = Server(args.world, port=args.port, arguments=arguments, cameras=args.cameras)
    try:
        with server:
            assert server.process is not None
            print(
                f'GAZEBO_MASTER_URI=http://127.0.0.1:{args.port} '
                f'IGN_PARTITION={partition(args.port)}',
                flush=True,
            )
            return server.process.wait()
    except KeyboardInterrupt:
        return 0
