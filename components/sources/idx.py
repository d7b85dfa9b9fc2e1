"""Labelled images in idx files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from components.config import Config
from components.features import IMAGE, LABEL, Feature
from components.formats.errors import FormatError
from components.formats.idx import _times, read_batches, read_idx, read_shape
from components.protocols import Split

_BATCH_SIZE: Final = 1024


class IdxFiles(NamedTuple):
    """The two files of a split: images uint8[n, height, width] and labels uint8[n]."""

    images: Path
    labels: Path


class IdxRange(NamedTuple):
    """The labelled images start ≤ i < stop of a split."""

    files: IdxFiles
    start: int
    stop: int
    num_classes: int

    def records(self) -> Iterator[dict[str, bytes | int]]:
        """Yields {"image": its bytes, row by row, "label": int}; raises FormatError."""
        labels = read_labels(self.files.labels, self.num_classes)[self.start : self.stop].tolist()
        batches = read_batches(self.files.images, _BATCH_SIZE, self.start, self.stop)
        images = (image.tobytes() for batch in batches for image in batch)
        for image, label in zip(images, labels, strict=True):
            yield {IMAGE: image, LABEL: label}


class IdxSource(Config):
    """Labelled images in the four files of MNIST, each plain or gzipped."""

    image_shape: tuple[PositiveInt, PositiveInt] = (28, 28)
    num_classes: int = Field(10, ge=2, le=256)
    # Part of the training records that becomes the split "eval"; t10k is then the split "test".
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    # Records in one unit of work, which gives one shard.
    range_size: int = Field(8192, ge=1)

    @property
    def executor(self) -> str:
        return "components.example_gen.idx.Executor"

    @property
    def features(self) -> Mapping[str, Feature]:
        return {
            IMAGE: Feature(dtype="bytes"),
            LABEL: Feature(
                dtype="int64", minimum=0, maximum=self.num_classes - 1, categorical=True, served=False
            ),
        }

    @property
    def label(self) -> str:
        return LABEL

    @property
    def label_names(self) -> tuple[str, ...]:
        return ()

    @property
    def input_splits(self) -> tuple[Split, ...]:
        return (
            Split("train", "train-*", self.validation_fraction),
            Split(self.evaluation_split, "t10k-*"),
        )

    @property
    def evaluation_split(self) -> str:
        return "test" if self.validation_fraction else "eval"

    def check(self, directory: Path) -> None:
        """Reads everything once; raises FormatError at the first thing that is wrong."""
        for split in self.input_splits:
            files = self.files(directory, split)
            self.count(files)
            read_labels(files.labels, self.num_classes)
            # To the end, for the checksum.
            for _ in read_batches(files.images, _BATCH_SIZE):
                pass

    def ranges(self, directory: Path, split: Split) -> list[IdxRange]:
        """Returns the split in ranges of at most `range_size` records, for workers."""
        files = self.files(directory, split)
        count = self.count(files)
        starts = range(0, count, self.range_size)
        return [IdxRange(files, i, min(i + self.range_size, count), self.num_classes) for i in starts]

    def files(self, directory: Path, split: Split) -> IdxFiles:
        """Returns the files of a split; a plain file wins over a gzipped one."""
        prefix = split.pattern.removesuffix("*")
        return IdxFiles(
            _plain_or_gzip(directory, f"{prefix}images-idx3-ubyte"),
            _plain_or_gzip(directory, f"{prefix}labels-idx1-ubyte"),
        )

    def count(self, files: IdxFiles) -> int:
        """Returns the number of records, from the headers alone."""
        num_images, *image_shape = read_shape(files.images, rank=3)
        if tuple(image_shape) != self.image_shape:
            raise FormatError(
                f"{files.images}: expected images of {_times(self.image_shape)}, got {_times(image_shape)}"
            )
        (num_labels,) = read_shape(files.labels, rank=1)
        if num_labels != num_images:
            raise FormatError(
                f"{files.labels}: expected {num_images} labels, one for each of {files.images.name}, "
                f"got {num_labels}"
            )
        if num_images == 0:
            raise FormatError(f"{files.images}: expected at least one image, got none")
        return num_images


def read_labels(path: Path, num_classes: int) -> NDArray[np.uint8]:
    """Returns uint8[n]; a label that is no class is a FormatError with its index."""
    labels = read_idx(path, rank=1)
    wrong = np.flatnonzero(labels >= num_classes)
    if wrong.size:
        raise FormatError(
            f"{path}: expected labels from 0 to {num_classes - 1}, got {labels[wrong[0]]} at index {wrong[0]}"
        )
    return labels


def _plain_or_gzip(directory: Path, name: str) -> Path:
    try:
        present = os.listdir(directory)
    except OSError as error:
        raise FormatError(f"{directory}: expected a folder with idx files, got: {error.strerror}") from error
    for candidate in (name, f"{name}.gz"):
        if candidate in present:
            return directory / candidate
    got = "neither" if present else "an empty folder"
    raise FormatError(f"{directory}: expected {name} or {name}.gz, got {got}")
