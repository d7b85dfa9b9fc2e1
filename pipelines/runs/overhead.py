"""What a small run costs beside its work, kept low.

TFX's Beam nodes build, check and translate graphs of some 300 steps whatever the amount of data. Profiles of
the MNIST DAG on 1,800 digits show half of that in two questions that Beam asks anew hundreds of times a
graph, and a sixth in Python's garbage collector, which goes through the modules of TensorFlow and TFX again
and again (benchmarks/dag.py).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core

_COLLECTION_THRESHOLDS: Final = (50_000, 20, 20)


@contextmanager
def kept_low() -> Iterator[None]:
    """Meanwhile Beam's repeated questions are answered once, and garbage is collected less often."""
    with (
        _replaced(core, "get_function_args_defaults", _by_function),
        _replaced(PipelineOptions, "view_as", _by_class),
        _rare_collections(),
    ):
        yield


@contextmanager
def _replaced(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, wrap(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def _by_function(inspect: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wraps what inspects a callable: a method's parameters are its function's, for any object."""
    answers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def answer(method: Any) -> Any:
        function = getattr(method, "__func__", None)
        if function is None:
            return inspect(method)
        if function not in answers:
            answers[function] = inspect(method)
        return answers[function]

    return answer


def _by_class(view: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Wraps what parses options anew for a view of them: views of one object share what they hold."""
    views: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()

    def answer(options: Any, kind: Any) -> Any:
        of_options = views.setdefault(options, {})
        if kind not in of_options:
            of_options[kind] = view(options, kind)
        return of_options[kind]

    return answer


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    # What is imported by now stays: looking through it again finds nothing.
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
