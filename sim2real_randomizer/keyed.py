"""Keyed uniforms: a random number that is a function of its key, not of what was drawn before.

``u(seed, address, environment, episode)`` needs no generator and has no state, so a value does
not depend on order, on how many other addresses exist, on duration or on the process. Seed and
address are hashed to 64 bits (BLAKE2b); environment, episode and, where there is one, a step are
absorbed one after the other by the finalizer of SplitMix64 (Steele, Lea, Flood 2014, in
Stafford's variant 13), applied twice to each so that neighbouring counters share nothing.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Integers = int | npt.NDArray[np.integer]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD1B54A32D192ED03)
_ONE = np.uint64(1)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def uniforms(
    seed: int,
    address: str,
    environments: Integers,
    episodes: Integers,
    steps: Integers | None = None,
) -> npt.NDArray[np.float64]:
    """Uniform numbers in (0, 1), a function of the arguments alone.

    Args:
        seed: any integer.
        address: what the number is for.
        environments: index or indices (any integers from -2**63 to 2**63 - 1).
        episodes: number or numbers; broadcast against ``environments``.
        steps: number or numbers of something that happens within an episode, likewise.

    Returns:
        float64 of the broadcast shape, on the grid ``(k + 1/2) / 2**52``: never 0 or 1, so that
        every inverse distribution function is finite.
    """
    with np.errstate(over='ignore'):  # arithmetic modulo 2**64 is meant
        state = np.asarray(environments).astype(np.uint64) * _GOLDEN + _key(seed, address)
        state = _mixed(_mixed(state)) + np.asarray(episodes).astype(np.uint64) * _ODD
        state = _mixed(_mixed(state))
        if steps is not None:
            state = _mixed(_mixed(state + (np.asarray(steps).astype(np.uint64) + _ONE) * _GOLDEN))
    return ((state >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


@lru_cache(maxsize=4096)
def _key(seed: int, address: str) -> np.uint64:
    digest = hashlib.blake2b(f'{int(seed)} {address}'.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, 'little'))


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer: a bijection in which every bit reaches every other."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
