"""Labelled images in files, a folder a class."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pydantic
from pydantic import Field

from components import files
from components.config import Config
from components.features import IMAGE, LABEL, Feature
from components.formats.errors import FormatError, unreadable
from components.image_files import SUFFIXES, decoded
from components.image_shape import ImageShape
from components.protocols import BadRecord, Found, Record, Split
from components.sources import finding
from components.sources.hashing import hashed
from components.sources.smooth_images import smooth_image

_logger = logging.getLogger(__name__)
_FILES_A_PART: Final = 512


class ImagePart(NamedTuple):
    """Some files of a class that are of a split, or may be."""

    paths: tuple[Path, ...]
    label: int
    source: ImageFolderSource
    split: Split

    @property
    def file(self) -> str:
        """The folder of the class."""
        return self.paths[0].parent.name

    def records(self) -> Iterator[Record | BadRecord]:
        """Yields {"image": its bytes, row by row, "label": int}, or what is wrong with a file."""
        import tensorflow as tf

        for path in self.paths:
            try:
                content = files.read_bytes(str(path))
                if self.source.belongs(content, self.split):
                    pixels = decoded(content, self.source.image_shape).numpy()
                    yield {IMAGE: pixels.tobytes(), LABEL: self.label}
            except OSError as error:
                raise unreadable(path, error) from error
            except tf.errors.InvalidArgumentError as error:
                got = error.message.splitlines()[0]
                yield BadRecord(f"{path}: expected a PNG or JPEG image, got: {got}")


class ImageFolderSource(Config):
    """PNG and JPEG files of any size, in a folder named for each class; they are resized as they are read."""

    image_shape: ImageShape = Field(
        (64, 64), description="Height, width and, of coloured images, 3; images are made so."
    )
    label_names: tuple[str, ...] = Field(
        min_length=2, description="The classes, in the order of their numbers: the names of their folders."
    )
    train: str = Field(".", description='Where these folders are, below the data directory, such as "train".')
    evaluation: str | None = Field(
        None, description="The same for evaluation. Default: part of the images of `train`."
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Part of the images that is held out without evaluation; equal files fare alike.",
    )
    max_bad_files: int = Field(
        0, ge=0, description="Files of a class that may be unusable: they are left out, counted and reported."
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> ImageFolderSource:
        if len({*self.label_names}) < len(self.label_names):
            raise ValueError(f"label_names: expected each once, got {', '.join(self.label_names)}")
        return self

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.label_names)

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
    def input_splits(self) -> tuple[Split, ...]:
        return Split("train", self.train), Split("eval", self.evaluation or self.train)

    @property
    def evaluation_split(self) -> str:
        return "eval"

    @property
    def group_key(self) -> None:
        return None

    @property
    def counted_by(self) -> None:
        return None

    def check(self, directory: Path) -> None:
        """Raises FormatError unless each class has an image in each split's folder; reads the first one."""
        for split in self.input_splits:
            for part in self.parts(directory, split):
                first = next(part._replace(paths=part.paths[:1]).records(), None)
                if isinstance(first, BadRecord) and not self.max_bad_files:
                    raise FormatError(first.reason)

    def parts(self, directory: Path, split: Split) -> list[ImagePart]:
        """Returns the files of a split's folders in parts, those of each class in order."""
        return [
            ImagePart(tuple(paths[start : start + _FILES_A_PART]), label, self, split)
            for label, paths in enumerate(self._paths(str(directory), split))
            for start in range(0, len(paths), _FILES_A_PART)
        ]

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the locations of a split's files; raises FormatError for a class that has none."""
        return [str(path) for paths in self._paths(directory, split) for path in paths]

    def check_found(self, file: str, found: Found) -> None:
        """Raises FormatError for too many bad files of a class; logs how many are left out."""
        if found.num_bad > self.max_bad_files:
            raise FormatError(found.first_bad)
        if found.num_bad:
            left_out = f"left out {found.num_bad} bad files beside {found.good.total()} good ones"
            _logger.warning("%s: %s; the first: %s", file, left_out, found.first_bad)

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns smooth images; the same for the same seed."""
        generator = np.random.default_rng(seed)
        return [{IMAGE: smooth_image(generator, self.image_shape).tobytes()} for _ in range(count)]

    def belongs(self, content: bytes, split: Split) -> bool:
        """Whether a file of a split's folders is of the split, by its content alone."""
        digest = hashlib.sha256(content).hexdigest()
        held_out = hashed(digest) < self.validation_fraction * 2.0**64
        return self.evaluation is not None or held_out == (split.name == self.evaluation_split)

    def _paths(self, directory: str, split: Split) -> Iterator[list[Path]]:
        root = os.path.normpath(os.path.join(directory, split.pattern))
        finding.check_folder(root, f"folders {', '.join(self.label_names)}")
        for name in self.label_names:
            folder = os.path.join(root, name)
            found = [Path(folder, file) for file in finding.names(folder) if is_image(file)]
            if not found:
                raise FormatError(f"{folder}: expected images, {', '.join(SUFFIXES)}, got none")
            yield found


def is_image(name: str) -> bool:
    """Whether a file is called as an image, and is none of the files that macOS adds to archives."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
