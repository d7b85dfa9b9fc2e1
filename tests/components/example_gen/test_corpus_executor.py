"""A corpus through ExampleGen: the same examples however it is cut, or none and one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.example_gen.component import example_gen
from components.example_gen.executor import Executor
from components.features import DOCUMENT, OTHER_SENTENCES, SENTENCES
from components.formats.errors import FormatError
from components.sources.corpus import CorpusSource
from pipelines.datasets.made_corpus import make_corpus

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]


def run(source: CorpusSource, data_dir: Path, output: Path) -> None:
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(output.parent))
    properties = dict(example_gen(source, str(data_dir)).exec_properties)
    Executor(context).Do({}, {"examples": [examples]}, properties)


def serialized(output: Path, split: str) -> list[bytes]:
    import tensorflow as tf

    files = sorted(str(file) for file in (output / f"Split-{split}").iterdir())
    return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def test_examples_are_split_by_document_and_the_same_in_one_shard_and_in_many(tmp_path: Path) -> None:
    import tensorflow as tf

    make_corpus(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "corpus.txt").rename(data / "corpus.txt")
    for name, size in (("whole", 1 << 24), ("cut", 100_000)):
        run(CorpusSource(run_bytes=200, part_size_bytes=size), data, tmp_path / name)
    assert len(list((tmp_path / "cut/Split-train").iterdir())) > 4
    documents = []
    for split in ("train", "eval"):
        records = serialized(tmp_path / "whole", split)
        assert records == serialized(tmp_path / "cut", split)
        features = [tf.train.Example.FromString(record).features.feature for record in records]
        assert all(f[SENTENCES].bytes_list.value and f[OTHER_SENTENCES].bytes_list.value for f in features)
        documents.append({f[DOCUMENT].bytes_list.value[0] for f in features})
    assert (len(documents[0] | documents[1]), documents[0] & documents[1]) == (2000, set())
    assert set(json.loads((tmp_path / "whole/counts.json").read_text())) == {"train", "eval"}


def test_a_split_without_documents_leaves_one_line_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("One.\nTwo.\n\nThree.\nFour.\n")
    with pytest.raises(
        FormatError, match=r"split 'eval': expected two documents that differ, got 0 documents with"
    ):
        run(CorpusSource(), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
