"""The command `millrace`: one verb a function. What is heavy is imported by the verb that needs it."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from components.errors import UserError
from pipelines import cluster_cli, options

if TYPE_CHECKING:
    from pipelines.local import RunReport

_INTERRUPTED: Final = 130


class _ListsByDefault(TyperGroup):
    """`millrace runs mnist` means `millrace runs list mnist`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
data_app = typer.Typer(no_args_is_help=True)
runs_app = typer.Typer(cls=_ListsByDefault)
app.add_typer(data_app, name="data", help="Get the raw data of a task.")
app.add_typer(runs_app, name="runs", help="Show past runs: `runs [TASK]` or `runs show ID`.")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"millrace {version('millrace')}")
        raise typer.Exit


@app.callback(help="Raw data in, a served model you can trust out.")
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and everybody's log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def tasks(as_json: options.Json = False) -> None:
    """List the tasks."""
    from pipelines import console, tables
    from pipelines.tasks import TASKS

    if as_json:
        shown = {"name", "summary", "metrics", "blessing"}
        console.print_json([task.model_dump(include=shown) for task in TASKS.values()])
    else:
        tables.show_tasks(TASKS.values())


@app.command()
def run(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.DataDir,
    assignments: options.Assignments = None,
    config: options.ConfigFile = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    seeds: options.Seeds = None,
    no_cache: options.NoCache = False,
    until_node: options.UntilNode = None,
    from_node: options.FromNode = None,
    beam: options.BeamOptions = None,
    as_json: options.Json = False,
) -> None:
    """Run a task's DAG: raw files in, a published model out."""
    from pipelines import launch, nodes
    from pipelines.settings import RunConfig, read_overrides
    from pipelines.tasks import get_task

    run_config = RunConfig(
        data_dir=launch.absolute(data),
        pipeline_root=launch.absolute(pipeline_root),
        models_dir=_models_dir(models, pipeline_root),
        enable_cache=not no_cache,
        beam=launch.beam_options(beam or ()),
    )
    chosen = [*(assignments or ()), *([f"train.num_seeds={seeds}"] if seeds is not None else ())]
    report = launch.launch(
        get_task(task),
        run_config,
        read_overrides(config, chosen),
        from_node=nodes.find_node(from_node) if from_node else None,
        until_node=nodes.find_node(until_node) if until_node else None,
        debug=options.debug(ctx),
    )
    _show_report(report, as_json, _predict_command(task, "INPUT", models, pipeline_root))


@app.command()
def demo(
    ctx: typer.Context,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Train on real digits that need no network, then predict one."""
    from pipelines import console, demo, launch, predict, tables
    from pipelines.settings import RunConfig

    root = launch.absolute(pipeline_root)
    launch.check_writable(root)
    digit = demo.make_data(Path(root, "demo-data"))
    run_config = RunConfig(
        data_dir=str(digit.parent), pipeline_root=root, models_dir=_models_dir(models, pipeline_root)
    )
    report = launch.launch(demo.TASK, run_config, demo.OVERRIDES, debug=options.debug(ctx))
    command = _predict_command(demo.TASK.name, str(digit), models, pipeline_root)
    # Raises if there is nothing to predict with.
    if not as_json or launch.why_not_published(report):
        _show_report(report, as_json, command)
    with console.quiet(None, options.debug(ctx)):
        model = predict.published_model(run_config.models_dir, demo.TASK.name)
        questions = predict.read_questions(demo.TASK, [str(digit)], None)
        answers = predict.predict(questions, predict.load(demo.TASK, model))
    if as_json:
        result = tables.report_json(report, launch.evaluation_of(report))
        console.print_json({**result, "predictions": [answer._asdict() for answer in answers]})
    else:
        tables.show_answers(answers)


@app.command()
def retrain(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.DataDir,
    if_changed: options.IfChanged = False,
    assignments: options.Assignments = None,
    config: options.ConfigFile = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    host: options.OptionalHost = None,
    image: options.OptionalImage = None,
    experiment: options.Experiment = "millrace",
    namespace: options.Namespace = None,
    token_file: options.TokenFile = None,
    artifact_root: options.ArtifactRoot = None,
    wait: options.Wait = False,
    as_json: options.Json = False,
) -> None:
    """Run a task's DAG again, saying what changed since the live model was trained.

    Here, or with --host on Kubeflow Pipelines, where the nodes find data and models in the same places.

    Exit codes: 0 a run was done, or started on the cluster; 10 nothing changed and there was no run
    (--if-changed); 1 a failure, or a model that was refused; 2 a mistake in what was given.
    """
    from pipelines import console, launch, retrain
    from pipelines.settings import RunConfig, apply_overrides, read_overrides
    from pipelines.tasks import get_task

    if (host is None) != (image is None):
        raise UserError("retrain: --host and --image go together")
    run_config = RunConfig(
        data_dir=launch.absolute(data),
        pipeline_root=launch.absolute(pipeline_root),
        models_dir=_models_dir(models, pipeline_root),
    )
    overrides = read_overrides(config, assignments or ())
    chosen, run_config = apply_overrides(get_task(task), run_config, overrides)
    with console.quiet(None, options.debug(ctx)):
        found = retrain.compare(chosen, run_config)
    if if_changed and not found.reasons:
        if as_json:
            console.print_json(found.to_json())
        else:
            print(f"nothing changed since version {found.live_version}")
        raise typer.Exit(retrain.NOTHING_CHANGED)
    for reason in found.reasons:
        console.note(reason)
    if host is not None and image is not None:
        server = cluster_cli.Connection(host, token_file, namespace, experiment, artifact_root)
        where = cluster_cli.Compilation(run_config.data_dir, run_config.models_dir, run_config.pipeline_root)
        prepared = cluster_cli.Prepared.of(task, image, where, overrides)
        with server.client() as client:
            cluster_cli.start(client, prepared.compile(ctx), server, wait, as_json, found.to_json())
        return
    report, found = retrain.run_locally(chosen, run_config, found, debug=options.debug(ctx))
    _show_report(report, as_json, _predict_command(task, "INPUT", models, pipeline_root), found.to_json())


@data_app.command("fetch")
def data_fetch(task: options.TaskName, out: options.OutDir) -> None:
    """Download the data of a task and check its SHA-256 sums."""
    from pipelines import console, data
    from pipelines.tasks import get_task

    with console.download_progress() as progress:
        data.fetch(get_task(task).name, out, progress)
    console.note(f"{out}: complete")


@data_app.command("make")
def data_make(task: options.TaskName, out: options.OutDir) -> None:
    """Write a small data set that needs no network."""
    from pipelines import console, data
    from pipelines.tasks import get_task

    data.make(get_task(task).name, out)
    console.note(f"{out}: complete")


@runs_app.command("list")
def runs_list(
    task: options.AnyTask = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    as_json: options.Json = False,
) -> None:
    """List the runs of all tasks or of one, newest first (the default)."""
    from pipelines import console, history, tables
    from pipelines.tasks import get_task

    runs = history.read_runs(pipeline_root, get_task(task).name if task else None)
    if as_json:
        console.print_json([run.to_json() for run in runs])
    elif runs:
        tables.show_runs(runs)
    else:
        console.note(history.no_runs(pipeline_root))


@runs_app.command("show")
def runs_show(
    run_id: options.RunId,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    as_json: options.Json = False,
) -> None:
    """Show one run: nodes, metrics and where the outputs are."""
    from pipelines import console, history, tables

    run = history.find_run(pipeline_root, run_id)
    if as_json:
        console.print_json(run.to_json())
    else:
        tables.show_run(run)


@app.command("models")
def list_models(
    task: options.TaskName,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """List published versions, and models that were not blessed."""
    from components.pusher import registry
    from pipelines import console, history, tables
    from pipelines.tasks import get_task

    name = get_task(task).name
    versions = registry.versions(_models_dir(models, pipeline_root), name)
    refused = history.refused_models(pipeline_root, name)
    if as_json:
        console.print_json(tables.models_json(versions, refused))
    elif versions or refused:
        tables.show_models(versions, refused)
    else:
        console.note(f"no published model of {name!r}; `millrace run {name} --data DIR` makes one")


@app.command()
def rollback(
    task: options.TaskName,
    to: options.Version = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Make an earlier version live again, as a new version."""
    from components.pusher import registry
    from pipelines import console, tables
    from pipelines.tasks import get_task

    version = registry.rollback(_models_dir(models, pipeline_root), get_task(task).name, to)
    if as_json:
        console.print_json(tables.version_json(version))
    else:
        # Nothing is restored where the wanted version is live already.
        restored = f", with the content of {version.restored_from}," if version.restored_from else ""
        print(f"version {version.version}{restored} is live: {version.path}")


@app.command()
def predict(
    ctx: typer.Context,
    task: options.TaskName,
    inputs: options.Inputs = None,
    pairs: options.Pairs = None,
    model: options.ModelDir = None,
    server: options.Server = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Ask a model about files or texts."""
    from pipelines import console, predict, remote, tables
    from pipelines.tasks import get_task

    asked = get_task(task)
    if not inputs and pairs is None:
        raise UserError("predict: expected an INPUT, or --pairs FILE")
    if server is not None:
        questions = predict.read_questions(asked, inputs or (), pairs)
        with console.quiet(None, options.debug(ctx)), remote.connect(server, asked.name) as ask:
            answers = predict.predict(questions, ask)
    else:
        model_dir = model or predict.published_model(_models_dir(models, pipeline_root), asked.name)
        questions = predict.read_questions(asked, inputs or (), pairs)
        with console.quiet(None, options.debug(ctx)):
            answers = predict.predict(questions, predict.load(asked, model_dir))
    if as_json:
        console.print_json([answer._asdict() for answer in answers])
    else:
        tables.show_answers(answers)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    ctx: typer.Context,
    task: options.AnyTask = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
) -> None:
    """Serve published models over gRPC (8500) and REST (8501).

    Takes every flag of tensorflow_model_server, too, such as --port=9000 or --model_config_file=FILE;
    `python -m components.serving --help` lists them.
    """
    from components.serving import __main__ as model_server
    from pipelines import predict
    from pipelines.tasks import get_task

    flags = ["--rest_api_port=8501", *ctx.args]
    if task is not None and task.startswith("-"):
        # There is no task, and the first flag was taken for one.
        flags.insert(1, task)
    elif task is not None:
        name = get_task(task).name
        base_path = Path(predict.published_model(_models_dir(models, pipeline_root), name)).parent
        flags[1:1] = [f"--model_name={name}", f"--model_base_path={base_path}"]
    model_server.run(flags)


app.command("compile")(cluster_cli.compile_)
app.command()(cluster_cli.submit)
app.command()(cluster_cli.schedule)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line and exits: 0 done, 1 failure, 2 the user's mistake, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # A global option, but the place where one adds it to a command that failed is the end.
    ordered = [*(["--debug"] if debug else []), *(argument for argument in given if argument != "--debug")]
    sys.exit(_run(ordered, debug))


def _run(arguments: list[str], debug: bool) -> int:
    command = typer.main.get_command(app)
    try:
        # What is no number is a verb that returned.
        result = command.main(arguments, prog_name="millrace", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; nothing more can be written, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.TyperException as error:
        return _report_usage(error)
    except Exception as error:
        return _report_error(error, debug)
    if result == _INTERRUPTED:
        print("millrace: interrupted", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _report_usage(error: typer.TyperException) -> int:
    """Prints what is wrong with the command line; for an empty one, the help text."""
    from pipelines import console

    message = error.format_message()
    if "\n" in message:
        print(message, file=sys.stderr)
    else:
        context = getattr(error, "ctx", None)
        console.print_error(f"{message} See `{context.command_path} --help`." if context else message)
    return error.exit_code


def _report_error(error: Exception, debug: bool) -> int:
    from pipelines import console

    if debug:
        traceback.print_exception(error)
    explained = console.explain(error)
    console.print_error(explained.message)
    return explained.exit_code


def _models_dir(models: str | None, pipeline_root: str) -> str:
    from pipelines.launch import absolute

    return absolute(models or os.path.join(pipeline_root, "models"))


def _predict_command(task: str, input_file: str, models: str | None, pipeline_root: str) -> str:
    """Returns the command that asks what was just published: "millrace predict mnist digit.png"."""
    where = ["--models", models] if models else []
    if not models and pipeline_root != options.DEFAULT_ROOT:
        where = ["--pipeline-root", pipeline_root]
    return shlex.join(["millrace", "predict", task, input_file, *where])


def _show_report(
    report: RunReport, as_json: bool, next_command: str, more: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Prints how a run went, as JSON with `more`; raises NotPublished if its model was refused."""
    from pipelines import console, launch, tables

    evaluation = launch.evaluation_of(report)
    if as_json:
        console.print_json({**more, **tables.report_json(report, evaluation)})
    else:
        tables.show_report(report, evaluation, next_command)
    if reason := launch.why_not_published(report):
        raise launch.NotPublished(f"not published: {reason}")


if __name__ == "__main__":
    main()
