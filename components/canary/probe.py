"""The process that loads a SavedModel and replays its recorded requests; it may crash, and alone.

    python -m components.canary.probe MODEL_DIR --absolute-tolerance 1e-4

It prints lines of JSON: {"stage": "loading the model"} before each step, and at the end
{"report": …}. Exit code 75 (EX_TEMPFAIL of sysexits.h): memory ran out, which says nothing about the model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

# Registers the operations that text models use, as TensorFlow Serving does.
import tensorflow_text  # noqa: F401

from components.canary.replay import Answer, Record, Report, Tensors, one_line, read_records, replay

Say = Callable[[str], None]


def check(model_dir: str, absolute_tolerance: float, say: Say = lambda stage: None) -> Report:
    """Returns the verdict on the SavedModel in `model_dir`."""
    try:
        say("loading the model")
        signatures, answer = load(model_dir)

        def announced() -> Iterator[Record]:
            for record in read_records(model_dir):
                say(f"answering signature {record.signature!r}")
                yield record

        return replay(signatures, announced(), answer, absolute_tolerance)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # whatever a model does wrong is the answer
        return Report(ok=False, reason=one_line(error), signatures={})


def load(model_dir: str) -> tuple[list[str], Answer]:
    """Returns the names of a SavedModel's signatures, and the function that answers for them."""
    model = tf.saved_model.load(model_dir)

    def answer(signature: str, inputs: Tensors) -> Tensors:
        outputs = model.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: _array(tensor) for name, tensor in outputs.items()}

    return sorted(model.signatures), answer


def _array(tensor: Any) -> Any:
    import numpy as np

    return np.asarray(tensor.numpy(), dtype=tensor.dtype.as_numpy_dtype)


def main(arguments: list[str] | None = None) -> None:
    """Checks one model; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m components.canary.probe")
    parser.add_argument("model_dir")
    parser.add_argument("--absolute-tolerance", type=float, required=True)
    parsed = parser.parse_args(arguments)
    # What models print, also from C++, must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        report = check(
            parsed.model_dir,
            parsed.absolute_tolerance,
            lambda stage: print(json.dumps({"stage": stage}), file=answers),
        )
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)
    print(json.dumps({"report": report.model_dump()}), file=answers)


if __name__ == "__main__":
    main()
