"""What a node's fingerprint covers: files found by following imports."""

import json
import sys
from pathlib import Path

import pytest
from tfx.components.statistics_gen.executor import Executor as StatisticsGen
from tfx.components.transform.executor import Executor as Transform

from components.canary.executor import Executor as Canary
from components.evaluator.executor import Executor as Evaluator
from components.trainer.component import Executor as Trainer
from pipelines.dag import fingerprint, nodes
from pipelines.dag.imports import closure
from pipelines.tasks import TASKS

SOURCES = {
    "__init__.py": "",
    "start.py": """
        import numpy
        from typing import TYPE_CHECKING
        from shop import helper, LIMIT
        from . import near
        if TYPE_CHECKING:
            from shop import for_checkers
        NAMES = ("shop.plugin.Executor", "shop.program", "nowhere.at_all", "shop.missing")
        def late():
            import shop.inner.deep
    """,
    "helper.py": "import shop.start",
    "near.py": "",
    "for_checkers.py": "",
    "plugin.py": "",
    "program/__init__.py": "",
    "program/__main__.py": "import components.errors, pipelines.tasks.cola",
    "inner/__init__.py": "",
    "inner/deep.py": "",
    "unrelated.py": "",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's package, in which everything is imported in another way."""
    for name, text in SOURCES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line[8:] if line[:8].isspace() else line for line in text.splitlines()))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    return "shop.start"


def test_every_way_of_importing_is_followed(shop: str) -> None:
    found = closure([shop], apart=["pipelines.tasks"])
    assert sorted(found.files) == [
        "components/__init__.py",
        "components/errors.py",
        "pipelines/__init__.py",
        *sorted(f"shop/{name}" for name in SOURCES if name not in ("for_checkers.py", "unrelated.py")),
    ]
    assert found.packages == {"__future__", "collections", "numpy", "typing"}


def of_node(node: str, executor: type, task: str, *sections: str) -> dict[str, str]:
    return fingerprint.of_node(node, executor, {name: getattr(TASKS[task], name) for name in sections})


def test_a_node_depends_on_what_it_runs_and_on_no_other_family() -> None:
    trainer = of_node(nodes.TRAINER, Trainer, "mnist", *fingerprint.TRAINING_SECTIONS)
    assert {"components/trainer/loop.py", "components/task.py", "components/features.py"} <= set(trainer)
    assert {"components/models/mnist_cnn.py", "components/sources/idx.py", "keras"} <= set(trainer)
    others = ("components/models/bert", "components/evaluator", "components/canary", "pipelines/tasks")
    assert not [name for name in trainer if name.startswith(others)]
    transform = of_node(nodes.TRANSFORM, Transform, "cola", "preprocessing")
    assert {"components/transform/text/wordpiece.py", "tensorflow-text", "tensorflow-transform"} <= set(
        transform
    )
    assert not [name for name in transform if name.startswith(("components/trainer", "components/models"))]


def test_the_canary_depends_on_the_server_that_it_starts_as_a_program() -> None:
    canary = of_node(nodes.CANARY, Canary, "mnist")
    assert {"components/canary/child.py", "components/serving/batching.py"} <= set(canary)


def test_the_evaluator_depends_on_the_version_of_model_analysis() -> None:
    evaluator = of_node(nodes.EVALUATOR, Evaluator, "mnist", "evaluation")
    assert {"components/metrics/confusion.py", "tensorflow-model-analysis", "apache-beam"} <= set(evaluator)


def test_statistics_depend_on_the_package_that_measures_them() -> None:
    assert "tensorflow-data-validation" in of_node(nodes.STATISTICS_GEN, StatisticsGen, "mnist")


def test_a_file_that_a_setting_names_is_an_ingredient(tmp_path: Path) -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    settings = {"preprocessing": {"vocabulary": str(tmp_path / "vocab.txt")}}
    task = TASKS["cola"].override(settings)
    found = fingerprint.of_node(nodes.TRANSFORM, Transform, {"preprocessing": task.preprocessing})
    (tmp_path / "vocab.txt").write_text("\n".join([*tokens, "cat"]))
    again = fingerprint.of_node(nodes.TRANSFORM, Transform, {"preprocessing": task.preprocessing})
    assert {name for name in found if found[name] != again[name]} == {"preprocessing/vocab.txt"}


@pytest.mark.parametrize("task", TASKS)
def test_every_node_has_a_fingerprint_that_a_property_can_hold(task: str, tmp_path: Path) -> None:
    from pipelines.dag.pipeline import make_pipeline
    from pipelines.dag.settings import RunConfig

    config = RunConfig(data_dir=str(tmp_path), pipeline_root=str(tmp_path), models_dir=str(tmp_path))
    made = {
        node.id: node.exec_properties["fingerprint"] for node in make_pipeline(TASKS[task], config).components
    }
    assert set(made) == set(nodes.NODES)
    assert all(100 < len(text) < 1 << 14 for text in made.values())
    assert all("tfx" in json.loads(text) for text in made.values())
