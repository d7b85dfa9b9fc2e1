"""Questions about scans in files, and masks of them as answers."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import nibabel as nib
import numpy as np

from components import files
from components.asking.classes import label_names
from components.errors import UserError
from components.features import CLASS_NAMES, IMAGE, LABEL, NIFTI_BYTES, SHAPE, SPACING_MM, VOLUMES_ML
from components.formats.errors import FormatError, unreadable
from components.formats.nifti import Box, Volume, is_nifti_name
from components.formats.npy_volume import SUFFIX as NPY
from components.formats.npy_volume import NpyVolume
from components.protocols import (
    Entry,
    Fields,
    Given,
    Occlusion,
    Preprocessing,
    Question,
    Record,
    Reply,
    Source,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.pictures import Scan
    from components.protocols import Arrays

_COMPRESSED: Final = ".nii.gz"
_SINGLE: Final = (_COMPRESSED, ".nii")
_PAIRS: Final = (".hdr", ".hdr.gz")
# Of voxels in a file that a graph reads: TensorFlow unpacks no more.
_MOST_BYTES: Final = 2**31 - 1 - 2**16
# As LiTS names them.
_SCAN, _MASK = "volume-", "segmentation-"
# Class 0.
_BACKGROUND: Final = "background"
# To see what an answer hangs on: planes around the one that shows most, and squares along each side.
_PLANES: Final = 16
_SQUARES: Final = 4
# Beside the masks of several scans.
TABLE: Final = "volumes.csv"
# Millilitres without a place behind the point.
_MANY_ML: Final = 10


class NotScans(UserError):
    """What is no scan, or an answer that is no mask, or a place where masks cannot be."""


class _Inputs(Mapping[str, "NDArray[Any]"]):
    """Inputs that are read whenever they are asked for, since many scans do not fit into memory."""

    def __init__(self, **readers: Callable[[], NDArray[Any]]) -> None:
        self._readers = readers

    def __getitem__(self, key: str) -> NDArray[Any]:
        return self._readers[key]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclass(frozen=True)
class VolumeAsking:
    """Asks for the mask of a scan, and the volume of each class in it."""

    # Taken from the task.
    source: Source | None = None

    takes = "a .nii or .nii.gz file, or a folder of them"
    entry = Entry("file", _SINGLE)
    fields: ClassVar[Fields] = {SPACING_MM: "value"}
    sample = Given()

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> VolumeAsking:
        return replace(self, source=source)

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields a question for each scan, whose header was checked; raises UserError.

        Of a NIfTI file the model gets the bytes; of one of 2 GiB and more, of a .hdr with its .img, and of a
        .npy array of [depth, height, width], whose spacing is a field, voxels and spacing.
        """
        others = [f"--text {text}" for text in given.texts]
        for other in [*others, *([f"--pairs {given.rows}"] if given.rows else [])]:
            raise NotScans(f"{other}: expected {self.takes}")
        for path in (path for text in given.inputs for path in _scans(Path(text))):
            yield self._question(path, given.fields.get(SPACING_MM))

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        """Yields the volumes of classes in ml, and the mask uint8[depth, height, width], of each scan."""
        if missing := {LABEL, VOLUMES_ML} - outputs.keys():
            got = ", ".join(sorted(outputs))
            raise NotScans(f"expected outputs {', '.join(sorted(missing))}, got {got}")
        for row, name in enumerate(question.names):
            label = np.asarray(outputs[LABEL][row], np.uint8)
            if NIFTI_BYTES in question.inputs:
                scan = Volume(Path(name))
                arrays = {LABEL: _turned(scan, label), SPACING_MM: np.array(scan.spacing_mm)}
            else:
                arrays = {LABEL: label, SPACING_MM: question.inputs[SPACING_MM][row]}
            volumes_ml = outputs[VOLUMES_ML][row]
            names = outputs[CLASS_NAMES][row] if CLASS_NAMES in outputs else self._names(len(volumes_ml))
            yield _reply(name, dict(zip(map(_text, names), volumes_ml.tolist(), strict=True)), arrays)

    @contextmanager
    def writing(self, out: Path, names: Sequence[str] = ()) -> Iterator[Callable[[Reply], None]]:
        """Yields what writes a scan's mask, with the scan's axes and place.

        To the file `out`, or into it as a folder, each under the name of its scan, with a table of volumes
        once all are there. Raises NotScans where one mask would be another, or a scan.
        """
        if self.is_file(out):
            _check_targets([out] * len(names), names)
            yield lambda reply: _write_mask(reply, out)
            return
        targets = {name: out / _mask_name(Path(name)) for name in names}
        _check_targets(list(targets.values()), names)
        told: list[Reply] = []

        def add(reply: Reply) -> None:
            _write_mask(reply, targets[reply.name])
            told.append(reply._replace(arrays={}))

        yield add
        files.write_text(str(out / TABLE), _table(told, targets))

    def is_file(self, out: Path) -> bool:
        """Whether masks go to one file: "liver.nii.gz"."""
        return out.name.lower().endswith((*_SINGLE, NPY))

    @contextmanager
    def drawing(self, path: Path) -> Iterator[Callable[[Reply], None]]:
        """Yields what draws a scan with its mask; several are on one sheet, which appears at the end."""
        from components import pictures

        drawn: list[tuple[str, bytes]] = []

        def add(reply: Reply) -> None:
            drawn.append((reply.name, self._picture(reply)))

        yield add
        content = drawn[0][1] if len(drawn) == 1 else pictures.contact_sheet(drawn)
        files.write_bytes(str(path), content)

    def written(self, record: Record, stem: Path) -> Given:
        """Writes the volume as NIfTI: "lits" -> Given(["lits.nii.gz"])."""
        shape, spacing = (cast("Sequence[float]", record[key]) for key in (SHAPE, SPACING_MM))
        voxels = np.frombuffer(cast(bytes, record[IMAGE]), "<i2").reshape([int(size) for size in shape])
        path = stem.with_name(f"{stem.name}{_COMPRESSED}")
        image = nib.Nifti1Image(voxels.T, np.diag([*reversed(spacing), 1.0]))
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return Given([str(path)])

    def _question(self, path: Path, spacing: str | None) -> Question:
        if path.suffix.lower() == NPY:
            known = getattr(self.source, "npy_spacing_mm", None) if spacing is None else None
            array = NpyVolume(path, known or _spacing(path, spacing))
            return _voxels_question(array, Box((0, 0, 0), array.shape))
        scan = Volume(path)
        if path.name.lower().endswith(_PAIRS) or scan.num_bytes > _MOST_BYTES:
            return _voxels_question(scan, scan.whole)
        return Question("nifti", _Inputs(**{NIFTI_BYTES: lambda: _whole_file(scan)}), [str(path)])

    def slices(self, reply: Reply, most: int) -> list[bytes]:
        """Returns axial slices from the feet to the head, with the contours of the mask."""
        from components import pictures

        return pictures.axial(_scan(reply), most)

    def occluded(self, question: Question, reply: Reply) -> Occlusion | None:
        """Returns planes around the one that shows most, and with squares through them made their mean.

        A drop is the share of voxels in that plane, of the rarest class there and outside the square, that
        get another class. None where the mask is empty.
        """
        from components import pictures

        scan = _scan(reply)
        voxel = pictures.voxel_of_interest(scan)
        place, label = voxel[0], int(reply.arrays[LABEL][voxel])
        if not label:
            return None
        planes = _around(place, scan.image.shape[0])
        slab = np.asarray(scan.image[planes], np.float32)
        squares = list(_squares(slab.shape[1:]))
        rows = np.stack([slab, *(_flattened(slab, square) for square in squares)])
        spacing = np.tile(np.array(scan.spacing_mm, np.float32), (len(rows), 1))

        def drops(replies: Sequence[Reply]) -> list[float]:
            whole, *others = (each.arrays[LABEL][place - planes.start] == label for each in replies)
            return [_lost(whole, *pair) for pair in zip(others, squares, strict=True)]

        asked = Question("segment_float", {IMAGE: rows, SPACING_MM: spacing}, [""] * len(rows))
        name = (_BACKGROUND, *reply.values[VOLUMES_ML])[label]
        how = (
            f"One square at a time, through {len(slab)} planes around this one, was made its mean. "
            f"What counts is the {name} outside the square in this plane."
        )
        picture = pictures.axial_plane(scan, place)
        return Occlusion(asked, drops, how, f"voxels of {name}", picture=picture)

    def _picture(self, reply: Reply) -> bytes:
        from components import pictures

        return pictures.planes(_scan(reply), (_BACKGROUND, *reply.values[VOLUMES_ML]))

    def _names(self, count: int) -> Sequence[str]:
        """Returns the task's names of so many classes but 0; numbers where it has others."""
        names = label_names(self.source)[1:]
        return names if len(names) == count else [f"class {number}" for number in range(1, count + 1)]


def _around(place: int, count: int) -> slice:
    """Returns the planes around one of so many."""
    start = max(0, min(place - _PLANES // 2, count - _PLANES))
    return slice(start, min(start + _PLANES, count))


def _squares(shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Yields where the squares of a plane are, row by row as pictures show it: from the ends of the axes."""
    down, across = (np.linspace(size, 0, _SQUARES + 1).round().astype(int).tolist() for size in shape)
    for end_down, start_down in itertools.pairwise(down):
        for end_across, start_across in itertools.pairwise(across):
            yield slice(start_down, end_down), slice(start_across, end_across)


def _flattened(slab: NDArray[np.float32], square: tuple[slice, slice]) -> NDArray[np.float32]:
    flat = slab.copy()
    flat[:, square[0], square[1]] = slab[:, square[0], square[1]].mean()
    return flat


def _lost(whole: NDArray[np.bool_], other: NDArray[np.bool_], square: tuple[slice, slice]) -> float:
    """Returns the share of a mask outside a square that another one lacks; 0 where there is none."""
    outside = whole.copy()
    outside[square] = False
    return float((outside & ~other).sum() / max(outside.sum(), 1))


def _scan(reply: Reply) -> Scan:
    """Returns the scan that was asked about, with the mask that is the answer."""
    from components.pictures import Scan

    path, spacing_mm = Path(reply.name), reply.arrays[SPACING_MM].tolist()
    is_array = path.suffix.lower() == NPY
    voxels = np.load(path, mmap_mode="r") if is_array else Volume(path).read()
    return Scan(voxels, spacing_mm, answer=reply.arrays[LABEL])


def _reply(name: str, volumes_ml: Mapping[str, float], arrays: Arrays) -> Reply:
    shown = {key: f"{ml:,.{0 if ml >= _MANY_ML else 1}f} ml" for key, ml in volumes_ml.items()}
    return Reply(
        name=name,
        values={VOLUMES_ML: dict(volumes_ml)},
        sentence=", ".join(f"{key} {ml}" for key, ml in shown.items()),
        cells={f"{key}>": ml for key, ml in shown.items()},
        arrays=arrays,
    )


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _scans(path: Path) -> list[Path]:
    """Returns the scan, or those of a folder by name; raises FormatError for none.

    Masks as LiTS names them are left out where their scans are: "segmentation-0.nii" beside "volume-0.nii".
    """
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if is_nifti_name(each.name) and each.name[0] != ".")
    if not found:
        raise FormatError(f"{path}: expected .nii or .nii.gz files, got none")
    numbers = [each.name.removeprefix(_SCAN) for each in found if each.name.startswith(_SCAN)]
    masks = {f"{_MASK}{number}" for number in numbers}
    return [each for each in found if each.name not in masks]


def _voxels_question(scan: Volume | NpyVolume, box: Box) -> Question:
    inputs = _Inputs(
        image=lambda: scan.read(box).astype(np.float32)[np.newaxis],
        spacing_mm=lambda: np.array([scan.spacing_mm], np.float32),
    )
    return Question("segment_float", inputs, [str(scan.path)])


def _spacing(path: Path, text: str | None) -> Sequence[float]:
    """Returns what "5,0.7,0.7" says; raises NotScans for what are not three lengths."""
    try:
        lengths = [float(number) for number in (text or "").split(",")]
    except ValueError:
        lengths = []
    if len(lengths) != 3 or not all(0 < length < np.inf for length in lengths):
        expected = f"--{SPACING_MM} 5,0.7,0.7, its spacing in mm along depth, height and width"
        raise NotScans(f"{path}: expected {expected}, got {text or 'none'}")
    return lengths


def _whole_file(scan: Volume) -> NDArray[Any]:
    """Returns object[1], the bytes of a file whose voxels were read and found right."""
    scan.read()
    try:
        return np.array([scan.path.read_bytes()], object)
    except OSError as error:
        raise unreadable(scan.path, error) from error


def _turned(scan: Volume, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns labels of the file's axes as [depth, height, width]."""
    if label.size != np.prod(scan.file_shape):
        expected, got = ("×".join(map(str, shape)) for shape in (scan.file_shape, label.shape))
        raise NotScans(f"{scan.path}: expected a label for each of {expected} voxels, got {got}")
    return scan.from_file_axes(label.reshape(scan.file_shape))


def _mask_name(path: Path) -> str:
    """Returns the name of a scan's mask: "ct.hdr" -> "ct.nii.gz"."""
    if path.suffix.lower() == NPY:
        return path.name
    lower = path.name.lower()
    suffix = next((each for each in (*_SINGLE, *reversed(_PAIRS)) if lower.endswith(each)), "")
    return f"{path.name[: len(path.name) - len(suffix)]}{_COMPRESSED}"


def _check_targets(targets: Sequence[Path], names: Sequence[str]) -> None:
    """Raises NotScans where two masks would be one file, or a mask would take the place of a scan."""
    scans = {Path(name).resolve() for name in names}
    taken: dict[Path, str] = {}
    for target, name in zip(targets, names, strict=True):
        if target.resolve() in scans:
            raise NotScans(f"{target}: expected another place than the scan's, which the mask would replace")
        if (other := taken.setdefault(target, name)) != name:
            raise NotScans(f"{target}: expected one scan, got {other} and {name}; a folder takes several")
        is_array = Path(name).suffix.lower() == NPY
        if is_array != (target.suffix.lower() == NPY):
            raise NotScans(f"{target}: expected a name that ends in {NPY if is_array else _COMPRESSED}")


def _write_mask(reply: Reply, path: Path) -> None:
    label = reply.arrays[LABEL]
    if path.suffix.lower() != NPY:
        Volume(Path(reply.name)).write_labels(path, label)
        return
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(label))
    files.write_bytes(str(path), content.getvalue())


def _table(replies: Sequence[Reply], targets: Mapping[str, Path]) -> str:
    """Returns CSV: "scan,mask,liver_ml,tumour_ml", and a line a scan."""
    classes = list(replies[0].values[VOLUMES_ML]) if replies else []
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scan", "mask", *(f"{name}_ml" for name in classes)])
    for reply in replies:
        volumes = (f"{volume:.3f}" for volume in reply.values[VOLUMES_ML].values())
        writer.writerow([reply.name, targets[reply.name].name, *volumes])
    return text.getvalue()
