"""The options of `millrace`, each declared once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from components import files
from components.errors import UserError
from pipelines.cli import completion

if TYPE_CHECKING:
    from pipelines.dag.settings import Overrides

DEFAULT_ROOT: Final = "./millrace-root"


def _text(option: typer.CallbackParam, value: str | None) -> str | None:
    """Returns the value; raises UserError where it is empty, as that of an unset variable is.

    Also where it holds bytes that are no UTF-8, which no database or message takes.
    """
    if value is not None and not value.strip():
        raise UserError(f"{option.opts[0]}: expected a value, got {value!r}")
    try:
        (value or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{value}: expected UTF-8") from error
    return value


def _texts(option: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Returns the values of an option that may be given several times; each as `_text` takes it."""
    for value in values or ():
        _text(option, value)
    return values


def _place(option: typer.CallbackParam, value: str | None) -> str | None:
    """Returns a path or URI, the home folder in place of ~, which no shell looks for behind a `=`."""
    value = _text(option, value)
    return value if value is None else files.resolved(value)


def _path(text: str | Path) -> Path:
    """Returns a local path, as `_place`; raises UserError where it is empty, which is no folder."""
    if not str(text).strip():
        raise UserError(f"expected a path, got {text!r}")
    return Path(files.resolved(str(text)))


TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="See `millrace tasks`; or package.module:TASK.",
        autocompletion=completion.task_names,
    ),
]
AnyTask = Annotated[str | None, typer.Argument(metavar="TASK", autocompletion=completion.task_names)]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A run as `millrace runs` shows it, or 'latest'.",
        autocompletion=completion.run_ids,
    ),
]
RunIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID",
        help="Runs as `millrace runs` shows them, by their names, or 'latest'.",
        autocompletion=completion.run_ids,
    ),
]
LoggedRun = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A run as `millrace runs` shows it, with --host, too.",
        autocompletion=completion.run_ids,
    ),
]
LoggedNode = Annotated[
    str | None,
    typer.Argument(
        metavar="NODE",
        help="A node, such as trainer; default: all.",
        autocompletion=completion.node_names,
        callback=_text,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="A .png, .jpg or .npy file of an image task, a sentence of a text task, a scan.",
    ),
]
Pairs = Annotated[
    Path | None,
    typer.Option(
        "--pairs",
        parser=_path,
        metavar="FILE.tsv",
        help="Ask about each row: two texts, or a test file in the task's own layout.",
    ),
]

Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="An INPUT that is a text, also where a file is called so."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=VALUE",
        help="What goes with the inputs, such as context=TEXT, context=@FILE or context=- of a question; "
        "--context FILE for short, and --spacing_mm 5,0.7,0.7 of a .npy scan.",
    ),
]
PredictionsPath = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=_path,
        metavar="PATH",
        help="Write the answers of squad into a folder, in the files that its evaluation reads; masks of "
        "scans to a .nii.gz file, or into a folder.",
    ),
]
PredictionsPicture = Annotated[
    Path | None,
    typer.Option("--picture", parser=_path, metavar="FILE.png", help="Draw the masks of scans."),
]
Server = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ask a model server: HOST:PORT (gRPC) or http://HOST:PORT (REST).",
        callback=_text,
    ),
]

PipelineRoot = Annotated[
    str,
    typer.Option(
        metavar="DIR",
        envvar="MILLRACE_PIPELINE_ROOT",
        help="Keeps artifacts and the history of runs.",
        callback=_place,
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Where models are published.",
        show_default="PIPELINE_ROOT/models",
        callback=_place,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
OutDir = Annotated[Path, typer.Option(parser=_path, metavar="DIR", help="Where the files are written.")]
DataVersion = Annotated[
    str | None,
    typer.Option(
        "--version", metavar="VERSION", help="Of squad: 1.1 or 2.0.", show_default="1.1", callback=_text
    ),
]

DataCases = Annotated[
    int | None,
    typer.Option("--cases", metavar="N", min=1, help="Of lits: so many scans.", show_default="6"),
]

Memory = Annotated[
    str,
    typer.Option(
        metavar="AMOUNT", help="What training may take of a GPU, or of this machine: 4GB.", callback=_text
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--out", parser=_path, metavar="FILE.yaml", help="Where the settings are written."),
]
DataPicture = Annotated[
    Path | None,
    typer.Option("--picture", parser=_path, metavar="FILE.png", help="Draw all that can be read on a sheet."),
]

DataDir = Annotated[str, typer.Option(metavar="DIR", help="Folder with the raw files.", callback=_place)]
LastData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder with the raw files.",
        show_default="that of the last run",
        callback=_place,
    ),
]
Row = Annotated[int, typer.Argument(metavar="ROW", min=1, help="Of the training data.")]
PagePort = Annotated[
    int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes a free one.")
]
Browser = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the page where there is a browser.")
]
MeasuredData = Annotated[
    str,
    typer.Argument(metavar="DATA", help="Folder with the raw files, or one file: texts, questions, a scan."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change a setting, such as train.num_epochs=1; the word none means no value.",
        autocompletion=completion.setting_keys,
    ),
]
Configs = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        parser=_path,
        metavar="NAME|FILE.yaml",
        help="Settings by section: a preset of the task (`millrace tasks` lists them), or a file. Of several "
        "the last one wins, and --set over all.",
        autocompletion=completion.preset_names,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(metavar="N", help="Train N times and keep the model of median quality: train.num_seeds."),
]
RunName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What the run is called beside its id.", callback=_text),
]
RunTags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="TAG", help="A word for runs that belong together; may be repeated.", callback=_texts
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Execute also what did not change.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say of each executed node what changed.")]
Force = Annotated[bool, typer.Option("--force", help="Publish also what a rollback withdrew.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="So many runs, the newest.")]
Signatures = Annotated[
    bool, typer.Option("--signatures", help="Also what requests carry, for which TensorFlow is loaded.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say of each node whether it would be executed, and why; run nothing."),
]
CardVersion = Annotated[
    int | None,
    typer.Option("--version", metavar="VERSION", help="A published version.", show_default="the live one"),
]
CardDir = Annotated[
    Path | None, typer.Option("--out", parser=_path, metavar="DIR", help="Write card.md and card.html there.")
]
KeptRuns = Annotated[
    int, typer.Option("--keep", metavar="N", min=1, help="Runs of each task that are kept whole, the newest.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; otherwise it is only told what would be done.")]
AllSettings = Annotated[
    bool, typer.Option("--settings", help="All settings, defaults dimmed, in place of nodes and outputs.")
]
TagFilter = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only runs with this tag, or with all of several."),
]
IfChanged = Annotated[
    bool, typer.Option("--if-changed", help="Run only if data, settings or code changed; otherwise exit 10.")
]
UntilNode = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="NODE",
        help="The last node to run.",
        autocompletion=completion.node_names,
        callback=_text,
    ),
]
FromNode = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NODE",
        help="The first node to run; earlier results come from the last run.",
        autocompletion=completion.node_names,
        callback=_text,
    ),
]
BeamOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Option of Apache Beam, such as direct_num_workers=2."),
]
Version = Annotated[int | None, typer.Option(metavar="VERSION", help="Default: the one before what is live.")]
ModelDir = Annotated[
    str | None, typer.Option(metavar="DIR", help="A SavedModel; default: the published one.", callback=_place)
]

Image = Annotated[
    str,
    typer.Option(
        metavar="IMAGE", help="The pipeline image that runs every node; docker/ builds it.", callback=_text
    ),
]
OutFile = Annotated[Path, typer.Option(parser=_path, metavar="FILE", help="Where the YAML is written.")]
ClusterData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="LOCATION",
        help="The raw files: gs://…, s3://…, minio://…, or a path in the volume.",
        show_default="VOLUME/data/TASK",
    ),
]
ClusterModels = Annotated[
    str | None,
    typer.Option(
        "--models",
        metavar="LOCATION",
        help="Where models are published: gs://…, or a path in the volume.",
        show_default="PIPELINE_ROOT/models",
        callback=_text,
    ),
]
ClusterRoot = Annotated[
    str | None,
    typer.Option(
        "--pipeline-root",
        metavar="LOCATION",
        help="Where unfinished training is kept: gs://…, or a path in the volume.",
        show_default="VOLUME",
        callback=_text,
    ),
]
Host = Annotated[
    str,
    typer.Option(metavar="URL", envvar="KFP_HOST", help="The server of Kubeflow Pipelines."),
]
OptionalHost = Annotated[
    str | None,
    typer.Option("--host", metavar="URL", help="Run on this server of Kubeflow Pipelines."),
]
OptionalImage = Annotated[
    str | None,
    typer.Option("--image", metavar="IMAGE", help="The pipeline image, with --host.", callback=_text),
]
RunsHost = Annotated[
    str | None,
    typer.Option("--host", metavar="URL", help="List those of this server of Kubeflow Pipelines."),
]
LogsHost = Annotated[
    str | None,
    typer.Option(
        "--host", metavar="URL", envvar="KFP_HOST", help="Of a run on this server of Kubeflow Pipelines."
    ),
]
Experiment = Annotated[str, typer.Option(metavar="NAME", help="Groups runs.", callback=_text)]
Namespace = Annotated[
    str | None, typer.Option(metavar="NAME", help="The profile, on a server of many users.", callback=_text)
]
TokenFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Holds the token that the server asks for.",
        show_default="that of the pod",
        callback=_text,
    ),
]
ArtifactRoot = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Where artifacts are kept: gs://…, s3://…, minio://…",
        show_default="the server's",
        callback=_text,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the run; fail when it fails.")]
Cron = Annotated[
    str,
    typer.Option(
        metavar="CRON", help='Such as "0 3 * * *": minute, hour, day, month, day of the week.', callback=_text
    ),
]


ProjectName = Annotated[
    str, typer.Argument(metavar="NAME", help="Of the folder, the package and the task: my-reviews.")
]
ProjectSource = Annotated[
    Path,
    typer.Option(
        "--from",
        parser=_path,
        metavar="PATH",
        help="Texts with labels, .csv, .tsv or .jsonl; a folder of images by class, idx files or scans.",
    ),
]
TextColumn = Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="The column of the texts.")]
SecondTextColumn = Annotated[
    str | None, typer.Option("--text2", metavar="COLUMN", help="Of pairs: the column of the second texts.")
]
LabelColumn = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="The column of the labels.")
]
ScoreColumn = Annotated[
    str | None, typer.Option("--score", metavar="COLUMN", help="In place of labels: the column of numbers.")
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="HEIGHTxWIDTH",
        help="Of images.",
        show_default="their own, if small and alike, or 64x64",
        callback=_text,
    ),
]
LabelNames = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAME,…",
        help="Of scans and idx files: what masks or labels have as 0, 1, …",
        show_default="as dataset.json or labels.txt says",
        callback=_text,
    ),
]
EvaluationFile = Annotated[
    Path | None,
    typer.Option(
        "--eval",
        parser=_path,
        metavar="FILE",
        help="Rows to evaluate on, beside the others; default: a tenth of these.",
    ),
]


def debug(ctx: typer.Context) -> bool:
    """Whether the command line has `--debug`."""
    return bool(ctx.find_root().params["debug"])


def overrides(task: str, configs: Sequence[Path] | None, assignments: Sequence[str] | None) -> Overrides:
    """Returns the settings that `--config` and `--set` give; raises UserError, also for an unknown task."""
    from pipelines import presets
    from pipelines.dag.settings import read_overrides

    return read_overrides(presets.located(task, configs), assignments or ())


def models_dir(models: str | None, pipeline_root: str) -> str:
    """Returns where models are published: the folder given, or that in the pipeline root."""
    from pipelines.runs.launch import absolute

    return absolute(models or os.path.join(pipeline_root, "models"))
