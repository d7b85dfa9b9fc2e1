"""Asks models in a process of its own, which alone loads TensorFlow."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import multiprocessing
import os
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from components.errors import Failure, UserError
from components.formats.tsv import write_tsv
from components.protocols import Draws, DrawsSlices, Given, Occludes, Question, Reply
from components.task import Task
from pipelines import console
from pipelines.prediction import journey, predict
from pipelines.prediction.journey import Places, Step
from pipelines.tasks import get_task

if TYPE_CHECKING:
    from pipelines.prediction.predict import Ask

_T = TypeVar("_T")

# Beside one another on a page.
_LOADED_MODELS: Final = 2
_MOST_SLICES: Final = 48
# A large scan takes minutes where no accelerator is.
_TIMEOUT_S: Final = 600.0
_ROWS_FILE: Final = "texts.tsv"
# What of a name is not kept, since it may lead elsewhere.
_UNUSUAL: Final = re.compile(r"[^\w. -]|^\.+")
_NAME_CHARACTERS: Final = 100


class AskError(Failure):
    """What cannot be asked, or a model that did not answer; one line."""


class Asked(NamedTuple):
    """What a form says."""

    texts: tuple[str, ...] = ()
    # A pair of texts, where a task takes pairs.
    row: tuple[str, ...] = ()
    # The name and the bytes of a file.
    file: tuple[str, bytes] | None = None
    fields: Mapping[str, str] = MappingProxyType({})
    # Whether to find out what the answer hangs on.
    why: bool = False

    def given(self, folder: Path) -> Given:
        """Returns what a task's Asking is given; files are written into the folder."""
        if self.row:
            write_tsv(folder / _ROWS_FILE, [self.row])
            return Given(rows=folder / _ROWS_FILE)
        if self.file:
            path = folder / _UNUSUAL.sub("_", self.file[0])[-_NAME_CHARACTERS:]
            path.write_bytes(self.file[1])
            return Given([str(path)], fields=self.fields)
        return Given(texts=self.texts, fields=self.fields)


class Why(NamedTuple):
    """How much less of an answer there is without each part of what was asked."""

    drops: tuple[float, ...]
    # As an Occlusion has them.
    parts: dict[str, tuple[str, ...]]
    picture: bytes
    is_share: bool
    how: str
    measure: str


class Told(NamedTuple):
    """What a page shows of an answer."""

    sentence: str
    values: dict[str, Any]
    # A PNG, where the task draws its answers.
    picture: bytes | None
    # Of what fills a space, slices as PNG.
    slices: tuple[bytes, ...]
    # What was made of the input, such as that a picture was resized.
    notes: tuple[str, ...]
    # What the answer hangs on, where that was asked and there is something.
    why: Why | None = None


class Answerer:
    """A process that loads models and asks them, one question at a time; it starts with the first one."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def ask(self, task: str, model_dir: str, asked: Asked) -> Told:
        """Returns what the model in a folder answers; raises AskError."""
        # A mapping proxy cannot be pickled.
        return await self._done(task, answer, model_dir, asked._replace(fields=dict(asked.fields)))

    async def follow(self, task: str, row: int, places: Places) -> list[Step]:
        """Returns what becomes of a row of the training data; raises AskError."""
        return await self._done(task, follow, row, places)

    async def _done(self, task: str, work: Callable[..., _T], *arguments: Any) -> _T:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_prepare)
        try:
            future = self._pool.submit(work, task, *arguments)
            return await asyncio.wait_for(asyncio.wrap_future(future), _TIMEOUT_S)
        except asyncio.TimeoutError as error:
            self.stop()
            raise AskError(f"{task}: expected an answer within {_TIMEOUT_S:g} s, got none") from error
        except BrokenProcessPool as error:
            self.stop()
            raise AskError(f"{task}: the process that asks the model ended; it may lack memory") from error

    def stop(self) -> None:
        """Ends the process, whatever it is doing; the next question starts another one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            # Not to be had in another way before Python 3.14.
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()


def answer(task_name: str, model_dir: str, asked: Asked) -> Told:
    """Returns what the model in a folder answers; in the process that asks. Raises AskError."""
    with tempfile.TemporaryDirectory() as name, console.quiet(None, debug=False), _noted() as notes:
        folder = Path(name)
        try:
            task = get_task(task_name)
            questions = predict.questions(task, asked.given(folder))
            ask = _model(task_name, model_dir)
            replies = predict.predict(task, questions, ask)
            told = _told(task.fitted_asking, replies[0], folder)
            if asked.why:
                told = told._replace(why=_why(task, questions[0], replies[0], ask))
        except (UserError, Failure) as error:
            raise AskError(str(error).replace(f"{name}/", "")) from None
        return told._replace(notes=tuple(note.replace(f"{name}/", "") for note in notes))


def _why(task: Task, question: Question, reply: Reply, ask: Ask) -> Why | None:
    asking = task.fitted_asking
    occlusion = asking.occluded(question, reply) if isinstance(asking, Occludes) else None
    if occlusion is None:
        return None
    drops = occlusion.drops(predict.predict(task, [occlusion.question], ask))
    parts = {name: tuple(texts) for name, texts in occlusion.parts.items()}
    return Why(tuple(drops), parts, occlusion.picture, occlusion.is_share, occlusion.how, occlusion.measure)


def follow(task_name: str, row: int, places: Places) -> list[Step]:
    """Returns what becomes of a row of the training data; in the process that asks. Raises AskError."""
    with console.quiet(None, debug=False):
        try:
            found = journey.followed(get_task(task_name), Path(places.data_dir or ""), row, places)
        except (UserError, Failure) as error:
            raise AskError(str(error)) from None
        # A mapping may be of a kind that cannot be pickled.
        return [step._replace(shown=dict(step.shown)) for step in found]


@functools.lru_cache(_LOADED_MODELS)
def _model(task_name: str, model_dir: str) -> Ask:
    return predict.load(get_task(task_name), model_dir)


def _told(asking: object, reply: Reply, folder: Path) -> Told:
    slices = asking.slices(reply, _MOST_SLICES) if isinstance(asking, DrawsSlices) else ()
    return Told(reply.sentence, dict(reply.values), _drawn(asking, reply, folder), tuple(slices), ())


def _drawn(asking: object, reply: Reply, folder: Path) -> bytes | None:
    if not isinstance(asking, Draws):
        return None
    with asking.drawing(folder / "answer.png") as add:
        add(reply)
    return (folder / "answer.png").read_bytes()


@contextlib.contextmanager
def _noted() -> Iterator[list[str]]:
    """Yields the warnings of our own packages, as they come."""
    notes: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("components")
    # The page tells them, not the terminal.
    handlers, logger.handlers = logger.handlers, [handler]
    try:
        yield notes
    finally:
        logger.handlers = handlers


def _prepare() -> None:
    """Lets the process that asks end with the page, and not by the keyboard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
