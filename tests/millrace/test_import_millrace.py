"""Millrace in Python: what its functions return, and what importing them takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import millrace
from components.protocols import Reply
from millrace.shown import Outcome, Table
from pipelines.runs.display import NodeReport
from pipelines.tasks import TASKS


def test_importing_it_takes_nothing_heavy() -> None:
    heavy = ("tensorflow", "tfx", "apache_beam", "keras", "numpy", "pydantic", "pipelines.tasks")
    code = f"import millrace, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_function_says_what_it_returns() -> None:
    for name in ("load_task", "models", "predict", "run", "runs"):
        assert "Returns" in getattr(millrace, name).__doc__ or "returns" in getattr(millrace, name).__doc__
    assert {"load_task", "models", "predict", "run", "runs"} <= {*millrace.__all__}


def test_a_task_is_found_by_its_name() -> None:
    assert millrace.load_task("mnist") is TASKS["mnist"]
    assert millrace.load_task(TASKS["mnist"]) is TASKS["mnist"]
    with pytest.raises(millrace.UserError, match="unknown task 'mnits'; did you mean 'mnist'"):
        millrace.load_task("mnits")


def test_where_nothing_has_run_yet_there_is_nothing(tmp_path: Path) -> None:
    assert millrace.runs(pipeline_root=tmp_path) == ()
    assert millrace.models("mnist", pipeline_root=tmp_path) == ()
    with pytest.raises(millrace.UserError, match="no published model of 'mnist'"):
        millrace.predict("mnist", "digit.png", pipeline_root=tmp_path)


def test_a_notebook_shows_a_table_whose_texts_are_no_html() -> None:
    reply = Reply("<b>", {}, "", {})
    table = Table([reply], ["input"], [["<b>"]])
    assert (table[0], len(table), table == (reply,)) == (reply, 1, True)
    assert '<th scope="col">input</th></tr><tr><td>&lt;b&gt;</td></tr>' in table._repr_html_()


def test_a_notebook_shows_why_a_model_was_refused() -> None:
    nodes = (NodeReport("Trainer", "complete", 1.5),)
    outcome = Outcome(
        "mnist-1", nodes, {"accuracy": 0.5, "by_class": [1.0]}, False, "0.5 < 0.9", None, None, None, None
    )
    shown = outcome._repr_html_()
    assert "mnist-1, refused: 0.5 &lt; 0.9" in shown
    assert "<td>accuracy</td><td>0.5000</td>" in shown
    assert "<td>Trainer</td><td>complete</td><td>1.5</td>" in shown
    assert "by_class" not in shown
