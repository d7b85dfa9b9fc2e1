"""A published model of `squad` beside `transformers` with the same weights: answers, speed, training.

    python benchmarks/question_answering.py MODEL DATA --peer-python PEER/bin/python \\
        [--checkpoint DIR] [--out question_answering.json]

MODEL is a version that `millrace run squad` published, DATA a file of version 2.0, and DIR the checkpoint
that the model was trained from, if from one. PEER is an environment of
its own: `uv venv PEER && uv pip install --python PEER/bin/python torch==2.13.0 'transformers<5' fastapi
'uvicorn[standard]'` (release 5 has no question-answering pipeline).

First the answers, with a null threshold of 0: those of the SavedModel beside those of run_squad.py's
post-processing, and all that differ. Then windows per second of training, without reading data. Then answers
per second over REST with one client: the model server beside FastAPI around the pipeline. Both sides take
turns in rounds, of which the first warms up; figures are medians.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - its operations are in the model
import typer
from bert_training import make_batch, measure
from rich.console import Console
from rich.table import Table
from serving import end, free_ports

from components.export.origin import ORIGIN_FILE
from components.features import END_POSITIONS, START_POSITIONS
from components.formats.squad import V2, Question, read_squad, write_squad
from components.models.bert.spans import BertSpans
from components.models.bert.weights.writers import write_huggingface
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy
from components.windows.spans import Spans

PEER = Path(__file__).parent / "support" / "squad_peer.py"

# (path, body) of an HTTP request for some questions.
Asked = Callable[[Sequence[Question]], tuple[str, dict[str, Any]]]


def main(
    model: Annotated[Path | None, typer.Argument(help="A published version, a folder.")] = None,
    data: Annotated[Path | None, typer.Argument(help="Questions, a file of version 2.0.")] = None,
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch and transformers.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="What the model was trained from.")] = None,
    questions: Annotated[int, typer.Option(help="Questions that are asked.")] = 200,
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Windows of a training step.")] = 16,
    threads: Annotated[int, typer.Option(help="Threads of an operation, on both sides.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of each part; without a model or the other side, what it needs."""
    if model is None or data is None or peer_python is None:
        print("question_answering.py: nothing measured: expected MODEL, DATA and --peer-python (see --help)")
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    asked = list(islice(read_squad(data), questions))
    with tempfile.TemporaryDirectory() as name:
        settings = json.loads((model / ORIGIN_FILE).read_text())["settings"]
        started = {"init_checkpoint": None if checkpoint is None else str(checkpoint)}
        spans, bert = Spans(**settings["windowing"]), BertSpans(**{**settings["model"], **started})
        write_peer(model, bert, spans, Path(name, "peer"))
        write_squad(Path(name, "asked.json"), asked, V2)
        with talking(peer_python, Path(name, "peer")) as ask:
            differing = compare(model, asked, ask({"predict": str(Path(name, "asked.json"))}))
            sides = {
                "millrace": make_side(bert, batch_size),
                "transformers": lambda length, steps: ask(
                    {"length": length, "steps": steps, "batch_size": batch_size}
                ),
            }
            equal = {"questions": len(asked), "equal": len(asked) - len(differing)}
            show("equal answers", [equal])
            show("answers that differ", differing)
            training = measure(sides, spans.max_sequence_length, batch_size, 5, rounds)
            show("training", [training])
        speeds = serve(model, peer_python, Path(name), asked, rounds)
    show("answers/s over REST", speeds)
    if out is not None:
        figures = {"equal": equal, "differing": differing, "answers": speeds, "training": training}
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def write_peer(model: Path, bert: BertSpans, spans: Spans, folder: Path) -> None:
    """Writes what squad_peer.py reads: the weights, the vocabulary and how windows are cut."""
    keras_model = bert.build()
    weights = tf.saved_model.load(str(model)).weights
    for variable, value in zip(keras_model.variables, weights, strict=True):
        variable.assign(value)
    vocabulary = str(model / "assets" / "vocabulary.txt")
    write_huggingface(keras_model, bert.encoder_config, str(folder), vocabulary)
    kernel, bias = keras_model.get_layer("logits").get_weights()
    np.savez(folder / "head.npz", kernel=kernel, bias=bias)
    (folder / "windows.json").write_text(spans.model_dump_json())


@contextmanager
def talking(python: Path, folder: Path) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """Starts the peer, and gives a function that asks it."""
    with subprocess.Popen(
        [python, PEER, "talk", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:

        def ask(what: dict[str, Any]) -> Any:
            if peer.stdin is None or peer.stdout is None:
                raise RuntimeError("the peer has no pipes")
            print(json.dumps(what), file=peer.stdin, flush=True)
            return json.loads(peer.stdout.readline())

        yield ask
        end(peer)


def compare(model: Path, asked: Sequence[Question], expected: dict[str, str]) -> list[dict[str, Any]]:
    """Returns the questions whose answers differ, with both."""
    signature = tf.saved_model.load(str(model)).signatures["answer"]
    rows = []
    for question in asked:
        found = signature(question=tf.constant([question.question]), context=tf.constant([question.context]))
        odds = float(found["null_odds"].numpy()[0])
        answer = "" if odds > 0 else found["best_answer"].numpy()[0].decode()
        if answer != expected[question.id]:
            theirs = expected[question.id]
            rows.append(
                {"id": question.id, "millrace": answer, "run_squad": theirs, "null_odds": round(odds, 4)}
            )
    return rows


def make_side(bert: BertSpans, batch_size: int) -> Callable[[int, int], float]:
    """Returns a function that takes steps of the project's loop, and returns the seconds of one."""
    config = TrainConfig(
        global_batch_size=batch_size, optimizer="adamw", learning_rate=2e-5, epsilon=1e-6, weight_decay=0.01,
        clip_norm=1.0, strategy="one_device",
    )  # fmt: skip
    strategy = make_strategy(config.strategy)
    with strategy.scope():
        keras_model = bert.build()
        optimizer = make_optimizer(config, 1_000_000, keras_model.trainable_variables)
    loop = CompiledLoop(strategy, keras_model, optimizer, bert, config, None)

    def run_steps(length: int, steps: int) -> float:
        batch = make_batch(batch_size, length, bert.encoder_config.vocabulary_size)
        batch |= dict.fromkeys((START_POSITIONS, END_POSITIONS), np.arange(batch_size) + 1)
        batches = tf.data.Dataset.from_tensors(batch).repeat()
        iterator = iter(strategy.distribute_datasets_from_function(lambda context: batches))
        start = time.perf_counter()
        loop.run(iterator, steps)
        return (time.perf_counter() - start) / steps

    return run_steps


def serve(
    model: Path, python: Path, folder: Path, asked: Sequence[Question], rounds: int
) -> list[dict[str, Any]]:
    """Returns answers per second of both servers, a row for each size of a request."""
    grpc_port, rest_port, peer_port = free_ports(3)
    base = folder / "models" / "squad"
    base.mkdir(parents=True)
    (base / "1").symlink_to(model.resolve())
    ours = [sys.executable, "-m", "components.serving", f"--port={grpc_port}",
            f"--rest_api_port={rest_port}", "--model_name=squad", f"--model_base_path={base}"]  # fmt: skip
    theirs = [python, PEER, "serve", folder / "peer", str(peer_port)]
    processes = [
        subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL) for command in (ours, theirs)
    ]
    servers: dict[str, tuple[int, Asked]] = {
        "millrace": (rest_port, ask_server), "FastAPI": (peer_port, ask_peer)
    }  # fmt: skip
    try:
        return [one_size(servers, asked, size, rounds) for size in (1, 8)]
    finally:
        for process in processes:
            end(process)


def one_size(
    servers: dict[str, tuple[int, Asked]], asked: Sequence[Question], size: int, rounds: int
) -> dict[str, Any]:
    """Returns the figures of requests of `size` questions each."""
    requests = [asked[begin : begin + size] for begin in range(0, min(len(asked), 16 * size), size)]
    speeds: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds + 1):
        for name, (port, request) in servers.items():
            speeds[name].append(
                sum(map(len, requests)) / exchange(port, [request(each) for each in requests])
            )
    medians = {name: statistics.median(each[1:]) for name, each in speeds.items()}
    ratios = [one / other for one, other in zip(*(each[1:] for each in speeds.values()), strict=True)]
    return {
        "batch": size, **{name: round(speed, 1) for name, speed in medians.items()},
        "ratio": round(statistics.median(ratios), 2),
    }  # fmt: skip


def ask_server(asked: Sequence[Question]) -> tuple[str, dict[str, Any]]:
    return "/v1/models/squad:predict", {"signature_name": "answer", "inputs": texts(asked)}


def ask_peer(asked: Sequence[Question]) -> tuple[str, dict[str, Any]]:
    return "/answer", texts(asked)


def texts(asked: Sequence[Question]) -> dict[str, list[str]]:
    return {"question": [one.question for one in asked], "context": [one.context for one in asked]}


def exchange(port: int, requests: Sequence[tuple[str, dict[str, Any]]], timeout_s: float = 180) -> float:
    """Returns the seconds that requests take one after the other, once the server listens."""
    deadline = time.monotonic() + timeout_s
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    while True:
        try:
            send(connection, *requests[0])
            break
        except (OSError, RuntimeError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
    start = time.perf_counter()
    for path, body in requests:
        send(connection, path, body)
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def send(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> None:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"expected 200, got {response.status}: {content[:300]!r}")


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title=title)
    for key in rows[0] if rows else ["none"]:
        table.add_column(key)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
