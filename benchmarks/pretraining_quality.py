"""What a small BERT learns of plain text, and what a text task has of it.

    python benchmarks/pretraining_quality.py [CORPUS] [--cola DIR] [--epochs 20] [--out FILE.json]

`made`: the whole DAG with the task's own settings on `millrace data make pretraining`. `corpus`, where a
folder of text files is given: the same with the preset `mini`, 4 layers of 128. Beside the accuracy at masked
pieces stands what two rules reach on all pieces of the same held-out documents: the most frequent piece, and
the piece that most often follows the one before (both counted on the training documents). With CoLA's
train.tsv and dev.tsv, the task `cola` then starts from the last encoder, and from random weights of its shape
with its vocabulary: the curves of both.
"""

import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import typer
import yaml
from rich.console import Console
from rich.table import Table

from components.features import SENTENCE_IDS
from components.task import Task
from pipelines import console, presets
from pipelines.dag.settings import RunConfig
from pipelines.datasets import catalog
from pipelines.runs import launch
from pipelines.tasks.cola import COLA
from pipelines.tasks.pretraining import PRETRAINING

METRICS = ("masked_lm_accuracy", "next_sentence_accuracy", "perplexity")
(PRESET,) = presets.located("pretraining", [Path("mini")])
MINI = yaml.safe_load(PRESET.read_text())
ENCODER = MINI["model"]["encoder"]
# As tf.Transform writes a ragged feature.
PIECES = f"{SENTENCE_IDS}$ragged_values"
# CoLA's metric while it trains, by epoch.
CURVE = "matthews_corrcoef"


def main(
    corpus: Annotated[Path | None, typer.Argument(help="A folder of text files.")] = None,
    cola: Annotated[Path | None, typer.Option(help="A folder with CoLA's train.tsv and dev.tsv.")] = None,
    epochs: Annotated[int, typer.Option(help="Of the corpus.")] = 20,
    made: Annotated[bool, typer.Option(help="Also learn made stories.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints accuracies beside those of simple rules, and CoLA's curves."""
    results: dict[str, Any] = {"pretraining": [], "cola": {}}
    with tempfile.TemporaryDirectory() as name, console.quiet(Path(name, "log"), debug=False):
        folder = Path(name)
        if made:
            (folder / "stories").mkdir()
            catalog.make("pretraining", folder / "stories")
            results["pretraining"].append(pretrain("made", folder / "stories", folder / "made", {}))
        if corpus is not None:
            settings = {**MINI, "train": {**MINI["train"], "num_epochs": epochs}}
            results["pretraining"].append(pretrain("corpus", corpus, folder / "corpus", settings))
        if cola is not None:
            encoder = Path(results["pretraining"][-1].pop("published"), "assets.extra", "huggingface")
            results["cola"] = curves(cola, encoder, folder)
    report(results, out)


def pretrain(name: str, data: Path, root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the DAG on the files of a folder came to."""
    source = {**settings.get("source", {}), "validation_fraction": 0.1}
    changes = {**settings, "source": source, "blessing": {"threshold": 0.0}}
    wall, cpu = time.perf_counter(), time.process_time()
    done = run(PRETRAINING, data, root, changes)
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    measured = json.loads(Path(done.evaluation_dir, "metrics.json").read_text())["metrics"]
    found = {metric: measured[metric] for metric in METRICS}
    return {"data": name, **found, **baselines(root), **times, "published": done.pushed_dir}


def run(task: Task, data: Path, root: Path, settings: Mapping[str, Any]) -> Any:
    config = RunConfig(data_dir=str(data), pipeline_root=str(root), models_dir=str(root / "models"))
    return launch.launch(task, config, settings)


def baselines(root: Path) -> dict[str, float]:
    """Returns the accuracies of the two rules on the held-out documents of a run."""
    counts: Counter[int] = Counter()
    after: dict[int, Counter[int]] = defaultdict(Counter)
    for pieces in runs(root, "train"):
        counts.update(pieces)
        for before, piece in pairwise(pieces):
            after[before][piece] += 1
    most = counts.most_common(1)[0][0]
    best = {before: following.most_common(1)[0][0] for before, following in after.items()}
    pairs = [(b, p) for pieces in runs(root, "eval") for b, p in pairwise(pieces)]
    return {
        "most_frequent": sum(piece == most for _, piece in pairs) / len(pairs),
        "bigram": sum(piece == best.get(before, most) for before, piece in pairs) / len(pairs),
    }


def runs(root: Path, split: str) -> Iterator[list[int]]:
    """Yields the pieces of each run of sentences."""
    files = [str(path) for path in root.glob(f"artifacts/*/Transform/transformed_examples/*/Split-{split}/*")]
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        yield list(tf.train.Example.FromString(record).features.feature[PIECES].int64_list.value)


def curves(data: Path, encoder: Path, folder: Path) -> dict[str, list[float]]:
    """Returns the metric of each epoch, from the encoder and from random weights of its shape."""
    config = json.loads((encoder / "config.json").read_text())
    shape = {
        **ENCODER,
        "vocabulary_size": config["vocab_size"],
        "max_positions": config["max_position_embeddings"],
    }
    # The same schedule for both: that of random weights.
    train = (COLA.train_from_scratch or COLA.train).model_dump(include={"learning_rate", "num_epochs"})
    starts = {
        "pretrained": {"model": {"init_checkpoint": str(encoder)}},
        "random": {"model": {"encoder": shape}, "preprocessing": {"vocabulary": str(encoder / "vocab.txt")}},
    }
    found = {}
    for name, settings in starts.items():
        shorter = {"preprocessing": {"max_sequence_length": 64, **settings.get("preprocessing", {})}}
        changes = {**settings, **shorter, "train": train, "blessing": {"threshold": -1.0}}
        run(COLA, data, folder / f"cola-{name}", changes)
        found[name] = curve(folder / f"cola-{name}")
    return found


def curve(root: Path) -> list[float]:
    """Returns the metric after each epoch, of a run's TensorBoard files."""
    values: dict[int, float] = {}
    for path in sorted(root.glob("artifacts/*/Trainer/model_run/*/eval/events.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag == CURVE:
                    values[event.step] = float(tf.make_ndarray(value.tensor))
    return [round(values[step], 4) for step in sorted(values)]


def _shown(value: Any) -> str:
    """None stands for what was not asked, such as second texts where there are none."""
    return f"{value:.3f}" if isinstance(value, float) else str(value or "–")


def report(results: dict[str, Any], out: Path | None) -> None:
    table = Table(title=f"Masked words of held-out documents, {os.cpu_count()} cores")
    keys = ("data", *METRICS, "most_frequent", "bigram", "seconds", "cpu_seconds")
    for key in keys:
        table.add_column(key, justify="left" if key == "data" else "right")
    for row in results["pretraining"]:
        row.pop("published", None)
        table.add_row(*map(_shown, (row[key] for key in keys)))
    console_ = Console()
    console_.print(table)
    for name, values in results["cola"].items():
        console_.print(f"{CURVE} of cola by epoch, {name}: {values}")
    if out is not None:
        out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
