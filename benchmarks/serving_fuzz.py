r"""Whether the model server answers whatever it is sent: never UNKNOWN, never 500, never by hanging up.

    python benchmarks/serving_fuzz.py [--requests 1000000] [--first 0]

Requests are valid ones in which something was changed, over gRPC and REST, as of
tests/components/serving/serving_mutations.py; each follows from its number. The server is one process, with a
signature for each dtype. Prints how often each answer came, requests a second, and the server's memory; exits
with 1, and prints the first requests, if one got an answer that must not be.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import httpx
import typer

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "components" / "serving"))

from rest_client import ECHOED, save_echo  # noqa: E402
from serving import end, free_ports  # noqa: E402
from serving_mutations import Outcomes, send_all  # noqa: E402

SHOWN: Final = 10
ROUND: Final = 20_000


def main(
    requests: Annotated[int, typer.Option(help="How many.")] = 2000,
    first: Annotated[int, typer.Option(help="The number of the first one.")] = 0,
    at_once: Annotated[int, typer.Option(help="How many wait for an answer at once.")] = 16,
) -> None:
    """Sends the requests and prints what came back."""
    with tempfile.TemporaryDirectory() as scratch:
        save_echo(Path(scratch))
        ports = free_ports(2)
        flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", "--model_name=m"]
        command = [sys.executable, "-m", "components.serving", *flags, f"--model_base_path={scratch}"]
        server = subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.DEVNULL)
        try:
            await_ready(ports[1])
            wrong = send(server.pid, ports, range(first, first + requests), at_once)
            alive = (
                server.poll() is None and httpx.get(f"http://127.0.0.1:{ports[1]}/readyz").status_code == 200
            )
        finally:
            end(server)
    sys.exit(1 if wrong or not alive else 0)


def await_ready(port: int) -> None:
    """Returns when the server has loaded its model."""
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit("the server did not start")


def send(pid: int, ports: list[int], numbers: range, at_once: int) -> list[str]:
    """Sends the requests of the numbers in rounds, prints each, and returns those with a wrong answer."""
    total = Outcomes()
    for start in range(numbers.start, numbers.stop, ROUND):
        part = numbers[start - numbers.start : start - numbers.start + ROUND]
        begun_s = time.perf_counter()
        outcomes = asyncio.run(send_all(part, ECHOED, *ports, at_once=at_once))
        seconds = time.perf_counter() - begun_s
        total.answers.update(outcomes.answers)
        total.wrong += outcomes.wrong
        print("\n".join(outcomes.wrong[:SHOWN]), end="\n" if outcomes.wrong else "")
        print(
            f"up to {part.stop}: {len(total.wrong)} wrong, {len(part) / seconds:,.0f} requests/s, server "
            f"{resident_mb(pid):,.0f} MB",
            flush=True,
        )
    for answer, count in sorted(total.answers.items()):
        print(f"{answer:28} {count:9,}")
    return total.wrong


def resident_mb(pid: int) -> float:
    """Returns how much of a process is in RAM."""
    pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    typer.run(main)
