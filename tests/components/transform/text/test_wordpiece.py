import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from bert_reference import features, pop_longest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import ConfigError
from components.features import LABEL, PADDING_MASK, SEGMENT_IDS, TEXT_A, TEXT_B, TOKEN_IDS
from components.formats.vocabulary import SPECIAL_TOKENS, VocabularyError, read_vocabulary
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.transform.text.segments import combine, find_room
from components.transform.text.wordpiece import WordPiece

# The special tokens stand where no code may take them for granted; two tokens can match nothing.
TOKENS = [
    "[PAD]", "the", "[SEP]", "\u2028", "##", "[UNK]", "[MASK]", "[CLS]", "<S>", "##s", "un", "##want",
    "##ed", "want", ".", "#", "李", "\U00020000", "ας", "##σ", "##ς", "ac", "##c", "\U0001f600", "각", "##각",
    *"abcxαισς'", *(f"##{char}" for char in "abxαι\U0001f600"),
]  # fmt: skip
LENGTH = 12


class Transformed(NamedTuple):
    """What a run of tf.Transform leaves: the examples, and the exported graph, loaded again."""

    examples: list[dict[str, Any]]
    folder: Path
    answer: Callable[..., dict[str, Any]]

    def ids(self, *columns: list[str]) -> list[tuple[list[int], list[int]]]:
        """Returns token ids and segment ids of texts, or of pairs, from the exported graph."""
        import tensorflow as tf

        names = (TEXT_A, TEXT_B)[: len(columns)]
        inputs = {
            name: tf.constant([text.encode() for text in column], tf.string, [len(column)])
            for name, column in zip(names, columns, strict=True)
        }
        answer = {name: value.numpy() for name, value in self.answer(**inputs).items()}
        rows = zip(answer[TOKEN_IDS], answer[SEGMENT_IDS], answer[PADDING_MASK], strict=True)
        return [(ids[mask == 1].tolist(), segments[mask == 1].tolist()) for ids, segments, mask in rows]


def run_transform(preprocessing: WordPiece, rows: list[dict[str, Any]], folder: Path) -> Transformed:
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam

    texts = {key: tf.io.FixedLenFeature([], tf.string) for key in preprocessing.text_features}
    spec = {**texts, LABEL: tf.io.FixedLenFeature([], tf.int64)}
    metadata = tft.DatasetMetadata.from_feature_spec(spec)
    with tft_beam.Context(temp_dir=str(folder / "temporary")):
        analyze = tft_beam.AnalyzeAndTransformDataset(preprocessing.preprocessing_fn)
        (examples, _), transform_fn = (rows, metadata) | analyze
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    export(preprocessing, tft.TFTransformOutput(str(folder / "graph")), folder / "model")
    loaded = tf.saved_model.load(str(folder / "model"))
    return Transformed(examples, folder / "model", loaded.signatures["text"])


def export(preprocessing: WordPiece, output: Any, folder: Path) -> None:
    import tensorflow as tf

    request = preprocessing.requests()["text"]
    module = tf.Module()
    module.layer = output.transform_features_layer()

    def answer(*texts: Any) -> dict[str, Any]:
        raw = request.to_raw(dict(zip(request.inputs, texts, strict=True)))
        return {key: value.to_tensor() for key, value in module.layer(dict(raw)).items()}

    signature = tf.function(answer, list(request.inputs.values()), autograph=False)
    tf.saved_model.save(module, str(folder), {"text": signature})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    folder = tmp_path_factory.mktemp("pairs")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_bytes("".join(f"{token}\r\n" for token in TOKENS).encode())
    preprocessing = WordPiece(
        text_features=(TEXT_A, TEXT_B), max_sequence_length=LENGTH, vocabulary=str(vocabulary)
    )
    row = {TEXT_A: b"The unwanted.", TEXT_B: "\xc0\xe7 李".encode(), LABEL: 1}
    return run_transform(preprocessing, [row, {**row, TEXT_A: b"x \xff"}], folder)


def test_a_pair_becomes_ids_segments_and_a_mask(pairs: Transformed) -> None:
    # [CLS] the un ##want ##ed . [SEP] ac 李 [SEP]
    first, second = pairs.examples
    assert values(first, TOKEN_IDS) == [7, 1, 10, 11, 12, 14, 2, 21, 16, 2]
    assert values(first, SEGMENT_IDS) == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert values(first, PADDING_MASK) == [1] * 10
    assert first[LABEL] == 1
    # The byte that is no UTF-8 is left out.
    assert values(second, TOKEN_IDS) == [7, TOKENS.index("x"), 2, 21, 16, 2]


def values(example: dict[str, Any], key: str) -> list[int]:
    # tf.Transform names the values of a RaggedTensor so.
    return example[f"{key}$ragged_values"].tolist()


HARD = [
    "", " ", "the", "THE unwanted wanteds", "[CLS] [UNK]", "x" * 200, "x" * 201, "é" * 201, "ΑΣ αΣα",
    "李\U00020000\uf900", "각각 각", "\u2028 ##", "a\u0301b\u0323c", "\0\ufffd\xad\u200d", "\ufdd0", "\ufffd",
    "\U0001f600\U0001f600", "\ue000", "\u0378", "ab" * 100, "unwan", "wants" * 9, "the " * 40, "# ##s .",
]  # fmt: skip


def test_ids_of_hard_pairs_are_those_of_bert(pairs: Transformed) -> None:
    firsts, seconds = map(list, zip(*itertools.product(HARD, HARD), strict=True))
    assert pairs.ids(firsts, seconds) == [
        features(pair, TOKENS, True, LENGTH) for pair in zip(firsts, seconds, strict=True)
    ]


ANY_TEXT = st.text(max_size=20) | st.text("abcsxthewantduΣσΑ李각É\u0301'.# \u2028\U0001f600", max_size=30)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=6))
def test_ids_of_any_pairs_are_those_of_bert(pairs: Transformed, texts: list[tuple[str, str]]) -> None:
    wanted = [features(pair, TOKENS, True, LENGTH) for pair in texts]
    assert pairs.ids([first for first, _ in texts], [second for _, second in texts]) == wanted


@pytest.mark.parametrize("room", [2, 5, 6])
def test_pairs_are_cut_off_as_if_token_by_token(room: int) -> None:
    import tensorflow as tf

    lengths = list(itertools.product(range(room + 3), repeat=2))
    segments = [tf.ragged.range(tf.constant([pair[side] for pair in lengths], tf.int64)) for side in (0, 1)]
    rows, _ = combine(segments, find_room(segments, room), -1, -2)
    for (first, second), found in zip(lengths, rows.to_list(), strict=True):
        wanted = list(range(first)), list(range(second))
        pop_longest(*wanted, room)
        assert found == [-1, *wanted[0], -2, *wanted[1], -2]


def test_the_exported_graph_is_small_and_holds_the_vocabulary(pairs: Transformed) -> None:
    content = (pairs.folder / "assets" / "vocabulary.txt").read_bytes()
    assert content.decode().split("\n") == [*(token.strip() or token for token in TOKENS), ""]
    assert (pairs.folder / "saved_model.pb").stat().st_size < 2_000_000


def test_the_exported_graph_needs_two_operations_beside_those_of_tensorflow(pairs: Transformed) -> None:
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((pairs.folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    names = {node.op for node in nodes} - {function.signature.name for function in graph.library.function}
    assert {name for name in names if not hasattr(tf.raw_ops, name)} == {
        "FastWordpieceTokenizeWithOffsets", "WordpieceTokenizeWithOffsets"
    }  # fmt: skip


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    texts = ["The Cat sat on the mat.", "The cats sat; the CAT ran!", "Ça va \ufdd0 " + "y" * 201]
    rows = [{TEXT_A: text.encode(), LABEL: number} for number, text in enumerate(texts * 3)]
    return run_transform(WordPiece(vocabulary_size=100), rows, tmp_path_factory.mktemp("learned"))


def test_a_vocabulary_is_learned_from_the_words_and_travels_with_the_graph(learned: Transformed) -> None:
    tokens = read_vocabulary(str(learned.folder / "assets" / "vocabulary.txt"))
    assert tokens[:5] == SPECIAL_TOKENS
    assert {"the", "cat", "a", "##a", ".", "!"} <= set(tokens)
    # Neither what counts as unknown nor a letter of it is learned.
    assert not {"y" * 201, "[UNK]\n", "##y"} & set(tokens)
    texts = ["The cat's hat", "", "THE CAT SAT ON THE MAT!", "dog", "the " * 200]
    assert learned.ids(texts) == [features([text], tokens, True, 128) for text in texts]
    assert (
        values(learned.examples[0], TOKEN_IDS) == features(["The Cat sat on the mat."], tokens, True, 128)[0]
    )
    assert [example[LABEL] for example in learned.examples] == list(range(9))


@pytest.mark.parametrize(
    ("lines", "lower_case", "message"),
    [
        (
            ["the"],
            False,
            "line 6: expected lower_case=True with a vocabulary that holds 'the' and nothing in",
        ),
        (["the", "##É"], True, "line 7: expected lower_case=False with a vocabulary that holds '##É', got"),
    ],
)
def test_a_case_that_contradicts_the_vocabulary_is_rejected(
    tmp_path: Path, lines: list[str], lower_case: bool, message: str
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, *lines]), encoding="utf-8")
    preprocessing = WordPiece(vocabulary=str(path), lower_case=lower_case)
    with pytest.raises(VocabularyError, match=message):
        preprocessing.preprocessing_fn({TEXT_A: np.array([b"the"], object)})


def test_too_short_a_sequence_is_rejected() -> None:
    assert WordPiece(max_sequence_length=3).max_sequence_length == 3
    assert WordPiece(text_features=(TEXT_A, TEXT_B), max_sequence_length=5).max_sequence_length == 5
    with pytest.raises(ConfigError, match="max_sequence_length: expected at least 3, got 2"):
        WordPiece().override({"max_sequence_length": 2}, "preprocessing")
    with pytest.raises(ConfigError, match="max_sequence_length: expected at least 5, got 4"):
        WordPiece(text_features=(TEXT_A, TEXT_B)).override({"max_sequence_length": 4}, "preprocessing")


def test_more_than_the_model_has_embeddings_for_is_refused(tmp_path: Path) -> None:
    shape = {"hidden_dim": 4, "num_layers": 1, "num_heads": 1, "intermediate_dim": 4, "max_positions": 9}
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join([*SPECIAL_TOKENS, "the"]), encoding="utf-8")

    def fit(preprocessing: WordPiece, **sizes: int) -> WordPiece:
        return preprocessing.fitted_to(BertClassifier(encoder=BertConfig(**{**shape, **sizes})))

    given = WordPiece(vocabulary=str(vocabulary), max_sequence_length=9)
    assert fit(given, vocabulary_size=6) == given
    for preprocessing, sizes, message in (
        (given, {"vocabulary_size": 5}, r"vocabulary: .*vocab\.txt: expected at most 5, which .* got 6"),
        (
            WordPiece(max_sequence_length=9),
            {"vocabulary_size": 7999},
            "vocabulary_size: .* 7999, .* got 8000",
        ),
        (WordPiece(), {}, "max_sequence_length: expected at most 9, which .* got 128"),
        (
            WordPiece(text_features=(TEXT_A, TEXT_B), max_sequence_length=9),
            {"num_segments": 1},
            "text_features: expected at most 1, which the model has embeddings for, got 2",
        ),
    ):
        with pytest.raises(ConfigError, match=f"^preprocessing.{message}"):
            fit(preprocessing, **sizes)


def test_the_vocabulary_is_the_only_file_that_counts() -> None:
    assert WordPiece().input_files() == ()
    assert WordPiece(vocabulary="gs://bucket/vocab.txt").input_files() == ("gs://bucket/vocab.txt",)


def test_requests_pass_on_what_they_name() -> None:
    requests = WordPiece(text_features=(TEXT_A, TEXT_B)).requests()
    text = {TEXT_A: "a", TEXT_B: "b"}
    assert requests["text"].to_raw(text) == text
    assert requests["text"].from_raw({**text, LABEL: 1}) == text
    assert not requests["text"].of_features
    tokens = {TOKEN_IDS: 1, SEGMENT_IDS: 2, PADDING_MASK: 3}
    assert requests["tokens"].to_raw(tokens) == tokens
    assert requests["tokens"].from_raw({**tokens, LABEL: 1}) == tokens
    assert requests["tokens"].of_features
    assert list(WordPiece().requests()["text"].inputs) == [TEXT_A]
