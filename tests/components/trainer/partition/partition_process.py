"""Trains on tiny volumes in a process of its own: `python partition_process.py FOLDER SETTINGS_AS_JSON`."""

import json
import sys
from pathlib import Path

import numpy as np
from tiny_volumes import make_task, write_volumes

from components.trainer.train import train

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    splits = [write_volumes(folder / f"{seed}.gz", count, seed) for seed, count in enumerate((20, 2))]
    result = train(
        make_task({"dropout_rate": 0.3}, **json.loads(sys.argv[2])),
        *splits,
        str(folder),
        str(folder / "logs"),
    )
    np.savez(folder / "result.npz", *result.weights)
