"""The probes in a real gzserver, where there is one."""

import pytest

from sim2real_core.errors import MissingError
from sim2real_sim.gazebo_classic import installation
from sim2real_sim.respawn import RESPAWN
from sim2real_sim.verify.models import BALL, LINK, RADIUS
from sim2real_sim.verify.run import PROBES, REQUIRED, verify
from sim2real_sim.verify.table import load_table, missing, rows
from sim2real_sim.world import Pose


def probe_world():
    """The probe world in Gazebo Classic, where it is installed."""
    try:
        installation.find()
    except MissingError as error:
        pytest.skip(str(error))
    from sim2real_sim.verify.servers import classic

    return classic()


@pytest.mark.timeout(600)
def test_gazebo_classic_does_what_is_required_of_it():
    """One address of each kind; `sim2real sim verify` tries them all."""
    by_kind = {probe.kind: probe for probe in reversed(PROBES)}
    probes = [by_kind[kind] for kind in REQUIRED['gazebo_classic']]
    with probe_world() as world:
        table = {'rows': rows(verify(world, probes))}
    assert missing(table, REQUIRED['gazebo_classic']) == []
    # A damping that is read back live is still none: it takes a respawn.
    damped = [row for row in table['rows'] if row['kind'] == 'viscous_friction']
    assert [(row['route'], row['status']) for row in damped] == [('respawn', 'verified')]


def test_what_was_respawned_leaves_no_picture_of_itself_behind():
    with probe_world() as world:
        world.pause(True)
        world.spawn('ball', BALL, Pose((0.0, 0.0, RADIUS)))
        there = world.picture().max()
        outcomes = world.apply('ball', {f'link.{LINK}.mass': 1.5}, RESPAWN)
        assert list(outcomes.values()) == ['verified'] and world.respawned
        assert world.picture().max() == there > 100
        world.set_pose('ball', Pose((50.0, 0.0, RADIUS)))
        assert world.picture().max() < 5


def test_the_shipped_table_of_gazebo_classic_has_what_is_required():
    table = load_table('gazebo_classic')
    assert missing(table, REQUIRED['gazebo_classic']) == []
    assert table['version'].startswith('gazebo 11')
