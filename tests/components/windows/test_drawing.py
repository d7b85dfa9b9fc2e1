import numpy as np
import tensorflow as tf

from components.windows.drawing import below, fractions, mixed


def test_that_the_numbers_of_a_seed_are_those_of_splitmix64():
    # The first outputs for seed 0, as published with Vigna's reference implementation (prng.di.unimi.it).
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]

    found = mixed(tf.constant(0, tf.int64), tf.range(3, dtype=tf.int64))

    assert found.numpy().astype(np.uint64).tolist() == published


def test_that_fractions_are_spread_evenly_and_without_regard_to_those_of_the_next_seed():
    drawn = fractions(tf.range(1000, dtype=tf.int64)[:, None], tf.range(100, dtype=tf.int64)).numpy()

    assert 0 <= drawn.min() < drawn.max() < 1
    counts, _ = np.histogram(drawn, 20, (0, 1))
    assert (abs(counts - 5000) < 5 * np.sqrt(5000)).all()
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.02


def test_that_fractions_become_whole_numbers_below_a_limit():
    found = below(tf.constant([0.0, 0.49, 0.5, 1 - 2.0**-53, 0.9], tf.float64), tf.constant([2, 2, 2, 7, 0]))

    assert found.numpy().tolist() == [0, 0, 1, 6, 0]
