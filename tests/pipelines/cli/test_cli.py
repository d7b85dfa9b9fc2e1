from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from json_documents import document

from components.formats.idx import write_idx
from pipelines.cli import main as cli
from pipelines.tasks import BROKEN

HEAVY = (
    "tensorflow",
    "tfx",
    "apache_beam",
    "keras",
    "ml_metadata",
    "numpy",
    "pydantic_core",
    "pipelines.tasks",
)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def millrace(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        assert isinstance(stop.value.code, int)
        return Outcome(stop.value.code, *capfd.readouterr())

    return run


def _write_data(folder: Path, num_train: int = 40, num_eval: int = 10) -> Path:
    """Writes images whose white row is their label."""
    folder.mkdir()
    for prefix, count in (("train", num_train), ("t10k", num_eval)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        images[np.arange(count), labels * 2 + 4] = 255
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return _write_data(tmp_path / "data")


@pytest.mark.parametrize(
    "verb", ["", "tasks", "run", "demo", "retrain", "data", "data fetch", "data make",
             "data show", "runs", "runs list",
             "runs show", "runs compare", "runs rm", "clean", "logs", "tasks show", "card", "models",
             "rollback", "predict", "evaluate", "ui", "show"],
)  # fmt: skip
def test_help_is_there_for_every_verb_and_imports_nothing_heavy(verb: str) -> None:
    # typer itself checks values with pydantic.
    heavy = [name for name in HEAVY if name != "pydantic_core"]
    code = (
        "import sys; from pipelines.cli import main as cli\n"
        f"try: cli.main({verb.split()} + ['--help'])\n"
        f"finally: print('HEAVY', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: millrace {verb}".rstrip())
    assert done.stdout.endswith("HEAVY []\n")
    assert done.stderr == ""


def test_tasks_are_listed(millrace: Command) -> None:
    code, out, _ = millrace("tasks")
    assert code == 0
    assert "mnist" in out
    assert "accuracy 0.97" in out
    (task,) = (t for t in json.loads(millrace("tasks", "--json").out) if t["name"] == "mnist")
    assert task["blessing"] == {"metric": "accuracy", "threshold": 0.97, "max_drop": 0.005}


def test_a_task_that_cannot_be_used_is_listed_with_the_reason(
    millrace: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BROKEN, "digits", "tasks/digits.py, line 3: task 'digits': NameError: x")
    code, out, err = millrace("tasks")
    assert (code, err) == (0, "")
    assert "digits\tcannot be used: tasks/digits.py, line 3: task 'digits': NameError: x" in out
    assert "mnist\t" in out
    *_, last = json.loads(millrace("tasks", "--json").out)
    assert last == {"name": "digits", "error": "tasks/digits.py, line 3: task 'digits': NameError: x"}
    assert millrace("run", "digits", "--data", "D").code == 2


def test_what_a_verb_does_is_not_cut_in_the_list_of_all(millrace: Command) -> None:
    assert "..." not in millrace("--help").out.partition("Commands:")[2]


def test_the_version_is_printed(millrace: Command) -> None:
    assert millrace("--version").out.startswith("millrace ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run", "Missing argument 'TASK'. See `millrace run --help`."),
        ("run mnist", "Missing option '--data'."),
        ("run mnist --epochs 3", "No such option: --epochs. See `millrace run --help`."),
        ("runs shwo latest", "no such command 'runs shwo'; did you mean 'runs show'?"),
        ("rum", "No such command 'rum'. Did you mean 'run'? See `millrace --help`."),
        ("predict mnist", "predict: expected a .png, .jpg or .npy file, got nothing"),
        ("predict cola", "predict: expected a text, or --pairs FILE, got nothing"),
        ("predict mrpc", "predict: expected pairs of texts in a file: --pairs FILE, got nothing"),
        ("predict cola --server h:1 -- --debug", "no such option: --debug"),
        ("run mnits --data D", "unknown task 'mnits'; did you mean 'mnist'? known: cola, lits, mnist, mnli"),
        ("run lits --data D --config unet4d", "--config unet4d: no such file, and unknown preset 'unet4d'"),
        ("run lits --data D --config unet4d", "did you mean 'unet3d'? known: nnunet, unet2d, unet3d"),
        ("run cola --data D --config base", "--config base: no such file, and cola has no presets"),
        ("compile lits --image I --out x.yaml --config a/base", "a/base: cannot be read: No such file"),
        ("evaluate lits D --config base.yaml", "base.yaml: cannot be read: No such file"),
        ("run litz --data D --config unet2d", "unknown task 'litz'; did you mean 'lits'?"),
        ("run mnist --data D --set train.num_epoch=1", "unknown key 'num_epoch'; did you mean 'num_epochs'?"),
        ("run mnist --data D --set trian.x=1", "unknown section 'trian'; did you mean 'train'?"),
        ("run mnist --data D --set x", "--set x: expected SECTION.KEY=VALUE"),
        ("run mnist --data D --config none.yaml", "none.yaml: cannot be read"),
        ("run mnist --data D --beam x", "--beam x: expected KEY=VALUE"),
        ("run mnist --data D --until trainr", "unknown node 'trainr'; did you mean 'Trainer'?"),
        ("run mnist --data D --from pusher --until trainer", "--from Pusher comes after --until Trainer"),
        ("run mnist --data /nowhere", "/nowhere: expected a folder with idx files"),
        (
            "run mnist --data D --pipeline-root /dev/null/x",
            "/dev/null/x: expected a folder that can be written",
        ),
        ("run mnist --data D --models /dev/null", "/dev/null: expected a folder that can be written"),
        ("run mnist --data D --models /proc/x", "/proc/x: expected a folder that can be written"),
        ("run mnist --data D --models=", "--models: expected a value, got ''"),
        ("run mnist --data=", "--data: expected a value, got ''"),
        ("run mnist --data D --from=", "--from: expected a value, got ''"),
        ("predict mnist none.png --server=", "--server: expected a value, got ''"),
        ("predict mnist none.png --model=", "--model: expected a value, got ''"),
        ("predict mnist none.png --server h:1 --model D", "expected --server, --model or --models, got two"),
        ("compile mnist --image= --out o.yaml", "--image: expected a value, got ''"),
        (
            "run mnist --data D --set model.image_shape=[9,8] --set source.image_shape=[9,9]",
            "image_shape: expected",
        ),
        ("run mnist --data D --pipeline-root r[1]", "r[1]: expected a path without ["),
        ("run mnist --data D --models m*", "m*: expected a path without *"),
        ("run mnist --data gs://b/d", "gs://b/d: expected a folder here, got a URI; a cluster reads it"),
        ("run mnist --data D --pipeline-root gs://b/r", "gs://b/r: expected a folder here, got a URI"),
        ("run mnist --data D --beam foo=1", "--beam foo=1: unknown option of Beam 'foo'"),
        ("run mnist --data D --beam a=1 --beam a=2", "--beam a=2: a is given twice"),
        ("run mnist --data D --seeds 2 --set train.num_seeds=3", "train.num_seeds is given twice"),
        ("retrain mnist --data D --pipeline-root r?", "r?: expected a path without ?"),
        ("retrain mnist --data D --beam foo=1", "--beam foo=1: unknown option of Beam 'foo'"),
        ("run mnist --data D --beam runner=DaskRunner", "Beam's DaskRunner loses outputs"),
        ("retrain mnist --data D --beam runner=DaskRunner", "Beam's DaskRunner loses outputs"),
        ("evaluate mnist D --beam runner=dask", "Beam's DaskRunner loses outputs"),
        ("compile mnist --image i --out o.yaml --beam runner=dask", "Beam's DaskRunner loses outputs"),
        ("submit mnist --image i --host h --beam runner=dask", "Beam's DaskRunner loses outputs"),
        ("retrain mnist --data D --wait", "--wait goes with --host"),
        ("retrain mnist --data D --explain --host h --image i", "--explain is for runs here"),
        ("retrain mnist --data D --name n --host h --image i", "--name is for runs here"),
        ("run mnist --data D --name=", "--name: expected a value, got ''"),
        ("run mnist --data D --tag=", "--tag: expected a value, got ''"),
        ("runs --host h --tag t", "runs: --tag is for runs here"),
        ("runs compare latest", "no runs yet"),
        ("logs", "no runs yet"),
        ("logs 4242 --host h", "logs 4242: expected a node, such as trainer, with --host"),
        ("run mnist --data /nowhere --dry-run", "/nowhere: expected a folder with idx files"),
        ("tasks show mnits", "unknown task 'mnits'"),
        ("card mnist", "no published model of 'mnist'"),
        ("demo --pipeline-root r[1]", "r[1]: expected a path without ["),
        ("compile mnist --image i --out o.yaml --models /m[1]", "/m[1]: expected a path without ["),
        ("predict cola text --model m[1]", "m[1]: expected a path without ["),
        ("predict mnist none.png --models m[1]", "m[1]: expected a path without ["),
        ("serve mnist --models m[1]", "m[1]: expected a path without ["),
        ("serve --bogus=1", "serve --bogus=1: unknown flag 'bogus'; the nearest known is "),
        ("serve mnist --model_nam=x", "unknown flag 'model_nam'; the nearest known is 'model_name'"),
        ("serve mnist more", "serve more: unknown flag 'more'"),
        ("retrain mnist --data D --set train.num_epoch=1", "unknown key 'num_epoch'"),
        ("retrain mnist --data /nowhere", "/nowhere: expected a folder with idx files, got: No such file"),
        ("demo --pipeline-root /dev/null", "/dev/null: expected a folder that can be written"),
        ("data make mnits --out O", "unknown task 'mnits'"),
        ("data make mnist --version 2.0 --out O", "unknown version of mnist '2.0'; known: no other"),
        ("data fetch mnist --version 2.0 --out O", "unknown version of mnist '2.0'; known: no other"),
        ("data make mnist --out=", "expected a path, got ''"),
        ("run mnist --data D --config=", "expected a path, got ''"),
        ("data make mnist --out /dev/null/x", "/dev/null/x: cannot be written to"),
        ("runs show latest", "no runs yet; `millrace run TASK --data DIR` or `millrace demo` makes one"),
        ("runs mnits", "unknown task 'mnits'"),
        ("models mnits", "unknown task 'mnits'"),
        ("rollback mnist", "no version is published"),
        ("rollback mnist --to x", "Invalid value for '--to'"),
        ("predict mnist none.png", "no published model of 'mnist'"),
        ("predict mnist none.png --model D", "none.png: no such file"),
        ("predict mnist . --model D", ".: expected a .png, .jpg or .npy file, got a folder"),
        ("predict mnist --text seven --model D", "--text seven: expected a .png, .jpg or .npy file"),
        ("predict cola --text= --model D", "INPUT: expected more than white space, got ''"),
        (
            "predict mrpc One. Two. --model D",
            "expected pairs of texts, in a file: --pairs FILE, got 2 single",
        ),
        ("predict mnist none.png --modle D", "no such option: --modle"),
        ("predict mnist none.png --out O --model D", "O: expected a task whose answers other tools read"),
        (
            "predict mnist none.png --picture P.png --model D",
            "P.png: expected a task whose answers are drawn",
        ),
        ("data show mnist --data D --picture P.png", "--picture: expected a task of scans, got mnist"),
        ("data show mnist --data D --set source.imageshape=1", "unknown key 'imageshape'"),
        ("data make mnist --cases 3 --out O", "--cases: unknown task with cases 'mnist'; known: lits"),
        ("evaluate mnist D", "no published model of 'mnist'"),
        ("evaluate mnist D --model D", "data: expected a SavedModel, but there is no saved_model.pb"),
        ("evaluate mnist D --set train.num_epoch=1", "unknown key 'num_epoch'"),
        (
            "predict squad Who? --contxt F",
            "no such option: --contxt; the task takes a question and --context",
        ),
        ("predict squad Who? --model D", "expected the text that is to answer: --context FILE"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    millrace: Command,
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = millrace(*(str(data) if word == "D" else word for word in arguments.split()))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("millrace: error: ")
    assert message in err
    assert "\x1b" not in err


def test_a_schedule_with_the_runner_that_loses_outputs_is_refused(millrace: Command) -> None:
    where = ("--image", "i", "--host", "h", "--cron", "0 3 * * *")
    code, out, err = millrace("schedule", "mnist", *where, "--beam", "runner=DaskRunner")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--beam runner=DaskRunner: Beam's DaskRunner loses outputs" in err


def test_a_bucket_out_of_reach_is_told_before_anything_runs(
    millrace: Command, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "components.registry.s3", raising=False)
    where = ("--pipeline-root", tmp_path / "root", "--models", "s3://bucket/models")
    code, out, err = millrace("run", "mnist", "--data", data, *where)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "s3://bucket: needs the package boto3, which `uv sync --extra s3` installs" in err


def test_a_text_that_is_the_name_of_a_file_is_a_line_on_stderr(millrace: Command, data: Path) -> None:
    image = data / "t10k-images-idx3-ubyte.gz"
    for option, count in (([], 2), (["--text"], 1)):
        code, out, err = millrace("predict", "cola", *option, image, "--model", "nowhere")
        assert (code, out, err.count("\n")) == (2, "", count)
        assert err.startswith(f"{image}: is a file, but its name is asked about") == (count == 2)


def test_malformed_data_are_found_before_anything_heavy_starts(
    millrace: Command, tmp_path: Path, data: Path
) -> None:
    images = data / "t10k-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-9])
    code, out, err = millrace("run", "mnist", "--data", data, "--pipeline-root", tmp_path / "root")
    assert (code, out) == (2, "")
    assert err == f"millrace: error: {images}: expected a whole gzip file, got one that ends early\n"


@pytest.mark.parametrize("place", [0, 4])
def test_debug_shows_the_traceback_wherever_it_is_given(millrace: Command, place: int) -> None:
    arguments = ["run", "mnits", "--data", "x"]
    arguments.insert(place, "--debug")
    code, _, err = millrace(*arguments)
    assert code == 2
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith(
        "millrace: error: unknown task 'mnits'; did you mean 'mnist'? "
        "known: cola, lits, mnist, mnli, mrpc, pretraining, squad, xnli\n"
    )


def test_help_is_also_asked_for_by_one_letter(millrace: Command) -> None:
    for verb in ([], ["runs", "show"]):
        assert millrace(*verb, "-h").out == millrace(*verb, "--help").out != ""


def test_without_a_verb_the_help_is_shown(millrace: Command) -> None:
    code, _, err = millrace()
    assert code == 2
    assert err.startswith("Usage: millrace")


def test_lists_are_empty_where_nothing_has_run(
    millrace: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_PIPELINE_ROOT", str(tmp_path / "root"))
    for verb in (["runs"], ["runs", "mnist"], ["models", "mnist"]):
        code, out, err = millrace(*verb)
        assert (code, out) == (0, "")
        assert "no runs yet" in err or "no published model of 'mnist'" in err
    assert json.loads(millrace("runs", "--json").out) == []
    assert json.loads(millrace("models", "mnist", "--json").out) == {"versions": [], "not_blessed": []}
    assert list(tmp_path.iterdir()) == []


def test_embedded_data_are_made(millrace: Command, tmp_path: Path) -> None:
    from pipelines.tasks import get_task

    assert millrace("data", "make", "mnist", "--out", tmp_path / "digits").code == 0
    get_task("mnist").source.check(tmp_path / "digits")


def test_control_c_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "train-images-idx3-ubyte"
    os.mkfifo(fifo)
    (tmp_path / "train-labels-idx1-ubyte").touch()
    command = [sys.executable, "-m", "pipelines.cli.main", "run", "mnist", "--data", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--pipeline-root", str(tmp_path / "root")], stderr=subprocess.PIPE, text=True
    )
    # Open until the signal is there, so that the reader does not come to the end of the file before it.
    writer = _wait_for_reader(fifo, process)
    process.send_signal(signal.SIGINT)
    os.close(writer)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "millrace: interrupted\n")


def _wait_for_reader(fifo: Path, process: subprocess.Popen[str]) -> int:
    while process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m pipelines.cli.main tasks --json | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("millrace ru", "run"),
        ("millrace run mn", "mnist"),
        ("millrace run mnist --set train.num_e", "train.num_epochs="),
        ("millrace run mnist --until Eval", "Evaluator"),
        ("millrace run mnist --until eval", "evaluator"),
        ("millrace run mnist --set blessing.thr", "blessing.threshold="),
        ("millrace runs show la", "latest"),
        ("millrace run lits --config nn", "nnunet"),
        ("millrace run lits --config mine.yaml --config unet3", "unet3d"),
    ],
)
def test_the_shell_completes(tmp_path: Path, typed: str, expected: str) -> None:
    assert expected in _proposals(tmp_path, typed)


def test_settings_of_the_task_that_was_typed_are_proposed(tmp_path: Path) -> None:
    proposed = _proposals(tmp_path, "millrace run mnist --set source.")
    assert "source.image_shape=" in proposed
    assert "source.synonyms=" not in proposed


def _proposals(folder: Path, typed: str) -> list[str]:
    environment = {
        **os.environ,
        "_MILLRACE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    code = "from pipelines.cli import main as cli; cli.main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
def test_from_raw_files_to_a_prediction(
    millrace: Command, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    tiny = ["model.filters=[2, 2]", "model.hidden_dim=16", "train.num_epochs=1", "train.global_batch_size=10"]
    settings = [word for setting in tiny for word in ("--set", setting)]
    run = ["run", "mnist", "--data", data, "--pipeline-root", root, *settings]

    told = document("run", millrace(*run, "--dry-run", "--json").out)
    assert (told["executed"], {node["why"] for node in told["nodes"][:1]}) == (10, {"never executed before"})
    assert not root.exists()
    named = ["--name", "the first", "--tag", "tiny"]
    code, out, err = millrace(*run, "--set", "blessing.threshold=0", "--explain", *named)
    assert code == 0
    assert "Trainer: complete" in err
    assert "Trainer: never executed before" in out
    assert f"published  version 1 in {root}/models/mnist/1" in out
    image = f"{root}/examples/mnist.png"
    assert f"try it     millrace predict mnist {image} --pipeline-root {root}" in out
    assert millrace("predict", "mnist", image, "--pipeline-root", root).code == 0
    assert "WARNING" not in err + out

    retrain = ["retrain", *run[1:]]
    code, out, _ = millrace(*retrain, "--set", "blessing.threshold=0")
    assert code == 0
    assert "nothing changed: all 10 executions reused" in out
    assert millrace(*retrain, "--if-changed") == (10, "nothing changed since version 1\n", "")

    drifted = shutil.copytree(data, tmp_path / "drifted")
    # Of forty labels each had a tenth.
    write_idx(drifted / "train-labels-idx1-ubyte", np.repeat(np.arange(2, dtype=np.uint8), [30, 10]))
    retrain[retrain.index(data)] = drifted
    code, out, err = millrace(*retrain, "--if-changed", "--set", "blessing.threshold=1", "--json")
    assert code == 1
    retrained = document("retrain", out)
    assert retrained["since_version"] == 1
    assert retrained["error"] == {
        "exit_code": 1,
        "message": err.splitlines()[-1].removeprefix("millrace: error: "),
    }
    assert retrained["reasons"] == [
        "data: train-labels-idx1-ubyte changed",
        "drift: label: L-infinity distance 0.65 > 0.05, most of all '0'",
    ]
    assert "drift: label: L-infinity distance 0.65 > 0.05" in err
    assert err.splitlines()[-1].startswith(
        "millrace: error: not published: the model is not blessed: accuracy "
    )
    assert {n["node"]: n["state"] for n in json.loads(out)["nodes"]}["Pusher"] == "skipped"
    assert err.splitlines()[-4].startswith(f"train longer: millrace retrain mnist --data {drifted} ")
    assert err.splitlines()[-4].endswith(" --set train.num_epochs=2")

    code, out, _ = millrace(
        *run, "--set", "blessing.threshold=0", "--until", "example_gen", "--json", "--explain"
    )
    report = document("run", out)
    assert report["nodes"][0]["why"] is None
    assert report["reused_everything"]
    assert [node["node"] for node in report["nodes"] if node["state"] != "skipped"] == ["ExampleGen"]
    assert (code, report["blessed"], report["published_version"]) == (0, None, None)

    runs = document("runs", millrace("runs", "mnist", "--pipeline-root", root, "--json").out)
    assert [run["published_version"] for run in runs] == [None, None, 1, 1]
    assert runs[0]["data"]["dir"] == str(data)
    assert runs[2]["settings"]["train"]["num_epochs"] == 1
    code, out, err = millrace("runs", "--pipeline-root", root, "--limit", "1", "--json")
    assert (code, json.loads(out), err) == (0, runs[:1], "the newest 1 runs; --limit shows more\n")
    assert [run["short_id"] for run in runs] == ["mnist-4", "mnist-3", "mnist-2", "mnist-1"]
    for run_id in ("latest", "mnist-4", runs[0]["run_id"]):
        out = millrace("runs", "show", run_id, "--pipeline-root", root).out
        assert out.startswith(f"run        mnist-4 ({runs[0]['run_id']})\n")
        assert "ExampleGen.examples" in out
    lines = millrace("runs", "--pipeline-root", root).out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["run", "mnist-4", "mnist-3", "mnist-2", "mnist-1"]
    assert lines[1].endswith(f"\t{runs[0]['run_id']}")
    shown = document(
        "shown_run", millrace("runs", "show", "the first", "--pipeline-root", root, "--json").out
    )
    assert (shown["short_id"], shown["name"], shown["tags"]) == ("mnist-1", "the first", ["tiny"])
    assert shown["record"]["given"]["model"]["hidden_dim"] == 16
    assert shown["record"]["command"][:3] == ["millrace", "run", "mnist"]
    tagged = document("runs", millrace("runs", "--tag", "tiny", "--pipeline-root", root, "--json").out)
    assert [run["short_id"] for run in tagged] == ["mnist-1"]
    settings_of = millrace("runs", "show", "mnist-1", "--settings", "--pipeline-root", root).out.splitlines()
    assert {"model.hidden_dim\t16\t", "train.seed\t0\tdefault"} <= set(settings_of)
    compared = document(
        "compared", millrace("runs", "compare", "mnist-1", "mnist-3", "--pipeline-root", root, "--json").out
    )
    assert compared["data"]["files"].keys() == {"train-labels-idx1-ubyte"}
    assert compared["settings"] == {"blessing.threshold": [0.0, 1.0]}
    whole = document("log", millrace("logs", "mnist-1", "--pipeline-root", root, "--json").out)["log"]
    part = millrace("logs", "mnist-1", "trainer", "--pipeline-root", root).out
    assert part.rstrip("\n") in whole
    assert "Component Trainer is running." in part
    assert "Component Evaluator is running." not in part
    cleaned = document("cleaned", millrace("clean", "--keep", 1, "--pipeline-root", root, "--json").out)
    assert not cleaned["removed"]
    assert f"{root}/artifacts/mnist/Trainer/model" in "".join(cleaned["pieces"][0]["paths"])
    monkeypatch.setenv("MILLRACE_PIPELINE_ROOT", str(root))
    assert _proposals(tmp_path, "millrace runs show mn") == ["mnist-4", "mnist-3", "mnist-2", "mnist-1"]
    models = document("models", millrace("models", "mnist", "--pipeline-root", root, "--json").out)
    assert [(m["version"], m["live"], m["blessed"]) for m in models["versions"]] == [(1, True, True)]
    assert [run["run_id"] for run in models["not_blessed"]] == [runs[1]["run_id"]]

    measured = json.loads(millrace("evaluate", "mnist", data, "--pipeline-root", root, "--json").out)
    assert measured["metrics"] == runs[2]["evaluation"]["metrics"]
    assert [part["slice"] for part in measured["slices"]] == [{"label": label} for label in range(10)]
    assert len(json.loads(millrace("runs", "mnist", "--pipeline-root", root, "--json").out)) == len(runs)

    image = tmp_path / "image.npy"
    np.save(image, np.zeros((2, 28, 28), np.uint8))
    answers = document("predict", millrace("predict", "mnist", image, "--pipeline-root", root, "--json").out)
    assert [sorted(answer["probabilities"]) for answer in answers] == [list("0123456789")] * 2
    assert all(sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5) for answer in answers)
    assert [answer["input"] for answer in answers] == [f"{image}[0]", f"{image}[1]"]
    np.save(image, np.zeros((28, 28), np.uint8))
    out = millrace("predict", "mnist", image, "--models", root / "models").out
    assert re.fullmatch(r'Prediction is "\d" \(\d+\.\d%\)\.\n', out)


def test_a_server_takes_flags_also_without_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.serving import __main__ as model_server
    from components.serving import ports

    seen: list[list[str]] = []
    monkeypatch.setattr(model_server, "run", lambda flags: seen.append(list(flags)))
    monkeypatch.setattr(ports, "busy_port", lambda flags: None)
    for arguments in (["--port=9000", "--model_config_file=m"], ["--model_config_file=m"], ["--version"]):
        with pytest.raises(SystemExit):
            cli.main(["serve", *arguments])
    defaults = "--rest_api_port=8501"
    assert seen == [
        [defaults, "--port=9000", "--model_config_file=m"],
        [defaults, "--model_config_file=m"],
        [defaults, "--version"],
    ]


def test_a_server_of_nothing_names_what_is_published(millrace: Command, tmp_path: Path) -> None:
    message = f"serve: expected a TASK or --model_config_file=FILE; published in {tmp_path}/models: nothing"
    outcome = millrace("serve", "--pipeline-root", tmp_path)
    assert outcome == (2, "", f"millrace: error: {message}\n")


def test_a_server_whose_port_is_taken_says_which(millrace: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = millrace("serve", "--model_config_file=m", f"--port={port}", "--rest_api_port=-1")
    reason = f"cannot listen on 127.0.0.1:{port}: Address already in use"
    choose = "--port=N and --rest_api_port=N choose others"
    assert outcome == (1, "", f"millrace: error: serve: {reason}; {choose}\n")
