"""A look at labelled images in idx files, and the project that classifies them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from components.features import IMAGE, LABEL
from components.formats.idx import packed, read_shape
from components.protocols import Record, Split
from components.sources.idx import IdxSource
from pipelines.projects.classes import arguments, classified
from pipelines.projects.writing import Project, ProjectError, quoted

# A name a line, in the order of their numbers.
LABELS_FILE: Final = "labels.txt"
_MOST_CLASSES: Final = 256
# Images of each class that the project's test runs on.
_SAMPLED: Final = 8


class Look(NamedTuple):
    """What the idx files of a folder hold."""

    image_shape: tuple[int, int]
    # Of the classes 0, 1, …; those without have no names.
    labels: tuple[str, ...]
    has_names: bool
    # Training images by class.
    counts: Counter[int]
    # Some records of each class, by the part of the data.
    sampled: Mapping[str, Sequence[Record]]


def look(folder: Path, names: Sequence[str] | None) -> Look:
    """Returns how large the images of a folder are, and of which classes, by `names` or else by labels.txt.

    Raises UserError for files that are missing or broken, and for other names than there are classes.
    """
    source = IdxSource(num_classes=_MOST_CLASSES)
    train, test = source.input_splits
    _, height, width = read_shape(source.files(folder, train).images, rank=3)
    source = source.model_copy(update={"image_shape": (height, width)})
    source.check(folder)
    found = {name: _read(source, folder, split) for name, split in (("train", train), ("t10k", test))}
    num_classes = 1 + max(max(each.counts) for each in found.values())
    if names is None:
        names = _names_of(folder)
    if names is not None and len({*names}) != max(num_classes, len(names)):
        expected = f"{num_classes} different names or more, one for each of the labels 0 to {num_classes - 1}"
        raise ProjectError(f"--labels or {LABELS_FILE}: expected {expected}, got {', '.join(names)}")
    labels = tuple(names or map(str, range(num_classes)))
    sampled = {name: each.sampled for name, each in found.items()}
    return Look((height, width), labels, names is not None, found["train"].counts, sampled)


def project(name: str, package: str, seen: Look) -> Project:
    """Returns what is to be written for idx files; raises ProjectError for a single class."""
    if len(seen.labels) < 2:
        raise ProjectError(f"expected labels of two or more classes, got {seen.labels[0]!r} alone")
    source = IdxSource(
        image_shape=seen.image_shape,
        num_classes=len(seen.labels),
        label_names=seen.labels if seen.has_names else (),
    )
    values = {
        "name": name,
        "package": package,
        "kind": "Images in idx files",
        "summary": quoted(f"Images of {len(seen.labels)} classes"),
        "source_class": "IdxSource",
        "source_module": "idx",
        "about_shape": "Height and width.",
        "shape": str(seen.image_shape),
        "source": "\n".join(["        image_shape=_SHAPE,", *arguments(source, "image_shape")]),
        "question": "FILE.png",
        **classified(seen.labels, seen.counts.values()),
    }
    return Project("images", values, _sample(seen))


class _Read(NamedTuple):
    """How many images each class has, and some of each."""

    counts: Counter[int]
    sampled: list[Record]


def _read(source: IdxSource, folder: Path, split: Split) -> _Read:
    counts: Counter[int] = Counter()
    sampled: list[Record] = []
    for record in (record for part in source.parts(folder, split) for record in part.records()):
        label: Any = record[LABEL]
        counts[label] += 1
        if counts[label] <= _SAMPLED:
            sampled.append(record)
    return _Read(counts, sampled)


def _names_of(folder: Path) -> list[str] | None:
    path = folder / LABELS_FILE
    if not path.exists():
        return None
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path}: expected a name in UTF-8 a line, got: {error}") from error


def _sample(seen: Look) -> dict[str, bytes]:
    """Returns the files that the project's test runs on."""
    files = {}
    for part, records in seen.sampled.items():
        images = np.frombuffer(b"".join(record[IMAGE] for record in records), np.uint8)  # type: ignore[misc]
        labels = np.array([record[LABEL] for record in records], np.uint8)
        shape = (len(records), *seen.image_shape)
        files[f"tests/data/{part}-images-idx3-ubyte"] = packed(images.reshape(shape))
        files[f"tests/data/{part}-labels-idx1-ubyte"] = packed(labels)
    return files
