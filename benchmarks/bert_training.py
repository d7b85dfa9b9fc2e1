"""Fine-tuning speed of BERT beside `transformers` on PyTorch: the same weights, batch, length and threads.

    python benchmarks/bert_training.py [CHECKPOINT] --peer-python PEER/bin/python [--out bert_training.json]

CHECKPOINT is a Hugging Face folder (model.safetensors, config.json, vocab.txt). PEER is an environment of its
own: `uv venv PEER && uv pip install --python PEER/bin/python torch==2.13.0 transformers`. Without one, only
the project's own figures are printed.

Both sides train all weights with AdamW, decay, clipping by the global norm and dropout, on the same batch of
random tokens in memory; ours through the loop of `components/trainer/loop.py`. The peer waits in a process of
its own (`bert_peer.py`), and the two take turns, so that a change in the machine's load hits both. The first
round of each warms up and is left out.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow switches oneDNN's kernels on by itself only where a CPU has AVX-512 VNNI or AMX.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table
from support import defaults

from components.features import EXAMPLE_WEIGHT, LABEL, PADDING_MASK, SEGMENT_IDS, TOKEN_IDS
from components.models.bert.classifier import BertClassifier
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy

Side = Callable[[int, int], float]  # (length, steps) -> seconds a step


def main(
    checkpoint: Annotated[Path | None, typer.Argument(help="A Hugging Face folder; default: MiniLM.")] = None,
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch and transformers.")] = None,
    lengths: Annotated[str, typer.Option(help="Tokens of an example, separated by commas.")] = "32,64,128",
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 32,
    threads: Annotated[int, typer.Option(help="Threads of an operation, on both sides.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps in a round.")] = 5,
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 5,
    xla: Annotated[bool, typer.Option(help="Compile our model with XLA.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints examples/s of both sides by length, and their ratio."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    checkpoint = checkpoint or defaults.minilm()
    sides = {"millrace": make_side(checkpoint, batch_size, xla)}
    if peer_python is not None:
        sides["transformers"] = make_peer_side(peer_python, checkpoint, batch_size, threads)
    rows = [measure(sides, int(length), batch_size, steps, rounds) for length in lengths.split(",")]
    table = Table(title=f"{checkpoint.name}, batch {batch_size}, {threads} threads")
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2) + "\n")


def measure(sides: dict[str, Side], length: int, batch_size: int, steps: int, rounds: int) -> dict[str, Any]:
    """Returns the figures of one length: medians over the rounds, and the median of the rounds' ratios."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run_steps in sides.values():
        run_steps(length, steps)
    for _ in range(rounds):
        for name, run_steps in sides.items():
            seconds[name].append(run_steps(length, steps))
    row: dict[str, Any] = {"length": length}
    for name in sides:
        median = statistics.median(seconds[name])
        row |= {
            f"{name}_step_ms": round(median * 1e3),
            f"{name}_examples_per_s": round(batch_size / median, 1),
        }
    if "transformers" in sides:
        ratios = [theirs / ours for theirs, ours in zip(*reversed(seconds.values()), strict=True)]
        row["ratio"] = round(statistics.median(ratios), 2)
    return row


def make_side(checkpoint: Path, batch_size: int, xla: bool) -> Side:
    """Returns a function that takes steps of the project's loop."""
    config = TrainConfig(
        global_batch_size=batch_size, optimizer="adamw", learning_rate=2e-5, epsilon=1e-6, weight_decay=0.01,
        clip_norm=1.0, strategy="one_device", jit_compile=xla,
    )  # fmt: skip
    model = BertClassifier(init_checkpoint=str(checkpoint))
    strategy = make_strategy(config.strategy)
    with strategy.scope():
        keras_model = model.build()
        model.initialize(keras_model)
        optimizer = make_optimizer(config, 1_000_000, keras_model.trainable_variables)
    loop = CompiledLoop(strategy, keras_model, optimizer, model, config, None)
    vocabulary_size = model.encoder_config.vocabulary_size

    def run_steps(length: int, steps: int) -> float:
        batch = make_batch(batch_size, length, vocabulary_size)
        batches = tf.data.Dataset.from_tensors(batch).repeat()
        iterator = iter(strategy.distribute_datasets_from_function(lambda context: batches))
        start = time.perf_counter()
        loop.run(iterator, steps)
        return (time.perf_counter() - start) / steps

    return run_steps


def make_batch(batch_size: int, length: int, vocabulary_size: int) -> dict[str, Any]:
    """Returns the features of a batch; bert_peer.py makes the same."""
    token_ids = np.random.default_rng(length).integers(vocabulary_size, size=(batch_size, length))
    return {
        TOKEN_IDS: token_ids,
        SEGMENT_IDS: np.zeros_like(token_ids),
        PADDING_MASK: np.ones_like(token_ids),
        LABEL: np.arange(batch_size) % 2,
        EXAMPLE_WEIGHT: np.ones(batch_size, np.float32),
    }


def make_peer_side(python: Path, checkpoint: Path, batch_size: int, threads: int) -> Side:
    """Starts the peer, which ends with this process, and returns a function that asks it to take steps."""
    script = Path(__file__).parent / "support" / "bert_peer.py"
    # A list of arguments; the same variables, so that both allocate memory the same way.
    peer = subprocess.Popen(
        [python, script, checkpoint, str(batch_size), str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def run_steps(length: int, steps: int) -> float:
        if peer.stdin is None or peer.stdout is None:
            raise RuntimeError("the peer has no pipes")
        peer.stdin.write(f"{length} {steps}\n")
        peer.stdin.flush()
        return float(peer.stdout.readline())

    return run_steps


if __name__ == "__main__":
    typer.run(main)
