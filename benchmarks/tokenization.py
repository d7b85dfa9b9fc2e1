"""How fast texts become BERT's inputs in the graph that is served, beside tensorflow-text's own tokenizers.

    python benchmarks/tokenization.py TRAIN.tsv VOCAB.txt [--column 3] [--threads 1] [--out tokenization.json]

Each text of a column is tokenized in batches of 1,000, three times, of which the fastest counts; imports and
tracing are left out. `millrace` makes token ids, segment ids and mask in a graph that tf.Transform wrote and
TensorFlow exported and loaded; the others make ids alone, and `different` is in how many texts theirs are
not those of `millrace`.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
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

from components.features import TEXT_A, TOKEN_IDS
from components.formats.vocabulary import find_cased, read_vocabulary
from components.transform.text.wordpiece import WordPiece

BATCH_SIZE = 1000
REPEATS = 3

Tokenize = Callable[[tf.Tensor], tf.RaggedTensor]


def main(
    texts: Annotated[Path, typer.Argument(help="Tab-separated values without a header.")],
    vocabulary: Annotated[Path, typer.Argument(help="A vocab.txt.")],
    column: Annotated[int, typer.Option(help="Where the texts are, from 0.")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of TensorFlow.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of texts per second."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    rows = [line.split(b"\t")[column] for line in texts.read_bytes().rstrip(b"\n").split(b"\n")]
    batches = [tf.constant(rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE)]
    with tempfile.TemporaryDirectory() as folder:
        served, graph_bytes = served_graph(str(vocabulary), Path(folder))
        figures = [measure("millrace", served, batches)]
        figures += [measure(name, each, batches) for name, each in own_tokenizers(str(vocabulary)).items()]
    ids = figures[0]["ids"]
    for row in figures:
        row["different"] = sum(ours != theirs for ours, theirs in zip(ids, row.pop("ids"), strict=True))
    report(figures, threads, len(rows), graph_bytes, out)


def served_graph(vocabulary: str, folder: Path) -> tuple[Tokenize, int]:
    """Returns token ids from an exported graph, and the bytes that it takes beside the vocabulary."""
    preprocessing = WordPiece(vocabulary=vocabulary, max_sequence_length=512)
    metadata = tft.DatasetMetadata.from_feature_spec({TEXT_A: tf.io.FixedLenFeature([], tf.string)})
    with tft_beam.Context(temp_dir=str(folder / "temporary")), beam.Pipeline(argv=[]) as pipeline:
        rows = pipeline | beam.Create([{TEXT_A: b"x"}])
        transform_fn = (rows, metadata) | tft_beam.AnalyzeDataset(preprocessing.preprocessing_fn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    module = tf.Module()
    module.layer = tft.TFTransformOutput(str(folder / "graph")).transform_features_layer()
    module.answer = tf.function(
        lambda texts: module.layer({TEXT_A: texts}), [tf.TensorSpec([None], tf.string)], autograph=False
    )
    tf.saved_model.save(module, str(folder / "model"))
    answer = tf.saved_model.load(str(folder / "model")).answer
    return lambda texts: answer(texts)[TOKEN_IDS][:, 1:-1], (
        folder / "model" / "saved_model.pb"
    ).stat().st_size


def own_tokenizers(vocabulary: str) -> dict[str, Tokenize]:
    """Returns the tokenizers of tensorflow-text, compiled, with the limits of the project's."""
    tokens = read_vocabulary(vocabulary)
    cased = find_cased(tokens)
    lower_case = cased is None or not cased.upper
    fast = tf_text.FastBertTokenizer(
        list(tokens), token_out_type=tf.int64, lower_case_nfd_strip_accents=lower_case
    )
    classic = tf_text.BertTokenizer(vocabulary, lower_case=lower_case)
    signature = [tf.TensorSpec([None], tf.string)]
    return {
        "FastBertTokenizer": tf.function(fast.tokenize, signature, autograph=False),
        "BertTokenizer": tf.function(
            lambda texts: classic.tokenize(texts).merge_dims(1, 2), signature, autograph=False
        ),
    }


def measure(name: str, tokenize: Tokenize, batches: list[tf.Tensor]) -> dict[str, Any]:
    ids = [row for batch in batches for row in tokenize(batch).to_list()]
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for batch in batches:
            tokenize(batch)
        seconds.append(time.perf_counter() - start)
    single = time.perf_counter()
    for _ in range(100):
        tokenize(batches[0][:1])
    return {
        "name": name,
        "texts_per_s": round(len(ids) / min(seconds)),
        "seconds": round(min(seconds), 3),
        "ms_for_one_text": round((time.perf_counter() - single) * 10, 2),
        "ids": ids,
    }


def report(
    figures: list[dict[str, Any]], threads: int, num_texts: int, graph_bytes: int, out: Path | None
) -> None:
    table = Table(title=f"{num_texts:,} texts, {threads} thread(s), graph of {graph_bytes / 1e6:.1f} MB")
    for key in figures[0]:
        table.add_column(key, justify="left" if key == "name" else "right")
    for row in figures:
        table.add_row(*(f"{value:,}" if key != "name" else value for key, value in row.items()))
    Console().print(table)
    if out:
        whole = {"texts": num_texts, "threads": threads, "graph_bytes": graph_bytes, "rows": figures}
        out.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
