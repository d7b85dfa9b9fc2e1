import pytest

from components.transform.text.segments import combine, divide, find_room, no_pieces

CLS, SEP = 101, 102


def test_one_text_stands_between_start_and_separator() -> None:
    import tensorflow as tf

    token_ids, segment_ids = combine([tf.ragged.constant([[7, 8], [], [9]], tf.int64)], [9], CLS, SEP)
    assert token_ids.to_list() == [[CLS, 7, 8, SEP], [CLS, SEP], [CLS, 9, SEP]]
    assert segment_ids.to_list() == [[0, 0, 0, 0], [0, 0], [0, 0, 0]]


def test_each_text_of_a_pair_has_its_separator_and_its_segment() -> None:
    import tensorflow as tf

    firsts, seconds = ([[7, 8], [], [5], []], [[9], [6, 4], [], []])
    segments = [tf.ragged.constant(rows, tf.int64, row_splits_dtype=tf.int64) for rows in (firsts, seconds)]
    token_ids, segment_ids = combine(segments, [9, 9], CLS, SEP)
    assert token_ids.to_list() == [
        [CLS, 7, 8, SEP, 9, SEP], [CLS, SEP, 6, 4, SEP], [CLS, 5, SEP, SEP], [CLS, SEP, SEP]
    ]  # fmt: skip
    assert segment_ids.to_list() == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("count", [1, 2])
def test_no_texts_become_no_rows(count: int) -> None:
    import tensorflow as tf

    none = [no_pieces(tf.constant([], tf.string))] * count
    token_ids, segment_ids = combine(none, find_room(none, 5), CLS, SEP)
    assert token_ids.to_list() == segment_ids.to_list() == []


def test_texts_are_divided_into_first_and_second_ones() -> None:
    import tensorflow as tf

    tokens = tf.ragged.constant([[1, 2], [3], [], [4]], tf.int64)
    assert [part.to_list() for part in divide(tokens, 2)] == [[[1, 2], [3]], [[], [4]]]
    assert [part.to_list() for part in divide(tokens, 1)] == [tokens.to_list()]


def test_a_text_is_cut_off_at_its_end() -> None:
    import tensorflow as tf

    texts = [tf.ragged.constant([[1, 2, 3], [4], []], tf.int64)]
    token_ids, segment_ids = combine(texts, find_room(texts, 2), CLS, SEP)
    assert token_ids.to_list() == [[CLS, 1, 2, SEP], [CLS, 4, SEP], [CLS, SEP]]
    assert [len(row) for row in segment_ids.to_list()] == [4, 3, 2]


def test_texts_have_no_pieces_before_there_is_a_vocabulary() -> None:
    import tensorflow as tf

    assert no_pieces(tf.constant(["a b", "c"])).to_list() == [[], []]
