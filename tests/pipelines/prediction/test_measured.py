from pathlib import Path

import pytest

from components.formats.errors import FormatError
from components.formats.squad import Answer, Question, write_squad
from components.task import Task
from pipelines.prediction.measured import DataError, evaluation_split, measured
from pipelines.tasks.cola import COLA
from pipelines.tasks.mnist import MNIST
from pipelines.tasks.mnli import MNLI
from pipelines.tasks.mrpc import MRPC
from pipelines.tasks.squad import SQUAD

MRPC_ROWS = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tIt rains.\tRain falls.\n"
MNLI_HEADER = "index\tpromptID\tpairID\tgenre\t_\t_\t_\t_\tsentence1\tsentence2\tgold_label\n"


@pytest.mark.parametrize(
    ("task", "name", "content", "text"),
    [
        (COLA, "[my] rows.txt", "s\t1\t\tThe cat sat.\n", "The cat sat."),
        (MRPC, "msr.tsv", MRPC_ROWS, "It rains."),
        (MRPC.override({"source": {"original": True}}), "dev.tsv", MRPC_ROWS, "It rains."),
        (MNLI, "rows.tsv", f"{MNLI_HEADER}{'0' + chr(9) * 8}Rain.\tSun.\tneutral\n", "Rain."),
    ],
    ids=["cola", "mrpc", "mrpc-original", "mnli"],
)
def test_one_file_of_texts_is_enough(tmp_path: Path, task: Task, name: str, content: str, text: str) -> None:
    (tmp_path / name).write_text(content)
    on = measured(task, tmp_path / name)
    (part,) = on.task.source.parts(on.directory, evaluation_split(on.task.source))
    (record,) = part.records()
    assert record["text_a"] == text.encode()
    assert part.file == name


def test_a_file_of_its_own_name_keeps_what_is_declared_of_it(tmp_path: Path) -> None:
    (tmp_path / "dev_mismatched.tsv").write_text(f"{MNLI_HEADER}{'0' + chr(9) * 8}Rain.\tSun.\tneutral\n")
    on = measured(MNLI, tmp_path / "dev_mismatched.tsv")
    (part,) = on.task.source.parts(on.directory, evaluation_split(on.task.source))
    assert [record["domain"] for record in part.records()] == [b"mismatched"]


def test_one_file_of_questions_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "my dev.json"
    question = Question("", "1", "T", "Rome fell.", "Who fell?", (Answer("Rome", 0),), False)
    write_squad(path, [question])
    on = measured(SQUAD, path)
    (part,) = on.task.source.parts(on.directory, evaluation_split(on.task.source))
    assert [record["id"] for record in part.records()] == [b"1"]


def test_what_a_task_cannot_be_measured_on_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: expected a folder as for `millrace run mnist`, got a file"):
        measured(MNIST, tmp_path / "file")
    with pytest.raises(DataError, match="none: expected a folder as for `millrace run mnist`, got none"):
        measured(MNIST, tmp_path / "none")
    for task in (COLA, MNIST, SQUAD):
        with pytest.raises(FormatError, match=f"{tmp_path}: expected "):
            measured(task, tmp_path)
