import numpy as np

from components.transform.intensities import normalization_of


def test_one_value_everywhere_has_a_deviation_that_can_be_divided_by() -> None:
    counts = np.zeros(65536, np.int64)
    # The first is -32768.
    counts[32768 + 40] = 7
    assert normalization_of(counts, (0.5, 99.5)).numpy().tolist() == [40, 1, 40, 40]


def test_a_percentile_is_the_lowest_value_that_so_many_voxels_do_not_exceed() -> None:
    counts = np.zeros(65536, np.int64)
    counts[[0, 32768, 65535]] = 1, 2, 1
    mean = (-32768 + 32767) / 4
    deviation = ((32768**2 + 32767**2) / 4 - mean**2) ** 0.5
    assert np.allclose(normalization_of(counts, (25, 75)), [mean, deviation, -32768, 0])
    assert normalization_of(counts, (0, 100)).numpy()[2:].tolist() == [-32768, 32767]
