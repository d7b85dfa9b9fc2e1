"""Records are counted while Beam reads them, in this process."""

from pathlib import Path

import apache_beam as beam
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from components.progress import BOARD
from pipelines.runs.counting import READ, reads_counted


def _read(files: list[str]) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        for file in files:
            _ = pipeline | file >> beam.io.ReadFromTFRecord(file)


def test_each_record_counts_when_it_is_read(tmp_path: Path) -> None:
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    for file in files:
        with tf.io.TFRecordWriter(file) as writer:
            for content in (b"x", b"yy", b"zzz"):
                writer.write(content)
    BOARD.clear()
    with reads_counted():
        _read(files)
    assert BOARD.counts == {READ: 6}
    _read(files)
    assert BOARD.counts == {READ: 6}
    BOARD.clear()
