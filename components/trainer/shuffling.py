"""The order of an epoch: permutations that follow from seeds and numbers alone. NumPy, no TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def permutation(size: int, *seeds: int) -> NDArray[np.int64]:
    """Returns the numbers below `size` in an order that depends on nothing but the seeds."""
    return np.random.default_rng(seeds).permutation(size)


class BlockPart(NamedTuple):
    """What one worker's batches take from a block of windows."""

    # int64[examples]: the numbers of the records, in the order of the epoch.
    records: NDArray[np.int64]
    # int64[examples + 1]: the windows of record i are `windows[splits[i] : splits[i + 1]]`.
    splits: NDArray[np.int64]
    # int64[windows]: numbers among the windows that are drawn of the example.
    windows: NDArray[np.int64]
    # int64[windows]: which of them comes first in the batches, which second, and so on.
    order: NDArray[np.int64]


class WindowEpoch:
    """The windows of one epoch: of one shuffled example after the other, mixed in blocks of whole batches.

    A block is permuted as a whole, so that no more than one has to be in memory, and a run that goes on at
    some step takes no window of a step before it.
    """

    def __init__(
        self, counts: NDArray[np.int64], batch_size: int, batches_per_block: int, seed: int, epoch: int
    ) -> None:
        self._seeds = (seed, epoch)
        self._order = permutation(len(counts), *self._seeds)
        # Where the windows of each example begin, and where the last ones end.
        self._begins = np.concatenate([[0], np.cumsum(counts[self._order])])
        self._batch_size, self._batches_per_block = batch_size, batches_per_block
        self.num_batches = int(self._begins[-1]) // batch_size
        self.num_blocks = -(-self.num_batches // batches_per_block)

    def seed_of(self, record: int) -> NDArray[np.int64]:
        """Returns int64[2] for what is random about one example in this epoch."""
        return np.random.SeedSequence([*self._seeds, record]).generate_state(2, np.uint64).view(np.int64)

    def part(self, block: int, start_batch: int, share: slice) -> BlockPart:
        """Returns what is needed of a block for a slice of each batch, from one of the epoch's batches on."""
        chosen = self._rows(block, start_batch, share)
        rows = np.sort(chosen)
        examples = np.searchsorted(self._begins, rows, side="right") - 1
        different, firsts = np.unique(examples, return_index=True)
        return BlockPart(
            self._order[different],
            np.append(firsts, len(rows)),
            rows - self._begins[examples],
            np.searchsorted(rows, chosen),
        )

    def _rows(self, block: int, start_batch: int, share: slice) -> NDArray[np.int64]:
        """Returns numbers among the windows of the epoch, in the order of the batches."""
        first = block * self._batches_per_block
        begin = first * self._batch_size
        size = min(self._batches_per_block * self._batch_size, int(self._begins[-1]) - begin)
        # From 1 on, since a seed of 0 at the end is as none.
        mixed = begin + permutation(size, *self._seeds, block + 1)
        batches = mixed[: size - size % self._batch_size].reshape(-1, self._batch_size)
        return batches[max(start_batch - first, 0) :, share].ravel()
