"""How fast texts become BERT's inputs in the graph that is served, beside tensorflow-text's own tokenizers.

    python benchmarks/tokenization.py [TRAIN.tsv] [VOCAB.txt] [--column 3] [--threads 1] [--out FILE.json]

Each text of a column is tokenized in batches of 1,000, and one ASCII text alone; imports and tracing are
left out. Every tokenizer is exported by TensorFlow and loaded again, `millrace` from a graph that
tf.Transform wrote. `inputs` are token ids, segment ids and mask, which tensorflow-text makes with a trimmer
and combine_segments; `ids` are token ids alone. `not_ascii_s` is of the texts with an accent at the end of
each, which `millrace` takes step by step. All take turns, and the fastest turn of each counts, in CPU time,
which other work does not lengthen as much; the ratio after each is to the FastBertTokenizer that makes the
same. `different` is in how many texts the ids are not those of `millrace`.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import apache_beam as beam
import tensorflow as tf
import tensorflow_text as tf_text
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
import typer
from rich.console import Console
from rich.table import Table
from support import defaults

from components.features import PADDING_MASK, SEGMENT_IDS, TEXT_A, TOKEN_IDS
from components.formats.vocabulary import SEPARATOR, START, find_cased, read_vocabulary
from components.transform.text.wordpiece import WordPiece

BATCH_SIZE = 1000
REPEATS = 10
CALLS = 200
MAX_LENGTH = 512
OURS = "millrace"
PEER = "FastBertTokenizer"

Answer = Callable[[tf.Tensor], dict[str, tf.RaggedTensor]]


def main(
    texts: Annotated[Path | None, typer.Argument(help="A TSV file without a header; default: made.")] = None,
    vocabulary: Annotated[Path | None, typer.Argument(help="A vocab.txt; default: MiniLM's.")] = None,
    column: Annotated[int, typer.Option(help="Where the texts are, from 0.")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of TensorFlow.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of seconds, and of milliseconds for one text."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    vocabulary = vocabulary or defaults.minilm() / "vocab.txt"
    with tempfile.TemporaryDirectory() as folder:
        texts = texts or defaults.cola(Path(folder, "cola")) / "train.tsv"
        rows = [line.split(b"\t")[column] for line in texts.read_bytes().rstrip(b"\n").split(b"\n")]
        tokenizers = load(str(vocabulary), Path(folder))
        graph_bytes = Path(folder, "graph", "transform_fn", "saved_model.pb").stat().st_size
        figures = [
            {**row, "makes": makes, "different": count_different(tokenizers, row["name"], rows)}
            for makes in ("ids", "inputs")
            for row in measure({name: each[makes] for name, each in tokenizers.items()}, rows)
        ]
    report(figures, threads, len(rows), graph_bytes, out)


def load(vocabulary: str, folder: Path) -> dict[str, dict[str, Answer]]:
    """Returns functions of texts as TensorFlow loads them, by tokenizer and by what they make."""
    tokens = read_vocabulary(vocabulary)
    cased = find_cased(tokens)
    lower_case = cased is None or not cased.upper
    layer = transform_layer(vocabulary, folder)
    fast = tf_text.FastBertTokenizer(
        list(tokens), token_out_type=tf.int64, lower_case_nfd_strip_accents=lower_case
    )
    classic = tf_text.BertTokenizer(vocabulary, lower_case=lower_case)
    pack = partial(inputs, start=tokens.index(START), separator=tokens.index(SEPARATOR))
    functions = {
        OURS: {
            "ids": lambda texts: {TOKEN_IDS: layer({TEXT_A: texts})[TOKEN_IDS]},
            "inputs": lambda texts: layer({TEXT_A: texts}),
        },
        PEER: {
            "ids": lambda texts: {TOKEN_IDS: fast.tokenize(texts)},
            "inputs": lambda texts: pack(fast.tokenize(texts)),
        },
        "BertTokenizer": {
            "ids": lambda texts: {TOKEN_IDS: classic.tokenize(texts).merge_dims(1, 2)},
            "inputs": lambda texts: pack(classic.tokenize(texts).merge_dims(1, 2)),
        },
    }
    return exported(functions, [layer, fast, classic], folder / "model")


def transform_layer(vocabulary: str, folder: Path) -> Any:
    """Returns the layer of a graph that tf.Transform wrote."""
    preprocessing = WordPiece(vocabulary=vocabulary, max_sequence_length=MAX_LENGTH)
    metadata = tft.DatasetMetadata.from_feature_spec({TEXT_A: tf.io.FixedLenFeature([], tf.string)})
    with tft_beam.Context(temp_dir=str(folder / "temporary")), beam.Pipeline(argv=[]) as pipeline:
        rows = pipeline | beam.Create([{TEXT_A: b"x"}])
        transform_fn = (rows, metadata) | tft_beam.AnalyzeDataset(preprocessing.preprocessing_fn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    return tft.TFTransformOutput(str(folder / "graph")).transform_features_layer()


def inputs(ids: tf.RaggedTensor, start: int, separator: int) -> dict[str, tf.RaggedTensor]:
    """Returns what `millrace` makes, as tensorflow-text's guide to BERT makes it."""
    trimmed = tf_text.RoundRobinTrimmer(MAX_LENGTH - 2).trim([ids])
    token_ids, segment_ids = tf_text.combine_segments(trimmed, start, separator)
    return {TOKEN_IDS: token_ids, SEGMENT_IDS: segment_ids, PADDING_MASK: tf.ones_like(token_ids)}


def exported(
    functions: dict[str, dict[str, Answer]], resources: list[Any], folder: Path
) -> dict[str, dict[str, Answer]]:
    module = tf.Module()
    module.resources = resources
    signature = [tf.TensorSpec([None], tf.string)]
    for name, each in functions.items():
        for makes, function in each.items():
            setattr(module, f"{name}_{makes}", tf.function(function, signature, autograph=False))
    tf.saved_model.save(module, str(folder))
    loaded = tf.saved_model.load(str(folder))
    return {
        name: {makes: getattr(loaded, f"{name}_{makes}") for makes in each}
        for name, each in functions.items()
    }


def measure(answers: dict[str, Answer], rows: list[bytes]) -> list[dict[str, Any]]:
    """Returns the fastest turn of each, in seconds for all rows and in milliseconds for one text."""
    ascii_row = next(row for row in rows if row.isascii())
    calls = {
        "all_s": (in_batches(rows), 1),
        "one_text_ms": ([tf.constant([ascii_row])], CALLS),
        "not_ascii_s": (in_batches([row + " é".encode() for row in rows]), 1),
    }
    figures: dict[str, dict[str, Any]] = {name: {"name": name} for name in answers}
    for column, (batches, count) in calls.items():
        turns = [{name: turn(each, batches, count) for name, each in answers.items()} for _ in range(REPEATS)]
        # The first turn warms up.
        fastest = {name: min(each[name] for each in turns[1:]) for name in answers}
        for name, row in figures.items():
            row[column] = round(fastest[name] * (1000 / count if count > 1 else 1), 3)
            row[f"{column.rpartition('_')[0]}_ratio"] = round(fastest[name] / fastest[PEER], 2)
    return list(figures.values())


def turn(answer: Answer, batches: list[tf.Tensor], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        for batch in batches:
            answer(batch)
    return time.process_time() - start


def in_batches(rows: list[bytes]) -> list[tf.Tensor]:
    return [tf.constant(rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE)]


def count_different(tokenizers: dict[str, dict[str, Answer]], name: str, rows: list[bytes]) -> int:
    """Returns in how many texts the ids are not those of `millrace`."""
    ours, theirs = (
        [ids for batch in in_batches(rows) for ids in tokenizers[each]["inputs"](batch)[TOKEN_IDS].to_list()]
        for each in (OURS, name)
    )
    return sum(first != second for first, second in zip(ours, theirs, strict=True))


def report(
    figures: list[dict[str, Any]], threads: int, num_texts: int, graph_bytes: int, out: Path | None
) -> None:
    table = Table(title=f"{num_texts:,} texts, {threads} thread(s), graph of {graph_bytes / 1e6:.1f} MB")
    for key in figures[0]:
        table.add_column(key, justify="left" if key == "name" else "right")
    for row in figures:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    if out:
        whole = {"texts": num_texts, "threads": threads, "graph_bytes": graph_bytes, "rows": figures}
        out.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
