"""Plays a bag through the real nodes, each in its own process, away from any running robot."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from sim2real_bringup import stacks
from sim2real_bringup.bags import open_bag
from sim2real_bringup.catalog import CONSUMERS
from sim2real_bringup.expect import read_result
from sim2real_bringup.playlist import playlist
from sim2real_core.errors import Fault, InputError, Sim2RealError
from sim2real_core.profile import load_profile


class ReplayError(Sim2RealError):
    """The replay did not come to its end; ``exit_code`` is what the stack ended with."""

    def __init__(self, status: int) -> None:
        super().__init__('the replay did not come to its end; what stopped it is said above')
        self.exit_code = status


def replay(
    bag: str | Path,
    robot: str,
    nodes: Iterable[str],
    *,
    rate: float = 0.0,
    start: float = 0.0,
    duration: float = 0.0,
    bag_namespace: str = '',
    out: str | Path = '',
    bundle: str = '',
    params_file: str | Path = '',
    assignments: Iterable[str] = (),
    domain: int | None = None,
    log_level: str = 'info',
    output: TextIO | None = None,
) -> dict[str, Any]:
    """Play a bag and return what came out, see :meth:`sim2real_bringup.result.Result.as_json`.

    Args:
        bag: rosbag2 folder or MCAP file.
        robot: profile.
        nodes: of ``CONSUMERS``.
        rate: seconds of the bag a second; 0 is as fast as the nodes are.
        start: begin this long after the start of the bag [s].
        duration: play so much of it [s]; 0 is all.
        bag_namespace: that the topics were recorded under; found out when empty.
        out: folder for a bag with what came out; ``''`` for none.
        bundle: of the policy.
        params_file: parameters of the nodes.
        assignments: texts ``node.name=value``.
        domain: ROS domain; None takes a free one, on this machine only.
        log_level: of the nodes.
        output: where the nodes' lines go; standard error by default.

    Raises:
        InputError: a fault of bag, robot, nodes or parameters.
        ReplayError: a node failed or did not keep up.
        MissingError: something needed is not installed.
    """
    nodes = tuple(nodes)
    for node in nodes or ('',):
        if node not in CONSUMERS:
            raise InputError(Fault('nodes', node, f'must be of {", ".join(CONSUMERS)}'))
    profile = load_profile(robot)
    with open_bag(bag) as opened:
        playlist(opened.topics, profile, nodes, bag_namespace)
    from sim2real_bringup.runner import Runner

    with tempfile.TemporaryDirectory(prefix='sim2real_replay_') as folder:
        result = Path(folder) / 'result.json'
        player = dict(
            bag=str(Path(bag).expanduser().resolve()),
            bag_namespace=bag_namespace,
            rate=float(rate),
            start=float(start),
            duration=float(duration),
            json=str(result),
            out=str(Path(out).expanduser().resolve()) if out else '',
        )
        stack = stacks.build(
            'replay',
            nodes=nodes,
            robot=str(profile.path),
            bundle=bundle,
            params_file=params_file,
            log_level=log_level,
            settings={'player': player, 'capture': {'folder': f'{folder}/clips'}},
            assignments=assignments,
        )
        with environment(domain) as variables:
            status = Runner(
                stack.processes, output=output or sys.stderr, environment=variables
            ).run()
        if status or not result.is_file():
            raise ReplayError(status or 1)
        return read_result(result)


@contextlib.contextmanager
def environment(domain: int | None) -> Iterator[dict[str, str]]:
    """Environment variables of a ROS domain; of a free one on this machine when None.

    The domain stays reserved, for those who ask the same way, until the context ends.
    """
    if domain is not None:
        yield {'ROS_DOMAIN_ID': str(domain)}
        return
    from domain_coordinator import domain_id

    with domain_id() as free:
        local = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
        if os.environ.get('ROS_DISTRO') == 'humble':
            local = {'ROS_LOCALHOST_ONLY': '1'}
        yield {'ROS_DOMAIN_ID': str(free), **local}
