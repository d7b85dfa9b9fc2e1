"""Sequences and masks, beside the same in plain Python: sentence by sentence, piece by piece."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.formats.vocabulary import SPECIAL_TOKENS
from components.protocols import ReadsAssets, Windowing
from components.windows.fold import fold
from components.windows.masking import Masking
from components.windows.padding import pad

CLS, SEP, MASK, UNK = (SPECIAL_TOKENS.index(token) for token in ("[CLS]", "[SEP]", "[MASK]", "[UNK]"))
# Whole words, and pieces that go on one.
WORDS, LATER = range(5, 45), range(45, 65)
ANY_PIECES = tf.TensorSpec([None, None], tf.int64)
SPECS = dict.fromkeys(("sentence_ids", "sentence_lengths", "other_ids", "other_lengths"), ANY_PIECES)

Sentences = Sequence[Sequence[int]]


class Example(NamedTuple):
    sentences: Sentences
    other: Sentences = ()


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    tokens = [*SPECIAL_TOKENS, *(f"w{word}" for word in WORDS), *(f"##{piece}" for piece in LATER)]
    (folder / "vocabulary.txt").write_text("\n".join(tokens) + "\n")
    return str(folder)


def batch(*examples: Example) -> dict[str, Any]:
    rows = {
        "sentence_ids": [joined(example.sentences) for example in examples],
        "sentence_lengths": [[len(each) for each in example.sentences] for example in examples],
        "other_ids": [joined(example.other) for example in examples],
        "other_lengths": [[len(each) for each in example.other] for example in examples],
    }
    return pad({name: tf.ragged.constant(values, tf.int64, 1) for name, values in rows.items()})


def drawn(windowing: Masking, examples: Sequence[Example], seed: int = 0) -> tuple[Any, dict[str, Any]]:
    places = windowing.drawn(batch(*examples), tf.constant([seed, 1], tf.int64))
    taken = windowing.take(batch(*examples), places)
    return places.numpy(), {name: value.numpy() for name, value in taken.items()}


# Plain Python.

_BITS = 2**64 - 1


def mix(seed: int, number: int) -> int:
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & _BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _BITS
    return z ^ (z >> 31)


def fraction(seed: int, number: int) -> float:
    return (mix(seed, number) >> 11) * 2.0**-53


def sentence_of(sentences: Sentences, piece: int) -> int:
    """The number of the sentence that has a piece of a text."""
    for number, sentence in enumerate(sentences):
        if piece < len(sentence):
            return number
        piece -= len(sentence)
    return len(sentences) - 1


def start_of(sentences: Sentences, draw: float, size: int) -> int:
    """The sentence to start with, so that a random piece of the text is in the middle of so many."""
    total = len(joined(sentences))
    return sentence_of(sentences, max(min(int(draw * total) - size // 2, total - size), 0))


def from_sentence(sentences: Sentences, first: int, size: int) -> int:
    """The number behind the last sentence, if sentences from the first on have so many pieces, or all."""
    stop = first
    while stop < len(sentences) and size > 0:
        size -= len(sentences[stop])
        stop += 1
    return stop


def joined(sentences: Sentences) -> list[int]:
    return [piece for sentence in sentences for piece in sentence]


def trimmed(pieces: list[int], size: int, draw: float) -> list[int]:
    start = int(draw * (len(pieces) - size + 1))
    return pieces[start : start + size]


class Texts(NamedTuple):
    first: list[int]
    second: list[int]
    is_next: int


def texts(windowing: Masking, example: Example, number: int, count: int, salt: int) -> Texts:
    seed = mix(salt & _BITS, 0)
    is_short, how_short, where, cut, which, elsewhere, trim_first, trim_second = (
        fraction(seed, place) for place in range(8)
    )
    sentences, other = example
    room = windowing.max_sequence_length - (3 if other else 2)
    target = 2 + int(how_short * (room - 1)) if is_short < windowing.short_probability else room

    begin = start_of(sentences, (number + where) / count, target)
    begin = min(begin, max(len(sentences) - 2, 0))
    stop = max(from_sentence(sentences, begin, target), min(begin + 2, len(sentences)))
    if not other:
        text = joined(sentences[begin:stop])
        return Texts(trimmed(text, min(len(text), room), trim_first), [], -1)
    split = begin + 1 + int(cut * (stop - begin - 1)) if stop - begin > 1 else stop
    first, second = joined(sentences[begin:split]), joined(sentences[split:stop])
    is_next = stop - begin > 1 and which < 0.5
    if not is_next:
        rest = max(target - len(first), 1)
        start = start_of(other, elsewhere, rest)
        second = joined(other[start : from_sentence(other, start, rest)])
    # The longer text is cut, the second where both are as long.
    sizes = [len(first), len(second)]
    while sum(sizes) > room:
        sizes[0 if sizes[0] > sizes[1] else 1] -= 1
    return Texts(trimmed(first, sizes[0], trim_first), trimmed(second, sizes[1], trim_second), int(is_next))


def chosen(windowing: Masking, tokens: list[int], salt: int) -> list[int]:
    seed = mix(salt & _BITS, 1)
    number = math.floor(len(tokens) * windowing.masked_fraction + 0.5)
    number = min(max(number, 1), windowing.most)
    places = [place for place, token in enumerate(tokens) if token > MASK]
    if not windowing.whole_words:
        return sorted(sorted(places, key=lambda place: fraction(seed, place))[:number])
    words: list[list[int]] = []
    for place in places:
        if words and tokens[place] in LATER and place - 1 in places:
            words[-1].append(place)
        else:
            words.append([place])
    numbered = [(fraction(seed, index), word) for index, word in enumerate(words, start=1)]
    taken: list[int] = []
    for _, word in sorted(numbered):
        if len(taken) + len(word) <= number:
            taken += word
    return sorted(taken)


def seen(tokens: list[int], places: list[int], salt: int) -> list[int]:
    seed = mix(salt & _BITS, 2)
    pieces = [*WORDS, *LATER]
    shown = list(tokens)
    for place in places:
        draw = fraction(mix(seed, 0), place)
        if draw < 0.8:
            shown[place] = MASK
        elif draw >= 0.9:
            shown[place] = pieces[int(fraction(mix(seed, 1), place) * len(pieces))]
    return shown


piece = st.sampled_from([*WORDS, *LATER, UNK])
a_text = st.lists(st.lists(piece, min_size=1, max_size=14), min_size=1, max_size=6)
examples = st.builds(Example, a_text, st.one_of(a_text, st.just([])))


@pytest.mark.parametrize("whole_words", [False, True])
@settings(max_examples=60, deadline=None)
@given(st.lists(examples, min_size=1, max_size=3), st.integers(0, 2**62))
def test_that_sequences_and_masks_are_those_of_plain_python(assets, whole_words, found, seed):
    windowing = Masking(
        max_sequence_length=16, short_probability=0.4, masked_fraction=0.3, whole_words=whole_words
    ).with_assets(assets)
    places, taken = drawn(windowing, found, seed)

    counts = [max(1, round_half_up(len(joined(example.sentences)) / 14)) for example in found]
    assert places[:, 0].tolist() == [row for row, count in enumerate(counts) for _ in range(count)]
    for index, (row, number, salt) in enumerate(places.tolist()):
        first, second, is_next = texts(windowing, found[row], number, counts[row], salt)
        tokens = [CLS, *first, SEP, *([*second, SEP] if is_next >= 0 else [])]
        masked = chosen(windowing, tokens, salt)
        assert taken["token_ids"][index].tolist() == filled(seen(tokens, masked, salt), 16)
        segments = [0] * (len(first) + 2) + [1] * (len(tokens) - len(first) - 2)
        assert taken["segment_ids"][index].tolist() == filled(segments, 16)
        assert taken["padding_mask"][index].tolist() == filled([1] * len(tokens), 16)
        assert taken["masked_positions"][index].tolist() == filled(masked, 5)
        assert taken["masked_ids"][index].tolist() == filled([tokens[place] for place in masked], 5)
        assert taken["masked_weights"][index].tolist() == filled([1.0] * len(masked), 5)
        assert taken["is_next"][index] == is_next


def round_half_up(value: float) -> int:
    return math.floor(value + 0.5)


def filled(values: list[Any], size: int) -> list[Any]:
    return values + [0] * (size - len(values))


def story(seed: int, size: int = 40) -> Sentences:
    generator = np.random.default_rng(seed)
    return [generator.choice(WORDS, generator.integers(3, 12)).tolist() for _ in range(size)]


@pytest.fixture(scope="module")
def many(assets):
    """What thirty epochs draw of twenty runs."""
    windowing = Masking(max_sequence_length=60).with_assets(assets)
    examples = [Example(story(number), story(100 + number)) for number in range(20)]
    drawn_once = [drawn(windowing, examples, seed)[1] for seed in range(30)]
    return {name: np.concatenate([each[name] for each in drawn_once]) for name in drawn_once[0]}


def test_that_fifteen_percent_are_masked_of_which_a_tenth_stays_and_a_tenth_is_another(many):
    weights = many["masked_weights"] > 0
    lengths = many["padding_mask"].sum(axis=1)
    assert abs(weights.sum() / lengths.sum() - 0.15) < 0.002
    seen_there = np.take_along_axis(many["token_ids"], many["masked_positions"], axis=1)[weights]
    right = many["masked_ids"][weights]

    count = len(right)
    hidden, kept = np.mean(seen_there == MASK), np.mean(seen_there == right)
    assert abs(hidden - 0.8) < 4 * math.sqrt(0.8 * 0.2 / count)
    # One of 60 random pieces is the right one.
    assert abs(kept - (0.1 + 0.1 / 60)) < 4 * math.sqrt(0.1 * 0.9 / count)
    assert set(seen_there) == {MASK, *WORDS, *LATER}
    assert set(right) <= {*WORDS}


def test_that_half_of_the_second_texts_are_next_and_a_tenth_of_the_sequences_is_short(many):
    count = len(many["is_next"])
    assert abs(many["is_next"].mean() - 0.5) < 4 * math.sqrt(0.25 / count)
    lengths = many["padding_mask"].sum(axis=1)
    # Of the others, those at the end of the other text are not full either.
    assert 0.08 < np.mean(lengths < 56) < 0.14


def test_that_neither_length_tells_whether_a_text_is_next(many):
    full = many["padding_mask"].sum(axis=1) == 60
    second = many["segment_ids"].sum(axis=1)
    means = [second[full & (many["is_next"] == value)].mean() for value in (0, 1)]
    assert abs(means[0] - means[1]) < 2


def test_that_every_piece_of_a_run_is_masked_in_some_epoch(assets):
    windowing = Masking(max_sequence_length=32).with_assets(assets)
    run = [[5 + 4 * sentence + place for place in range(4)] for sentence in range(15)]

    masked = [drawn(windowing, [Example(run)], seed)[1]["masked_ids"] for seed in range(80)]

    assert set(np.concatenate(masked, axis=None)) - {0} == set(joined(run))


def test_that_each_epoch_draws_anew_or_one_of_few_sets(assets):
    examples = [Example(story(1), story(2))]

    def kinds(**changes: Any) -> int:
        windowing = Masking(max_sequence_length=64, **changes).with_assets(assets)
        return len({drawn(windowing, examples, seed)[1]["token_ids"].tobytes() for seed in range(24)})

    assert kinds() == 24
    assert kinds(dupe_factor=1) == 1
    assert 2 <= kinds(dupe_factor=3) <= 3


def test_that_the_masks_of_a_run_are_its_own_whatever_else_is_in_the_batch(assets):
    windowing = Masking(max_sequence_length=64).with_assets(assets)
    # As long as each other.
    runs = [Example([[5 + (number + place) % 40 for place in range(60)]]) for number in range(2)]
    _, both = drawn(windowing, runs)
    _, second = drawn(windowing, runs[1:])

    assert both["masked_positions"][0].tolist() != both["masked_positions"][1].tolist()
    assert both["token_ids"][1].tolist() == second["token_ids"][0].tolist()


def network(windowing: Masking):
    """Says at each mask the piece after the one before; a text is next where the first is long."""

    def say(inputs):
        places = tf.maximum(inputs["masked_positions"] - 1, 0)
        before = tf.gather(inputs["token_ids"], places, batch_dims=1)
        # A table of embeddings with room for more pieces.
        logits = 9.0 * tf.one_hot(before + 1, 70) + 3.0 * tf.one_hot(before + 2, 70)
        first = tf.reduce_sum(inputs["padding_mask"] - inputs["segment_ids"], axis=1)
        is_next = tf.cast(first > windowing.max_sequence_length // 2, tf.float32)
        return {"masked_lm": logits, "next_sentence": tf.stack([is_next, 1 - is_next], axis=1) * 5}

    return say


def answers(windowing: Masking, *examples: Example) -> dict[str, Any]:
    @tf.function(input_signature=[SPECS], autograph=False)
    def answer(features):
        return fold(windowing, features, network(windowing))

    return {name: value.numpy() for name, value in answer(batch(*examples)).items()}


def test_that_the_answer_of_an_example_is_what_is_said_of_all_its_sequences(assets):
    windowing = Masking(max_sequence_length=16, per_call=2).with_assets(assets)
    found = [Example(story(1, 6), story(2, 6)), Example([[7, 8, 9]])]

    answer = answers(windowing, *found)

    places = windowing.places(batch(*found))
    taken = {name: value.numpy() for name, value in windowing.take(batch(*found), places).items()}
    for index, (row, number, _) in enumerate(places.numpy().tolist()):
        tokens = [token(each) for each in taken["token_ids"][index]]
        assert answer["tokens"][row, number].tolist() == tokens
        count = int(taken["masked_weights"][index].sum())
        positions = taken["masked_positions"][index][:count]
        assert answer["masked_positions"][row, number].tolist() == [*positions, *[-1] * (3 - count)]
        right = [token(each) for each in taken["masked_ids"][index][:count]]
        assert answer["masked_tokens"][row, number, :count].tolist() == right
        said = [token(taken["token_ids"][index][place - 1] + 1) for place in positions]
        assert answer["said_tokens"][row, number, :count].tolist() == said
        assert answer["is_next"][row, number] == taken["is_next"][index]
    # e^9 of e^9 + e^3 + 63, since 65 pieces exist.
    np.testing.assert_allclose(answer["said_probabilities"][1, 0, 0], 0.98985, atol=1e-4)
    assert (answer["masked_positions"][1, 1:] == -1).all()
    assert (answer["is_next"][1] == -1).all()
    assert answer["fill_tokens"].shape == (2, 0, 5)


def token(number: int) -> bytes:
    names = [*SPECIAL_TOKENS, *(f"w{word}" for word in WORDS), *(f"##{later}" for later in LATER)]
    return names[number].encode()


def test_that_a_request_is_told_the_best_pieces_at_each_of_its_masks(assets):
    windowing = Masking(max_sequence_length=16, num_answers=2).with_assets(assets)
    request = [Example([[20, 21], [MASK], [30], [MASK]]), Example([[MASK], [9]]), Example([[7, 8]])]

    answer = answers(windowing, *request)

    assert answer["fill_tokens"].tolist() == [
        [[b"w22", b"w23"], [b"w31", b"w32"]],
        # Behind [CLS], of number 2.
        [[b"[SEP]", b"[MASK]"], [b"", b""]],
        [[b"", b""], [b"", b""]],
    ]
    np.testing.assert_allclose(answer["fill_probabilities"][0, 1], [0.98985, 0.00245], atol=1e-4)
    assert answer["fill_probabilities"][1, 1].tolist() == [0, 0]


def test_that_a_request_is_answered_whole_that_does_not_fit_into_a_sequence(assets):
    windowing = Masking(max_sequence_length=16, num_answers=1, per_call=2).with_assets(assets)
    many_masks = Example([[5, MASK, 10, MASK, 15, MASK, 20, MASK, 25, MASK]])
    text = [piece for number in range(6, 40) for piece in (number, MASK)]

    answer = answers(windowing, many_masks, Example([text]))

    assert answer["fill_tokens"][0, :5, 0].tolist() == [token(number) for number in (6, 11, 16, 21, 26)]
    assert answer["fill_tokens"][1, :, 0].tolist() == [token(number + 1) for number in range(6, 40)]


def test_that_a_run_of_no_pieces_has_no_sequence(assets):
    windowing = Masking(max_sequence_length=16).with_assets(assets)
    places, _ = drawn(windowing, [Example([]), Example([[7, 8]], [[9]])])
    assert places[:, 0].tolist() == [1]
    assert answers(windowing, Example([]))["fill_tokens"].shape == (1, 0, 5)


def test_that_unknown_words_alone_leave_nothing_to_be_masked(assets):
    _, taken = drawn(Masking(max_sequence_length=16).with_assets(assets), [Example([[UNK, UNK]], [[UNK]])])
    assert taken["masked_weights"].sum() == 0
    assert MASK not in taken["token_ids"]


def test_that_it_is_a_windowing_that_waits_for_a_vocabulary(assets):
    windowing = Masking()
    assert isinstance(windowing, Windowing)
    assert isinstance(windowing, ReadsAssets)
    with pytest.raises(ValueError, match="expected the vocabulary that Transform wrote, got none"):
        windowing.places(batch(Example([[7]])))


def test_that_more_masks_than_pieces_are_refused():
    with pytest.raises(
        pydantic.ValidationError, match=r"max_masked: expected at most 16, the length, got 17"
    ):
        Masking(max_sequence_length=16, max_masked=17)
