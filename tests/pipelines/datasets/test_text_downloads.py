from pathlib import Path

import pytest

from components.formats.errors import FormatError
from components.formats.tsv import read_rows, write_tsv
from components.sources.glue import COLA, MNLI, MRPC, XNLI
from pipelines.datasets.glue import DOWNLOADS, split_mrpc

SOURCES = {"cola": COLA, "mrpc": MRPC, "mnli": MNLI, "xnli": XNLI}


def test_glue_s_split_of_mrpc_is_made_of_the_original(tmp_path: Path) -> None:
    columns = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    rows = [[str(i % 2), f"{i}", f"{i}{i}", f"A {i}.", f"B {i}."] for i in range(1, 5)]
    for name, part in (("train", rows[:3]), ("test", rows[3:])):
        write_tsv(tmp_path / f"msr_paraphrase_{name}.txt", [columns, *part], byte_order_mark=True)
    write_tsv(tmp_path / "mrpc_dev_ids.tsv", [("2", "22")])
    split_mrpc(tmp_path)
    assert list(read_rows(tmp_path / "train.tsv")) == [columns, rows[0], rows[2]]
    assert list(read_rows(tmp_path / "dev.tsv")) == [columns, rows[1]]
    assert list(read_rows(tmp_path / "test.tsv")) == [["index", *columns[1:]], ["0", *rows[3][1:]]]
    MRPC.check(tmp_path)
    write_tsv(tmp_path / "mrpc_dev_ids.tsv", [("2", "23")])
    with pytest.raises(FormatError, match="expected ids of msr_paraphrase_train"):
        split_mrpc(tmp_path)


@pytest.mark.parametrize("task", SOURCES)
def test_the_download_holds_the_files_that_the_task_reads(task: str) -> None:
    download, source = DOWNLOADS[task], SOURCES[task]
    names = {Path(member).name for file in download.files for member in (file.members or (file.path,))}
    if task == "mrpc":
        source = source.override({"original": True}, "source")
    assert {file.name for split in source.input_splits for file in source.files(split)} <= names
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in download.files)
    assert all(url.startswith("https://") and url.endswith("/") for url in download.mirrors)
