"""Runs the probes in a world and says what they found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from sim2real_core.errors import InputError, MissingError
from sim2real_sim.verify import bodies, contacts, joints, pictures
from sim2real_sim.verify.probes import MODEL, Probe, RefusedError, Stage, judge
from sim2real_sim.verify.table import Finding, quantity_of
from sim2real_sim.world import World, WorldError

PROBES: tuple[Probe, ...] = (
    *bodies.PROBES,
    *contacts.PROBES,
    *joints.PROBES,
    *pictures.PROBES,
)
KINDS = tuple(dict.fromkeys(probe.kind for probe in PROBES))
GAZEBO = ('gravity', 'mass', 'inertia', 'friction', 'viscous_friction', 'pose')
REQUIRED = {
    'mujoco': KINDS,
    'gazebo_classic': (*GAZEBO, 'com', 'restitution', 'light'),
    'gz': GAZEBO,
}
"""Kinds that must be verified, by backend."""
PLACING = 'set_pose'
"""Route of what is no address: where a model stands."""


def verify(
    world: World,
    probes: Collection[Probe] = PROBES,
    routes: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Try what a world does with the values that it is given.

    Args:
        world: of :data:`sim2real_sim.verify.models.WORLD`; it is paused, and what is called
            ``probe`` in it comes and goes.
        probes: what to try.
        routes: only these; all that the world has when empty.
        tell: called with the name of each quantity before it is tried.
    """
    world.pause(True)
    findings: list[Finding] = []
    for probe in probes:
        tell(probe.address or probe.kind)
        findings += _tried(world, probe, routes)
    if MODEL in world.models():
        world.delete(MODEL)
    return findings


def _tried(world: World, probe: Probe, wanted: Collection[str]) -> Iterator[Finding]:
    quantity = quantity_of(probe.address) if probe.address else ''
    try:
        Stage(world, probe, '')  # some worlds know the routes of what is in them only
        routes = world.routes(probe.address) if probe.address else (PLACING,)
    except (RefusedError, InputError, WorldError) as error:
        routes, note = (), str(error)
    else:
        note = '' if routes else 'no route'
    if not routes:
        yield Finding(probe.kind, quantity, '', 'unsupported', None, note)
    for route in routes:
        if wanted and route not in wanted and route != PLACING:
            continue
        try:
            status, error_found = judge(
                probe, [_outcome(world, probe, route, v) for v in probe.values]
            )
            note = '' if status == 'verified' else f'{quantity or probe.kind}: not as predicted'
            yield Finding(probe.kind, quantity, route, status, error_found, note)
        except (RefusedError, InputError, MissingError) as error:
            yield Finding(probe.kind, quantity, route, 'unsupported', None, str(error))
        except WorldError as error:
            yield Finding(probe.kind, quantity, route, 'no_effect', None, str(error))


def _outcome(world: World, probe: Probe, route: str, value: float) -> float:
    stage = Stage(world, probe, route)
    if probe.address:
        stage.apply(value)
    return probe.measure(stage, value)
