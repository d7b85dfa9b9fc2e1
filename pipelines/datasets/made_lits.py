"""LiTS' files with made abdomens: what a scanner shows of organs that a few seeded rules draw.

An organ is a function of the place in the body: millimetres towards the right, the front and the head. A scan
is what is at the places of its voxels, wherever its axes point to.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import nibabel as nib
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from components import files

_BACKGROUND: Final = 0
_LIVER: Final = 1
_TUMOUR: Final = 2
# Hounsfield units, with contrast medium in vessels and kidneys; those of liver and tumours differ by case.
_AIR: Final = -1000
_LUNG: Final = -850
_TABLE: Final = -250
_FAT: Final = -100
_BOWEL: Final = 20
_MUSCLE: Final = 40
_SPLEEN: Final = 50
_DISC: Final = 90
_VESSEL: Final = 110
_KIDNEY: Final = 120
_SPONGY_BONE: Final = 220
_RIB: Final = 380
_LIVERS: Final = (55.0, 75.0)
# How much darker a tumour is than its liver.
_TUMOURS: Final = (40.0, 55.0)
_TEXTURE: Final = 4.0
_NOISE: Final = 12.0
# What a scan shows from left to right, and from the feet to the head.
_WIDTH_MM: Final = 290.0
_HEIGHTS_MM: Final = (170.0, 210.0)
_SLICES_MM: Final = (2.7, 5.0)
_TUMOUR_SIZES_MM: Final = (8.0, 30.0)
_FEWEST_TUMOURS, _MOST_TUMOURS = 2, 6
# One liver in so many is healthy.
_HEALTHY: Final = 7
# By case: where the axes of a file point to, and by how many degrees they are turned about the body and
# tilted towards the front.
_PLACEMENTS: Final = (
    ("RAS", 0.0, 0.0),
    ("LPS", 0.0, 0.0),
    ("RAS", 9.0, -6.0),
    ("LAS", 0.0, 4.0),
    ("PIR", 0.0, 0.0),
    ("LPI", -12.0, 5.0),
)

_Field = NDArray[np.float32]
_Mask = NDArray[np.bool_]
_Triple = tuple[float, float, float]


class _Grid(NamedTuple):
    """The voxels of a file: how many along each of its axes, and where they are."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def places(self) -> _Field:
        """Millimetres float32[3, *shape]."""
        indices = np.indices(self.shape, np.float32).reshape(3, -1)
        matrix, origin = self.affine[:3, :3].astype(np.float32), self.affine[:3, 3:].astype(np.float32)
        places: _Field = matrix @ indices + origin
        return places.reshape(3, *self.shape)


class _Scene:
    """What is painted so far: Hounsfield units, and the label of each voxel."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.intensity = np.full(shape, _AIR, np.float32)
        self.labels = np.full(shape, _BACKGROUND, np.uint8)

    def paint(self, mask: _Mask, intensity: float | _Field, label: int = _BACKGROUND) -> None:
        """Paints over what was there; an array has the values of the mask's voxels."""
        self.intensity[mask] = intensity
        self.labels[mask] = label


def make_lits(out_dir: Path, num_cases: int = 6, seed: int = 0) -> None:
    """Writes volume-N.nii.gz, int16 in Hounsfield units, and segmentation-N.nii.gz, uint8, for each case.

    Labels are 0, 1 for liver and 2 for tumour. A scan has 40 to 64 slices, 2.7 to 5 mm apart, of 104 to 128
    voxels each way, 2.3 to 2.6 mm apart; its file's axes point anywhere, and those of half of the cases are
    oblique. A liver has two to six tumours of 8 to 30 mm; one in seven has none. What is in a case does not
    depend on how many there are.
    """
    for number in range(num_cases):
        generator = RandomState([seed, number])
        grid = _grid(generator, *_PLACEMENTS[number % len(_PLACEMENTS)])
        num_tumours = (
            0 if number % _HEALTHY == _HEALTHY - 1 else generator.randint(_FEWEST_TUMOURS, _MOST_TUMOURS + 1)
        )
        scene = _abdomen(grid.places, num_tumours, generator)
        noise = generator.normal(0, _NOISE, grid.shape)
        moved = nib.affines.from_matvec(np.eye(3), generator.uniform(-200, 200, 3).round(1)) @ grid.affine
        voxels = np.round(scene.intensity + noise).astype(np.int16)
        _write(out_dir / f"volume-{number}.nii.gz", voxels, moved)
        _write(out_dir / f"segmentation-{number}.nii.gz", scene.labels, moved)


def _write(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    # Without a time, so that equal scans are equal files.
    files.write_bytes(str(path), gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


def _grid(generator: RandomState, directions: str, turn: float, tilt: float) -> _Grid:
    """Returns a grid whose centre is the body's."""
    across = int(generator.choice([112, 120, 128]))
    slice_mm = generator.uniform(*_SLICES_MM)
    slices = round(generator.uniform(*_HEIGHTS_MM) / slice_mm)
    sizes = (across, across - 8, min(max(slices, 40), 64))
    steps = np.round([_WIDTH_MM / across, _WIDTH_MM / across, slice_mm], 2)
    # About the axis from the feet to the head, and that from left to right.
    rotation = nib.eulerangles.euler2mat(math.radians(turn), 0, math.radians(tilt))
    axes = nib.orientations.axcodes2ornt(directions)
    order = [int(axis) for axis in axes[:, 0]]
    shape = tuple(sizes[axis] for axis in order)
    columns = [rotation[:, axis] * sign * steps[axis] for axis, sign in zip(order, axes[:, 1], strict=True)]
    matrix = np.stack(columns, axis=1)
    return _Grid(shape, nib.affines.from_matvec(matrix, -matrix @ (np.array(shape) - 1) / 2))


def _abdomen(places: _Field, num_tumours: int, generator: RandomState) -> _Scene:
    """Paints a body of about 260×184 mm; what is painted later lies before what is painted earlier."""
    scene = _Scene(places.shape[1:])
    points = places / generator.uniform(0.92, 1.06, (3, 1, 1, 1)).astype(np.float32)
    x, y, z = points
    radius = np.sqrt((x / 130) ** 2 + (y / 92) ** 2)
    dome = 75 - 60 * radius**2 + 4 * _waves(points, generator, 90)
    scene.paint(np.abs(y + 104 - 0.002 * x**2) < 4, _TABLE)
    _paint_walls(scene, points, radius)
    cavity = radius < 0.82
    below = cavity & (z < dome)
    scene.paint(cavity & ~below, _LUNG)
    scene.paint(below, _FAT)
    scene.paint(below & (z < 20) & (y > -30) & (_waves(points, generator, 45) > 0.2), _BOWEL)
    _paint_stomach(scene, points, below)
    _paint_liver(scene, points, below & (z < dome - 4) & (radius < 0.8), num_tumours, generator)
    _paint_organs(scene, points)
    return scene


def _paint_walls(scene: _Scene, points: _Field, radius: _Field) -> None:
    """Skin, muscles, and ribs, which run down towards the front."""
    _, y, z = points
    scene.paint(radius < 1, _FAT)
    scene.paint(radius < 0.93, _MUSCLE)
    is_rib = np.sin((z + 0.5 * y) * (2 * np.pi / 30)) > 0.5
    scene.paint((radius > 0.84) & (radius < 0.91) & is_rib & (z > -45) & (y < 65), _RIB)


def _paint_stomach(scene: _Scene, points: _Field, below: _Mask) -> None:
    """It is half full, and the air is in front."""
    inside = below & (_level(points, (-50, 25, 30), (33, 27, 30)) < 1)
    scene.paint(inside, _BOWEL)
    scene.paint(inside & (points[1] > 33), _AIR)


def _paint_organs(scene: _Scene, points: _Field) -> None:
    x, y, z = points
    scene.paint(_level(points, (-18, 22, 105), (48, 40, 38)) < 1, _MUSCLE)  # the heart
    scene.paint(_level(points, (-84, -30, 25), (20, 32, 36)) < 1, _SPLEEN)
    for side in (1, -1):
        scene.paint(_level(points, (52 * side, -46, -48 - 6 * side), (21, 19, 40)) < 1, _KIDNEY)
        # The muscle beside the spine, and the aorta or the vein before it.
        scene.paint(((x - 31 * side) ** 2 + (y + 58) ** 2 < 15**2) & (z < 0), _MUSCLE)
        scene.paint((x - 12 * side) ** 2 + (y + 33) ** 2 < 9**2, _VESSEL)
    vertebra = np.where(np.mod(z, 32) > 8, _SPONGY_BONE, _DISC)
    spine = (x**2 + (y + 58) ** 2 < 17**2) | (x**2 + (y + 79) ** 2 < 9**2)
    scene.paint(spine, vertebra[spine])
    scene.paint(x**2 + (y + 79) ** 2 < 5**2, _MUSCLE)


def _paint_liver(
    scene: _Scene, points: _Field, room: _Mask, num_tumours: int, generator: RandomState
) -> None:
    right = _level(points, (60, 0, 12), (56, 62, 72))
    left = _level(points, (5, 34, 35), (55, 28, 30))
    level = np.minimum(right, left) + 0.13 * _waves(points, generator, 80)
    liver = room & (level < 1)
    inside, shade = points[:, liver], generator.uniform(*_LIVERS)
    texture = _TEXTURE * _waves(inside, generator, 30)
    # Where two surfaces meet are lines.
    is_vessel = _waves(inside, generator, 80) ** 2 + _waves(inside, generator, 80) ** 2 < 0.02
    scene.paint(liver, np.where(is_vessel, _VESSEL, shade + texture).astype(np.float32), _LIVER)
    # Not at the edge, where nobody would see them.
    deep = points[:, room & (level < 0.7)]
    for _ in range(num_tumours):
        centre = deep[:, generator.randint(deep.shape[1])]
        half = generator.uniform(*_TUMOUR_SIZES_MM) / 2 * generator.uniform(0.85, 1.15, 3)
        bumps = 0.15 * _waves(inside, generator, 15)
        tumour = liver.copy()
        tumour[liver] = _level(inside, tuple(centre), tuple(half)) + bumps < 1
        darker = generator.uniform(*_TUMOURS)
        scene.paint(tumour, (shade - darker + texture)[tumour[liver]], _TUMOUR)


def _level(points: _Field, centre: _Triple, half: _Triple) -> _Field:
    """Returns what is 0 at the centre of an ellipsoid and 1 on its surface."""
    axes = zip(points, centre, half, strict=True)
    return np.sum([((axis - middle) / length) ** 2 for axis, middle, length in axes], axis=0)


def _waves(points: _Field, generator: RandomState, wavelength_mm: float, count: int = 4) -> _Field:
    """Returns smooth, irregular numbers of mean 0 and deviation 1 for float32[3, …]."""
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = wavelength_mm * generator.uniform(0.7, 1.4, (count, 1))
    phases = (directions * (2 * np.pi / lengths)).astype(np.float32) @ points.reshape(3, -1)
    phases += generator.uniform(0, 2 * np.pi, (count, 1)).astype(np.float32)
    return (np.sqrt(2 / count) * np.sin(phases).sum(axis=0)).reshape(points.shape[1:]).astype(np.float32)
