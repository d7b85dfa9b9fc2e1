"""Labelled images in idx files."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from components.config import Config
from components.features import IMAGE, LABEL, Feature
from components.formats.errors import FormatError
from components.formats.idx import INT32, UINT8, check_whole, is_gzip, read_batches, read_shape, times
from components.protocols import Found, Record, Split
from components.sources import finding
from components.sources.smooth_images import smooth_image

# MNIST's own names, as others spell them, and those of sets that came after it: EMNIST's and QMNIST's.
_NAME: Final = re.compile(
    r"(?P<prefix>(?:\w+-)*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d-(?:ubyte|int)(?:\.gz)?"
)
# Below the data directory, as torchvision and EMNIST's archive have them.
_SETS: Final = ("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "EMNIST")
_FOLDERS: Final = ("", "raw", *(f"{name}/raw" for name in _SETS), "gzip")
# The parts of the data by the patterns of the splits, and the kinds of files with their numbers of axes.
_TEST: Final = "t10k"
_PARTS: Final = {"train-*": "train", "t10k-*": _TEST}
_RANKS: Final = {"images": 3, "labels": 1}
_BATCH_SIZE: Final = 1024


class IdxFiles(NamedTuple):
    """The two files of a split: images uint8[n, height, width] and labels uint8[n] or int32[n, columns]."""

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

    def _labels(self) -> Iterator[NDArray[Any]]:
        """Yields the classes, [batch]; a label that is no class is a FormatError with its index."""
        path, index = self.files.labels, self.start
        for rows in read_batches(path, _BATCH_SIZE, self.start, self.stop):
            labels = rows.reshape(len(rows), -1)[:, 0]
            wrong = np.flatnonzero((labels < 0) | (labels >= self.num_classes))
            if wrong.size:
                raise FormatError(
                    f"{path}: expected labels from 0 to {self.num_classes - 1}, "
                    f"got {labels[wrong[0]]} at index {index + wrong[0]}"
                )
            index += len(labels)
            yield labels


class IdxSource(Config):
    """Labelled images in the four files of MNIST, each plain or gzipped, or of a set that is named alike.

    They lie in the data directory or where torchvision puts them there. Also read are names with a dot
    (`train-images.idx3-ubyte`), folders of such a name with the file in them, EMNIST's names
    (`emnist-digits-test-images-idx3-ubyte`; its images are transposed), and QMNIST's, of whose labels
    (`qmnist-train-labels-idx2-int`) the first column is the class.
    """

    image_shape: tuple[PositiveInt, PositiveInt] = Field((28, 28), description="Height and width.")
    num_classes: int = Field(10, ge=2, le=256, description="How many classes there are: labels are below.")
    label_names: tuple[str, ...] = Field(
        (), description="The classes, in the order of their numbers. Default: their numbers are their names."
    )
    validation_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of the training records that becomes the split eval; t10k is then the split test.",
    )
    range_size: int = Field(
        8192,
        ge=1,
        description="Records in one unit of work, which gives one shard; a gzipped file is one unit.",
    )
    prefix: str | None = Field(
        None,
        pattern=r"^(\w+-)*$",
        description="What names begin with if a folder has several sets: emnist-digits-. Default: anything.",
    )

    @pydantic.model_validator(mode="after")
    def _named_each(self) -> IdxSource:
        if self.label_names and len({*self.label_names}) != self.num_classes:
            got = ", ".join(self.label_names)
            raise ValueError(f"label_names: expected {self.num_classes} different ones, got {got}")
        return self

    @property
    def features(self) -> Mapping[str, Feature]:
        return {
            IMAGE: Feature(dtype="bytes"),
            LABEL: Feature(
                dtype="int64",
                minimum=0,
                maximum=self.num_classes - 1,
                categorical=True,
                names=self.label_names,
                served=False,
            ),
        }

    @property
    def label(self) -> str:
        return LABEL

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

    def check_found(self, file: str, found: Found) -> None:
        """Accepts every file that could be read: `check` compares numbers, and a bad record raises."""

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns smooth grey images; the same for the same seed."""
        generator = np.random.default_rng(seed)
        return [{IMAGE: smooth_image(generator, self.image_shape).tobytes()} for _ in range(count)]

    def files(self, directory: Path, split: Split) -> IdxFiles:
        """Returns the files of a split; a plain file wins over a gzipped one."""
        return IdxFiles(*map(Path, self.raw_files(str(directory), split)))

    def raw_files(self, directory: str, split: Split) -> tuple[str, str]:
        """Returns the locations of the images and of the labels; raises FormatError."""
        finding.check_folder(directory, "idx files")
        sets = _file_sets(directory, self.prefix)
        part = _PARTS[split.pattern]
        return _one(directory, sets, part, "images"), _one(directory, sets, part, "labels")

    def count(self, files: IdxFiles) -> int:
        """Returns the number of records, from the headers alone."""
        num_images, *image_shape = read_shape(files.images, rank=3)
        if tuple(image_shape) != self.image_shape:
            raise FormatError(
                f"{files.images}: expected images of {times(self.image_shape)}, got {times(image_shape)}"
            )
        num_labels, *_ = read_shape(files.labels, *_label_format(files.labels))
        if num_labels != num_images:
            raise FormatError(
                f"{files.labels}: expected {num_images} labels, one for each of {files.images.name}, "
                f"got {num_labels}"
            )
        if num_images == 0:
            raise FormatError(f"{files.images}: expected at least one image, got none")
        return num_images


def has_idx(directory: str) -> bool:
    """Whether a folder holds files that are called as those of MNIST."""
    return any(each.found for each in _file_sets(directory, None))


def _label_format(path: Path) -> tuple[int, int]:
    """Returns the number of axes and the type of a file of labels; QMNIST's have more than the class."""
    return (2, INT32) if path.name.removesuffix(".gz").endswith("-int") else (1, UINT8)


class _FileSet(NamedTuple):
    """Files of one folder whose names begin alike, such as with "emnist-digits-"."""

    prefix: str
    # By part of the data and kind, such as ("train", "images"); each in several spellings.
    found: dict[tuple[str, str], list[str]]

    def name(self, part: str, kind: str) -> str:
        """Returns the name that a file of the set is expected to have."""
        part = "test" if part == _TEST and self.prefix else part
        return f"{self.prefix}{part}-{kind}-idx{_RANKS[kind]}-ubyte"


def _file_sets(directory: str, prefix: str | None) -> list[_FileSet]:
    """Returns the sets that have all four files, or are named like one that has, in another folder.

    Else the one that has most of them; else an empty one.
    """
    found = [found for folder in _FOLDERS for found in _sets_in(os.path.join(directory, folder), prefix)]
    found.sort(key=lambda found: -len(found.found))
    whole = {each.prefix for each in found if len(each.found) == len(_PARTS) * len(_RANKS)}
    return [each for each in found if each.prefix in whole] or [*found, _FileSet(prefix or "", {})][:1]


def _sets_in(folder: str, prefix: str | None) -> list[_FileSet]:
    sets: dict[str, _FileSet] = {}
    for name in finding.names(folder):
        parsed = _parsed(name)
        if parsed and prefix in (None, parsed.prefix):
            found = sets.setdefault(parsed.prefix, _FileSet(parsed.prefix, {})).found
            found.setdefault((parsed.part, parsed.kind), []).extend(_locations(folder, name))
    return list(sets.values())


def _locations(folder: str, name: str) -> list[str]:
    """Returns a file's location, or those of the files of a folder that are named to the same effect."""
    wanted = _parsed(name)
    return finding.unfolded(os.path.join(folder, name), lambda inner: _parsed(inner) == wanted)


class _Parsed(NamedTuple):
    """What a name says: "emnist-digits-test-images.idx3-ubyte" -> ("emnist-digits-", "t10k", "images")."""

    prefix: str
    part: str
    kind: str


def _parsed(name: str) -> _Parsed | None:
    match = _NAME.fullmatch(name)
    return match and _Parsed(match["prefix"], match["part"].replace("test", _TEST), match["kind"])


def _one(directory: str, sets: list[_FileSet], part: str, kind: str) -> str:
    found = itertools.chain.from_iterable(_plain_first(each.found.get((part, kind), [])) for each in sets)
    name = sets[0].name(part, kind)
    return finding.one(directory, [name, f"{name}.gz"], list(found), ", or `prefix` to tell which")


def _plain_first(locations: list[str]) -> list[str]:
    """Returns the plain files, or the gzipped ones where there are no others."""
    return [location for location in locations if not location.endswith(".gz")] or locations
