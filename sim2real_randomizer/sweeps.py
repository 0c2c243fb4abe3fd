"""Worlds for an evaluation: low-discrepancy sequences over a space, and explicit grids.

A Sobol sequence or a Latin hypercube covers a space more evenly than as many independent draws;
each point has one coordinate for every number that a world takes. Unlike a draw, a point depends
on the whole space and on the number of points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from sim2real_core.addresses import quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile import RobotProfile
from sim2real_randomizer.distributions import Array
from sim2real_randomizer.drawing import Keyed, Latents, Nominal, Rows
from sim2real_randomizer.keyed import Integers
from sim2real_randomizer.space import Space

METHODS = ('sobol', 'latin_hypercube')
MOST_WORLDS = 1_000_000
LEAST, MOST = 2.0**-53, 1 - 2.0**-53


def sweep(
    space: Space, method: str, count: int, *, seed: int = 0, nominal: Nominal | None = None
) -> dict[str, Array]:
    """Worlds that cover a space evenly.

    Args:
        space: what varies; ranges that grow are whole.
        method: ``sobol`` (scrambled; best for a power of two) or ``latin_hypercube``.
        count: number of worlds.
        seed: of the scrambling. Worlds that violate a constraint are drawn again by the key
            (seed, index).
        nominal: nominal value of an address; the profile's when None.

    Returns:
        Address to (count,) absolute values [SI].

    Raises:
        InputError: a bad argument, or a constraint that no try satisfies.
    """
    faults = Faults()
    if method not in METHODS:
        faults.add('method', method, f'must be one of {", ".join(METHODS)}')
    if not 1 <= count <= MOST_WORLDS:
        faults.add('count', count, f'must lie within [1, {MOST_WORLDS}]')
    if seed < 0:
        faults.add('seed', seed, 'must not be negative')
    faults.check()
    keys = sorted({key for keys in space.plan.keys.values() for key in keys})
    if len(keys) > qmc.Sobol.MAXDIM:
        raise InputError(Fault('space', len(keys), f'at most {qmc.Sobol.MAXDIM} numbers a world'))
    points = np.empty((count, 0))
    if keys:
        points = _points(method, len(keys), count, seed)
    columns = {key: np.clip(points[:, k], LEAST, MOST) for k, key in enumerate(keys)}
    last = np.iinfo(np.int64).max // 2  # by then every schedule has ended
    keyed = Keyed(seed, np.arange(count), np.full(count, last))
    return space.plan.draw(_Even(columns, keyed), nominal or space.nominal)


def _points(method: str, dimensions: int, count: int, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    if method == 'latin_hypercube':
        return np.asarray(qmc.LatinHypercube(dimensions, seed=generator).random(count))
    sequence = qmc.Sobol(dimensions, scramble=True, seed=generator)
    # Whole powers of two are what it is balanced for; the rest of the last is left out.
    return np.asarray(sequence.random_base2(math.ceil(math.log2(count))))[:count]


@dataclass(frozen=True)
class _Even:
    """Latents from points; further attempts are keyed."""

    columns: Mapping[str, Array]
    keyed: Keyed

    @property
    def episodes(self) -> Integers:
        """See Latents."""
        return self.keyed.episodes

    def __call__(self, key: str, attempt: int) -> Array:
        """See Latents."""
        return self.keyed(key, attempt) if attempt else self.columns[key]

    def rows(self, rows: Rows) -> Latents:
        """See Latents."""
        return _Even({k: v[rows] for k, v in self.columns.items()}, self.keyed.rows(rows))


def grid(points: Mapping[str, Sequence[float]], profile: RobotProfile) -> dict[str, Array]:
    """All combinations of given values; what is not named stays nominal.

    Args:
        points: address to absolute values [SI].
        profile: the robot.

    Returns:
        Address to (number of combinations,) values; the last address changes fastest.

    Raises:
        InputError: every fault.
    """
    faults = Faults()
    for address, values in points.items():
        try:
            what = quantity(address, profile)
        except InputError as error:
            faults.extend(error)
            continue
        if not len(values):
            faults.add(address, list(values), 'give at least one value')
        for value in values:
            if not what.low <= value <= what.high:
                mend = f'must lie within [{what.low:g}, {what.high:g}] {what.unit}'
                faults.add(address, value, mend)
    if math.prod(map(len, points.values())) > MOST_WORLDS:
        faults.add('grid', math.prod(map(len, points.values())), f'at most {MOST_WORLDS} worlds')
    faults.check()
    meshes: list[npt.NDArray[np.float64]] = list(
        np.meshgrid(*(np.asarray(v, dtype=float) for v in points.values()), indexing='ij')
    )
    return {address: mesh.ravel() for address, mesh in zip(points, meshes)}
