import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components.config import ConfigError
from components.features import (
    ANSWER_STARTS,
    ANSWERS,
    CONTEXT,
    OTHER_IDS,
    OTHER_LENGTHS,
    OTHER_SENTENCES,
    QUESTION,
    SENTENCE_IDS,
    SENTENCE_LENGTHS,
    SENTENCES,
)
from components.formats.vocabulary import SPECIAL_TOKENS, VocabularyError, read_vocabulary
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.protocols import Preprocessing
from components.transform.text.questions import Questions
from components.transform.text.sentences import Sentences

# The special tokens stand where no code may take them for granted.
TOKENS = [
    "[PAD]", "the", "[SEP]", "[MASK]", "[UNK]", "[CLS]", "it", "sat", "##s", "[", "]", "mask", ".", "ça"
]  # fmt: skip
MASK = 3


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(TOKENS), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def sentences(vocabulary: str) -> Sentences:
    return Sentences(vocabulary=vocabulary)


def sparse(rows: Sequence[Sequence[str | bytes]]) -> Any:
    import tensorflow as tf

    return tf.ragged.constant(rows, tf.string, 1, row_splits_dtype=tf.int64).to_sparse()


def features(
    sentences: Sentences, rows: Sequence[Sequence[str | bytes]], others: Sequence[Sequence[str]] | None = None
) -> dict[str, list[list[int]]]:
    inputs = {SENTENCES: sparse(rows), OTHER_SENTENCES: sparse(others or [[]] * len(rows))}
    return {key: value.to_list() for key, value in sentences.preprocessing_fn(inputs).items()}


def test_the_pieces_of_sentences_stand_one_after_another_with_their_lengths(sentences: Sentences) -> None:
    found = features(sentences, [["It sat.", "The sats"], ["Sat"]], [["The."], []])
    assert found[SENTENCE_IDS] == [[6, 7, 12, 1, 7, 8], [7]]
    assert found[SENTENCE_LENGTHS] == [[3, 3], [1]]
    assert found[OTHER_IDS] == [[1, 12], []]
    assert found[OTHER_LENGTHS] == [[2], []]
    assert isinstance(sentences, Preprocessing)


def test_a_run_of_no_sentences_has_no_pieces(sentences: Sentences) -> None:
    found = features(sentences, [[], ["It"], []], [["It", "sat"], [], ["the"]])
    assert (found[SENTENCE_IDS], found[SENTENCE_LENGTHS]) == ([[], [6], []], [[], [1], []])
    assert (found[OTHER_IDS], found[OTHER_LENGTHS]) == ([[6, 7], [], [1]], [[1, 1], [], [1]])


def test_no_examples_have_no_pieces(sentences: Sentences) -> None:
    import tensorflow as tf

    nothing = tf.sparse.from_dense(tf.zeros([0, 0], tf.string))
    found = sentences.preprocessing_fn({SENTENCES: nothing, OTHER_SENTENCES: nothing})
    assert [value.to_list() for value in found.values()] == [[]] * 4


@pytest.mark.parametrize("nothing", [" ", "\u200b", b"\xff", "\t \u2028"])
def test_sentences_of_no_pieces_are_left_out(sentences: Sentences, nothing: str | bytes) -> None:
    found = features(sentences, [["It", nothing, "sat"], [nothing]], [[nothing, "it"], []])
    assert (found[SENTENCE_IDS], found[SENTENCE_LENGTHS]) == ([[6, 7], []], [[1, 1], []])
    assert (found[OTHER_IDS], found[OTHER_LENGTHS]) == ([[6], []], [[1], []])


@pytest.mark.parametrize(
    ("row", "ids", "lengths"),
    [
        (["", "sat."], [MASK, 7, 12], [1, 2]),
        (["It ", ""], [6, MASK], [1, 1]),
        (["It", "", "", "."], [6, MASK, MASK, 12], [1, 1, 1, 1]),
        (["It", "", " ", "", "."], [6, MASK, MASK, 12], [1, 1, 1, 1]),
        ([""], [MASK], [1]),
        # Not plain ASCII, so that the pieces come another way.
        (["Ça ", "", " ça"], [13, MASK, 13], [1, 1, 1]),
    ],
)
def test_an_empty_sentence_is_one_mask(
    sentences: Sentences, row: list[str], ids: list[int], lengths: list[int]
) -> None:
    found = features(sentences.model_copy(update={"strip_accents": False}), [row])
    assert (found[SENTENCE_IDS], found[SENTENCE_LENGTHS]) == ([ids], [lengths])


def test_a_mask_needs_no_full_stop_in_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, "it"]))
    found = features(Sentences(vocabulary=str(path)), [["It.", ""]])
    assert found[SENTENCE_IDS] == [[5, 1, 4]]


def test_the_word_mask_in_brackets_is_no_mask(sentences: Sentences) -> None:
    assert features(sentences, [["The [MASK] sat"]])[SENTENCE_IDS] == [[1, 9, 11, 10, 7]]


def test_bytes_that_are_no_text_are_left_out(sentences: Sentences) -> None:
    assert features(sentences, [[b"It \xff sat\xc3", b"dog"]])[SENTENCE_IDS] == [[6, 7, 4]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"It [MASK] sat.", [b"It ", b"", b" sat."]),
        (b"[MASK] sat.", [b" ", b"", b" sat."]),
        (b"It [MASK]", [b"It ", b"", b" "]),
        (b"It [MASK][MASK].", [b"It ", b"", b" ", b"", b"."]),
        (b"[MASK]", [b" ", b"", b" "]),
        (b"It sat.", [b"It sat."]),
        (b"[mask] [ MASK ] [[MASK]]", [b"[mask] [ MASK ] [", b"", b"]"]),
        (b"\xff[MASK]\xc3 \x00", [b"\xff", b"", b"\xc3 \x00"]),
    ],
)
def test_each_mask_of_a_request_is_an_empty_sentence(
    sentences: Sentences, text: bytes, wanted: list[bytes]
) -> None:
    import tensorflow as tf

    request = sentences.requests()["fill_mask"]
    raw = request.to_raw({"text": tf.constant(["First", text])})
    dense = tf.RaggedTensor.from_sparse(raw[SENTENCES]).to_list()
    assert dense == [[b"First"], wanted]
    assert raw[OTHER_SENTENCES].dense_shape.numpy().tolist() == [2, 0]
    assert raw[OTHER_SENTENCES].values.dtype == tf.string


def test_a_text_without_anything_has_no_pieces(sentences: Sentences) -> None:
    import tensorflow as tf

    request = sentences.requests()["fill_mask"]
    found = sentences.preprocessing_fn(request.to_raw({"text": tf.constant(["", "[MASK]", ""])}))
    assert found[SENTENCE_IDS].to_list() == [[], [MASK], []]
    assert found[OTHER_IDS].to_list() == [[], [], []]
    nobody = sentences.preprocessing_fn(request.to_raw({"text": tf.constant([], tf.string)}))
    assert nobody[SENTENCE_IDS].to_list() == []


def test_a_warm_up_request_asks_for_what_its_example_asks_for(sentences: Sentences) -> None:
    rows = [["The cat", "", "on it."], ["", "sat", ""], ["It.", "It sat."], [b"\xff"]]
    raw = {SENTENCES: sparse(rows), OTHER_SENTENCES: sparse([["dog"], [], [], []])}
    request = sentences.requests()["fill_mask"]
    asked = request.from_raw(raw)
    assert asked["text"].numpy().tolist() == [
        b"The cat [MASK] on it.", b"[MASK] sat [MASK]", b"It. It sat.", b"\xff"
    ]  # fmt: skip
    pieces = sentences.preprocessing_fn(request.to_raw(asked))[SENTENCE_IDS].to_list()
    assert pieces == sentences.preprocessing_fn(raw)[SENTENCE_IDS].to_list()


def test_a_request_is_answered_what_fits_its_masks(sentences: Sentences) -> None:
    request = sentences.requests()["fill_mask"]
    answers = {"tokens": 1, "fill_tokens": 2, "fill_probabilities": 3}
    assert request.answered({"text": 0}, answers) == {"tokens": 2, "probabilities": 3}


def test_two_texts_need_two_segments() -> None:
    sizes = {"hidden_dim": 4, "num_layers": 1, "num_heads": 1, "intermediate_dim": 4, "max_positions": 9}
    model = BertClassifier(encoder=BertConfig(vocabulary_size=100, num_segments=1, **sizes))
    with pytest.raises(
        ConfigError, match=r"preprocessing\.segments, of two texts: expected at most 1, .* got 2"
    ):
        Sentences(vocabulary_size=100).fitted_to(model)


def test_a_vocabulary_without_a_mask_is_refused_before_a_run(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(SPECIAL_TOKENS[:-1]))
    with pytest.raises(VocabularyError, match=r"vocab\.txt: expected \[MASK\] among its 4 tokens, got none$"):
        Sentences(vocabulary=str(path)).fitted_to(BertClassifier())


def count_nodes(preprocessing: Preprocessing, inputs: dict[str, Any]) -> int:
    import tensorflow as tf

    traced = tf.function(
        lambda given: {
            key: tf.identity(value) for key, value in preprocessing.preprocessing_fn(given).items()
        },
        input_signature=[inputs],
        autograph=False,
    )
    graph = traced.get_concrete_function().graph.as_graph_def()
    return len([*itertools.chain(graph.node, *(each.node_def for each in graph.library.function))])


def test_the_graph_is_smaller_than_that_of_questions(vocabulary: str) -> None:
    import tensorflow as tf

    text, texts = tf.TensorSpec([None], tf.string), tf.SparseTensorSpec([None, None], tf.string)
    starts = tf.SparseTensorSpec([None, None], tf.int64)
    asked = {QUESTION: text, CONTEXT: text, ANSWERS: texts, ANSWER_STARTS: starts}
    runs = {SENTENCES: texts, OTHER_SENTENCES: texts}
    found = count_nodes(Sentences(vocabulary=vocabulary), runs)
    assert found < count_nodes(Questions(vocabulary=vocabulary), asked)


class Learned(NamedTuple):
    """What a run of tf.Transform leaves: the examples, the tokens, and the graph, loaded again."""

    examples: list[dict[str, Any]]
    tokens: Sequence[str]
    graph: Callable[[dict[str, Any]], dict[str, Any]]

    def words(self, ids: Sequence[int]) -> str:
        """Returns what pieces with these ids are of."""
        return "".join(self.tokens[number].removeprefix("##") for number in ids)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam

    folder = tmp_path_factory.mktemp("learned")
    spec = {key: tf.io.VarLenFeature(tf.string) for key in (SENTENCES, OTHER_SENTENCES)}
    row = {SENTENCES: [b"The cat sat.", b"The cats sat!"], OTHER_SENTENCES: [b"Zebra zoo."]}
    rows = [row, {**row, OTHER_SENTENCES: []}, row]
    with tft_beam.Context(temp_dir=str(folder / "temporary")):
        analyze = tft_beam.AnalyzeAndTransformDataset(Sentences(vocabulary_size=100).preprocessing_fn)
        (examples, _), transform_fn = (rows, tft.DatasetMetadata.from_feature_spec(spec)) | analyze
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    output = tft.TFTransformOutput(str(folder / "graph"))
    path = Path(output.transform_savedmodel_dir, "assets", "vocabulary.txt")
    return Learned(examples, read_vocabulary(str(path)), output.transform_features_layer())


def values(example: dict[str, Any], key: str) -> list[int]:
    # tf.Transform names the values of a RaggedTensor so.
    return example[f"{key}$ragged_values"].tolist()


def test_a_vocabulary_is_learned_from_the_sentences_and_not_from_the_others(learned: Learned) -> None:
    assert tuple(learned.tokens[:5]) == SPECIAL_TOKENS
    assert {"the", "cat", "sat", ".", "!"} <= set(learned.tokens)
    assert not {"z", "##z", "zoo"} & set(learned.tokens)


def test_examples_that_are_written_hold_both_runs(learned: Learned) -> None:
    first, second, _ = learned.examples
    assert learned.words(values(first, SENTENCE_IDS)) == "thecatsat.thecatssat!"
    assert values(first, SENTENCE_LENGTHS)[0] == 4
    assert sum(values(first, SENTENCE_LENGTHS)) == len(values(first, SENTENCE_IDS))
    assert learned.words(values(first, OTHER_IDS)) == "[UNK][UNK]."
    assert (values(second, OTHER_IDS), values(second, OTHER_LENGTHS)) == ([], [])


def test_the_graph_that_was_written_takes_requests(learned: Learned) -> None:
    import tensorflow as tf

    request = Sentences().requests()["fill_mask"]
    raw = request.to_raw({"text": tf.constant(["The cat [MASK].", "李 [MASK]"])})
    found = learned.graph(dict(raw))
    first, second = found[SENTENCE_IDS].to_list()
    assert (learned.words(first), learned.words(second)) == ("thecat[MASK].", "[UNK][MASK]")
    assert found[SENTENCE_LENGTHS].to_list() == [[2, 1, 1], [1, 1]]
    assert found[OTHER_LENGTHS].to_list() == [[], []]
