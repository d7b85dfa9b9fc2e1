"""The verb that measures a model on other data than its run's."""

from __future__ import annotations

from pathlib import Path

import typer

from pipelines.cli import options


def evaluate(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.MeasuredData,
    model: options.ModelDir = None,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    beam: options.BeamOptions = None,
    as_json: options.Json = False,
) -> None:
    """Measure a model on other data.

    That is a folder as for `run`; or one file: of texts or questions, as the task reads them, a scan beside
    its mask, or a .csv list of scans and masks. Nothing is blessed, published or remembered. Settings of the
    source and of the evaluation count.
    """
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.dag.settings import RunConfig, apply_overrides
    from pipelines.prediction import predict
    from pipelines.prediction.measured import measured
    from pipelines.runs import launch
    from pipelines.tasks import get_task

    run_config = RunConfig(
        data_dir=data,
        pipeline_root=pipeline_root,
        models_dir=options.models_dir(models, pipeline_root),
        beam=launch.beam_options(beam or ()),
    )
    chosen, run_config = apply_overrides(
        get_task(task), run_config, options.overrides(task, configs, assignments)
    )
    model_dir = launch.absolute(model or predict.published_model(run_config.models_dir, chosen.name))
    predict.check_model(chosen, model_dir)
    on = measured(chosen, Path(data))
    console.note("loading TensorFlow and TFX")
    launch.provide_time_zones()
    with console.quiet(None, options.debug(ctx)):
        from pipelines.runs.measure import measure_model

        outcome = measure_model(on.task, model_dir, on.directory, run_config.beam_pipeline_args)
    if as_json:
        console.print_json({"model": model_dir, "data": data, **tables.measured_json(outcome.result)})
    else:
        tables.show_measured(outcome.result)
