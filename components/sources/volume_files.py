"""A scan's file and its mask's, whose headers fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from components.formats import npy_volume
from components.formats.errors import FormatError
from components.formats.nifti import Box, Volume
from components.formats.npy_volume import NpyVolume
from components.formats.resampling import Shape


class VoxelFile(Protocol):
    """A file with a volume whose header was read."""

    path: Path

    @property
    def shape(self) -> Shape:
        """Voxels of depth, height and width."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres between them."""

    def read(self, box: Box) -> NDArray[Any]:
        """Returns the voxels of a box, [depth, height, width]; raises FormatError."""

    def blocks(self) -> Iterator[tuple[Box, NDArray[Any]]]:
        """Yields all voxels once, in the order of the file; raises FormatError."""


class Files(NamedTuple):
    """A scan and its mask, of one shape."""

    scan: VoxelFile
    mask: VoxelFile


def open_files(image: Path, label: Path, npy_spacing_mm: Sequence[float] | None, *, by_voxels: bool) -> Files:
    """Returns a scan and its mask; raises FormatError where one is bad, or they do not match.

    `by_voxels`: the mask has the scan's voxels, wherever its header says that it lies.
    """
    is_npy = [path.name.lower().endswith(npy_volume.SUFFIX) for path in (image, label)]
    if not any(is_npy):
        return _nifti(image, label, by_voxels)
    if not all(is_npy):
        raise FormatError(f"{label}: expected a file of the format of {image.name}")
    if npy_spacing_mm is None:
        raise FormatError(
            f"{image}: expected source.npy_spacing_mm, since .npy files have no spacing, got none"
        )
    scan, mask = NpyVolume(image, npy_spacing_mm), NpyVolume(label, npy_spacing_mm)
    mask.check_matches(scan)
    return Files(scan, mask)


def _nifti(image: Path, label: Path, by_voxels: bool) -> Files:
    scan, mask = Volume(image), Volume(label)
    if by_voxels and mask.file_shape == scan.file_shape:
        mask = mask.placed_as(scan)
    try:
        mask.check_matches(scan)
    except FormatError as error:
        if mask.file_shape != scan.file_shape:
            raise
        hint = "source.place_of_label=voxels takes it voxel by voxel"
        raise FormatError(f"{error}; if it fits the scan all the same, {hint}") from error
    return Files(scan, mask)
