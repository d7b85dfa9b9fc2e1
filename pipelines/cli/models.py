"""The verbs for published models: list, roll back, ask, serve."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from components.errors import Failure, UserError
from pipelines.cli import options

if TYPE_CHECKING:
    from components.serving.flags import ServerFlags
    from components.task import Task
    from pipelines.prediction.predict import Ask

# How the model server tells of a port.
_LISTENING: Final = "listening on "


def list_models(
    task: options.TaskName,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """List published versions, and models that were not blessed."""
    from components.registry import registry
    from pipelines import console, program
    from pipelines.cli import tables
    from pipelines.runs import history
    from pipelines.tasks import get_task

    chosen = get_task(task)
    name = chosen.name
    versions = registry.versions(options.models_dir(models, pipeline_root), name)
    refused = history.refused_models(pipeline_root, name)
    if as_json:
        console.print_json(tables.models_json(versions, refused))
    elif versions or refused:
        tables.show_models(versions, refused)
    else:
        run = program.command("run", chosen.reference, "--data", "DIR")
        console.note(f"no published model of {name!r}; `{run}` makes one")


def card(
    task: options.TaskName,
    version: options.CardVersion = None,
    out: options.CardDir = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Print a published model's card as Markdown.

    With --out also as a page: what it is, how good, and what it was made of. Neither holds examples.
    """
    from pipelines import cards, console
    from pipelines.tasks import get_task

    chosen = get_task(task)
    found = cards.find(options.models_dir(models, pipeline_root), chosen.name, version)
    made = cards.card_of(chosen, found, cards.measured(pipeline_root, found))
    if out is not None:
        cards.write(made, out)
        console.note(f"card.md and card.html are in {out}")
    if as_json:
        console.print_json({"version": found.version, **made._asdict()})
    elif out is None:
        print(made.markdown, end="")


def rollback(
    task: options.TaskName,
    to: options.Version = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Make an earlier version live again, as a new version."""
    from components.registry import registry
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.tasks import get_task

    version = registry.rollback(options.models_dir(models, pipeline_root), get_task(task).name, to)
    if as_json:
        console.print_json(tables.version_json(version))
    else:
        # Nothing is restored where the wanted version is live already.
        restored = f", with the content of {version.restored_from}," if version.restored_from else ""
        print(f"version {version.version}{restored} is live: {version.path}")


def predict(
    ctx: typer.Context,
    task: options.TaskName,
    inputs: options.Inputs = None,
    texts: options.Texts = None,
    pairs: options.Pairs = None,
    fields: options.Fields = None,
    model: options.ModelDir = None,
    server: options.Server = None,
    out: options.PredictionsPath = None,
    picture: options.PredictionsPicture = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Ask a model about files or texts.

    What goes with all inputs has an option of its name, too: `--context FILE`, the text that is to answer
    questions, and `--spacing_mm 5,0.7,0.7`, the voxels of .npy scans along depth, height and width.
    """
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.prediction import predict
    from pipelines.prediction.given import read_given
    from pipelines.tasks import get_task

    asked = get_task(task)
    if server is not None and (model or models):
        raise UserError("predict: expected --server, --model or --models, got two of them")
    with console.quiet(None, options.debug(ctx)):
        given = read_given(asked.fitted_asking, inputs or (), pairs, fields or (), texts or ())
    if not (given.inputs or given.texts) and given.rows is None:
        raise UserError(f"predict: expected {asked.fitted_asking.takes}, got nothing")
    if out is not None:
        predict.check_written(asked, out)
    if picture is not None:
        predict.check_drawn(asked, picture)
    if model is None and server is None:
        model = predict.published_model(options.models_dir(models, pipeline_root), asked.name)
    with console.quiet(None, options.debug(ctx)):
        questions = predict.questions(asked, given)
    told = []
    with (
        console.quiet(None, options.debug(ctx)),
        predict.recording(asked, questions, out, picture) as record,
        _connected(asked, server, model or "") as ask,
    ):
        count = sum(len(question.names) for question in questions)
        for reply in console.counted(predict.replies(asked, questions, ask), count, "questions"):
            record(reply)
            # What other tools read is not told, too, but of a mask the volumes are.
            if out is None or reply.arrays:
                told.append(reply._replace(arrays={}))
    if told or out is None:
        tables.show_replies(told, as_json)
    if out is not None and not (told and as_json):
        tables.show_written(count, out, as_json)


def _connected(task: Task, server: str | None, model_dir: str) -> AbstractContextManager[Ask]:
    """Enters with what asks a model server, or else the SavedModel in a folder."""
    from pipelines.prediction import predict, remote

    if server is not None:
        return remote.connect(server, task.name)
    return nullcontext(predict.load(task, model_dir))


def serve(
    ctx: typer.Context,
    task: options.AnyTask = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Serve published models over gRPC (8500) and REST (8501).

    Takes every flag of tensorflow_model_server, too, such as --port=9000 or --model_config_file=FILE;
    `python -m components.serving --help` lists them.
    """
    from components.serving import __main__ as model_server
    from components.serving.flags import parse_flags
    from pipelines.prediction import predict
    from pipelines.tasks import get_task

    models_dir = options.models_dir(models, pipeline_root)
    flags = ["--rest_api_port=8501", *ctx.args]
    if task is not None and task.startswith("-"):
        # There is no task, and the first flag was taken for one.
        flags.insert(1, task)
        task = None
    _check_flags(flags)
    if task is not None:
        name = get_task(task).name
        base_path = Path(predict.published_model(models_dir, name)).parent
        flags[1:1] = [f"--model_name={name}", f"--model_base_path={base_path}"]
    _check_server(parse_flags(flags).flags, models_dir)
    if options.debug(ctx):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    if as_json:
        model_server.run(flags, _print_port)
    else:
        model_server.run(flags)


def _print_port(line: str) -> None:
    """Prints {"listening": "127.0.0.1:8500", "protocol": "gRPC"} for the line that says the same."""
    if line.startswith(_LISTENING):
        address, _, protocol = line.removeprefix(_LISTENING).rpartition(" ")
        print(json.dumps({"listening": address, "protocol": protocol.strip("()")}), flush=True)


def _check_server(flags: ServerFlags, models_dir: str) -> None:
    """Raises before TensorFlow is loaded where nothing could be served, or nowhere."""
    from components.registry import registry
    from components.serving.ports import busy_port
    from pipelines.tasks import task_names

    if not (flags.model_base_path or flags.model_config_file or flags.version):
        published = ", ".join(name for name in task_names() if registry.live(models_dir, name)) or "nothing"
        raise UserError(
            f"serve: expected a TASK or --model_config_file=FILE; published in {models_dir}: {published}"
        )
    if not flags.version and (reason := busy_port(flags)):
        raise Failure(f"serve: {reason}; --port=N and --rest_api_port=N choose others")


def _check_flags(flags: Sequence[str]) -> None:
    """Raises UserError for a flag that neither `millrace serve` nor a model server knows."""
    from components.config import unknown_of_many
    from components.serving.flags import known_flags, parse_flags

    for argument in parse_flags(flags).unknown:
        name = argument.lstrip("-").partition("=")[0]
        known = (*known_flags(), "models", "pipeline-root")
        raise UserError(f"serve {argument}: {unknown_of_many('flag', name, known)}")
