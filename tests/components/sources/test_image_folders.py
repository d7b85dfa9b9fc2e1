"""Images in folders by class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.config import ConfigError
from components.features import IMAGE, LABEL
from components.formats.errors import FormatError
from components.protocols import BadRecord, FindsFiles, Found, Record, Source
from components.sources.image_folders import ImageFolderSource

SOURCE = ImageFolderSource(image_shape=(2, 2), label_names=("cat", "dog"))


def write(
    folder: Path, label: str, number: int, shape: tuple[int, ...] = (4, 4), suffix: str = "png"
) -> Path:
    path = folder / label / f"{number}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, number, np.uint8)).save(path)
    return path


def read(source: ImageFolderSource, folder: Path, split: str) -> list[Record | BadRecord]:
    (wanted,) = (each for each in source.input_splits if each.name == split)
    return [record for part in source.parts(folder, wanted) for record in part.records()]


def test_it_fits_the_protocols() -> None:
    assert isinstance(SOURCE, Source)
    assert isinstance(SOURCE, FindsFiles)


def test_a_file_is_resized_by_the_means_of_its_areas_and_made_grey(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"evaluation": "."})
    pixels = np.array([[0, 10, 50, 50], [20, 30, 50, 50], [1, 1, 8, 8], [1, 1, 8, 8]], np.uint8)
    (tmp_path / "cat").mkdir()
    Image.fromarray(pixels).save(tmp_path / "cat" / "a.png")
    Image.fromarray(np.full((2, 2, 3), 77, np.uint8)).save(tmp_path / "cat" / "b.png")
    write(tmp_path, "dog", 200, suffix="jpg")
    assert read(source, tmp_path, "train") == [
        {IMAGE: bytes([15, 50, 1, 8]), LABEL: 0},
        {IMAGE: bytes([77] * 4), LABEL: 0},
        {IMAGE: bytes([200] * 4), LABEL: 1},
    ]


def test_colours_are_kept_where_the_shape_has_them(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"image_shape": (1, 1, 3), "evaluation": "."})
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.array([[[1, 2, 3]]], np.uint8)).save(tmp_path / "cat" / "a.png")
    write(tmp_path, "dog", 9)
    assert read(source, tmp_path, "eval") == [
        {IMAGE: bytes([1, 2, 3]), LABEL: 0},
        {IMAGE: bytes([9, 9, 9]), LABEL: 1},
    ]
    assert [len(record[IMAGE]) for record in source.sample(2, seed=1)] == [3, 3]
    assert source.sample(2, seed=1) == source.sample(2, seed=1)


def test_a_folder_is_split_by_what_the_files_hold(tmp_path: Path) -> None:
    for number in range(250):
        for label in ("cat", "dog"):
            write(tmp_path, label, number)
    train, held_out = read(SOURCE, tmp_path, "train"), read(SOURCE, tmp_path, "eval")
    assert len(train) + len(held_out) == 500
    # Each image is there twice, and 25 of 250 are expected.
    assert set(Counter(record[IMAGE] for record in held_out).values()) == {2}
    assert 12 <= len(held_out) / 2 <= 40


def test_folders_of_their_own_are_read_whole(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"train": "train", "evaluation": "val"})
    for number, label in enumerate(source.label_names):
        write(tmp_path / "train", label, number)
        write(tmp_path / "val", label, 10 + number)
    source.check(tmp_path)
    assert [record[IMAGE][0] for record in read(source, tmp_path, "train")] == [0, 1]
    assert [record[IMAGE][0] for record in read(source, tmp_path, "eval")] == [10, 11]
    assert len(source.raw_files(str(tmp_path), source.input_splits[1])) == 2


def test_what_is_no_image_is_told_and_refused_unless_allowed(tmp_path: Path) -> None:
    write(tmp_path, "dog", 1)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"no picture")
    source = SOURCE.model_copy(update={"evaluation": "."})
    bad, _ = read(source, tmp_path, "train")
    assert isinstance(bad, BadRecord)
    assert bad.reason.startswith(f"{tmp_path}/cat/a.png: expected a PNG or JPEG image, got: ")
    with pytest.raises(FormatError, match=r"a\.png: expected a PNG or JPEG image"):
        source.check(tmp_path)
    allowing = source.model_copy(update={"max_bad_files": 1})
    allowing.check(tmp_path)
    allowing.check_found("cat", Found(Counter({b"": 1}), 1, "a.png: …"))
    with pytest.raises(FormatError, match=r"a\.png"):
        source.check_found("cat", Found(Counter({b"": 1}), 1, "a.png: …"))


def test_a_class_without_images_is_told(tmp_path: Path) -> None:
    write(tmp_path, "dog", 1)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "._1.png").write_bytes(b"of macOS")
    with pytest.raises(FormatError, match=r"cat: expected images, \.png, \.jpg, \.jpeg, got none"):
        SOURCE.check(tmp_path)


def test_classes_are_there_once_each() -> None:
    with pytest.raises(ConfigError, match="label_names: expected each once, got cat, cat"):
        SOURCE.override({"label_names": ["cat", "cat"]}, "source")
