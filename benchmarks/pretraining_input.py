"""How fast plain text becomes the sequences that BERT is pretrained on, and how memory grows with it.

    python benchmarks/pretraining_input.py [CORPUS.txt] [--vocabulary vocab.txt] \\
        [--peer-python PEER/bin/python] [--copies 10] [--out pretraining_input.json]

CORPUS has a sentence a line and empty lines between documents, by default made ones. Each side has a process
of its own; what starts once is left out, so some documents go first. `millrace` is ExampleGen's executor,
from text to tf.Examples, then the graphs that Transform and the trainer run, 64 examples at a time: pieces,
pairs and masks of one epoch. `create_pretraining_data` is an own re-enactment of google-research/bert's
maker with its defaults but one set of masks, where 10 is the default (support/pretraining_maker.py).
`run_mlm` is that of `transformers`, which has no pairs and writes nothing, where PEER is an environment with
torch and transformers (support/pretraining_peer.py). Then the first two once more with so many copies of the
corpus, for their memory and for what grows with it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import typer
from rich.console import Console
from rich.table import Table
from support import defaults
from support.children import figures, measured

from components.formats.plain_text import read_documents
from components.sources.corpus import CorpusSource
from pipelines.datasets.made_corpus import make_corpus

SUPPORT = Path(__file__).parent / "support"
BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]
BATCH_SIZE = 64
LENGTH = 128
# Enough that both splits have two.
WARM_UP_DOCUMENTS = 100


def main(
    corpus: Annotated[Path | None, typer.Argument(help="A text file; default: made documents.")] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="A vocab.txt; default: MiniLM's.")] = None,
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch and transformers.")] = None,
    copies: Annotated[int, typer.Option(help="How often the corpus stands in the larger one.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints sentences and sequences per second, and memory, of each side."""
    vocabulary = vocabulary or defaults.minilm() / "vocab.txt"
    with tempfile.TemporaryDirectory() as folder:
        if corpus is None:
            make_corpus(Path(folder))
            corpus = Path(folder, "corpus.txt")
        results = [{"side": name, **row} for name, row in sides(corpus, vocabulary, peer_python, copies)]
    report(results, out)


def sides(
    corpus: Path, vocabulary: Path, peer_python: Path | None, copies: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what was measured, by the name of the side."""
    arguments = str(corpus.resolve()), str(vocabulary.resolve())
    maker = str(SUPPORT / "pretraining_maker.py")
    yield "millrace", figures(__file__, *arguments, "1")
    yield "create_pretraining_data", figures(maker, *arguments, "1")
    if peer_python is not None:
        command = [peer_python, SUPPORT / "pretraining_peer.py", *arguments, "1"]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        yield "run_mlm", json.loads(finished.stdout.splitlines()[-1])
    yield f"millrace, {copies} copies", figures(__file__, *arguments, str(copies))
    yield f"create_pretraining_data, {copies}", figures(maker, *arguments, str(copies))


def child(corpus: str, vocabulary: str, copies: str) -> None:
    """Prints sentences, sequences, seconds and MB of one side as JSON."""
    counts = {"sentences": 0, "examples": 0}
    with tempfile.TemporaryDirectory() as folder:
        small, whole = (Path(folder, name) for name in ("small", "whole"))
        text = Path(corpus).read_text(encoding="utf-8").strip()
        write(small, "\n\n".join(text.split("\n\n")[:WARM_UP_DOCUMENTS]), 1)
        counts["sentences"] = write(whole, text, int(copies))
        # Not to be held while memory is measured.
        del text
        cut = make_cut(vocabulary)

        def make(directory: Path) -> int:
            output = directory / "examples"
            convert(directory, output)
            return sum(cut(batch) for batch in batches_of(output))

        make(small)
        got = measured(lambda: counts.update(examples=make(whole)))
    print(json.dumps({**counts, **got}))


def write(directory: Path, text: str, copies: int) -> int:
    """Writes a corpus of one file; returns its sentences."""
    directory.mkdir()
    path = directory / "corpus.txt"
    with path.open("w", encoding="utf-8") as file:
        for _ in range(copies):
            file.write(f"{text}\n\n")
    return sum(1 for document in read_documents(path) for _ in document)


def convert(data_dir: Path, output: Path) -> None:
    """Runs ExampleGen's executor in this process."""
    from tfx.types import standard_artifacts

    from components.example_gen.component import example_gen
    from components.example_gen.executor import Executor

    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    node = example_gen(CorpusSource(), str(data_dir))
    context = Executor.Context(beam_pipeline_args=BEAM_ARGS)
    Executor(context).Do({}, {"examples": [examples]}, dict(node.exec_properties))


def batches_of(output: Path) -> Iterator[Any]:
    """Yields serialized examples of all splits, some at a time."""
    import tensorflow as tf

    files = [str(file) for file in sorted(output.rglob("*.gz"))]
    yield from tf.data.TFRecordDataset(files, "GZIP").batch(BATCH_SIZE)


def make_cut(vocabulary: str) -> Any:
    """Returns a function that draws sequences of serialized examples, and returns how many."""
    import tensorflow as tf

    from components.features import OTHER_SENTENCES, SENTENCES
    from components.transform.text.sentences import Sentences
    from components.windows.masking import Masking
    from components.windows.padding import pad

    preprocessing = Sentences(vocabulary=vocabulary)
    masking = Masking(max_sequence_length=LENGTH).model_copy(update={"vocabulary": vocabulary})
    spec = {key: tf.io.VarLenFeature(tf.string) for key in (SENTENCES, OTHER_SENTENCES)}

    # Not autograph, which would convert the reading of a vocabulary line by line.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def drawn(serialized: Any) -> dict[str, Any]:
        features = pad(preprocessing.preprocessing_fn(tf.io.parse_example(serialized, spec)))
        return masking.take(features, masking.drawn(features, tf.zeros([2], tf.int64)))

    return lambda batch: len(next(iter(drawn(batch).values())))


def report(results: list[dict[str, Any]], out: Path | None) -> None:
    rows = [
        {
            **row,
            "sentences/s": round(row["sentences"] / row["seconds"]),
            "sentences/CPU s": round(row["sentences"] / row["cpu_s"]),
        }
        for row in results
    ]
    table = Table(title=f"Plain text to masked sequences of {LENGTH} tokens, {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key, justify="left" if key == "side" else "right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,}" for value in row.values()))
    Console(width=130).print(table)
    if out:
        out.write_text(json.dumps({"cores": os.cpu_count(), "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        typer.run(main)
