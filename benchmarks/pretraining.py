"""Pretraining of BERT beside `transformers` on PyTorch: the same logits, and sequences per second.

    python benchmarks/pretraining.py --peer-python PEER/bin/python [--out pretraining.json]

PEER is an environment of its own: `uv venv PEER && uv pip install --python PEER/bin/python torch==2.13.0
transformers`. Without one, only the project's own figures are printed.

First the logits: random weights are written as Hugging Face's files, which BertForPreTraining reads. Then
training on one batch of random tokens in memory, with AdamW, decay, clipping by the global norm and dropout
on both sides; ours through the loop of `components/trainer/loop.py`. The other side comes twice: as it is,
which projects every token on the vocabulary, and with the masked tokens taken out before, as here. The sides
take turns in rounds, of which the first warms up; figures are medians, CPU seconds those of all threads.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow switches oneDNN's kernels on by itself only where a CPU has AVX-512 VNNI or AMX.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table
from serving import end

from components.features import (
    EXAMPLE_WEIGHT,
    IS_NEXT,
    MASKED_IDS,
    MASKED_POSITIONS,
    MASKED_WEIGHTS,
    PADDING_MASK,
    SEGMENT_IDS,
    TOKEN_IDS,
)
from components.models.bert.config import BertConfig
from components.models.bert.pretraining import BertPretraining
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy

PEER = Path(__file__).parent / "support" / "bert_pretraining_peer.py"
MODELS = {
    "4x128": BertConfig(hidden_dim=128, num_layers=4, num_heads=2, intermediate_dim=512),
    "6x384": BertConfig(hidden_dim=384, num_layers=6, num_heads=12, intermediate_dim=1536),
}
MASK_ID = 103

Ask = Callable[[dict[str, Any]], Any]


class Step(NamedTuple):
    """What a step takes: seconds by the clock, and of all threads."""

    seconds: float
    cpu_seconds: float


Side = Callable[[int], Step]  # steps of a round -> what one of them takes


class Setting(NamedTuple):
    """The shape of a batch, and how our side trains."""

    batch_size: int
    length: int
    masks: int
    optimizer: str


def main(
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch and transformers.")] = None,
    models: Annotated[str, typer.Option(help="Layers x width, separated by commas.")] = "4x128,6x384",
    batch_size: Annotated[int, typer.Option(help="Sequences in a step.")] = 32,
    length: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 128,
    masks: Annotated[int, typer.Option(help="Masked tokens of a sequence.")] = 20,
    optimizer: Annotated[str, typer.Option(help="Of our side: adamw or lamb.")] = "adamw",
    threads: Annotated[int, typer.Option(help="Threads of an operation, on both sides.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps in a round.")] = 3,
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints how far the logits are apart, and sequences/s of all sides by the size of the model."""
    os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    setting = Setting(batch_size, length, masks, optimizer)
    rows = [row for name in models.split(",") for row in one_model(name, setting, peer_python, steps, rounds)]
    table = Table(title=f"{batch_size}x{length} tokens, {masks} masked, {optimizer}, {threads} threads")
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def one_model(
    name: str, setting: Setting, peer_python: Path | None, steps: int, rounds: int
) -> list[dict[str, Any]]:
    """Returns the figures of a model, a row for each side."""
    model = BertPretraining(encoder=MODELS[name])
    sides = {"millrace": make_side(model, setting)}
    if peer_python is None:
        return measure(name, sides, setting, steps, rounds)
    with tempfile.TemporaryDirectory() as folder:
        keras_model = randomized(model)
        model.save_weights(keras_model, folder)
        with talking(peer_python, Path(folder, "assets.extra", "huggingface")) as ask:
            compare(name, keras_model, setting, Path(folder), ask)
            sides["transformers"] = lambda steps: Step(*ask({"steps": steps, "gathered": False}))
            sides["gathered"] = lambda steps: Step(*ask({"steps": steps, "gathered": True}))
            return measure(name, sides, setting, steps, rounds)


def randomized(model: BertPretraining) -> Any:
    """Returns the Keras model with weights of which none is 0 or 1, so that each of them matters."""
    keras_model, random = model.build(), np.random.default_rng(0)
    for weight in keras_model.trainable_variables:
        weight.assign_add(random.normal(scale=0.02, size=weight.shape))
    return keras_model


def compare(name: str, keras_model: Any, setting: Setting, folder: Path, ask: Ask) -> None:
    """Prints how far logits are apart at most; an error where the other side found other weights."""
    batch = make_batch(setting)
    np.savez(folder / "batch.npz", **batch)
    found = ask({"logits": str(folder / "batch.npz"), "out": str(folder / "logits.npz")})
    if found != {"missing": [], "unexpected": []}:
        raise RuntimeError(f"expected all weights and no others, got {found}")
    theirs = np.load(folder / "logits.npz")
    ours = keras_model({tensor.name: batch[tensor.name] for tensor in keras_model.inputs})
    for output, logits in ours.items():
        difference = np.abs(theirs[output] - logits.numpy()).max()
        print(f"{name}: {output} differs by {difference:.1e} at most, of {np.abs(theirs[output]).max():.2f}")


def make_batch(setting: Setting) -> dict[str, Any]:
    """Returns the features of a batch of random tokens, of which some are masked."""
    random = np.random.default_rng(0)
    size, length, masks = setting.batch_size, setting.length, setting.masks
    token_ids = random.integers(1000, 30_000, (size, length))
    places = [np.sort(random.permutation(length - 1)[:masks] + 1) for _ in range(size)]
    positions = np.stack(places)
    masked_ids = np.take_along_axis(token_ids, positions, axis=1)
    np.put_along_axis(token_ids, positions, MASK_ID, axis=1)
    return {
        TOKEN_IDS: token_ids,
        SEGMENT_IDS: np.broadcast_to(np.arange(length) >= length // 2, token_ids.shape).astype(np.int64),
        PADDING_MASK: np.ones_like(token_ids),
        MASKED_POSITIONS: positions,
        MASKED_IDS: masked_ids,
        MASKED_WEIGHTS: np.ones(positions.shape, np.float32),
        IS_NEXT: np.arange(size) % 2,
        EXAMPLE_WEIGHT: np.ones(size, np.float32),
    }


def make_side(model: BertPretraining, setting: Setting) -> Side:
    """Returns a function that takes steps of the project's loop."""
    config = TrainConfig(
        global_batch_size=setting.batch_size, optimizer=setting.optimizer, learning_rate=1e-4, epsilon=1e-6,
        weight_decay=0.01, clip_norm=1.0, strategy="one_device",
    )  # fmt: skip
    strategy = make_strategy(config.strategy)
    with strategy.scope():
        keras_model = model.build()
        optimizer = make_optimizer(config, 1_000_000, keras_model.trainable_variables)
    loop = CompiledLoop(strategy, keras_model, optimizer, model, config, None)
    batches = tf.data.Dataset.from_tensors(make_batch(setting)).repeat()
    iterator = iter(strategy.distribute_datasets_from_function(lambda context: batches))

    def run_steps(steps: int) -> Step:
        start, cpu = time.perf_counter(), time.process_time()
        loop.run(iterator, steps)
        return Step((time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps)

    return run_steps


@contextmanager
def talking(python: Path, folder: Path) -> Iterator[Ask]:
    """Starts the peer, and gives a function that asks it."""
    with subprocess.Popen(
        [python, PEER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:

        def ask(what: dict[str, Any]) -> Any:
            if peer.stdin is None or peer.stdout is None:
                raise RuntimeError("the peer has no pipes")
            print(json.dumps(what), file=peer.stdin, flush=True)
            return json.loads(peer.stdout.readline())

        yield ask
        end(peer)


def measure(
    name: str, sides: dict[str, Side], setting: Setting, steps: int, rounds: int
) -> list[dict[str, Any]]:
    """Returns a row for each side: medians over the rounds, and that of the rounds' ratios to our side."""
    taken: dict[str, list[Step]] = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for side, run_steps in sides.items():
            taken[side].append(run_steps(steps))
    rows = []
    for side, each in taken.items():
        seconds, cpu = (statistics.median(values) for values in zip(*each[1:], strict=True))
        pairs = zip(each[1:], taken["millrace"][1:], strict=True)
        ratio = statistics.median(theirs.seconds / ours.seconds for theirs, ours in pairs)
        figures = {"sequences_per_s": round(setting.batch_size / seconds, 1), "cpu_s_a_step": round(cpu, 2)}
        rows.append({"model": name, "side": side, **figures, "ours_faster_by": round(ratio, 2)})
    return rows


if __name__ == "__main__":
    typer.run(main)
