"""A look at images in folders by class, and the project that classifies them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.sources.image_folders import ImageFolderSource, is_image
from pipelines.projects.classes import arguments, classified
from pipelines.projects.writing import Project, ProjectError, quoted

_TRAIN: Final = "train"
_EVALUATION: Final = ("val", "valid", "validation", "eval", "dev", "test")
# Images of each class that are looked at, and that the project's test runs on.
_LOOKED_AT: Final = 20
_SAMPLED: Final = 8
# Pixels each way that images are kept at, if all are of one such size, or else made.
_MOST: Final = 96
_USUAL: Final = 64


class Look(NamedTuple):
    """Where the images of a folder are, and how they look."""

    folder: Path
    # Folders below.
    train: str
    evaluation: str | None
    labels: tuple[str, ...]
    image_shape: tuple[int, ...]

    def images(self, split: str, label: str) -> list[Path]:
        """Returns the images of a class, sorted."""
        return _images(self.folder / split / label)


def look(folder: Path, size: tuple[int, int] | None) -> Look | None:
    """Returns where the images of two or more classes are; None where there are none.

    `size` is their height and width; None: as they are, where they are small and all alike.
    Raises ProjectError for images that cannot be read.
    """
    for train in (_TRAIN, "."):
        labels = _classes(folder / train)
        if len(labels) >= 2:
            wanted = [name for name in _EVALUATION if _classes(folder / name) == labels]
            evaluation = wanted[0] if wanted and train == _TRAIN else None
            shape = _shape([folder / train / label for label in labels], size)
            return Look(folder, train, evaluation, labels, shape)
    return None


def project(name: str, package: str, seen: Look) -> Project:
    """Returns what is to be written for images."""
    source = ImageFolderSource(
        image_shape=seen.image_shape,
        label_names=seen.labels,
        train=seen.train,
        evaluation=seen.evaluation,
    )
    colours = ", and red, green and blue" if seen.image_shape[2:] else ""
    values = {
        "name": name,
        "package": package,
        "kind": "Images in folders by class",
        "summary": quoted(f"Images of {len(seen.labels)} classes"),
        "source_class": "ImageFolderSource",
        "source_module": "image_folders",
        "about_shape": f"Height and width{colours}; all images are made so.",
        "shape": str(seen.image_shape),
        "source": "\n".join(["        image_shape=_SHAPE,", *arguments(source, "image_shape")]),
        "question": "FILE.png",
        **classified(seen.labels, [len(seen.images(seen.train, label)) for label in seen.labels]),
    }
    return Project("images", values, dict(_sample(seen)))


def _classes(folder: Path) -> tuple[str, ...]:
    """Returns the folders with images in a folder, sorted."""
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return tuple(path.name for path in below if _images(path))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image(path.name) and path.is_file())


def _shape(folders: Sequence[Path], size: tuple[int, int] | None) -> tuple[int, ...]:
    """Returns the shape of what all images are made: coloured if one of those looked at is."""
    from PIL import Image

    sizes, coloured = set(), False
    for path in itertools.chain.from_iterable(_images(folder)[:_LOOKED_AT] for folder in folders):
        try:
            with Image.open(path) as image:
                sizes.add((image.height, image.width))
                coloured |= image.mode not in ("1", "L", "LA", "I", "I;16")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ProjectError(f"{path}: expected an image, got: {error}") from error
    first = next(iter(sizes))
    kept = first if len(sizes) == 1 and max(first) <= _MOST else (_USUAL, _USUAL)
    return (*(size or kept), *([3] if coloured else []))


def _sample(seen: Look) -> Iterator[tuple[str, bytes]]:
    """Yields the files that the project's test runs on: the first images of each class."""
    for split in filter(None, (seen.train, seen.evaluation)):
        for label in seen.labels:
            for path in seen.images(split, label)[:_SAMPLED]:
                yield str(Path("tests/data", split, label, path.name)), path.read_bytes()
