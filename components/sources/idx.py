"""Labelled images in idx files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from components.config import Config
from components.features import IMAGE, LABEL, Feature
from components.formats.errors import FormatError
from components.formats.idx import check_whole, is_gzip, read_batches, read_shape, times
from components.protocols import Found, Record, Split

_BATCH_SIZE: Final = 1024
# Of a split, after its prefix.
_NAMES: Final = ("images-idx3-ubyte", "labels-idx1-ubyte")
# Of which a made image consists, each of at most so many periods along an axis.
_NUM_WAVES: Final = 4
_MAX_PERIODS: Final = 2.0


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

    @property
    def file(self) -> str:
        """The name of the file of the images."""
        return self.files.images.name

    def records(self) -> Iterator[Record]:
        """Yields {"image": its bytes, row by row, "label": int}; raises FormatError."""
        images = read_batches(self.files.images, _BATCH_SIZE, self.start, self.stop)
        for batch, labels in zip(images, self._labels(), strict=True):
            for image, label in zip(batch, labels.tolist(), strict=True):
                yield {IMAGE: image.tobytes(), LABEL: label}

    def _labels(self) -> Iterator[NDArray[np.uint8]]:
        """Yields uint8[batch]; a label that is no class is a FormatError with its index."""
        path, index = self.files.labels, self.start
        for labels in read_batches(path, _BATCH_SIZE, self.start, self.stop):
            wrong = np.flatnonzero(labels >= self.num_classes)
            if wrong.size:
                raise FormatError(
                    f"{path}: expected labels from 0 to {self.num_classes - 1}, "
                    f"got {labels[wrong[0]]} at index {index + wrong[0]}"
                )
            index += len(labels)
            yield labels


class IdxSource(Config):
    """Labelled images in the four files of MNIST, each plain or gzipped."""

    image_shape: tuple[PositiveInt, PositiveInt] = (28, 28)
    num_classes: int = Field(10, ge=2, le=256)
    # Part of the training records that becomes the split "eval"; t10k is then the split "test".
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    # Records in one unit of work, which gives one shard; a gzipped file is one unit.
    range_size: int = Field(8192, ge=1)

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

    @property
    def group_key(self) -> None:
        return None

    @property
    def counted_by(self) -> None:
        return None

    def check(self, directory: Path) -> None:
        """Raises FormatError unless the files' headers fit the settings, each other and the files' sizes."""
        for split in self.input_splits:
            files = self.files(directory, split)
            self.count(files)
            for file in files:
                check_whole(file)

    def parts(self, directory: Path, split: Split) -> list[IdxRange]:
        """Returns the split in ranges of at most `range_size` records.

        A gzipped file is one range: each would have to decompress it from its start.
        """
        files = self.files(directory, split)
        count = self.count(files)
        size = count if is_gzip(files.images) else self.range_size
        return [
            IdxRange(files, start, min(start + size, count), self.num_classes)
            for start in range(0, count, size)
        ]

    def chosen(self, split: Split, names: Sequence[str]) -> list[str]:
        """Returns the files of images and of labels."""
        prefix = split.pattern.removesuffix("*")
        found = (_first(names, f"{prefix}{name}") for name in _NAMES)
        return [name for name in found if name]

    def check_found(self, file: str, found: Found) -> None:
        """Accepts every file that could be read: `check` compares numbers, and a bad record raises."""

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns smooth grey images; the same for the same seed."""
        generator = np.random.default_rng(seed)
        return [{IMAGE: _smooth_image(generator, self.image_shape).tobytes()} for _ in range(count)]

    def files(self, directory: Path, split: Split) -> IdxFiles:
        """Returns the files of a split; a plain file wins over a gzipped one."""
        prefix = split.pattern.removesuffix("*")
        return IdxFiles(*(_plain_or_gzip(directory, f"{prefix}{name}") for name in _NAMES))

    def count(self, files: IdxFiles) -> int:
        """Returns the number of records, from the headers alone."""
        num_images, *image_shape = read_shape(files.images, rank=3)
        if tuple(image_shape) != self.image_shape:
            raise FormatError(
                f"{files.images}: expected images of {times(self.image_shape)}, got {times(image_shape)}"
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


def _smooth_image(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Returns uint8[height, width]: the mean of some waves of random direction, length and phase."""
    y, x = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij")
    periods = generator.uniform(-_MAX_PERIODS, _MAX_PERIODS, (_NUM_WAVES, 2))
    phases = generator.uniform(0, 1, _NUM_WAVES)
    waves = [
        np.cos(2 * np.pi * (down * y + right * x + phase))
        for (down, right), phase in zip(periods, phases, strict=True)
    ]
    return np.rint(255 * (np.mean(waves, axis=0) + 1) / 2).astype(np.uint8)


def _plain_or_gzip(directory: Path, name: str) -> Path:
    try:
        present = os.listdir(directory)
    except OSError as error:
        raise FormatError(f"{directory}: expected a folder with idx files, got: {error.strerror}") from error
    if found := _first(present, name):
        return directory / found
    got = "neither" if present else "an empty folder"
    raise FormatError(f"{directory}: expected {name} or {name}.gz, got {got}")


def _first(names: Collection[str], name: str) -> str | None:
    return next((candidate for candidate in (name, f"{name}.gz") if candidate in names), None)
