"""The model server as a command: `python -m components.serving --model_name=m --model_base_path=/m`."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, NoReturn

from components.config import ConfigError
from components.serving.flags import ServerFlags, parse_flags
from components.serving.ports import busy_port

# The levels of TF_CPP_MIN_LOG_LEVEL that show everything, and warnings.
_TALKATIVE: Final = ("0", "1")
# glibc's malloc.h, and how much freed memory stays with the process: enough for half a megabyte of JSON, for
# which the kernel otherwise finds and clears fresh pages with each request, in up to a millisecond.
_M_TRIM_THRESHOLD: Final = -1, 32 << 20
_M_MMAP_THRESHOLD: Final = -3, 16 << 20


def main(arguments: Sequence[str] | None = None, announce: Callable[[str], None] | None = None) -> int:
    """Serves until a signal, and returns the exit code: 0, or 255 if the server cannot start.

    `announce` gets a line such as "listening on 127.0.0.1:8500 (gRPC)" for each port, in place of stdout.
    """
    try:
        flags, warnings, _ = parse_flags(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in warnings:
        _say(warning)
    if flags.version:
        _say(_versions())
        return 0
    return _serve(flags, announce or _say)


def _serve(flags: ServerFlags, announce: Callable[[str], None]) -> int:
    if reason := busy_port(flags):
        _say(f"Failed to start server. Error: UNAVAILABLE: {reason}")
        return 255
    # On by itself only where a CPU has AVX-512; `millrace` trains and predicts with it, too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    talks = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in _TALKATIVE
    # Only here, because they import TensorFlow.
    with contextlib.nullcontext() if talks else _quiet_stderr():
        import tensorflow as tf

        from components.serving.errors import ServingError
        from components.serving.server import serve_until_signal

    # The half million objects of the libraries stay: to look through them takes 0.3 s, at every unload too.
    gc.freeze()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(*_M_TRIM_THRESHOLD)
        libc.mallopt(*_M_MMAP_THRESHOLD)
    # A thread that loads a model in Python lets requests pass after 0.5 ms, not 5.
    sys.setswitchinterval(0.0005)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    tf.get_logger().setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        _run_loop(serve_until_signal(flags, announce))
    except ServingError as error:
        _say(f"Failed to start server. Error: {error.code.name}: {error.message}")
        return 255
    return 0


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # it is not made for every platform, and only faster
        asyncio.run(work)
    else:
        uvloop.run(work)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drops what is written to stderr, such as lines of CUDA libraries that TensorFlow registers twice.

    They come from C++ before any level of logging applies.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def _versions() -> str:
    from importlib.metadata import version

    serving, tensorflow = version("tensorflow-serving-api"), version("tensorflow")
    return f"TensorFlow ModelServer: {serving}\nTensorFlow Library: {tensorflow}"


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk is no reason not to serve
        print(line, flush=True)


def run(arguments: Sequence[str] | None = None, announce: Callable[[str], None] | None = None) -> NoReturn:
    """Serves as `main`, then ends the process.

    Without waiting for threads: a model that still loads, or that never ends, is of no use any more.
    """
    code = main(arguments, announce)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
