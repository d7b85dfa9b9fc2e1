"""The verbs that run a task's DAG and look at past runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from components.errors import UserError
from pipelines.cli import cluster, options

if TYPE_CHECKING:
    from components.task import Task
    from pipelines.dag.settings import Overrides
    from pipelines.runs.local import RunReport
    from pipelines.runs.record import Asked


def run(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.DataDir,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    seeds: options.Seeds = None,
    name: options.RunName = None,
    tags: options.RunTags = None,
    no_cache: options.NoCache = False,
    until_node: options.UntilNode = None,
    from_node: options.FromNode = None,
    beam: options.BeamOptions = None,
    force: options.Force = False,
    explain: options.Explain = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Run a task's DAG: raw files in, a published model out."""
    from pipelines import console
    from pipelines.cli import run_tables
    from pipelines.dag import nodes
    from pipelines.dag.settings import RunConfig, apply_overrides
    from pipelines.runs import launch
    from pipelines.tasks import get_task

    run_config = RunConfig(
        data_dir=launch.absolute(data),
        pipeline_root=launch.absolute(pipeline_root),
        models_dir=options.models_dir(models, pipeline_root),
        enable_cache=not no_cache,
        beam=launch.beam_options(beam or ()),
    )
    overrides = options.overrides(task, configs, _assignments(assignments, seeds, force))
    # A checkpoint behind a URI is looked at by TensorFlow.
    with console.quiet(None, options.debug(ctx)):
        chosen, run_config = apply_overrides(get_task(task), run_config, overrides)
    ends = (
        nodes.find_node(from_node) if from_node else None,
        nodes.find_node(until_node) if until_node else None,
    )
    if dry_run:
        found = launch.foreseen(chosen, run_config, *ends, debug=options.debug(ctx))
        run_tables.show_foreseen(found, as_json)
        return
    report = launch.launch(
        chosen,
        run_config,
        {},
        asked=asked_by(ctx, overrides, name, tags),
        from_node=ends[0],
        until_node=ends[1],
        debug=options.debug(ctx),
    )
    why = _explain(run_config.pipeline_root, chosen.name) if explain else None
    show_report(report, as_json, Next.of(ctx, chosen, data, models, pipeline_root), why=why)


def retrain(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.DataDir,
    if_changed: options.IfChanged = False,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    seeds: options.Seeds = None,
    name: options.RunName = None,
    tags: options.RunTags = None,
    no_cache: options.NoCache = False,
    beam: options.BeamOptions = None,
    host: options.OptionalHost = None,
    image: options.OptionalImage = None,
    experiment: options.Experiment = "millrace",
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    artifact_root: options.ArtifactRoot = None,
    wait: options.Wait = False,
    force: options.Force = False,
    explain: options.Explain = False,
    as_json: options.Json = False,
) -> None:
    """Run a task's DAG again, saying what changed.

    That is, since the live model was trained. It runs here, or with --host on Kubeflow Pipelines, where the
    nodes find data and models in the same places.

    Exit codes: 0 a run was done, or started on the cluster; 10 nothing changed, or an equal training was
    refused or rolled back, and there was no run (--if-changed); 1 a failure, or a model that was refused;
    2 a mistake in what was given.
    """
    from pipelines import console
    from pipelines.dag.settings import RunConfig, apply_overrides
    from pipelines.runs import launch, retrain
    from pipelines.tasks import get_task

    if (host is None) != (image is None):
        raise UserError("retrain: --host and --image go together")
    if host is None:
        _check_unused(
            "retrain",
            "--host",
            namespace=namespace,
            token_file=token_file,
            artifact_root=artifact_root,
            wait=wait,
        )
    else:
        _check_here("retrain", explain=explain, name=name, tag=tags)
    run_config = RunConfig(
        data_dir=launch.absolute(data),
        pipeline_root=launch.absolute(pipeline_root),
        models_dir=options.models_dir(models, pipeline_root),
        enable_cache=not no_cache,
        beam=launch.beam_options(beam or ()),
    )
    overrides = options.overrides(task, configs, _assignments(assignments, seeds, force))
    with console.quiet(None, options.debug(ctx)):
        chosen, run_config = apply_overrides(get_task(task), run_config, overrides)
        found = retrain.compare(chosen, run_config)
    if if_changed and found.idle and not (force and found.reasons):
        if as_json:
            console.print_json(found.to_json())
        else:
            print(found.idle)
        raise typer.Exit(retrain.NOTHING_CHANGED)
    for reason in found.reasons:
        console.note(reason)
    if host is not None and image is not None:
        server = cluster.Connection(host, token_file, namespace, experiment, artifact_root)
        where = cluster.Compilation(
            run_config.data_dir,
            run_config.models_dir,
            run_config.pipeline_root,
            no_cache,
            beam or (),
            artifact_root,
        )
        prepared = cluster.Prepared.of(task, image, where, overrides)
        with server.client() as client:
            cluster.start(client, prepared.compile(ctx), server, wait, as_json, found.to_json())
        return
    asked = asked_by(ctx, overrides, name, tags)
    report, found = retrain.run_locally(chosen, run_config, found, asked=asked, debug=options.debug(ctx))
    why = _explain(run_config.pipeline_root, chosen.name) if explain else None
    following = Next.of(ctx, chosen, data, models, pipeline_root)
    show_report(
        report, as_json, following, found.to_json(), why, lambda: retrain.check_executed(report, found)
    )


def runs_list(
    task: options.AnyTask = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    limit: options.Limit = 50,
    tags: options.TagFilter = None,
    host: options.RunsHost = None,
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """List the runs of all tasks or of one, newest first (the default)."""
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.runs import history
    from pipelines.tasks import get_task

    name = get_task(task).name if task else None
    if host is not None:
        _check_here("runs", tag=tags)
        cluster.list_runs(host, token_file, namespace, name, limit, as_json)
        return
    _check_unused("runs", "--host", namespace=namespace, token_file=token_file)
    # One more, to know whether there are more.
    found = history.read_runs(pipeline_root, name, limit + 1, tags or ())
    runs = found[:limit]
    if len(found) > limit:
        console.note(f"the newest {limit} runs; --limit shows more")
    if as_json:
        console.print_json([run.to_json() for run in runs])
    elif runs:
        tables.show_runs(runs)
    else:
        console.note(history.no_runs(pipeline_root, name))


def runs_show(
    run_id: options.RunId,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    settings: options.AllSettings = False,
    as_json: options.Json = False,
) -> None:
    """Show one run: nodes, metrics, what made it and where the outputs are."""
    from pipelines import console
    from pipelines.cli import run_tables, tables
    from pipelines.runs import history
    from pipelines.runs.record import read_record

    run = history.find_run(pipeline_root, run_id)
    made_by = read_record(run)
    if as_json:
        console.print_json({**run.to_json(), "record": made_by.to_json()})
    elif settings:
        run_tables.show_settings(made_by)
    else:
        tables.show_run(run)
        run_tables.show_surroundings(made_by)


class Next(NamedTuple):
    """What commands after a run are made of."""

    task: Task
    # Those of the run itself.
    arguments: Sequence[str]
    # What follows `predict TASK`: a first question, and where models are.
    question: Sequence[str]
    where: Sequence[str]

    @classmethod
    def of(cls, ctx: typer.Context, task: Task, data: str, models: str | None, pipeline_root: str) -> Next:
        """Returns them for a run on a folder of data, whose first question is an example of it."""
        from pipelines.prediction.example import example_words

        question = example_words(task, data, Path(pipeline_root, "examples"))
        return cls(task, ctx.find_root().obj, question, places(models, pipeline_root))

    @property
    def predict(self) -> str:
        """The command that asks what was just published: "millrace predict mnist digit.png"."""
        from pipelines import program

        return program.command("predict", self.task.reference, *self.question, *self.where)


def places(models: str | None, pipeline_root: str) -> list[str]:
    """Returns the options that say where models are, unless they are where they are looked for."""
    if models:
        return ["--models", models]
    return ["--pipeline-root", pipeline_root] if pipeline_root != options.DEFAULT_ROOT else []


def show_report(
    report: RunReport,
    as_json: bool,
    after: Next,
    more: Mapping[str, Any] = MappingProxyType({}),
    why: Mapping[str, str] | None = None,
    check_more: Callable[[], None] = lambda: None,
) -> None:
    """Prints how a run went, as JSON with `more`; raises NotPublished if its model was refused.

    With `why`, a line for each executed node. What `check_more` raises counts as NotPublished does.
    """
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.runs import advice, launch

    def check() -> None:
        if reason := launch.why_not_published(report):
            for line in advice.after_refusal(after.task, report, after.arguments, after.question):
                console.note(line)
            raise launch.NotPublished(f"not published: {reason}")
        check_more()

    evaluation = launch.evaluation_of(report)
    if as_json:
        console.print_outcome({**more, **tables.report_json(report, evaluation, why)}, check)
    else:
        tables.show_report(report, evaluation, after.predict, why)
        check()


def _assignments(assignments: Sequence[str] | None, seeds: int | None, force: bool) -> list[str]:
    """Returns what `--set` gives, and what `--seeds` and `--force` stand for."""
    num_seeds = [] if seeds is None else [f"train.num_seeds={seeds}"]
    return [*(assignments or ()), *num_seeds, *(["push.force=true"] if force else [])]


def asked_by(
    ctx: typer.Context, given: Overrides, name: str | None = None, tags: Sequence[str] | None = None
) -> Asked:
    """Returns what the command line asks for, as the run is to remember it."""
    from pipelines import program
    from pipelines.runs.record import Asked

    command = (*program.called_as(), *ctx.find_root().obj)
    return Asked(command, given, name, tuple(tags or ()))


def _check_here(verb: str, **given: object) -> None:
    """Raises UserError for an option that a cluster does nothing with."""
    for name, value in given.items():
        if value:
            raise UserError(f"{verb}: --{name} is for runs here, not for those of --host")


def _check_unused(verb: str, missing: str, **given: str | bool | None) -> None:
    """Raises UserError for an option that does nothing without another one."""
    for name, value in given.items():
        if value:
            raise UserError(f"{verb}: --{name.replace('_', '-')} goes with {missing}")


def _explain(pipeline_root: str, task: str) -> dict[str, str]:
    from pipelines.runs import explain, history

    return explain.explain(history.read_runs(pipeline_root, task))
