"""What is kept of the rows: sums of their products, per joint and per block of time.

A block is half a second of motion. The newest eight stay as they are, so that a change shows;
older ones are joined, the more of them the longer the memory, so that there are never many.
Forgetting goes by joint: a joint's oldest motion is forgotten only after as much motion of its own
as is remembered, so that what is not excited is kept (directional forgetting).

Example: 6 joints and rows of 22 columns keep at most 104 blocks of (6, 22, 22), twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_sysid.regression import Rows

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 0.5  # s
RECENT = 8  # blocks that are never joined
MOST_BLOCKS = 96  # besides these


class Block(NamedTuple):
    """Sums over rows; also those of many blocks, stacked.

    Attributes:
        cross: (nj, p, p) symmetrized products of one twin with the other.
        mean: (nj, p, p) products of the twins' mean: noise included.
        rows: (nj, 2) numbers of rows of motion backward and forward.
    """

    cross: Array
    mean: Array
    rows: Array

    @property
    def own(self) -> Array:
        """Products of each twin with itself, their mean."""
        return 2.0 * self.mean - self.cross

    @property
    def total(self) -> Block:
        """Sum of blocks that are stacked."""
        return Block(*(part.sum(axis=0) for part in self))

    def __add__(self, other: Block) -> Block:  # type: ignore[override]
        return Block(*(one + two for one, two in zip(self, other)))


class Moments:
    """Sums of products of rows, in blocks.

    Args:
        joints: number of joints, nj.
        columns: number of columns of a row, p.
        memory: seconds of motion that are kept of each joint.
    """

    def __init__(self, joints: int, columns: int, memory: float) -> None:
        self._shape = (joints, columns, columns)
        self._most = max(memory / BLOCK - RECENT, RECENT)  # besides the recent ones
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._opened = -np.inf
        self._old: list[Block] = []
        self._recent: list[Block] = []
        self._filled, self._joined = 0, 1  # blocks in the newest old one, and in each other

    def __len__(self) -> int:
        return len(self._old) + len(self._recent)

    def restart(self) -> None:
        """Close the open block: time starts anew."""
        self._opened = -np.inf

    def add(self, rows: Rows) -> bool:
        """Add the valid ones of these rows; whether they began a block."""
        begins = not 0.0 <= rows.stamp[0] - self._opened < BLOCK
        if begins:
            self._opened = rows.stamp[0]
            self._open_block()
        keep = rows.valid[..., None]  # what is not valid need not even be a number
        first, second = (np.where(keep, rows.values[:, twin], 0.0) for twin in range(2))
        mean = 0.5 * (first + second)
        cross = _products(first, second)
        block = self._recent[-1]
        block.cross[...] += 0.5 * (cross + cross.transpose(0, 2, 1))
        block.mean[...] += _products(mean, mean)
        block.rows[:, 0] += (rows.valid & (rows.direction < 0)).sum(axis=0)
        block.rows[:, 1] += (rows.valid & (rows.direction > 0)).sum(axis=0)
        return begins

    def blocks(self, begin: int = 0, end: int | None = None) -> Block:
        """Blocks of this slice, oldest first, stacked along a first axis."""
        chosen = [*self._old, *self._recent][begin:end]
        if not chosen:
            nj, p = self._shape[:2]
            square = np.zeros((0, nj, p, p))
            return Block(square, square, np.zeros((0, nj, 2)))
        return Block(*(np.stack(part) for part in zip(*chosen)))

    def drop(self, joints: Flags) -> None:
        """Forget all of some joints, (nj,)."""
        for block in (*self._old, *self._recent):
            for part in block:
                part[joints] = 0.0

    def sums(self, end: int | None = None) -> Block:
        """Sum of the blocks up to one of them."""
        chosen = [*self._old, *self._recent][:end]
        total = Block(*(part.copy() for part in chosen[0]))
        for block in chosen[1:]:  # at once they would have to be stacked first
            for one, two in zip(total, block):
                one += two
        return total

    def keep_recent(self, blocks: int) -> None:
        """Forget all but so many recent blocks."""
        self._old, self._recent = [], self._recent[-blocks:]
        self._filled, self._joined = 0, 1

    def _open_block(self) -> None:
        if len(self._recent) >= RECENT:
            self._age(self._recent.pop(0))
        empty = np.zeros(self._shape)
        self._recent.append(Block(empty, empty.copy(), np.zeros((self._shape[0], 2))))

    def _age(self, block: Block) -> None:
        """A recent block becomes an old one, or part of one."""
        if self._old and self._filled < self._joined:
            self._old[-1] += block
            self._filled += 1
        else:
            if len(self._old) >= MOST_BLOCKS:
                old = self._old
                self._old = [one + two for one, two in zip(old[0::2], old[1::2])]
                self._joined *= 2
            self._old.append(block)
            self._filled = 1
        if len(self._old) > 1 and len(self._old) * self._joined > self._most:
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest block, except of joints that have hardly moved since."""
        first, second = self._old[:2]
        later = np.sum([b.rows.sum(axis=1) > 0 for b in [*self._old[1:], *self._recent]], axis=0)
        keep = later < 0.5 * (len(self._old) + len(self._recent) - 1)
        for one, two in zip(first, second):
            two[keep] += one[keep]
        del self._old[0]


def _products(first: Array, second: Array) -> Array:
    """Sums of products over rows, (nj, p, p), of two arrays (r, nj, p)."""
    return np.asarray(first.transpose(1, 2, 0) @ second.transpose(1, 0, 2))
