"""What becomes of one example, as far as no run is needed; tests of pages follow one to its answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.errors import UserError
from components.formats.idx import write_idx
from pipelines.prediction import journey
from pipelines.prediction.journey import Places
from pipelines.tasks import TASKS


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for name in ("train", "t10k"):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", np.full((2, 28, 28), 7, np.uint8))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", np.array([3, 5], np.uint8))
    return tmp_path


NOWHERE = Places(None, None, None)


def test_a_row_is_followed_to_the_request(digits: Path) -> None:
    raw, example, request = journey.followed(TASKS["mnist"], digits, 2, NOWHERE)
    assert (raw.title, raw.file) == ("Raw row", "components/sources/idx.py")
    assert raw.shown == {"image": "784 bytes", "label": "5"}
    assert (example.title, example.file) == ("tf.Example", "components/examples.py")
    assert (request.title, request.file) == ("Request", "components/asking/images.py")
    assert request.shown["signature_name"] == "png"
    assert request.shown["inputs.png_bytes"].startswith("string[1]: ")


def test_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    from pipelines.datasets import catalog

    catalog.make("squad", tmp_path)
    raw, _, request = journey.followed(TASKS["squad"], tmp_path, 1, NOWHERE)
    assert request.shown["signature_name"] == "answer"
    # The request asks what the row asks.
    assert request.shown["inputs.question"] == f"string[1]: {raw.shown['question']}"


def test_a_row_that_is_not_there_is_told(digits: Path) -> None:
    with pytest.raises(UserError, match="row 3: expected one of the rows of split 'train'"):
        journey.followed(TASKS["mnist"], digits, 3, NOWHERE)


def test_the_verb_prints_a_step_after_the_other(digits: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli.main", "show", "mnist", "1", "--data", str(digits)]
    done = subprocess.run(
        [*command, "--pipeline-root", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Raw row  components/sources/idx.py\n  image  784 bytes\n  label  3\n")


def test_without_data_and_runs_the_verb_asks_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.cli import main as cli

    with pytest.raises(SystemExit) as stop:
        cli.main(["show", "mnist", "--pipeline-root", str(tmp_path)])
    assert stop.value.code == 2
    assert "show: expected --data DIR, since there is no run of mnist" in capsys.readouterr().err


def test_an_example_is_followed_as_the_run_was_set_where_that_still_holds() -> None:
    task = TASKS["mnist"]
    assert journey.as_run(task, {"train": {"num_epochs": 3}, "gone": {"key": 1}}).train.num_epochs == 3
    assert journey.as_run(task, {"train": {"no_longer": 3}}) is task
