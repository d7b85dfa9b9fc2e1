from pathlib import Path
from typing import Any

import pytest

from components.features import TEXT_A
from components.formats.vocabulary import SPECIAL_TOKENS
from components.transform.text.wordpiece import WordPiece
from pipelines.dag import entrypoints
from pipelines.tasks import TASKS


def test_transform_takes_its_settings_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They fit the run's model, whose settings it does not get: here more than the task's own has."""
    (tmp_path / "vocab.txt").write_text(
        "\n".join([*SPECIAL_TOKENS, *map(str, range(9000))]), encoding="utf-8"
    )
    preprocessing = {"vocabulary": str(tmp_path / "vocab.txt"), "max_sequence_length": 1024}
    encoder = {"vocabulary_size": 9005, "max_positions": 1024}
    task = TASKS["cola"].override({"preprocessing": preprocessing, "model": {"encoder": encoder}})
    assert isinstance(task.preprocessing, WordPiece)
    used: list[Any] = []
    monkeypatch.setattr(WordPiece, "preprocessing_fn", lambda self, inputs: used.append(self) or inputs)
    settings = {"preprocessing": task.preprocessing.model_dump(mode="json")}
    entrypoints.preprocessing_fn({TEXT_A: 1}, {"task": "cola", "settings": settings})
    assert used == [task.preprocessing]
