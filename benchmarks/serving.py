r"""Requests a second and latency of the model server, beside the bare model and other servers.

    python benchmarks/serving.py --fastapi-python A/bin/python --mlserver-python B/bin/python \
        [--out serving.json]

A and B are environments of their own:

    uv venv A && uv pip install --python A/bin/python tensorflow==2.16.2 fastapi 'uvicorn[standard]'
    uv venv B && uv pip install --python B/bin/python tensorflow-cpu==2.16.2 mlserver==1.6.1 'setuptools<81'

Later releases of MLServer need a newer protobuf than this TensorFlow has.
Without them, only the model server and the bare model are measured. All serve the same two SavedModels,
untrained, and all are asked by the same client: asyncio in this process, with one connection for each of its
clients, that sends requests made beforehand and does not parse the answers. `bare` calls the signature of
the SavedModel in this process. All take turns in short rounds, so that a change in the machine's load hits
all; a cell's figures are medians over its rounds. The first round of each warms up and is left out.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As the model server does; the others get it from here.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import grpc
import keras
import numpy as np
import tensorflow as tf
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from components.models.mnist_cnn import MnistCnn

Ask = Callable[[], Awaitable[bytes]]
Array = NDArray[np.float32]

HERE: Final = Path(__file__).parent
PEERS: Final = HERE / "support"
MODELS: Final = {"half_plus_two": (), "mnist_cnn": (28, 28)}  # the shape of an instance
PERCENTILES: Final = (50, 90, 99)


class Server(NamedTuple):
    """One protocol of a server, and how one model is asked over it."""

    port: int
    request: Callable[[str, Array], bytes]
    answer: Callable[[bytes, Array], Array]
    # The method over gRPC; None: the request is HTTP.
    grpc_method: str | None = None


class Round(NamedTuple):
    """What a side did in a round: the seconds of each request, and of all."""

    latencies_s: list[float]
    seconds: float


def main(
    fastapi_python: Annotated[Path | None, typer.Option(help="Python with fastapi.")] = None,
    mlserver_python: Annotated[Path | None, typer.Option(help="Python with mlserver.")] = None,
    models: Annotated[str, typer.Option(help="Models, separated by commas.")] = ",".join(MODELS),
    batch_sizes: Annotated[str, typer.Option(help="Instances in a request, separated by commas.")] = "1,32",
    clients: Annotated[str, typer.Option(help="Clients at once, separated by commas.")] = "1,16",
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 7,
    round_s: Annotated[float, typer.Option(help="Seconds of a round.")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints requests/s and latencies by model, batch, clients and server; then how long a start takes."""
    sizes = [int(size) for size in batch_sizes.split(",")]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "models")
        save_models(folder)
        batches = save_batches(Path(scratch), sizes)
        with started(folder, batches, fastapi_python, mlserver_python) as servers:
            for name, size, count in itertools.product(
                models.split(","), sizes, map(int, clients.split(","))
            ):
                batch = make_batch(size, MODELS[name])
                cell = asyncio.run(measure(folder, servers, name, batch, count, rounds, round_s))
                show(f"{name}, batch {size}, {count} clients", cell)
                rows += [{"model": name, "batch": size, "clients": count, **row} for row in cell]
        starts = measure_start(folder, Path(scratch, "bytecode"), rounds=3)
    show("seconds to start", [starts])
    if out is not None:
        out.write_text(json.dumps({"requests": rows, "start": starts}, indent=2) + "\n")


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Prints rows with equal keys as a table."""
    table = Table(title=title)
    for key, value in rows[0].items():
        table.add_column(key, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


async def measure(
    folder: Path,
    servers: dict[str, Server],
    name: str,
    batch: Array,
    clients: int,
    rounds: int,
    round_s: float,
) -> list[dict[str, Any]]:
    """Returns a row for each side, all of one model, batch size and number of clients."""
    signature = tf.saved_model.load(str(folder / name / "1")).signatures["serving_default"]
    [expected] = signature(tf.constant(batch)).values()
    results: dict[str, list[Round]] = {"bare": [], **{side: [] for side in servers}}
    for side, server in servers.items():
        answer = server.answer(await first_answer(server, name, batch), expected.numpy())
        np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-5, err_msg=side)
    for _ in range(rounds + 1):
        results["bare"].append(call_bare(signature, batch, clients, round_s))
        for side, server in servers.items():
            results[side].append(await ask_server(server, name, batch, clients, round_s))
    return [{"side": side, **figures(taken[1:])} for side, taken in results.items()]


def figures(taken: list[Round]) -> dict[str, Any]:
    """Returns medians over rounds: requests a second, and percentiles of the latencies in ms."""
    rates = [len(one.latencies_s) / one.seconds for one in taken]
    percentiles = np.median([np.percentile(one.latencies_s, PERCENTILES) for one in taken], axis=0)
    latencies = zip(PERCENTILES, percentiles.tolist(), strict=True)
    return {
        "requests_per_s": round(statistics.median(rates), 1),
        **{f"p{percentile}_ms": round(seconds * 1e3, 2) for percentile, seconds in latencies},
    }


def call_bare(signature: Any, batch: Array, clients: int, round_s: float) -> Round:
    """Calls the signature without a pause, each client in a thread."""
    start = time.perf_counter()

    def call() -> list[float]:
        seconds: list[float] = []
        while (before := time.perf_counter()) < start + round_s:
            [output] = signature(tf.constant(batch)).values()
            output.numpy()
            seconds.append(time.perf_counter() - before)
        return seconds

    with ThreadPoolExecutor(clients) as threads:
        parts = [threads.submit(call) for _ in range(clients)]
        latencies = [one for part in parts for one in part.result()]
    return Round(latencies, time.perf_counter() - start)


async def ask_server(server: Server, name: str, batch: Array, clients: int, round_s: float) -> Round:
    """Asks without a pause, each client for itself, once all are connected and have asked once."""
    async with contextlib.AsyncExitStack() as connections:
        asks = [await connect(connections, server, name, batch) for _ in range(clients)]
        await asyncio.gather(*(ask() for ask in asks))
        start = time.perf_counter()

        async def ask_on(ask: Ask) -> list[float]:
            seconds: list[float] = []
            while (before := time.perf_counter()) < start + round_s:
                await ask()
                seconds.append(time.perf_counter() - before)
            return seconds

        parts = await asyncio.gather(*map(ask_on, asks))
        return Round([one for part in parts for one in part], time.perf_counter() - start)


async def first_answer(server: Server, name: str, batch: Array, timeout_s: float = 120) -> bytes:
    """Returns an answer, once the server has started."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            async with contextlib.AsyncExitStack() as stack:
                return await (await connect(stack, server, name, batch))()
        except (OSError, EOFError, RuntimeError, grpc.RpcError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


async def connect(stack: contextlib.AsyncExitStack, server: Server, name: str, batch: Array) -> Ask:
    """Returns a function that sends one request over a connection of its own, and returns the answer."""
    request = server.request(name, batch)
    if server.grpc_method is not None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options)
        call = (await stack.enter_async_context(channel)).unary_unary(server.grpc_method)
        return lambda: call(request)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    stack.callback(writer.close)
    return lambda: exchange(reader, writer, request)


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Sends one HTTP request, and returns the body of the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if length is None or not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"expected 200 and a length, got {head!r}")
    return await reader.readexactly(int(length[1]))


@contextlib.contextmanager
def started(
    folder: Path, batches: Path, fastapi_python: Path | None, mlserver_python: Path | None
) -> Iterator[dict[str, Server]]:
    """Starts the servers, and gives them by name once they listen."""
    ports = free_ports(5)
    commands: list[list[Any]] = [serving_command(folder, *ports[:2])]
    servers = {
        "gRPC": Server(ports[0], serving_grpc, grpc_answer, "/tensorflow.serving.PredictionService/Predict"),
        "REST": Server(ports[1], serving_rest, rest_answer),
    }
    if fastapi_python is not None:
        commands.append([fastapi_python, PEERS / "serving_fastapi.py", folder, ports[2]])
        servers["FastAPI"] = Server(ports[2], fastapi_rest, rest_answer)
    if mlserver_python is not None:
        commands.append([mlserver_python, PEERS / "serving_mlserver.py", folder, batches, *ports[3:]])
        method = "/inference.GRPCInferenceService/ModelInfer"
        servers["MLServer gRPC"] = Server(ports[4], mlserver_grpc(batches), mlserver_grpc_answer, method)
        servers["MLServer REST"] = Server(ports[3], mlserver_rest, mlserver_rest_answer)
    with contextlib.ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, cwd=HERE.parent)
            stack.callback(end, process)
        yield servers


def serving_command(folder: Path, grpc_port: int, rest_port: int) -> list[Any]:
    """Returns the command that serves the models."""
    models = "".join(
        f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}\n'
        for name in MODELS
    )
    config = folder.with_suffix(".pbtxt")
    config.write_text(f"model_config_list {{\n{models}}}\n")
    flags = f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_config_file={config}"
    return [sys.executable, "-m", "components.serving", *flags]


def end(process: subprocess.Popen[Any]) -> None:
    """Ends a server, which has nothing to lose."""
    process.kill()
    process.wait()


def free_ports(count: int) -> list[int]:
    """Returns TCP ports that are free."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def save_models(folder: Path) -> None:
    """Saves version 1 of each model."""
    half_plus_two = tf.Module()
    half_plus_two.call = tf.function(lambda x: {"y": x / 2 + 2}, [tf.TensorSpec([None], tf.float32, "x")])
    tf.saved_model.save(half_plus_two, str(folder / "half_plus_two/1"), half_plus_two.call)
    cnn = MnistCnn().build()
    archive = keras.export.ExportArchive()
    archive.track(cnn)
    images = tf.TensorSpec([None, 28, 28], tf.float32, "x")
    archive.add_endpoint("serving_default", lambda x: {"y": cnn({"image": x})}, [images])
    archive.write_out(folder / "mnist_cnn/1", verbose=False)


def save_batches(folder: Path, sizes: list[int]) -> Path:
    """Saves "NAME-SIZE.npy" for each model and batch size in a folder, and returns it."""
    batches = folder / "batches"
    batches.mkdir()
    for name, shape in MODELS.items():
        for size in sizes:
            np.save(batches / f"{name}-{size}.npy", make_batch(size, shape))
    return batches


def make_batch(size: int, shape: tuple[int, ...]) -> Array:
    """Returns instances as of grey images: float32[size, …] in steps of 1/255."""
    grey = np.random.default_rng(0).integers(256, size=(size, *shape))
    return (grey / 255).astype(np.float32)


def serving_grpc(name: str, batch: Array) -> bytes:
    """Returns a PredictRequest."""
    request = PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(batch))
    return request.SerializeToString()


def grpc_answer(content: bytes, expected: Array) -> Array:
    """Returns the output of a PredictResponse."""
    return tf.make_ndarray(PredictResponse.FromString(content).outputs["y"])


def serving_rest(name: str, batch: Array) -> bytes:
    """Returns an HTTP request of TensorFlow Serving's API."""
    return http_request(f"/v1/models/{name}:predict", {"instances": batch.tolist()})


def fastapi_rest(name: str, batch: Array) -> bytes:
    """Returns an HTTP request for serving_fastapi.py."""
    return http_request(f"/{name}", {"instances": batch.tolist()})


def rest_answer(content: bytes, expected: Array) -> Array:
    """Returns the output of either."""
    return np.float32(json.loads(content)["predictions"])


def mlserver_grpc(batches: Path) -> Callable[[str, Array], bytes]:
    """Returns a function that reads the requests that serving_mlserver.py wrote."""
    return lambda name, batch: (batches / f"{name}-{len(batch)}.pb").read_bytes()


def mlserver_grpc_answer(content: bytes, expected: Array) -> Array:
    """Returns the output, with which the message ends."""
    return np.frombuffer(content[-expected.nbytes :], np.float32).reshape(expected.shape)


def mlserver_rest(name: str, batch: Array) -> bytes:
    """Returns an HTTP request of the Open Inference Protocol (V2)."""
    tensor = {"name": "x", "datatype": "FP32", "shape": batch.shape, "data": batch.ravel().tolist()}
    return http_request(f"/v2/models/{name}/infer", {"inputs": [tensor]})


def mlserver_rest_answer(content: bytes, expected: Array) -> Array:
    """Returns the output."""
    return np.float32(json.loads(content)["outputs"][0]["data"]).reshape(expected.shape)


def http_request(path: str, body: dict[str, Any]) -> bytes:
    """Returns a POST of JSON over HTTP/1.1."""
    content = json.dumps(body).encode()
    headers = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + content


def measure_start(folder: Path, bytecode: Path, rounds: int) -> dict[str, float]:
    """Returns medians in seconds: to import TensorFlow, to listen with a small model, to show the help.

    The first round, which writes Python's bytecode, is left out.
    """
    serving = [sys.executable, "-m", "components.serving"]
    flags = [f"--model_base_path={folder / 'half_plus_two'}", "--port=0", "--rest_api_port=-1"]
    commands = {
        "import_tensorflow": ([sys.executable, "-c", "import tensorflow; print()"], ""),
        "listening": ([*serving, *flags], "(REST)"),
        "help": ([*serving, "--help"], "usage"),
    }
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bytecode)}
    taken = [
        {name: seconds_to_line(*command, environment) for name, command in commands.items()}
        for _ in range(rounds + 1)
    ]
    return {name: round(statistics.median(one[name] for one in taken[1:]), 2) for name in commands}


def seconds_to_line(command: list[str], text: str, environment: dict[str, str]) -> float:
    """Returns how long a command takes to print a line with this text; then ends it."""
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=HERE.parent,
    ) as process:
        for line in process.stdout or ():
            if text in line:
                seconds = time.perf_counter() - start
                process.kill()
                return seconds
    raise RuntimeError(f"{command}: expected a line with {text!r}")


if __name__ == "__main__":
    typer.run(main)
