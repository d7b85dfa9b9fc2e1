"""What programs read: docs/json.md and docs/json.schema.json, against the command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from json_documents import SCHEMA, document

from components.serving import __main__ as model_server
from components.serving import ports
from pipelines import console
from pipelines.cli import main as cli

DOCS = Path(__file__).parents[3] / "docs" / "json.md"
ROWS = dict(re.findall(r"^\| (`.*?`) \| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))


def _millrace(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main([*map(str, arguments), "--json"])
    printed = capfd.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def _verbs(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _verbs(inner, f"{path}{name} ")
        else:
            yield f"{path}{name}", inner


def test_every_verb_prints_json_that_is_documented() -> None:
    verbs = dict(_verbs(typer.main.get_command(cli.app)))
    documented = [verb for verbs in ROWS for verb in re.findall("`(.*?)`", verbs)]
    assert sorted(documented) == sorted(verbs)
    assert set(ROWS.values()) <= SCHEMA["$defs"].keys()
    for verb in verbs.values():
        assert "--json" in [option for parameter in verb.params for option in parameter.opts]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("run mnits --data x", 2, "unknown task 'mnits'; did you mean 'mnist'?"),
        ("rum", 2, "No such command 'rum'. Did you mean 'run'?"),
        ("run mnist", 2, "Missing option '--data'."),
        ("runs show latest", 2, "no runs yet"),
        ("models mnist --no-such-option", 2, "No such option: --no-such-option"),
    ],
)
def test_a_mistake_is_a_document_too(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code, out, err = _millrace(capfd, *arguments.split())
    error = document("failed", out)["error"]
    assert (exit_code, error["exit_code"]) == (code, code)
    assert message in error["message"]
    assert err.startswith(f"millrace: error: {error['message'][:20]}")


def test_a_failure_with_a_result_is_in_it_and_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise console.Failure("not blessed")

    with pytest.raises(console.InResult, match="not blessed"):
        console.print_outcome({"b": 1, "a": float(2)}, refuse)
    assert document("error", '{"exit_code": 1, "message": "not blessed"}\n')
    assert capfd.readouterr().out.replace("\n", "").replace(" ", "") == (
        '{"a":2.0,"b":1,"error":{"exit_code":1,"message":"notblessed"}}'
    )


def test_documents_that_need_no_run_fit_the_schema(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tasks = document("tasks", _millrace(capfd, "tasks")[1])
    assert {"name", "blessing", "metrics", "presets", "summary"} == tasks[0].keys()
    made = document("data", _millrace(capfd, "data", "make", "mnist", "--out", tmp_path / "digits")[1])
    assert made["dir"] == str(tmp_path / "digits")
    assert {file["name"] for file in made["files"]} == {file.name for file in (tmp_path / "digits").iterdir()}
    root = ("--pipeline-root", tmp_path / "root")
    assert document("runs", _millrace(capfd, "runs", *root)[1]) == []
    assert document("models", _millrace(capfd, "models", "mnist", *root)[1]) == {
        "versions": [],
        "not_blessed": [],
    }


def test_open_ports_are_lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(flags: list[str], announce: Any) -> None:
        announce("listening on 127.0.0.1:8500 (gRPC)")
        announce("listening on unix:/tmp/x (gRPC)")
        announce("try it: curl …")

    monkeypatch.setattr(model_server, "run", run)
    monkeypatch.setattr(ports, "busy_port", lambda flags: None)
    first, second = _millrace(capfd, "serve", "--model_config_file=m")[1].splitlines(keepends=True)
    assert document("serve", first) == {"listening": "127.0.0.1:8500", "protocol": "gRPC"}
    assert document("serve", second)["listening"] == "unix:/tmp/x"
