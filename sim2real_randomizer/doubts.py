"""What is to be said of a space before it is drawn from, in the simulator that is in use."""

from __future__ import annotations

from sim2real_randomizer.course import within
from sim2real_randomizer.space import Space
from sim2real_sim.verify.table import load_table, quantity_of, respawning, unverified


def doubts(space: Space, backend: str) -> tuple[str, tuple[str, ...]]:
    """Hold a space against what a simulator was seen to do.

    Args:
        space: what is drawn from.
        backend: a backend with a table, or a file that ``sim2real sim verify`` wrote; neither
            when empty.

    Returns:
        Quantities that it was not seen to obey, ``', '`` between them; and warnings.

    Raises:
        InputError: there is no such table.
    """
    if not backend:
        return '', space.warnings
    table, warnings = load_table(backend), list(space.warnings)
    # One name for a quantity, however many joints it is drawn for.
    doubtful = ', '.join(dict.fromkeys(map(quantity_of, unverified(space.addresses, table))))
    if doubtful:
        warnings.append(
            f'{backend} was not seen to obey {doubtful}: what is drawn for them may be without '
            'effect (`sim2real sim verify` tries it)'
        )
    slow = respawning(within(space), table)
    if slow:
        warnings.append(
            f'{backend} spawns the robot anew whenever {", ".join(slow)} changes within an '
            'episode: it goes on where it was, about a second later'
        )
    return doubtful, tuple(warnings)
