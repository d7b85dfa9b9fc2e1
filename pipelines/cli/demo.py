"""The verb that shows the whole DAG on data that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipelines.cli import options, runs

if TYPE_CHECKING:
    pass


def demo(
    ctx: typer.Context,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Train on real digits that need no network, then predict one."""
    from components.protocols import Given
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.dag.settings import RunConfig
    from pipelines.datasets import demo as digits
    from pipelines.prediction import predict
    from pipelines.runs import launch

    root = launch.absolute(pipeline_root)
    launch.check_writable(root)
    digit = digits.make_data(Path(root, "demo-data"))
    run_config = RunConfig(
        data_dir=str(digit.parent), pipeline_root=root, models_dir=options.models_dir(models, pipeline_root)
    )
    report = launch.launch(
        digits.TASK,
        run_config,
        digits.OVERRIDES,
        asked=runs.asked_by(ctx, digits.OVERRIDES),
        debug=options.debug(ctx),
    )
    where = runs.places(models, pipeline_root)
    settings = [f"--set=train.{key}={value}" for key, value in digits.OVERRIDES["train"].items()]
    arguments = ["run", digits.TASK.name, "--data", str(digit.parent), *settings, *where]
    after = runs.Next(digits.TASK.override(digits.OVERRIDES), arguments, [str(digit)], where)
    # Raises if there is nothing to predict with.
    if not as_json or launch.why_not_published(report):
        runs.show_report(report, as_json, after, {"predictions": []})
    with console.quiet(None, options.debug(ctx)):
        model = predict.published_model(run_config.models_dir, digits.TASK.name)
        questions = predict.questions(digits.TASK, Given([str(digit)]))
        replies = predict.predict(digits.TASK, questions, predict.load(digits.TASK, model))
    if as_json:
        result = tables.report_json(report, launch.evaluation_of(report))
        predictions = [tables.reply_json(reply) for reply in replies]
        console.print_json({**result, "predictions": predictions, "error": None})
    else:
        tables.show_replies(replies)
