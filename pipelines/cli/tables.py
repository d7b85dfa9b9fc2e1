"""Results as tables and lines on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from components.evaluator import report
from components.protocols import AS_PRINTED_BY, Reply, Surveyed
from components.task import Task
from pipelines import console, presets
from pipelines.cli import layout
from pipelines.cli.layout import Column
from pipelines.runs.display import NodeReport
from pipelines.runs.history import Evaluation, Run
from pipelines.runs.record import read_record

if TYPE_CHECKING:
    from components.registry.registry import PublishedVersion
    from pipelines.kubeflow.client import PastRun, Schedule
    from pipelines.runs.local import RunReport

_STYLES = {"complete": "green", "cached": "cyan", "failed": "red", "interrupted": "red", "running": "yellow"}
_NODES = (Column("node", 0), Column("state", 1), Column("seconds", 2, is_number=True))


def show_tasks(tasks: Iterable[Task], broken: Mapping[str, str]) -> None:
    """Prints the tasks and what blesses a model of each, then those that cannot be used, and why."""
    rows = [
        (
            task.reference,
            task.summary,
            f"{task.blessing.metric} {task.blessing.threshold:g}",
            ", ".join(presets.names(task.name)),
            ", ".join(task.metrics),
        )
        for task in tasks
    ]
    rows += [(name, f"cannot be used: {reason}", "", "", "") for name, reason in broken.items()]
    layout.show(
        (
            Column("task", 0),
            Column("summary", 2, folds=True),
            Column("blessed from", 1),
            Column("presets", 3, folds=True),
            Column("metrics", 4, folds=True),
        ),
        rows,
    )


def task_json(task: Task) -> dict[str, Any]:
    """Returns a task as JSON values."""
    declared = task.model_dump(include={"summary", "blessing"})
    return {**declared, "name": task.reference, "metrics": task.metrics, "presets": presets.names(task.name)}


def show_report(
    report: RunReport,
    evaluation: Evaluation | None,
    next_command: str,
    why: Mapping[str, str] | None = None,
) -> None:
    """Prints how a run went: its nodes, what came of it, where that is, and what to do with it."""
    layout.show(_NODES, [(node.node, _state(node.state), f"{node.seconds:.1f}") for node in report.nodes])
    for name, line in (why or {}).items():
        console.results().print(f"{name}: {line}", soft_wrap=True)
    if reused := reused_everything(report.nodes):
        console.results().print(f"nothing changed: all {reused} executions reused")
    _show_facts(
        run=f"{report.short_id} ({report.run_id})",
        **_seeds_facts(report.seeds),
        **_evaluation_facts(evaluation),
    )
    if report.pushed_version:
        _show_facts(published=f"version {report.pushed_version} in {report.pushed_dir}", try_it=next_command)
        if report.live_version != report.pushed_version:
            _show_facts(
                note=f"an earlier run published it; live is {_version(report.live_version)} "
                "(`millrace models` lists them, `millrace rollback --to` changes that)"
            )


def _seeds_facts(seeds: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns {"seeds": "accuracy 0.8120 ± 0.0130 over 5; evaluated is seed 3"}."""
    if seeds is None:
        return {}
    spread = f"{seeds['metric']} {seeds['mean']:.4f} ± {seeds['standard_deviation']:.4f}"
    return {
        "seeds": f"{spread} over {len(seeds['values'])}; evaluated is the median one, seed {seeds['kept']}"
    }


def _version(version: int | None) -> str:
    return f"version {version}" if version else "no version"


def reused_everything(nodes: Sequence[NodeReport]) -> int:
    """Returns how many executions were reused if all were, else 0."""
    states = [node.state for node in nodes if node.state != "skipped"]
    return len(states) if all(state == "cached" for state in states) else 0


def report_json(
    report: RunReport, evaluation: Evaluation | None, why: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Returns a run's report as JSON values; a node's `why` says why it was executed, or is null."""
    known = why or {}
    return {
        "run_id": report.run_id,
        "short_id": report.short_id,
        "nodes": [{**node._asdict(), "why": known.get(node.node)} for node in report.nodes],
        "reused_everything": bool(reused_everything(report.nodes)),
        "blessed": report.blessed,
        "evaluation": evaluation._asdict() if evaluation else None,
        "seeds": report.seeds,
        "canary_reason": report.canary_reason,
        "published_version": report.pushed_version,
        "published_dir": report.pushed_dir,
        "live_version": report.live_version,
    }


def show_runs(runs: Sequence[Run]) -> None:
    """Prints a line for each run, with names and tags where there are any."""
    columns = [
        Column("run", 0), Column("state", 1), Column("started", 3), Column("seconds", 5, is_number=True),
        Column("metrics", 2, folds=True), Column("published", 4, is_number=True), Column("id", 6),
    ]  # fmt: skip
    rows: list[layout.Row] = [
        (
            run.short_id, _state(run.state), local_time(run.started), f"{run.seconds:.1f}",
            metrics_line(run.evaluation.metrics) if run.evaluation else "",
            str(run.published_version or ""), run.run_id,
        )
        for run in runs
    ]  # fmt: skip
    told = [(found.name or "", ", ".join(found.tags)) for found in map(read_record, runs)]
    if any(map(any, told)):
        # The id stays the last.
        columns[-1:-1] = [Column("name", 1, folds=True), Column("tags", 5, folds=True)]
        rows = [(*row[:-1], *more, row[-1]) for row, more in zip(rows, told, strict=True)]
    layout.show(columns, rows)


def show_cluster_runs(runs: Sequence[PastRun]) -> None:
    """Prints a line for each run of a cluster."""
    columns = (
        Column("run", 0),
        Column("name", 1),
        Column("state", 2),
        Column("started", 3),
        Column("ended", 4),
    )
    rows = [
        (run.run_id, run.name, run.state.lower(), *(_local(moment) for moment in (run.started, run.ended)))
        for run in runs
    ]
    layout.show(columns, rows)


def show_schedules(schedules: Sequence[Schedule]) -> None:
    """Prints a line for each recurring run."""
    columns = (
        Column("task", 0), Column("cron", 1), Column("state", 2), Column("image", 3), Column("id", 4)
    )  # fmt: skip
    rows = [
        (found.task, found.cron, "on" if found.enabled else "off", found.image or "", found.recurring_run_id)
        for found in schedules
    ]
    layout.show(columns, rows)


def show_run(run: Run) -> None:
    """Prints one run with its nodes and where their outputs are."""
    _show_facts(run=f"{run.short_id} ({run.run_id})", task=run.task, state=run.state)
    _show_facts(started=local_time(run.started), seconds=f"{run.seconds:.1f}")
    _show_facts(**_evaluation_facts(run.evaluation))
    if run.published_version:
        _show_facts(published=f"version {run.published_version}")
    rows = [(n.node, _state(n.state), f"{n.seconds:.1f}", local_time(n.started)) for n in run.nodes]
    layout.show((*_NODES, Column("started", 3)), rows)
    for node in run.nodes:
        for artifact in node.artifacts:
            console.results().print(f"{node.node}.{artifact.key} {artifact.uri}", soft_wrap=True)


def show_models(versions: Sequence[PublishedVersion], refused: Sequence[Run]) -> None:
    """Prints the published versions, oldest first, and what was trained but not blessed."""
    columns = (
        Column("version", 0, is_number=True), Column("live", 1), Column("created", 3), Column("blessed", 4),
        Column("metrics", 2, folds=True), Column("restored from", 5, is_number=True),
    )  # fmt: skip
    rows = [
        (
            str(version.version), "live" if version is versions[-1] else "",
            local_time(datetime.fromisoformat(version.created)), "yes" if version.blessed else "no",
            metrics_line(version.metrics), str(version.restored_from or ""),
        )
        for version in versions
    ]  # fmt: skip
    layout.show(columns, rows)
    for run in refused:
        reasons = "; ".join(run.evaluation.reasons) if run.evaluation else ""
        console.results().print(f"not blessed: run {run.short_id}: {reasons}", soft_wrap=True)


def version_json(version: PublishedVersion) -> dict[str, Any]:
    """Returns a published version as JSON values."""
    return {**version.model_dump(mode="json", exclude={"files"}), "path": version.path}


def models_json(versions: Sequence[PublishedVersion], refused: Sequence[Run]) -> dict[str, Any]:
    """Returns the versions and the refused models as JSON values."""
    return {
        "versions": [{**version_json(v), "live": v is versions[-1]} for v in versions],
        "not_blessed": [run.to_json() for run in refused],
    }


def show_replies(replies: Sequence[Reply], as_json: bool = False) -> None:
    """Prints the sentence for one reply, a table for several."""
    if as_json:
        console.print_json([reply_json(reply) for reply in replies])
        return
    if len(replies) == 1:
        print(replies[0].sentence)
        return
    others = [
        Column(name.removesuffix(">"), rank, is_number=name.endswith(">"), folds=True)
        for rank, name in enumerate(replies[0].cells)
    ]
    layout.show(
        (Column("input", 0, folds=True), *others), [(reply.name, *reply.cells.values()) for reply in replies]
    )


def show_surveyed(records: Sequence[Surveyed]) -> None:
    """Prints a row for each record, and below a line for each thing that looks wrong."""
    names = list(dict.fromkeys(name for record in records for name in record.cells))
    columns = [
        Column(name.removesuffix(">"), rank, is_number=name.endswith(">")) for rank, name in enumerate(names)
    ]
    rows = [(record.name, *(record.cells.get(name, "") for name in names)) for record in records]
    layout.show((Column("case", 0), *columns), rows)
    for record in records:
        for doubt in record.doubts:
            console.results().print(f"{record.name}: {doubt}", soft_wrap=True)
    doubtful = sum(bool(record.doubts) for record in records)
    verb = "looks" if doubtful == 1 else "look"
    _show_facts(cases=f"{len(records):,}, of which {doubtful:,} {verb} wrong")


def surveyed_json(records: Sequence[Surveyed]) -> list[dict[str, Any]]:
    """Returns records as JSON values."""
    return [{"case": record.name, **record.values, "doubts": list(record.doubts)} for record in records]


def show_written(count: int, out: Path, as_json: bool) -> None:
    """Prints how many predictions were written, and where."""
    if as_json:
        console.print_json({"predictions": count, "dir": str(out)})
    else:
        counted = "1 prediction is" if count == 1 else f"{count:,} predictions are"
        console.results().print(f"{counted} in {out}", soft_wrap=True)


def reply_json(reply: Reply) -> dict[str, Any]:
    """Returns a reply as JSON values."""
    return {"input": reply.name, **reply.values}


def measured_json(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was measured, without the verdict, as JSON values."""
    verdict = ("blessed", "reasons", "notes", "blessing", "baseline_metrics", "intervals")
    measured = {key: value for key, value in result.items() if key not in verdict}
    return {**measured, "intervals": {result["blessing"]["metric"]: result["intervals"]["metric"]}}


def show_measured(result: Mapping[str, Any]) -> None:
    """Prints what was measured, and as it is what other tools would print of it."""
    for header, rows in (report.metrics_table(result), report.slices_table(result)):
        columns = [Column(name.lower(), rank, is_number=rank > 0) for rank, name in enumerate(header)]
        if rows:
            layout.show(columns, rows)
    _show_facts(examples=f"{result['num_examples']:,}")
    for name, printed in result.get(AS_PRINTED_BY, {}).items():
        print(f"as {name} prints it:\n{json.dumps(printed, indent=2)}")


def metrics_line(metrics: Mapping[str, Any]) -> str:
    """Returns the metrics that are one number: "accuracy 0.9870"."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))


def _evaluation_facts(evaluation: Evaluation | None) -> dict[str, str]:
    if evaluation is None:
        return {}
    verdict = "yes" if evaluation.blessed else f"no: {'; '.join(evaluation.reasons)}"
    return {"metrics": metrics_line(evaluation.metrics), "blessed": verdict, "report": evaluation.report}


def _show_facts(**facts: str) -> None:
    for name, value in facts.items():
        # Not in a table: a terminal would break paths that one wants to copy.
        console.results().print(f"{name.replace('_', ' '):<10} {value}", soft_wrap=True)


def local_time(moment: datetime) -> str:
    """Returns a moment as this machine's clock shows it, with its offset: "2026-01-02 03:04:05+01:00"."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def _local(moment: str | None) -> str:
    return local_time(datetime.fromisoformat(moment.replace("Z", "+00:00"))) if moment else ""


def _state(state: str) -> Text:
    return Text(state, _STYLES.get(state, "dim"))
