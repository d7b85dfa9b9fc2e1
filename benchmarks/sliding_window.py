"""Whole volumes in overlapping patches beside MONAI's and nnU-Net's ways on PyTorch: time and memory.

    python benchmarks/sliding_window.py --peer-python PEER/bin/python [--large 512x512x200]
        [--out sliding_window.json]

PEER is an environment of its own: `uv venv PEER && uv pip install --python PEER/bin/python torch==2.13.0
monai==1.6.1`. Without one, only the project's own figures are printed.

All sides answer in fresh processes that take turns, with the same patches, overlap, Gaussian weights, threads
and, layer by layer, network: a 3D U-Net with instance normalization for a small volume, and one convolution
for a large one, whose memory shows what is kept beside the network. Each has seen a patch before it is
measured. Seconds of the CPU hardly depend on what else runs. nnU-Net's way is in the peer, in its own words.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As `millrace` does.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import typer
from rich.console import Console
from rich.table import Table

FILTERS = "16,32,64,128"
PEER = Path(__file__).parent / "support" / "sliding_window_peer.py"


def main(
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch and monai.")] = None,
    small: Annotated[str, typer.Option(help="Width, height and depth, for the U-Net.")] = "160x160x96",
    large: Annotated[str, typer.Option(help="The same for one convolution.")] = "512x512x200",
    patch: Annotated[int, typer.Option(help="Voxels of the U-Net's patch along each axis.")] = 64,
    large_patch: Annotated[int, typer.Option(help="And of the convolution's.")] = 128,
    threads: Annotated[int, typer.Option(help="Threads of an operation, on all sides.")] = 2,
    turns: Annotated[int, typer.Option(help="Processes of each side.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints seconds and peak memory of each side."""
    commands = {"millrace": [sys.executable, __file__, "--child"]}
    if peer_python is not None:
        commands |= {side: [str(peer_python), str(PEER), side] for side in ("monai", "nnunet")}
    rows = []
    for network, scan, size, filters in (
        ("U-Net", small, patch, FILTERS),
        ("convolution", large, large_patch, ""),
    ):
        if scan:
            asked = [*scan.split("x")[::-1], str(size), str(threads), filters]
            rows += measured(commands, network, scan, asked, turns)
    show(rows)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measured(
    commands: dict[str, list[str]], network: str, scan: str, asked: list[str], turns: int
) -> list[dict[str, Any]]:
    """Returns a row for each side: medians over its processes."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in commands}
    for _ in range(turns):
        for side, command in commands.items():
            found[side].append(figures([*command, *asked]))
    return [{"network": network, "scan": scan, "side": side, **medians(each)} for side, each in found.items()]


def figures(command: list[str]) -> dict[str, Any]:
    """Returns the JSON that a process prints last, or exits with its errors."""
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return json.loads(finished.stdout.splitlines()[-1])


def medians(processes: list[dict[str, Any]]) -> dict[str, float]:
    return {key: round(statistics.median(each[key] for each in processes), 1) for key in processes[0]}


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"Whole volumes in overlapping patches, {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=110).print(table)


def child(asked: list[str]) -> None:
    """Prints the project's own figures; the arguments are the peer's."""
    import tensorflow as tf
    from patches_memory import answering, one_convolution, peak_mib, scan_of

    from components.windows.patches import Patches

    *numbers, filters = asked
    depth, height, width, patch, threads = map(int, numbers)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    patches = Patches(patch_size=(patch,) * 3)
    answer = answering(patches, unet(patch, filters) if filters else one_convolution(patches))
    features = scan_of(depth, height, width)
    before, clock, cpu = peak_mib(), time.perf_counter(), time.process_time()
    answer(features)["label"].numpy()
    figures = {"seconds": time.perf_counter() - clock, "cpu_s": time.process_time() - cpu}
    print(json.dumps({**figures, "before_mib": before, "peak_mib": peak_mib()}))


def unet(patch: int, filters: str) -> Any:
    from components.models.segmentation import Segmentation

    levels = tuple(map(int, filters.split(",")))
    return Segmentation(patch_size=(patch,) * 3, filters=levels, normalization="instance").build()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        typer.run(main)
