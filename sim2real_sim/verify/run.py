"""Runs the probes in a world and says what they found."""

from __future__ import annotations

import contextlib
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
    stage = Stage(world)
    findings: list[Finding] = []
    for probe in probes:
        tell(probe.address or probe.kind)
        findings += _tried(stage, probe, routes)
    with contextlib.suppress(WorldError):  # what was found is worth more than a tidy world
        world.delete(MODEL)
    return findings


def _tried(stage: Stage, probe: Probe, wanted: Collection[str]) -> Iterator[Finding]:
    quantity = quantity_of(probe.address) if probe.address else ''
    blank = Finding(probe.kind, quantity, '', 'unsupported', None)
    routes: tuple[str, ...] = ()
    try:
        routes, note = _routes(stage, probe), 'no route'
    except (RefusedError, InputError, WorldError) as error:
        note = str(error)
    if not routes:
        yield blank._replace(note=note)
    for route in routes:
        if wanted and route not in (*wanted, PLACING):
            continue
        found = blank._replace(route=route)
        try:
            outcomes = [_outcome(stage, probe, route, value) for value in probe.values]
        except (RefusedError, InputError, MissingError) as error:
            yield found._replace(note=str(error))
        except WorldError as error:
            stage.clear()
            yield found._replace(status='no_effect', note=str(error))
        else:
            status, error_found = judge(probe, outcomes)
            note = '' if status == 'verified' else f'{quantity or probe.kind}: not as predicted'
            yield found._replace(status=status, error=error_found, note=note)


def _routes(stage: Stage, probe: Probe) -> tuple[str, ...]:
    """Ways by which the world changes what a probe is about."""
    world = stage.world
    if probe.needs is not None and not isinstance(world, probe.needs):
        raise RefusedError(f'nobody {probe.needs.__name__.lower()} anything in this world')
    if not probe.address:
        return (PLACING,)
    routes = world.routes(probe.address)
    if not routes:  # some worlds know the routes only of what is in them
        stage.begin(probe)
        routes = world.routes(probe.address)
    return routes


def _outcome(stage: Stage, probe: Probe, route: str, value: float) -> float:
    stage.begin(probe, route)
    if probe.address:
        stage.apply(value)
    return probe.measure(stage, value)
