"""The dashboard over many runs: milliseconds until a page is there.

    python benchmarks/dashboard.py [--runs 200] [--out dashboard.json]

The history is one as TFX writes it, with all nodes, artifacts and files that pages read; the server is that
of `millrace ui`, asked over loopback. `first` is the first page of a process, which reads the whole history;
`again` the same page of an unchanged one; `live` a page right after a run that goes on has written.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
import uvicorn
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pipelines" / "dashboard"))

from made_history import MadeRun, write_runs

from pipelines.dag import nodes
from pipelines.dashboard.app import Places, make_app
from pipelines.dashboard.server import LOOPBACK
from pipelines.runs import lock

# As many as are installed.
PACKAGES = {f"package-{number}": "1.0" for number in range(430)}
SETTINGS = {"train": {"num_epochs": 3, "learning_rate": 1e-4, "global_batch_size": 100}}


def main(
    runs: Annotated[int, typer.Option(help="Runs of three tasks in the history.")] = 200,
    requests: Annotated[int, typer.Option(help="Of each page.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints median and largest times."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_runs(root, [made(number) for number in range(runs)])
        with served(root) as url, httpx.Client(base_url=url, timeout=60) as client:
            figures = {"/ first": [timed(client, "/")]}
            for page in ("/", "/?sort=-metric&task=mnist", f"/runs/mnist-{runs // 3 * 3 - 2}", "/models"):
                figures[f"{page} again"] = [timed(client, page) for _ in range(requests)]
            figures["/ live"] = list(live(client, root, runs, requests))
    rows = [
        {"page": page, "median_ms": round(statistics.median(found), 1), "max_ms": round(max(found), 1)}
        for page, found in figures.items()
    ]
    show(rows, runs)
    if out is not None:
        out.write_text(json.dumps({"runs": runs, "pages": rows}, indent=2) + "\n", encoding="utf-8")


def made(number: int, **changes: str) -> MadeRun:
    task = ("mnist", "cola", "squad")[number % 3]
    accuracy = 0.9 + number % 7 / 100
    settings = {"train": {**SETTINGS["train"], "num_epochs": number % 5}}
    run_id = f"2026-01-01T00:00:00.{number:06d}"
    return MadeRun(task, run_id, accuracy, settings=settings, record={"packages": PACKAGES}, **changes)


def live(client: httpx.Client, root: Path, runs: int, requests: int) -> Iterator[float]:
    """Yields the times of a page, each after a run that goes on has written."""
    with lock.held(str(root)):
        for number in range(requests):
            write_runs(root, [made(runs + number, until=nodes.TRAINER, ends="RUNNING")])
            yield timed(client, "/")


def timed(client: httpx.Client, page: str) -> float:
    began = time.perf_counter()
    client.get(page).raise_for_status()
    return 1000 * (time.perf_counter() - began)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Yields the address of a dashboard in a thread of this process."""
    port = 8699
    app = make_app(Places(str(root), str(root / "models")), [f"{LOOPBACK}:{port}"])
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_level="warning"))
    thread = threading.Thread(target=in_thread(server))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def in_thread(server: uvicorn.Server) -> Callable[[], None]:
    return lambda: asyncio.run(server.serve())


def show(rows: list[dict[str, object]], runs: int) -> None:
    table = Table(title=f"{runs} runs")
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "page" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
