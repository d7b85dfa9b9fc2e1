"""The model server as a command: `python -m components.serving --model_name=m --model_base_path=/m`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from components.config import ConfigError
from components.serving.flags import ServerFlags, parse_flags


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until a signal, and returns the exit code: 0, or 255 if the server cannot start."""
    try:
        flags, warnings = parse_flags(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in warnings:
        _say(warning)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if flags.version:
        _say(_versions())
        return 0
    return _serve(flags)


def _serve(flags: ServerFlags) -> int:
    # Only here, because they import TensorFlow.
    import tensorflow as tf

    from components.serving.errors import ServingError
    from components.serving.server import serve_until_signal

    # The half million objects of the libraries stay: to look through them takes 0.3 s, at every unload too.
    gc.freeze()
    # A thread that loads a model in Python lets requests pass after 0.5 ms, not 5.
    sys.setswitchinterval(0.0005)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    tf.get_logger().setLevel(logging.ERROR)
    try:
        asyncio.run(serve_until_signal(flags, _say))
    except ServingError as error:
        _say(f"Failed to start server. Error: {error.code.name}: {error.message}")
        return 255
    return 0


def _versions() -> str:
    from importlib.metadata import version

    serving, tensorflow = version("tensorflow-serving-api"), version("tensorflow")
    return f"TensorFlow ModelServer: {serving}\nTensorFlow Library: {tensorflow}"


def _say(line: str) -> None:
    print(line, flush=True)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serves as `main`, then ends the process.

    Without waiting for threads: a model that still loads, or that never ends, is of no use any more.
    """
    code = main(arguments)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
