"""The order of the windows of an epoch, in numbers alone."""

import numpy as np

from components.trainer.shuffling import WindowEpoch, permutation

COUNTS = np.array([2, 0, 3, 1, 4])
WHOLE = slice(0, 2)


def windows(epoch: WindowEpoch, start: int, share: slice) -> list[tuple[int, int]]:
    """Returns the windows of all batches from `start` on, as pairs of a record and a window of it."""
    listed = []
    for block in range(start // 2, epoch.num_blocks):
        part = epoch.part(block, start, share)
        records = np.repeat(part.records, np.diff(part.splits))
        pairs = list(zip(records.tolist(), part.windows.tolist(), strict=True))
        listed += [pairs[number] for number in part.order]
    return listed


def make_epoch(number: int = 0, batch_size: int = 2) -> WindowEpoch:
    return WindowEpoch(COUNTS, batch_size, batches_per_block=2, seed=1, epoch=number)


def test_every_window_is_in_one_batch() -> None:
    epoch = make_epoch()
    assert (epoch.num_batches, epoch.num_blocks) == (5, 3)
    assert sorted(windows(epoch, 0, WHOLE)) == [
        (0, 0), (0, 1), (2, 0), (2, 1), (2, 2), (3, 0), (4, 0), (4, 1), (4, 2), (4, 3)
    ]  # fmt: skip


def test_windows_that_fill_no_batch_are_left_out() -> None:
    epoch = make_epoch(batch_size=3)
    assert epoch.num_batches == 3
    assert len(set(windows(epoch, 0, slice(0, 3)))) == 9


def test_a_block_mixes_neighbours_alone() -> None:
    epoch = make_epoch()
    in_order = [(int(record), n) for record in permutation(5, 1, 0) for n in range(COUNTS[record])]
    listed = windows(epoch, 0, WHOLE)
    assert [set(listed[i : i + 4]) for i in (0, 4, 8)] == [set(in_order[i : i + 4]) for i in (0, 4, 8)]
    assert listed != in_order


def test_a_later_start_needs_no_window_of_the_batches_before() -> None:
    whole = windows(make_epoch(), 0, WHOLE)
    for start in range(5):
        assert windows(make_epoch(), start, WHOLE) == whole[2 * start :]


def test_a_worker_needs_its_part_of_each_batch_and_no_other_record() -> None:
    whole = windows(make_epoch(), 0, WHOLE)
    assert windows(make_epoch(), 0, slice(0, 1)) == whole[::2]
    assert windows(make_epoch(), 0, slice(1, 2)) == whole[1::2]
    part = make_epoch().part(0, 1, slice(0, 1))
    assert len(part.records) == len(part.windows) == 1


def test_epochs_and_examples_have_seeds_of_their_own() -> None:
    seeds = {tuple(make_epoch(number).seed_of(record)) for number in range(3) for record in range(3)}
    assert len(seeds) == 9
    assert make_epoch().seed_of(2).dtype == np.int64
    assert windows(make_epoch(0), 0, WHOLE) != windows(make_epoch(1), 0, WHOLE)


def test_the_order_of_records_is_the_same_on_every_version_of_numpy() -> None:
    assert permutation(8, 1, 0).tolist() == [5, 0, 1, 4, 2, 6, 3, 7]
