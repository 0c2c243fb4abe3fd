"""The probes in a real gzserver, where there is one."""

import pytest

from sim2real_core.errors import MissingError
from sim2real_sim.gazebo_classic import installation
from sim2real_sim.verify.run import PROBES, REQUIRED, verify
from sim2real_sim.verify.table import load_table, missing, rows


@pytest.mark.timeout(600)
def test_gazebo_classic_does_what_is_required_of_it():
    """One address of each kind; `sim2real sim verify` tries them all."""
    try:
        installation.find()
    except MissingError as error:
        pytest.skip(str(error))
    from sim2real_sim.verify.servers import classic

    by_kind = {probe.kind: probe for probe in reversed(PROBES)}
    probes = [by_kind[kind] for kind in REQUIRED['gazebo_classic']]
    with classic() as world:
        table = {'rows': rows(verify(world, probes))}
    assert missing(table, REQUIRED['gazebo_classic']) == []
    # A damping that is read back live is still none: it takes a respawn.
    damped = [row for row in table['rows'] if row['kind'] == 'viscous_friction']
    assert [(row['route'], row['status']) for row in damped] == [('respawn', 'verified')]


def test_the_shipped_table_of_gazebo_classic_has_what_is_required():
    table = load_table('gazebo_classic')
    assert missing(table, REQUIRED['gazebo_classic']) == []
    assert table['version'].startswith('gazebo 11')
