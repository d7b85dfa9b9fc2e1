"""What goes of past runs, and what must not: on what TFX itself wrote."""

import os
import time
from pathlib import Path

import pytest
from json_documents import document
from tiny_dag import run_tiny

from components.errors import UserError
from components.registry import registry
from pipelines.cli import main as cli
from pipelines.runs import cleaning, history, lock, record
from pipelines.runs.history import Run
from pipelines.runs.record import Record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs: published, of the same model but refused, and of another model, refused."""
    root = tmp_path / "root"
    run_tiny(root, "mnist", 0.95)
    run_tiny(root, "mnist", 0.5)
    run_tiny(root, "mnist", 0.4, seed=1)
    return root


def run_of(root: Path, short_id: str) -> Run:
    return history.find_run(str(root), short_id)


def uri(run: Run, type_name: str) -> Path:
    artifact = run.artifact(type_name)
    assert artifact is not None
    return Path(artifact.uri)


def millrace(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([*map(str, arguments)])
    return int(stop.value.code or 0)


def test_a_run_goes_with_what_no_other_run_needs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second, third = run_of(root, "mnist-2"), run_of(root, "mnist-3")
    log = root / "logs/a.log"
    log.parent.mkdir()
    log.write_text("x" * 1000)
    record.write(str(root), Record(run_id=third.run_id, log=str(log)))
    where = ("--pipeline-root", root)

    assert millrace("runs", "rm", "mnist-2", "mnist-3", *where, "--json") == 0
    told = document("cleaned", capsys.readouterr().out)
    assert [piece["what"] for piece in told["pieces"]] == ["run mnist-2", "run mnist-3"]
    # The model of mnist-2 is that of mnist-1, too.
    assert str(uri(second, "Model")) not in told["pieces"][0]["paths"]
    assert {str(uri(third, "Model")), str(log)} < set(told["pieces"][1]["paths"])
    assert told["pieces"][1]["bytes"] > 1000
    assert not told["removed"]
    assert log.exists()
    assert len(history.read_runs(str(root))) == 3

    assert millrace("runs", "rm", "mnist-2", "mnist-3", *where, "--yes") == 0
    assert "freed " in capsys.readouterr().out
    assert [run.short_id for run in history.read_runs(str(root))] == ["mnist-1"]
    assert not any(Path(path).exists() for piece in told["pieces"] for path in piece["paths"])
    assert uri(run_of(root, "mnist-1"), "Model").is_dir()
    assert millrace("runs", "show", "mnist-3", *where) == 2
    # What would have reused it is executed again, under the next number.
    run_tiny(root, "mnist", 0.4, seed=1)
    again = run_of(root, "latest")
    assert (again.short_id, [node.state for node in again.nodes]) == (
        "mnist-4",
        ["complete", "complete", "skipped"],
    )


def test_a_run_whose_model_is_live_stays(root: Path) -> None:
    saved = root / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"model")
    # The numbers of folders that are there are taken; the tiny DAG says that it published version 7.
    (root / "models/mnist/6").mkdir(parents=True)
    version = registry.publish(
        str(saved), str(root / "models"), "mnist", metrics={}, source={}, keep_versions=5
    )
    assert version.version == 7
    with pytest.raises(UserError, match="mnist-1: its model is version 7 of mnist, which is live"):
        cleaning.of_runs(str(root), ["mnist-1"])
    assert cleaning.of_runs(str(root), ["mnist-3"])
    # Nor is it among what is large and old.
    kept = str(uri(run_of(root, "mnist-1"), "Model"))
    assert kept not in [path for piece in cleaning.superseded(str(root), 1) for path in piece.paths]


def test_of_older_runs_models_go_and_what_tells_of_them_stays(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_tiny(root, "mnist", 0.3, seed=2)
    before = {run.short_id: run for run in history.read_runs(str(root))}
    assert millrace("clean", "--keep", 1, "--pipeline-root", root, "--yes") == 0
    assert "outputs of mnist-3" in capsys.readouterr().out
    after = {run.short_id: run for run in history.read_runs(str(root))}
    assert after == before
    assert [name for name, run in after.items() if uri(run, "Model").exists()] == ["mnist-4"]
    assert all(run.evaluation for run in after.values())
    assert cleaning.superseded(str(root), 1) == []


def test_a_run_with_a_name_or_a_tag_is_kept_whole(root: Path) -> None:
    for short_id, kept in (("mnist-1", {"name": "first"}), ("mnist-2", {"tags": ("keep",)})):
        run_id = run_of(root, short_id).run_id
        record.write(str(root), Record(run_id=run_id, **kept))
    assert cleaning.superseded(str(root), 1) == []
    assert run_of(root, "first").short_id == "mnist-1"


def test_what_no_run_knows_may_go(root: Path) -> None:
    left = root / "artifacts/mnist/Trainer/model/99"
    left.mkdir()
    (left / "weights").write_bytes(b"x" * 2000)
    old, young = root / "unfinished/mnist/0123", root / "unfinished/mnist/4567"
    for folder, age_s in ((old, 8 * 86400), (young, 6 * 86400)):
        folder.mkdir(parents=True)
        (folder / "ckpt-1.index").write_bytes(b"x")
        os.utime(folder / "ckpt-1.index", (time.time() - age_s,) * 2)
    leftovers, training = cleaning.superseded(str(root), 9)
    assert (leftovers.what, leftovers.paths, leftovers.bytes) == ("leftovers", (str(left),), 2000)
    assert (training.paths, training.why) == ((str(old),), "not gone on with for 8 days")
    # Of one task alone, that is not asked.
    assert cleaning.superseded(str(root), 9, "mnist") == []
    cleaning.remove(str(root), lambda: cleaning.superseded(str(root), 9))
    assert (left.exists(), old.exists(), young.exists()) == (False, False, True)


def test_what_frees_nothing_is_not_told(root: Path) -> None:
    (root / "artifacts/mnist/Trainer/model/99/empty").mkdir(parents=True)
    assert cleaning.superseded(str(root), 9) == []


def test_what_is_interrupted_is_left_to_the_next_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cleaning, "_remove", end)
        with pytest.raises(KeyboardInterrupt):
            cleaning.remove(str(root), lambda: cleaning.of_runs(str(root), ["mnist-3"]))
    assert [run.short_id for run in history.read_runs(str(root))] == ["mnist-2", "mnist-1"]
    (leftovers,) = cleaning.superseded(str(root), 9)
    # Its model, its evaluation, and what the Pusher said.
    assert len(leftovers.paths) == 3


def test_nothing_is_removed_while_a_run_goes_on(root: Path) -> None:
    with lock.held(str(root)):
        for act in (cleaning.look, cleaning.remove):
            with pytest.raises(UserError, match="run"):
                act(str(root), lambda: cleaning.superseded(str(root), 1))


def test_a_folder_elsewhere_is_never_removed(root: Path, tmp_path: Path) -> None:
    run = run_of(root, "mnist-3")
    outside = tmp_path / "outside"
    outside.mkdir()
    node = run.nodes[0]
    moved = node._replace(artifacts=(node.artifacts[0]._replace(uri=str(outside)),))
    assert cleaning._own(str(root), [run._replace(nodes=(moved,))], set()) == ()
    link = root / "artifacts/link"
    link.symlink_to(outside)
    moved = node._replace(artifacts=(node.artifacts[0]._replace(uri=str(link)),))
    assert cleaning._own(str(root), [run._replace(nodes=(moved,))], set()) == ()


def test_a_root_without_runs_has_nothing_to_clean(tmp_path: Path) -> None:
    assert cleaning.superseded(str(tmp_path), 5) == []
