"""The verbs that look closer at past runs, and remove what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from components.errors import UserError
from pipelines.cli import cluster, options

if TYPE_CHECKING:
    from pipelines.runs.cleaning import Piece


def runs_compare(
    run_ids: options.RunIds,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    as_json: options.Json = False,
) -> None:
    """Compare runs: settings, metrics, data, code and times that differ."""
    from pipelines import console
    from pipelines.cli import run_tables
    from pipelines.runs import history
    from pipelines.runs.compare import compare

    found = compare([history.find_run(pipeline_root, run_id) for run_id in run_ids])
    if as_json:
        console.print_json(found)
    else:
        run_tables.show_comparison(found)


def runs_rm(
    run_ids: options.RunIds,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Remove runs, and the outputs that no other run needs.

    Without --yes it only says what would go.
    """
    from pipelines.runs import cleaning

    _clean(pipeline_root, lambda: cleaning.of_runs(pipeline_root, run_ids), yes, as_json)


def clean(
    task: options.AnyTask = None,
    keep: options.KeptRuns = 5,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Free space: examples and models of older runs, leftovers.

    The newest runs of each task are kept whole, and those that have a name or a tag, or whose model is
    published. Of the others metrics, reports, curves and logs stay. Without --yes it only says what would go.
    """
    from pipelines.runs import cleaning
    from pipelines.tasks import get_task

    name = get_task(task).name if task else None
    _clean(pipeline_root, lambda: cleaning.superseded(pipeline_root, keep, name), yes, as_json)


def _clean(pipeline_root: str, find: Callable[[], list[Piece]], yes: bool, as_json: bool) -> None:
    from pipelines import console
    from pipelines.cli import run_tables
    from pipelines.runs import cleaning

    pieces = (cleaning.remove if yes else cleaning.look)(pipeline_root, find)
    if as_json:
        total = sum(piece.bytes for piece in pieces)
        console.print_json({"pieces": [piece.to_json() for piece in pieces], "bytes": total, "removed": yes})
    else:
        run_tables.show_pieces(pieces, removed=yes)


def logs(
    ctx: typer.Context,
    run_id: options.LoggedRun = "latest",
    node: options.LoggedNode = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    host: options.LogsHost = None,
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Print what a run has said, or one of its nodes.

    With --host it is a run on Kubeflow Pipelines, of which each node has a log.
    """
    from pipelines.cli import run_tables
    from pipelines.dag.nodes import find_node
    from pipelines.runs import history
    from pipelines.runs.logs import LOCAL_ID, read_log

    source = ctx.get_parameter_source("host")
    # A server that the environment names is there for runs of its own alone.
    is_given = source is not None and source.name == "COMMANDLINE"
    if host is not None and (is_given or not LOCAL_ID.fullmatch(run_id)):
        if node is None:
            raise UserError(f"logs {run_id}: expected a node, such as trainer, with --host")
        cluster.print_log(run_id, node, host, namespace, token_file, as_json)
        return
    run = history.find_run(pipeline_root, run_id)
    node = find_node(node) if node else None
    run_tables.show_log(run.run_id, node, read_log(run, node), as_json)
