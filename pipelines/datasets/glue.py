"""Where the text tasks' data was published, and what has to be made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, get_args

from components.formats.errors import FormatError
from components.formats.tsv import read_rows, write_tsv
from components.sources.glue import Language
from pipelines.datasets.downloads import Download, RemoteFile

# Sizes and sums as in github.com/huggingface/datasets (datasets/{glue,xnli}/dataset_infos.json) and
# github.com/tensorflow/datasets (url_checksums/{glue,xnli}.txt).
_MIRRORS: Final = ("https://dl.fbaipublicfiles.com/",)
DOWNLOADS: Final[Mapping[str, Download]] = {
    "cola": Download(
        _MIRRORS,
        (
            RemoteFile(
                "glue/data/CoLA.zip",
                376971,
                "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
                ("CoLA/train.tsv", "CoLA/dev.tsv", "CoLA/test.tsv"),
            ),
        ),
    ),
    "mrpc": Download(
        _MIRRORS,
        (
            RemoteFile(
                "senteval/senteval_data/msr_paraphrase_train.txt",
                1047044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
            ),
            RemoteFile(
                "senteval/senteval_data/msr_paraphrase_test.txt",
                441275,
                "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
            ),
            RemoteFile(
                "glue/data/mrpc_dev_ids.tsv",
                6222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
            ),
        ),
    ),
    "mnli": Download(
        _MIRRORS,
        (
            RemoteFile(
                "glue/data/MNLI.zip",
                312783507,
                "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
                (
                    "MNLI/train.tsv",
                    "MNLI/dev_matched.tsv",
                    "MNLI/dev_mismatched.tsv",
                    "MNLI/test_matched.tsv",
                    "MNLI/test_mismatched.tsv",
                ),
            ),
        ),
    ),
    "xnli": Download(
        _MIRRORS,
        (
            RemoteFile(
                "XNLI/XNLI-1.0.zip",
                17865352,
                "4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1",
                ("XNLI-1.0/xnli.dev.tsv", "XNLI-1.0/xnli.test.tsv"),
            ),
            RemoteFile(
                "XNLI/XNLI-MT-1.0.zip",
                466098360,
                "f732517ba2fb1d550e9f3c2aabaef6017c91ee2dcec90e878f138764d224db05",
                tuple(f"XNLI-MT-1.0/multinli/multinli.train.{code}.tsv" for code in get_args(Language)),
            ),
        ),
    ),
}


def split_mrpc(out_dir: Path) -> None:
    """Makes GLUE's train.tsv, dev.tsv and test.tsv of the files of MRPC as they were first published.

    As in github.com/nyu-mll/GLUE-baselines (download_glue_data.py): the pairs of mrpc_dev_ids.tsv are the
    dev split, and the test split loses its labels. Raises FormatError.
    """
    columns, *train = read_rows(out_dir / "msr_paraphrase_train.txt")
    dev_ids = {tuple(row) for row in read_rows(out_dir / "mrpc_dev_ids.tsv")}
    if not dev_ids <= {tuple(row[1:3]) for row in train}:
        raise FormatError(
            f"{out_dir / 'mrpc_dev_ids.tsv'}: expected ids of msr_paraphrase_train.txt, got others"
        )
    for name, is_dev in (("train.tsv", False), ("dev.tsv", True)):
        rows = [row for row in train if (tuple(row[1:3]) in dev_ids) == is_dev]
        write_tsv(out_dir / name, [columns, *rows])
    _, *test = read_rows(out_dir / "msr_paraphrase_test.txt")
    unlabelled = [(str(index), *row[1:]) for index, row in enumerate(test)]
    write_tsv(out_dir / "test.tsv", [("index", *columns[1:]), *unlabelled])


# By task: what is made of the files when they are there.
FINISHERS: Final[Mapping[str, Callable[[Path], None]]] = {"mrpc": split_mrpc}
