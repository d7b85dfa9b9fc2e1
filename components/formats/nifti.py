"""NIfTI files, versions 1 and 2: volumes of numbers with their place in the body, plain or gzipped.

A file has its axes in any order and direction; everything here is read in one: [depth, height, width], of
which depth goes from the feet to the head, height from the back to the front, and width from left to right
(RAS+ as nibabel calls it, the axes turned about). What is written has the axes of the scan again, with its
affine, sform, qform, codes and units bit for bit.

Format: nifti.nimh.nih.gov/nifti-1 (nifti1.h) and nifti-2 (nifti2.h).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import math
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.fileholders import FileHolder
from numpy.typing import NDArray

from components import files
from components.formats.errors import FormatError

_logger = logging.getLogger(__name__)

SUFFIXES: Final = (".nii", ".nii.gz", ".hdr", ".hdr.gz")
# By the length of the header, with which a file begins.
_KINDS: Final = {348: (nib.Nifti1Pair, nib.Nifti1Image), 540: (nib.Nifti2Pair, nib.Nifti2Image)}
_HEADER_BYTES: Final = max(_KINDS)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MAGICS: Final = (b"ni1\0", b"n+1\0", b"ni2\0", b"n+2\0")
# Of other formats that are named wrongly or given by mistake: where, what, and a name.
OTHERS: Final = (
    (128, b"DICM", "a DICOM file: dcm2niix makes NIfTI of a series"),
    (0, b"NRRD", "an NRRD file: Slicer or SimpleITK saves it as NIfTI"),
    (0, b"ObjectType", "a MetaImage file: SimpleITK saves it as NIfTI"),
    (0, b"version https://git-lfs", "a Git LFS pointer: `git lfs pull` fetches the file"),
    (0, b"\x89PNG", "a PNG image, which has no third axis"),
    (0, b"PK\x03\x04", "a zip archive: unpack it"),
    (0, b"<", "a page of HTML or XML"),
)
_NUM_AXES: Final = 3
# Voxels that are read at once where all are looked at.
_BLOCK_VOXELS: Final = 1 << 22
# Of a gzip file, decompressed at once.
_COPIED_BYTES: Final = 1 << 20
# From the axes of nibabel, x y z, to depth, height, width and back.
_TURNED: Final = (2, 1, 0)
# Of which positions of voxels in millimetres may differ between a scan and its mask.
_AFFINE_TOLERANCE: Final = 1e-3
# Millimetres by the code of a unit: none, which is taken for millimetres, metre, millimetre, micrometre.
_UNITS_MM: Final = (1.0, 1000.0, 1.0, 0.001)


class Box(NamedTuple):
    """Part of a volume in [depth, height, width]: from `start` to before `stop`."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(map(slice, self.start, self.stop))

    def cut(self, axis: int, first: int, last: int) -> Box:
        """Returns the box with other bounds along one axis."""
        start, stop = list(self.start), list(self.stop)
        start[axis], stop[axis] = first, last
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


class Volume:
    """A file whose header was read and found right; voxels are read when they are asked for.

    Raises FormatError where it is none, has colours, complex numbers, another number of axes than three
    (further ones of length 1 are dropped), no orientation, or no spacing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _format_errors(path):
            self._image = _open(path)
        self._header = self._image.header
        self.file_shape = _check_shape(path, self._header.get_data_shape())
        self._check_type()
        self.affine: NDArray[np.float64] = self._check_orientation()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of depth, height and width."""
        first, second, third = (self.file_shape[axis] for axis in self._file_axes)
        return first, second, third

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres between voxels along depth, height and width."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        first, second, third = (float(lengths[axis]) for axis in self._file_axes)
        return first, second, third

    @property
    def orientation(self) -> str:
        """Where the file's axes point to: "RAS", "LPI", …"""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def num_bytes(self) -> int:
        """Of all voxels, as they are stored, but for compression."""
        return math.prod(self.file_shape) * int(self._header.get_data_dtype().itemsize)

    @property
    def voxel_ml(self) -> float:
        """Millilitres of one voxel."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def whole(self) -> Box:
        """The box of all voxels."""
        return Box((0, 0, 0), self.shape)

    @cached_property
    def _file_axes(self) -> tuple[int, ...]:
        """The axis of the file for each of depth, height and width."""
        world = nib.io_orientation(self.affine)[:, 0]
        return tuple(int(np.flatnonzero(world == axis)[0]) for axis in _TURNED)

    @cached_property
    def _is_flipped(self) -> tuple[bool, ...]:
        """Whether the file goes the other way, for each of depth, height and width."""
        directions = nib.io_orientation(self.affine)[:, 1]
        return tuple(bool(directions[axis] < 0) for axis in self._file_axes)

    def read(self, box: Box | None = None) -> NDArray[Any]:
        """Returns voxels [depth, height, width]: as they are stored, or float32 where the header scales them.

        Only the planes of a box are held in memory. Raises FormatError for a file that is cut off, for a gzip
        file whose sum does not hold, and for voxels that are not finite.
        """
        wanted = (box or self.whole).slices
        in_file = [slice(None)] * _NUM_AXES
        for axis, part, flipped, size in zip(
            self._file_axes, wanted, self._is_flipped, self.shape, strict=True
        ):
            in_file[axis] = slice(size - part.stop, size - part.start) if flipped else part
        with _format_errors(self.path):
            stored = self._proxy[tuple(in_file)]
        first = [part.start or 0 for part in in_file]
        return self.from_file_axes(check_finite(self.path, self._scaled(stored), first))

    def blocks(self) -> Iterator[tuple[Box, NDArray[Any]]]:
        """Yields all voxels once, as `read` returns them, block by block in the order of the file."""
        axis = self._file_axes.index(_NUM_AXES - 1)
        size = self.shape[axis]
        step = max(1, _BLOCK_VOXELS * size // math.prod(self.shape))
        for first in range(0, size, step):
            low, high = first, min(first + step, size)
            if self._is_flipped[axis]:
                low, high = size - high, size - low
            box = self.whole.cut(axis, low, high)
            yield box, self.read(box)

    def placed_as(self, scan: Volume) -> Volume:
        """Returns this mask with the place of a scan of as many voxels, whatever its own header says."""
        placed = Volume(self.path)
        placed.affine = scan.affine
        return placed

    def read_labels(self, values: Sequence[int]) -> NDArray[np.uint8]:
        """Returns the place in `values` of each voxel, uint8[depth, height, width].

        Labels may be stored as any numbers, if whole ones. Raises FormatError for another value.
        """
        found = self.read()
        ids = np.full(found.shape, len(values), np.uint8)
        for place, value in enumerate(values):
            ids[found == value] = place
        if wrong := np.argwhere(ids == len(values))[:1].tolist():
            where = tuple(wrong[0])
            raise FormatError(
                f"{self.path}: expected labels {', '.join(map(str, values))}, got {found[where]:g} "
                f"at voxel {self._file_index(where)}"
            )
        return ids

    def from_file_axes(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Returns an array of the file's axes as [depth, height, width]; a view."""
        turned = np.transpose(voxels, self._file_axes)
        return turned[tuple(slice(None, None, -1 if flipped else 1) for flipped in self._is_flipped)]

    def to_file_axes(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Returns [depth, height, width] in the file's axes; a view. The inverse of `from_file_axes`."""
        turned = voxels[tuple(slice(None, None, -1 if flipped else 1) for flipped in self._is_flipped)]
        return np.transpose(turned, np.argsort(self._file_axes))

    def check_matches(self, scan: Volume) -> None:
        """Raises FormatError unless this mask has the shape and the place of a scan."""
        if self.file_shape != scan.file_shape:
            raise FormatError(
                f"{self.path}: expected {_times(scan.file_shape)} voxels as {scan.path.name} has, "
                f"got {_times(self.file_shape)}"
            )
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(scan.file_shape) - 1)
        moved = nib.affines.apply_affine(self.affine, corners) - nib.affines.apply_affine(
            scan.affine, corners
        )
        distance = float(np.linalg.norm(moved, axis=1).max())
        if distance > _AFFINE_TOLERANCE * max(1.0, *scan.spacing_mm):
            raise FormatError(
                f"{self.path}: expected the place of {scan.path.name}, got corners {distance:.3g} mm away"
            )

    def write_labels(self, path: Path, labels: NDArray[np.uint8]) -> None:
        """Writes uint8[depth, height, width] as a mask of this scan, gzipped if the name ends in .gz.

        It has the scan's axes, affine, sform, qform with their codes, and units.
        """
        header = self._header.copy()
        header.set_data_dtype(np.uint8)
        header.set_slope_inter(1, 0)
        header["cal_min"], header["cal_max"] = 0, 0
        voxels = np.ascontiguousarray(self.to_file_axes(labels).T).T.reshape(header.get_data_shape())
        single = _KINDS[int(header["sizeof_hdr"])][1]
        header["magic"] = single.header_class().default_structarr()["magic"]
        header.set_data_offset(0)
        # Without an affine, that of the header stays as it is written there.
        content = single(voxels, None, single.header_class(header.binaryblock, header.endianness)).to_bytes()
        if path.name.lower().endswith(".gz"):
            # Without a time, so that equal masks are equal files.
            content = gzip.compress(content, mtime=0)
        files.write_bytes(str(path), content)

    def _file_index(self, index: Sequence[int]) -> tuple[int, ...]:
        """Returns where a voxel of [depth, height, width] is in the file's axes."""
        in_file = [0] * _NUM_AXES
        for axis, flipped, place, size in zip(
            self._file_axes, self._is_flipped, index, self.shape, strict=True
        ):
            in_file[axis] = size - 1 - place if flipped else place
        return tuple(in_file)

    @property
    def _proxy(self) -> ArrayProxy:
        proxy = self._image.dataobj
        spec = (self.file_shape, self._header.get_data_dtype(), proxy.offset, 1.0, 0.0)
        return ArrayProxy(self._unpacked, spec)

    @cached_property
    def _unpacked(self) -> IO[bytes]:
        """The file with the voxels; of a gzip file, in which no way leads back, a copy without a name."""
        packed: IO[bytes] = self._image.dataobj.file_like
        if not isinstance(packed, gzip.GzipFile):
            return packed
        unpacked = tempfile.TemporaryFile()  # noqa: SIM115
        packed.seek(0)
        shutil.copyfileobj(packed, unpacked, _COPIED_BYTES)
        return unpacked

    def _scaled(self, stored: NDArray[Any]) -> NDArray[Any]:
        # nibabel keeps them there, 1 and 0 where the header has a slope of 0 or none, and not in its header.
        slope, intercept = self._image.dataobj.slope, self._image.dataobj.inter
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        if (slope, intercept) == (1.0, 0.0):
            return native
        return native * np.float32(slope) + np.float32(intercept)

    def _check_type(self) -> None:
        dtype = self._header.get_data_dtype()
        if dtype.kind not in "iuf":
            got = "colours" if dtype.kind == "V" else "complex numbers"
            raise FormatError(f"{self.path}: expected a number for each voxel, got {got}")

    def _check_orientation(self) -> NDArray[np.float64]:
        """Returns the affine in millimetres: the sform's, or else the qform's."""
        header = self._header
        if not (int(header["sform_code"]) or int(header["qform_code"])):
            raise FormatError(
                f"{self.path}: expected an orientation, got sform and qform with code 0; "
                "a viewer that shows it rightly can save it with one"
            )
        with _format_errors(self.path):
            affine = np.asarray(header.get_best_affine(), np.float64)
        scale = self._unit_mm()
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or lengths.min() <= 0 or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise FormatError(f"{self.path}: expected a spacing above 0, got {_times(lengths.round(4))}")
        self._warn_of_two_places(affine)
        return np.diag([scale, scale, scale, 1.0]) @ affine

    def _unit_mm(self) -> float:
        code = int(self._header["xyzt_units"]) % 8
        if code >= len(_UNITS_MM):
            raise FormatError(f"{self.path}: expected metres, millimetres or micrometres, got unit {code}")
        return _UNITS_MM[code]

    def _warn_of_two_places(self, affine: NDArray[np.float64]) -> None:
        header = self._header
        if not (int(header["sform_code"]) and int(header["qform_code"])):
            return
        with contextlib.suppress(ValueError, nib.spatialimages.HeaderDataError):
            if not np.allclose(header.get_qform(), affine, atol=1e-2):
                _logger.warning("%s: sform and qform differ; the sform counts", self.path)


def check_finite(path: Path, voxels: NDArray[Any], start: Sequence[int]) -> NDArray[Any]:
    """Returns the voxels of a box of a file; raises FormatError for one that is infinite or no number.

    `start`: where the box starts, in the axes of the file and of the voxels.
    """
    if voxels.dtype.kind == "f" and not (finite := np.isfinite(voxels)).all():
        inside = np.argwhere(~finite)[0]
        place = tuple((inside + start).tolist())
        raise FormatError(f"{path}: expected finite voxels, got {voxels[tuple(inside)]} at voxel {place}")
    return voxels


def files_of(header: Path) -> list[Path]:
    """Returns the files of a volume: one; of a .hdr also that with its voxels, if it is there."""
    if not header.name.lower().endswith((".hdr", ".hdr.gz")):
        return [header]
    return [header, *(path for path in _images_of_pair(header) if path.is_file())]


def is_nifti_name(name: str) -> bool:
    """Whether a file is named like one: "ct.nii.gz"; of a pair, the header counts."""
    return name.lower().endswith(SUFFIXES)


def _open(path: Path) -> Any:
    """Returns nibabel's image of a file, or of the two files of a pair."""
    start = _read_start(path)
    size = int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")
    kinds = next((_KINDS[each] for each in size if each in _KINDS), None)
    magic = start[344:348] if kinds and kinds is _KINDS[348] else start[4:8]
    if kinds is None or magic not in _MAGICS or len(start) < kinds[0].header_class.sizeof_hdr:
        raise FormatError(f"{path}: expected a NIfTI file, got {_what_else(start)}")
    pair, single = kinds
    header_class = (single if magic.startswith(b"n+") else pair).header_class
    _check_as_stored(path, header_class(start[: header_class.sizeof_hdr], check=False))
    holder = FileHolder(filename=str(path), fileobj=_stream(path))
    if magic.startswith(b"n+"):
        return single.from_file_map({"header": holder, "image": holder})
    voxels = _image_of_pair(path)
    return pair.from_file_map({"header": holder, "image": FileHolder(str(voxels), _stream(voxels))})


def _check_as_stored(path: Path, header: Any) -> None:
    """Raises FormatError for what nibabel mends without a word, or reads wrongly."""
    if header.is_single and header["vox_offset"] < header.single_vox_offset:
        offset = int(header["vox_offset"])
        raise FormatError(f"{path}: expected voxels after the header, got them at byte {offset}")
    # Where there is no other place, its spacing counts.
    if not int(header["sform_code"]) and int(header["qform_code"]) and not (header["pixdim"][1:4] > 0).all():
        raise FormatError(f"{path}: expected a pixdim above 0, got {_times(header['pixdim'][1:4])}")


def _read_start(path: Path) -> bytes:
    with _stream(path) as stream:
        return stream.read(_HEADER_BYTES)


def _what_else(start: bytes) -> str:
    for offset, magic, name in OTHERS:
        if start[offset : offset + len(magic)].lower() == magic.lower():
            return name
    if len(start) >= 348 and 348 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
        return "an ANALYZE file, which has no orientation"
    return f"{len(start)} bytes" if len(start) < _HEADER_BYTES else f"one that begins with {start[:8]!r}"


def _image_of_pair(path: Path) -> Path:
    """Returns the file with the voxels of a header: "a.hdr" -> "a.img", gzipped or not."""
    found = _images_of_pair(path)
    present = [each for each in found if each.is_file()]
    if not present:
        raise FormatError(f"{path}: expected {found[0].name} beside it, which has its voxels, got none")
    return present[0]


def _images_of_pair(path: Path) -> list[Path]:
    name = path.name.removesuffix(".gz").removesuffix(".hdr")
    return [path.with_name(f"{name}{suffix}") for suffix in (".img", ".img.gz")]


def _stream(path: Path) -> io.BufferedIOBase:
    """Opens a file; gzipped or not by its content, since names are often wrong."""
    stream = path.open("rb")
    is_gzip = stream.read(2) == _GZIP_MAGIC
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if is_gzip else stream


def _check_shape(path: Path, shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) < _NUM_AXES or math.prod(shape[_NUM_AXES:]) != 1:
        too_many = len(shape) > _NUM_AXES
        hint = (
            "one channel or time at a time can be read" if too_many else "one file has all slices of a scan"
        )
        raise FormatError(f"{path}: expected three axes, got {_times(shape)} voxels; {hint}")
    first, second, third = (int(size) for size in shape[:_NUM_AXES])
    if not min(first, second, third):
        raise FormatError(f"{path}: expected voxels, got {_times(shape)}")
    return first, second, third


def _times(sizes: Any) -> str:
    return "×".join(f"{size:g}" for size in sizes)


@contextlib.contextmanager
def _format_errors(path: Path) -> Iterator[None]:
    """Turns what nibabel, zlib and the system say of a file into one line."""
    try:
        yield
    except FormatError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"{path}: expected a whole gzip file, got one that is cut off or damaged"
        ) from error
    except OSError as error:
        # nibabel's own words for a file with too few bytes have no number.
        reason = error.strerror if error.errno else "a file that is cut off"
        raise FormatError(f"{path}: cannot be read: {reason}") from error
    except (ValueError, nib.spatialimages.HeaderDataError, nib.filebasedimages.ImageFileError) as error:
        raise FormatError(f"{path}: expected a NIfTI file, got: {' '.join(str(error).split())}") from error
