"""Beam's options for a local run, kept out of the cache's keys: how work is spread changes no result.

TFX's keys hold a node's executor with its Beam options. As placeholders for environment variables, always
as many, they look the same whatever they stand for.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any, Final

from components.config import unknown_name, unknown_of_many
from components.errors import UserError

MOST_OPTIONS: Final = 32
_DASK: Final = ("dask", "daskrunner")


def check_options(options: Mapping[str, str]) -> dict[str, str]:
    """Returns the options, the runner by Beam's own name for it: "flink" is "FlinkRunner".

    Raises UserError for a wrong value, and for an option that Beam would only warn of not to know.
    """
    parser = _parser()
    known = {action.removeprefix("--") for action in parser._option_string_actions}
    for name, value in options.items():
        if name not in known:
            raise UserError(f"--beam {name}={value}: {unknown_of_many('option of Beam', name, known)}")
        with redirect_stderr(io.StringIO()) as said:
            try:
                parser.parse_known_args([f"--{name}={value}"])
            except SystemExit:
                reason = said.getvalue().strip().rpartition("error: ")[2]
                raise UserError(f"--beam {name}={value}: {reason}") from None
    return {**options, "runner": _known_runner(options["runner"])} if "runner" in options else {**options}


def _parser() -> argparse.ArgumentParser:
    """Returns what parses all options that Beam knows."""
    from apache_beam.options.pipeline_options import PipelineOptions

    found: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=found.append)
    return found[0]


def _known_runner(runner: str) -> str:
    """Returns a runner's name, or its class's by dots; UserError for none of Beam's, and for Dask's."""
    if runner.rpartition(".")[2].lower() in _DASK:
        raise UserError(
            f"--beam runner={runner}: Beam's DaskRunner loses outputs without a word: it computes the last "
            "of several alone, and drops what finish_bundle emits; choose another runner"
        )
    from apache_beam.options.pipeline_options import StandardOptions

    known = {name.lower(): name for name in StandardOptions.KNOWN_RUNNER_NAMES}
    if "." in runner:
        return runner
    for name in (runner.lower(), f"{runner.lower()}runner"):
        if name in known:
            return known[name]
    raise UserError(f"--beam runner={runner}: {unknown_name('runner', runner, known.values())}")


@contextmanager
def outside_the_cache(options: Sequence[str]) -> Iterator[list[Any]]:
    """Yields placeholders that stand for at least one option, such as "--runner=DirectRunner", meanwhile."""
    from tfx.dsl.placeholder import placeholder

    if len(options) > MOST_OPTIONS:
        raise UserError(f"--beam: expected at most {MOST_OPTIONS} options, got {len(options)}")
    # An option that is given again says nothing new.
    filled = [*options, *[options[0]] * (MOST_OPTIONS - len(options))]
    variables = {f"MILLRACE_BEAM_{index}": option for index, option in enumerate(filled)}
    os.environ.update(variables)
    try:
        yield [placeholder.environment_variable(name) for name in variables]
    finally:
        for name in variables:
            del os.environ[name]
