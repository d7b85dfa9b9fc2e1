"""Which files of a folder are scans, and which are their masks: folders as people keep and download them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from components import files
from components.formats import nifti, npy_volume
from components.formats.errors import FormatError, unreadable
from components.sources import finding

_NUMBERED: Final = "volume-N.nii[.gz] with segmentation-N.nii[.gz]"
_NUMBERED_NPY: Final = "volume-N.npy with segmentation-N.npy"
_DECATHLON: Final = "imagesTr with labelsTr"
_PAIRS: Final = "a list of pairs as source.pairs_file"
LOOKED_FOR: Final = (_NUMBERED, _NUMBERED_NPY, _DECATHLON, _PAIRS)

_IMAGES: Final = "imagesTr"
_LABELS: Final = "labelsTr"
# Not read here, but refused with what would help, rather than overlooked.
_OTHER_SUFFIXES: Final = (".nrrd", ".mha", ".mhd", ".dcm")
# As nnU-Net numbers the channels of a scan.
_CHANNEL: Final = re.compile(r"(?P<case>.+)_\d{4}")
_COLUMNS: Final = ("image", "label")


class Case(NamedTuple):
    """A scan with its mask; or what is wrong with its files."""

    name: str
    image: Path | None
    label: Path | None
    fault: str = ""

    @property
    def paths(self) -> list[Path]:
        """The files that are there."""
        found = [path for path in (self.image, self.label) if path is not None]
        return [each for path in found for each in nifti.files_of(path) if each.is_file()]


class Layout(NamedTuple):
    """The cases of a folder, by name."""

    kind: str
    cases: Sequence[Case]
    # What says more about them: dataset.json, or the list of pairs.
    description: Path | None = None


class Declared(NamedTuple):
    """The classes that a dataset.json declares."""

    names: tuple[str, ...]
    values: tuple[int, ...]


def find_layout(directory: str, pairs_file: str | None) -> Layout:
    """Returns the cases in a folder or one folder below; raises FormatError for none and several layouts."""
    finding.check_folder(directory, " or ".join(LOOKED_FOR))
    if pairs_file is not None:
        return _listed(Path(directory), pairs_file)
    candidates = [*_numbered(directory), *_decathlon(directory)]
    found = [layout for layout in candidates if layout.cases]
    if not found:
        _check_no_others(directory)
        raise finding.missing(directory, LOOKED_FOR)
    if len(found) > 1:
        kinds = " and ".join(f"{layout.kind} ({len(layout.cases)})" for layout in found)
        raise FormatError(f"{directory}: expected one layout, or source.pairs_file to tell, got {kinds}")
    return found[0]


def declared(path: Path) -> Declared:
    """Returns the classes of a dataset.json, by their values, written as number → name or name → number.

    Raises FormatError for several channels, and for classes that are not one number each.
    """
    content = _json(path)
    channels = content.get("channel_names") or content.get("modality") or {}
    if len(channels) > 1:
        got = ", ".join(map(str, channels.values() if isinstance(channels, Mapping) else channels))
        raise FormatError(f"{path}: expected one channel, got {len(channels)}: {got}")
    labels = content.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise FormatError(f"{path}: labels: expected a number for each name, got {labels!r}")
    pairs = sorted(_value_and_name(path, key, value) for key, value in labels.items())
    return Declared(tuple(name for _, name in pairs), tuple(value for value, _ in pairs))


def stem(name: str) -> str:
    """Returns a file's name without what its format adds: "liver_0.nii.gz" -> "liver_0"."""
    suffixes = sorted((*nifti.SUFFIXES, npy_volume.SUFFIX, *_OTHER_SUFFIXES), key=len, reverse=True)
    found = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(found)]


def _check_no_others(directory: str) -> None:
    """Raises FormatError for files of another format, such as a series of DICOM, that lie there."""
    folders = [name for name in finding.names(directory) if os.path.isdir(os.path.join(directory, name))]
    for location in finding.find(directory, lambda name: name.lower().endswith(_OTHER_SUFFIXES), folders)[:1]:
        nifti.Volume(Path(location))


def _numbered(directory: str) -> Iterator[Layout]:
    for kind, suffixes in (
        (_NUMBERED, (*nifti.SUFFIXES, *_OTHER_SUFFIXES)),
        (_NUMBERED_NPY, (npy_volume.SUFFIX,)),
    ):
        endings = "|".join(map(re.escape, suffixes))
        pattern = re.compile(rf"(volume|segmentation)-([\w-]+?)({endings})", re.IGNORECASE)
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for location in finding.find(directory, pattern.fullmatch, _below(directory, pattern)):
            match = pattern.fullmatch(os.path.basename(location))
            if match:
                found[match[2]][match[1].lower()].append(location)
        wanted = kind.split(" with ")
        cases = [
            _case(
                f"volume-{key}",
                (each["volume"], each["segmentation"]),
                [name.replace("N", key, 1) for name in wanted],
            )
            for key, each in sorted(found.items(), key=lambda item: _in_order(item[0]))
        ]
        yield Layout(kind, cases)


def _below(directory: str, pattern: re.Pattern[str]) -> list[str]:
    """Returns the folders in which files may lie, too, as downloads have them."""
    return [
        name
        for name in finding.names(directory)
        if os.path.isdir(os.path.join(directory, name))
        # A folder with a file's name is that file, unpacked.
        and not pattern.fullmatch(name)
        and not name.startswith((".", "images", "labels"))
    ]


def _in_order(key: str) -> tuple[int, str]:
    return (int(key) if key.isdecimal() else -1, key)


def _decathlon(directory: str) -> Iterator[Layout]:
    for name in (".", *finding.names(directory)):
        root = Path(directory, name)
        if (root / _IMAGES).is_dir():
            described = root / "dataset.json"
            yield Layout(_DECATHLON, _decathlon_cases(root), described if described.is_file() else None)


def _decathlon_cases(root: Path) -> list[Case]:
    labels = _by_stem(root / _LABELS)
    images: dict[str, list[str]] = defaultdict(list)
    for key, paths in _by_stem(root / _IMAGES).items():
        channel = None if key in labels else _CHANNEL.fullmatch(key)
        images[channel["case"] if channel else key] += paths
    return [
        _case(
            key,
            (images.get(key, []), labels.get(key, [])),
            [f"{_IMAGES}/{key}.nii.gz", f"{_LABELS}/{key}.nii.gz"],
        )
        for key in sorted({*images, *labels})
    ]


def _by_stem(folder: Path) -> dict[str, list[str]]:
    suffixes = (*nifti.SUFFIXES, *_OTHER_SUFFIXES)
    found: dict[str, list[str]] = defaultdict(list)
    # Not those that begin with a dot, which macOS adds to archives.
    for location in finding.find(
        str(folder), lambda name: name.lower().endswith(suffixes) and name[0] != "."
    ):
        found[stem(os.path.basename(location))].append(location)
    return found


def _case(name: str, found: tuple[list[str], list[str]], wanted: Sequence[str]) -> Case:
    """Returns a case of the one scan and the one mask that were found, or what is wrong."""
    images, labels = found
    image, label = (Path(each[0]) if each else None for each in found)
    if image is None:
        return Case(name, image, label, f"{label}: expected the scan {wanted[0]}, got none")
    if len(images) > 1:
        what = (
            "channel" if all(_CHANNEL.fullmatch(stem(os.path.basename(each))) for each in images) else "scan"
        )
        return Case(name, image, label, f"{image}: expected one {what} of case {name}, got {_names(images)}")
    if label is None:
        return Case(name, image, label, f"{image}: expected the mask {wanted[1]}, got none")
    if len(labels) > 1:
        return Case(name, image, label, f"{label}: expected one mask of case {name}, got {_names(labels)}")
    return Case(name, image, label)


def _names(locations: Sequence[str]) -> str:
    names = [os.path.basename(each) for each in locations]
    # Those of one name lie in several folders.
    return " and ".join(names if len(set(names)) == len(names) else locations)


def _listed(directory: Path, pairs_file: str) -> Layout:
    path = directory / pairs_file
    try:
        reader = csv.DictReader(io.StringIO(files.read_text(str(path)).removeprefix("\ufeff"), newline=""))
        rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, csv.Error) as error:
        raise FormatError(f"{path}: expected a CSV file, got: {error}") from error
    columns = [column for column in reader.fieldnames or () if column]
    if missing := [column for column in _COLUMNS if column not in columns]:
        got = ",".join(columns) or "none"
        raise FormatError(f"{path}: expected a first line image,label, got no {missing[0]} in {got}")
    cases = [_listed_case(f"{path}: line {line}", directory, row) for line, row in rows]
    _check_names(path, cases)
    return Layout(_PAIRS, cases, path)


def _listed_case(where: str, directory: Path, row: Mapping[str, str | None]) -> Case:
    image, label = ((row[column] or "").strip() for column in _COLUMNS)
    name = stem(os.path.normpath(image))
    for column, value in zip(_COLUMNS, (image, label), strict=True):
        if not (directory / value).is_file():
            return Case(
                name,
                directory / image,
                directory / label,
                f"{where}: {column}: expected a file, got {value!r}",
            )
    return Case(name, directory / image, directory / label)


def _check_names(path: Path, cases: Sequence[Case]) -> None:
    if not cases:
        raise FormatError(f"{path}: expected at least one pair, got none")
    names = [case.name for case in cases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FormatError(f"{path}: expected each image once, got {twice!r} twice")


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(files.read_text(str(path)))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise FormatError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(content, Mapping):
        raise FormatError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def _value_and_name(path: Path, key: str, value: Any) -> tuple[int, str]:
    """Returns ("1", "liver") or ("liver", 1) as (1, "liver")."""
    number, name = (key, value) if key.isdecimal() else (value, key)
    if isinstance(number, bool) or not str(number).isdecimal() or not isinstance(name, str):
        raise FormatError(f"{path}: labels: expected a number for each name, got {value!r} for {key!r}")
    return int(number), name
