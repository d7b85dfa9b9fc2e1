"""Where SQuAD's two versions were published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.formats.squad import V1, V2
from pipelines.datasets.downloads import Download, RemoteFile

_MIRRORS: Final = ("https://rajpurkar.github.io/SQuAD-explorer/dataset/",)
# By version. Sizes as in github.com/huggingface/datasets (datasets/squad/dataset_infos.json), sums as in
# github.com/facebookresearch/ParlAI (parlai/tasks/{squad,squad2}/build.py).
DOWNLOADS: Final[Mapping[str, Download]] = {
    V1: Download(
        _MIRRORS,
        (
            RemoteFile(
                "train-v1.1.json",
                30288272,
                "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
            ),
            RemoteFile(
                "dev-v1.1.json",
                4854279,
                "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
            ),
        ),
    ),
    V2: Download(
        _MIRRORS,
        (
            RemoteFile(
                "train-v2.0.json",
                42123633,
                "68dcfbb971bd3e96d5b46c7177b16c1a4e7d4bdef19fb204502738552dede002",
            ),
            RemoteFile(
                "dev-v2.0.json",
                4370528,
                "80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8",
            ),
        ),
    ),
}
