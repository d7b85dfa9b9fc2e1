"""A published model's card, from what is published."""

from pathlib import Path

import pytest
from json_documents import document
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from components.errors import UserError
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE, Origin
from components.export.results import write_results
from components.registry import registry
from pipelines import cards
from pipelines.cli import main as cli
from pipelines.tasks import TASKS

ORIGIN = Origin(
    data={"a|b.tsv": "a" * 64},
    settings={"train": {"num_epochs": 3}},
    files={},
    code={"components/trainer/loop.py": "1" * 16, "keras": "3.12.4"},
)
MEASURED = {
    "blessing": {"metric": "accuracy"},
    "metrics": {"accuracy": 0.9, "recall_by_class": [1.0]},
    "baseline_metrics": None,
    "intervals": {"metric": [0.88, 0.92], "difference": None},
    "slices": [{"slice": {"label": 3}, "count": 50, "metrics": {"accuracy": 0.75}}],
}


def digits_counted() -> bytes:
    """Statistics of forty labels, two of which are missing."""
    found = DatasetFeatureStatisticsList()
    stats = found.datasets.add().features.add(type="INT", name="label").string_stats
    stats.common_stats.num_non_missing, stats.common_stats.num_missing, stats.unique = 40, 2, 10
    stats.top_values.add(value="7", frequency=1234)
    return bytes(found.SerializeToString())


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two published versions."""
    for seed in (0, 1):
        saved = tmp_path / f"saved-{seed}"
        (saved / ORIGIN_FILE).parent.mkdir(parents=True)
        (saved / "saved_model.pb").write_bytes(bytes([seed]))
        (saved / ORIGIN_FILE).write_bytes(ORIGIN.to_bytes())
        (saved / STATISTICS_FILE).write_bytes(digits_counted())
        write_results({"curves": {"train": {"loss": [[1, 2.0], [2, 1.0]]}}}, str(saved))
        registry.publish(
            str(saved), str(tmp_path / "root/models"), "mnist", metrics={"accuracy": 0.9 + seed / 100},
            source={"run_id": f"run-{seed}"}, keep_versions=5,
        )  # fmt: skip
    return tmp_path / "root/models"


def test_a_card_tells_what_a_model_is_how_good_and_of_what(models: Path) -> None:
    version = cards.find(str(models), "mnist", 1)
    made = cards.card_of(TASKS["mnist"], version, MEASURED)
    assert made.markdown.startswith(
        f"# mnist, version 1\n\n{TASKS['mnist'].summary}\n\n## Model\n\n|  |  |\n"
    )
    for line in (
        f"| SHA-256 | {version.digest} |",
        "| run_id | run-0 |",
        "| Metric | This model | 95% interval |",
        "| accuracy | 0.9000 | 0.8800 to 0.9200 |",
        "| label = 3 | 50 | 0.7500 |",
        "| a\\|b.tsv | " + "a" * 64 + " |",
        "| label | 40 | 2 | 10 values, most often 7 (1,234) |",
        "| train.num_epochs | 3 |",
        "| keras | 3.12.4 |",
        f"| ask it | millrace predict mnist INPUT --model {models}/mnist/1 |",
    ):
        assert line in made.markdown.splitlines()
    assert "<h2>Learning curves</h2>" in made.html
    assert "<td>accuracy</td><td>0.9000</td><td>0.8800 to 0.9200</td>" in made.html
    assert "Worst mistakes" not in made.html


def test_where_the_evaluation_is_gone_the_published_metrics_are_told(models: Path, tmp_path: Path) -> None:
    version = cards.find(str(models), "mnist")
    assert cards.measured(str(tmp_path / "root"), version) == {}
    made = cards.card_of(TASKS["mnist"], version, {})
    assert "| accuracy | 0.9100 |" in made.markdown.splitlines()


def test_a_version_that_is_not_there_is_told(models: Path) -> None:
    with pytest.raises(UserError, match="unknown version 3 of 'mnist'; known: 1, 2"):
        cards.find(str(models), "mnist", 3)
    with pytest.raises(UserError, match="no published model of 'cola'"):
        cards.find(str(models), "cola")


def test_a_card_is_printed_or_written(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["card", "mnist", "--pipeline-root", str(models.parent)]
    for options in ([], ["--out", str(tmp_path / "card")], ["--json", "--version", "1"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*command, *options])
        assert not stop.value.code
        out, err = capsys.readouterr()
        if not options:
            assert out.startswith("# mnist, version 2\n")
        elif "--json" in options:
            assert document("card", out)["version"] == 1
        else:
            assert (out, err) == ("", f"card.md and card.html are in {tmp_path}/card\n")
            assert (tmp_path / "card/card.html").read_text().startswith("<!DOCTYPE html>")
