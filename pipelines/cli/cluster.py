"""The verbs of `millrace` that compile for Kubeflow Pipelines and start runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from components.errors import UserError
from pipelines.cli import options

if TYPE_CHECKING:
    from components.task import Task
    from pipelines.dag.settings import Overrides, RunConfig
    from pipelines.kubeflow.client import Client, Schedule
    from pipelines.kubeflow.compiled import Compiled
    from pipelines.kubeflow.following import Outcome
    from pipelines.kubeflow.run_state import NodeState, PlannedTask, RunState


def compile_(
    ctx: typer.Context,
    task: options.TaskName,
    image: options.Image,
    out: options.OutFile,
    data: options.ClusterData = None,
    models: options.ClusterModels = None,
    pipeline_root: options.ClusterRoot = None,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    no_cache: options.NoCache = False,
    beam: options.BeamOptions = None,
    as_json: options.Json = False,
) -> None:
    """Write a task's DAG as a pipeline for Kubeflow Pipelines."""
    from pipelines import console, full_disk

    if not out.parent.is_dir():
        raise UserError(f"--out {out}: expected a file in an existing folder")
    where = Compilation(data, models, pipeline_root, no_cache, beam or ())
    prepared = Prepared.of(task, image, where, options.overrides(task, configs, assignments))
    compiled = prepared.compile(ctx, share=False)
    with full_disk.writing(str(out)):
        out.write_text(compiled.yaml, encoding="utf-8")
    console.note(f"{out}: complete")
    if as_json:
        console.print_json({"file": str(out.absolute()), "pipeline": compiled.name})


def submit(
    ctx: typer.Context,
    task: options.TaskName,
    image: options.Image,
    host: options.Host,
    data: options.ClusterData = None,
    models: options.ClusterModels = None,
    pipeline_root: options.ClusterRoot = None,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    no_cache: options.NoCache = False,
    beam: options.BeamOptions = None,
    experiment: options.Experiment = "millrace",
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    artifact_root: options.ArtifactRoot = None,
    wait: options.Wait = False,
    as_json: options.Json = False,
) -> None:
    """Run a task's DAG on Kubeflow Pipelines."""

    where = Compilation(data, models, pipeline_root, no_cache, beam or (), artifact_root)
    prepared = Prepared.of(task, image, where, options.overrides(task, configs, assignments))
    server = Connection(host, token_file, namespace, experiment, artifact_root)
    with server.client() as client:
        start(client, prepared.compile(ctx), server, wait, as_json)


def schedule(
    ctx: typer.Context,
    task: options.TaskName,
    image: options.Image,
    host: options.Host,
    cron: options.Cron,
    data: options.ClusterData = None,
    models: options.ClusterModels = None,
    pipeline_root: options.ClusterRoot = None,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    no_cache: options.NoCache = False,
    beam: options.BeamOptions = None,
    experiment: options.Experiment = "millrace",
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    artifact_root: options.ArtifactRoot = None,
    as_json: options.Json = False,
) -> None:
    """Have Kubeflow Pipelines run a task's DAG again and again.

    A run does nothing where data, settings and code are those of the live model, or of one that was refused,
    unless --no-cache is given. It takes the place of an earlier schedule of the task in the experiment.
    """
    from pipelines import console
    from pipelines.kubeflow.client import cron_fields

    fields = cron_fields(cron)
    where = Compilation(data, models, pipeline_root, no_cache, beam or (), artifact_root)
    prepared = Prepared.of(task, image, where, options.overrides(task, configs, assignments))
    server = Connection(host, token_file, namespace, experiment, artifact_root)
    with server.client() as client:
        compiled = prepared.compile(ctx, if_news=not no_cache)
        pipeline = client.upload(compiled.name, compiled.yaml)
        earlier = client.schedules(compiled.name, experiment)
        recurring = client.schedule(
            pipeline, compiled.name, compiled.parameters, experiment, fields, image, artifact_root
        )
        # Not before there is another one.
        for schedule in earlier:
            _end(client, schedule)
            console.note(f"replaces {schedule.recurring_run_id}: {schedule.cron}")
    replaced = [schedule.recurring_run_id for schedule in earlier]
    if as_json:
        console.print_json({"recurring_run_id": recurring, "cron": fields, "replaced": replaced})
    else:
        print(f"recurring run {recurring}: {fields}")


def schedules(
    host: options.Host,
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """List what Kubeflow Pipelines runs again and again."""
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.kubeflow.client import Client

    with Client(host, token_file, namespace) as client:
        found = client.schedules()
    if as_json:
        console.print_json([schedule._asdict() for schedule in found])
    elif found:
        tables.show_schedules(found)
    else:
        console.note(f"{client.host}: no schedules")


def unschedule(
    task: options.TaskName,
    host: options.Host,
    experiment: options.Experiment = "millrace",
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """End the schedule of a task. While a run of it goes on, it is disabled, and not yet deleted."""
    from pipelines import console
    from pipelines.kubeflow.client import Client
    from pipelines.tasks import get_task

    name = get_task(task).name
    with Client(host, token_file, namespace) as client:
        found = client.schedules(name, experiment)
        if not found:
            others = ", ".join(sorted({schedule.task for schedule in client.schedules()})) or "nothing"
            raise UserError(f"unschedule: no schedule of {name} in {experiment}; scheduled: {others}")
        ended = [schedule for schedule in found if _end(client, schedule)]
    if as_json:
        left = [schedule.recurring_run_id for schedule in found if schedule not in ended]
        console.print_json({"ended": [schedule.recurring_run_id for schedule in ended], "disabled": left})
    else:
        for schedule in ended:
            print(f"ended {schedule.recurring_run_id}: {schedule.cron}")


def _end(client: Client, schedule: Schedule) -> bool:
    """Ends a schedule; says so and returns False where that is not deleted yet, since a run of it goes on."""
    from pipelines import console

    going_on = client.unschedule(schedule.recurring_run_id)
    if going_on:
        console.note(
            f"{schedule.recurring_run_id}: starts no more runs; run {going_on} of it goes on, and would end "
            "with it: the next schedule or unschedule of the task deletes it"
        )
    return going_on is None


def print_log(
    run_id: str, node: str, host: str, namespace: str | None, token_file: str | None, as_json: bool
) -> None:
    """Prints what a node of a run has said."""
    from pipelines.cli import run_tables
    from pipelines.kubeflow.client import Client
    from pipelines.kubeflow.run_state import task_of

    with Client(host, token_file, namespace) as client:
        state = client.state(run_id, ())
        node = task_of(state.rows, node)
        found = client.log(state, node)
    run_tables.show_log(run_id, node, found, as_json)


def list_runs(
    host: str, token_file: str | None, namespace: str | None, task: str | None, limit: int, as_json: bool
) -> None:
    """Prints the runs of a server, of all tasks or of one, newest first."""
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.kubeflow.client import Client

    with Client(host, token_file, namespace) as client:
        found = client.runs(task, limit)
    if as_json:
        console.print_json([run._asdict() for run in found])
    elif found:
        tables.show_cluster_runs(found)
    else:
        console.note(f"{client.host}: no runs" + (f" of {task}" if task else ""))


class Compilation(NamedTuple):
    """The options that say what is compiled, beside the settings."""

    data: str | None
    models: str | None
    pipeline_root: str | None
    no_cache: bool = False
    beam: Sequence[str] = ()
    artifact_root: str | None = None


class Connection(NamedTuple):
    """The options that say where and how a run is started."""

    host: str
    token_file: str | None
    namespace: str | None
    experiment: str
    artifact_root: str | None

    def client(self) -> Client:
        """Returns a client that has reached the server: before anything that takes a while."""
        from components.patterns import check_literal
        from pipelines.kubeflow.client import Client

        check_literal(self.artifact_root or "")
        client = Client(self.host, self.token_file, self.namespace)
        client.reach()
        return client


class Prepared(NamedTuple):
    """What is compiled, checked as far as that is quick."""

    task: Task
    config: RunConfig
    overrides: Overrides
    image: str

    @classmethod
    def of(cls, task: str, image: str, where: Compilation, overrides: Overrides) -> Prepared:
        """Raises UserError for a wrong option or setting."""
        from pipelines import console
        from pipelines.dag.settings import apply_overrides
        from pipelines.kubeflow.compiled import cluster_config, unopened
        from pipelines.runs import launch
        from pipelines.tasks import get_task

        found = get_task(task)
        config = cluster_config(
            found,
            overrides,
            data_dir=where.data,
            models_dir=where.models,
            pipeline_root=where.pipeline_root,
            artifact_root=where.artifact_root,
            beam=launch.beam_options(where.beam),
            enable_cache=not where.no_cache,
        )
        elsewhere = unopened(overrides)
        apply_overrides(found, config, overrides, opened=not elsewhere)
        for name in elsewhere:
            console.note(f"{name}: not here; the nodes open it in the volume")
        return cls(found, config, overrides, image)

    def compile(self, ctx: typer.Context, share: bool = True, if_news: bool = False) -> Compiled:
        """Returns the compiled pipeline, with `share` for an upload whose settings are parameters.

        With `if_news`, its runs do nothing where nothing changed.
        """
        from pipelines import console
        from pipelines.kubeflow.compiled import compile_task

        with console.quiet(None, options.debug(ctx)):
            return compile_task(
                self.task, self.config, self.overrides, self.image, share=share, if_news=if_news
            )


def start(
    client: Client,
    compiled: Compiled,
    server: Connection,
    wait: bool,
    as_json: bool,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Starts a run, follows it with `wait`, and prints how it is doing, as JSON with `more`."""
    from pipelines import console
    from pipelines.kubeflow import following

    pipeline = client.upload(compiled.name, compiled.yaml)
    run_id = client.start(
        pipeline, compiled.name, compiled.parameters, server.experiment, server.artifact_root
    )
    url, tasks = client.url(run_id), compiled.tasks
    console.note(f"started {url or run_id}")
    if wait:
        state = following.follow(client, run_id, tasks, following.Listener(_print_state, console.note))
        _explain_cache(state, tasks)
        outcome = following.outcome(client, state, compiled.name)
    else:
        outcome = following.Outcome(client.state(run_id, tasks))
    if as_json:
        console.print_outcome({**more, **_outcome_json(outcome, url)}, outcome.check)
    else:
        print(f"run {run_id}: {outcome.state.state.lower()}")
        if outcome.published:
            print(f"published {outcome.published}")
        outcome.check()


def _outcome_json(outcome: Outcome, url: str | None) -> dict[str, Any]:
    state = outcome.state
    nodes = [node._asdict() for node in state.nodes]
    return {"run_id": state.run_id, "state": state.state, "url": url, "nodes": nodes,
            "published": outcome.published}  # fmt: skip


def _print_state(node: NodeState) -> None:
    from pipelines import console

    console.note(f"{node.node}: {node.state}" + (f": {node.error}" if node.error else ""))


def _explain_cache(state: RunState, tasks: Sequence[PlannedTask]) -> None:
    """Says which tasks had nothing to do, and why the others had."""
    from pipelines import console
    from pipelines.kubeflow.run_state import CACHED

    cached = [node.node for node in state.nodes if node.state == CACHED]
    if state.state == "SUCCEEDED" and len(cached) < len(tasks):
        console.note(
            f"cached: {', '.join(cached) or 'nothing'}; what reads data or the registry always runs, and "
            "what is behind it, since its inputs are new artifacts each time"
        )
