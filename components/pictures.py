"""Volumes as pictures: three planes through a voxel, with the contours of labels.

As radiologists look at them: an axial plane from the feet, with the patient's right on the left; a coronal
one from the front; a sagittal one from the patient's left; one scale in millimetres for all. The contours of
the label are whole and of cold colours, those of an answer dashed and of warm ones.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Voxel = tuple[int, int, int]
    Colour = tuple[int, int, int]

# In Hounsfield units: soft tissue, such as the liver.
CT_WINDOW: Final = (-160.0, 240.0)
# By class, from 1 on; the colour-blind tell them apart, too (M. Okabe, K. Ito: Color Universal Design).
_OF_LABEL: Final = ((86, 180, 233), (0, 158, 115), (0, 114, 178))
_OF_ANSWER: Final = ((240, 228, 66), (213, 94, 0), (204, 121, 167))
# Pixels of the longest side of a plane, between planes, and of a line of text.
_LONGEST: Final = 320
_GAP: Final = 4
_LINE: Final = 20
_FONT_SIZE: Final = 13
_WHITE: Final = (255, 255, 255)
# What is at the top and on the left of each plane: front (anterior), head, the patient's right.
_SIDES: Final = (("A", "R"), ("H", "R"), ("H", "A"))


class Outlines(NamedTuple):
    """Labels, [depth, height, width], and how their contours are drawn."""

    name: str
    labels: NDArray[np.uint8]
    colours: Sequence[Colour]
    dashed: bool


class Scan(NamedTuple):
    """A volume and what is known of it, each [depth, height, width]."""

    image: NDArray[Any]
    spacing_mm: Sequence[float]
    # Class ids; None: not known.
    label: NDArray[np.uint8] | None = None
    answer: NDArray[np.uint8] | None = None

    @property
    def outlines(self) -> list[Outlines]:
        """The label, and the answer over it."""
        drawn = []
        if self.label is not None:
            drawn.append(Outlines("label", self.label, _OF_LABEL, dashed=False))
        if self.answer is not None:
            drawn.append(Outlines("answer (dashed)", self.answer, _OF_ANSWER, dashed=True))
        return drawn


def planes(
    scan: Scan,
    class_names: Sequence[str] = (),
    at: Voxel | None = None,
    window: tuple[float, float] = CT_WINDOW,
) -> bytes:
    """Returns the three planes through a voxel as PNG, and the names of the classes in them below.

    `window` is what becomes black and white. Without a voxel it is one of the rarest class of the label, or
    else of the answer, where its axial section is largest, or else the middle.
    """
    voxel = at or voxel_of_interest(scan)
    longest_mm = max(n * mm for n, mm in zip(scan.image.shape, scan.spacing_mm, strict=True))
    pixels_per_mm = _LONGEST / longest_mm
    drawn = [_plane(scan, axis, voxel[axis], pixels_per_mm, window) for axis in range(3)]
    return _png(_below([_beside(drawn), *_legend(scan, voxel, class_names)]))


def axial(scan: Scan, most: int, window: tuple[float, float] = CT_WINDOW) -> list[bytes]:
    """Returns axial planes from the feet to the head, as PNG: all, or `most` that lie apart alike."""
    count = scan.image.shape[0]
    places = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return [axial_plane(scan, place, window) for place in places]


def axial_plane(scan: Scan, place: int, window: tuple[float, float] = CT_WINDOW) -> bytes:
    """Returns one axial plane as PNG, which shows each axis from its end to its start."""
    _, *sides_mm = (n * mm for n, mm in zip(scan.image.shape, scan.spacing_mm, strict=True))
    return _png(_plane(scan, 0, place, _LONGEST / max(sides_mm), window))


def contact_sheet(pictures: Iterable[tuple[str, bytes]], columns: int = 2) -> bytes:
    """Returns pictures, PNG each, below their names, as one PNG; at least one."""
    tiles = [_below([_text([(name, _WHITE)]), Image.open(io.BytesIO(png))]) for name, png in pictures]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return _png(_below([_beside(row) for row in rows]))


def voxel_of_interest(scan: Scan) -> Voxel:
    """Returns the voxel through which planes show most."""
    for outlines in scan.outlines:
        # Plane by plane, since counting takes eight bytes a voxel.
        counts = np.sum([np.bincount(plane.ravel(), minlength=256) for plane in outlines.labels], axis=0)
        present = np.flatnonzero(counts[1:]) + 1
        if present.size:
            return _largest_section(outlines.labels == present[counts[present].argmin()])
    depth, height, width = (size // 2 for size in scan.image.shape)
    return depth, height, width


def _largest_section(mask: NDArray[np.bool_]) -> Voxel:
    """Returns a voxel of a mask in its largest axial section, where that is widest."""
    depth = int(np.count_nonzero(mask, axis=(1, 2)).argmax())
    height = int(np.count_nonzero(mask[depth], axis=1).argmax())
    across = np.flatnonzero(mask[depth, height])
    return depth, height, int(across[len(across) // 2])


def _plane(
    scan: Scan, axis: int, index: int, pixels_per_mm: float, window: tuple[float, float]
) -> Image.Image:
    """Returns one plane in colours: 0 axial, 1 coronal, 2 sagittal."""
    grey = _grey(_turned(scan.image, axis, index), window)
    mm_high, mm_wide = (mm for other, mm in enumerate(scan.spacing_mm) if other != axis)
    high, wide = grey.shape
    size = max(1, round(wide * mm_wide * pixels_per_mm)), max(1, round(high * mm_high * pixels_per_mm))
    drawn = np.array(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR).convert("RGB"))
    for outlines in scan.outlines:
        classes = Image.fromarray(_turned(outlines.labels, axis, index))
        _draw(drawn, np.array(classes.resize(size, Image.Resampling.NEAREST)), outlines)
    return _with_sides(Image.fromarray(drawn), *_SIDES[axis])


def _turned(volume: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """Returns a plane as it is looked at, where every axis goes against its canonical direction."""
    return np.ascontiguousarray(volume.take(index, axis)[::-1, ::-1])


def _grey(plane: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    share = (plane.astype(np.float32) - low) / (high - low)
    return (share.clip(0, 1) * 255).round().astype(np.uint8)


def _draw(drawn: NDArray[np.uint8], classes: NDArray[np.uint8], outlines: Outlines) -> None:
    """Draws the contours of classes into a picture, uint8[height, width, 3]."""
    rows, columns = np.indices(classes.shape)
    # Neither rows, columns nor diagonals are all gap.
    shown = (2 * rows + columns) % 12 < 7 if outlines.dashed else np.ones(classes.shape, bool)
    for each in _classes_in(classes):
        drawn[_contour(classes == each) & shown] = _colour(outlines, each)


def _contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the pixels of a mask of which one of the four neighbours is not in it."""
    around = np.pad(mask, 1)
    return mask & ~(around[2:, 1:-1] & around[:-2, 1:-1] & around[1:-1, 2:] & around[1:-1, :-2])


def _classes_in(labels: NDArray[np.uint8]) -> list[int]:
    return [each for each in np.unique(labels).tolist() if each]


def _colour(outlines: Outlines, each: int) -> Colour:
    return outlines.colours[(each - 1) % len(outlines.colours)]


def _with_sides(plane: Image.Image, top: str, left: str) -> Image.Image:
    draw, font = ImageDraw.Draw(plane), ImageFont.load_default(_FONT_SIZE)
    draw.text((plane.width // 2, 1), top, _WHITE, font, anchor="mt")
    draw.text((2, plane.height // 2), left, _WHITE, font, anchor="lm")
    return plane


def _legend(scan: Scan, voxel: Voxel, class_names: Sequence[str]) -> list[Image.Image]:
    """Returns one line of text, or none where there is nothing to tell apart."""
    parts: list[tuple[str, Colour]] = []
    for outlines in scan.outlines:
        parts.append((f"{outlines.name}:", _WHITE))
        shown = (_turned(outlines.labels, axis, voxel[axis]) for axis in range(3))
        seen = {each for plane in shown for each in _classes_in(plane)}
        for each in sorted(seen):
            name = class_names[each] if each < len(class_names) else str(each)
            parts.append((name, _colour(outlines, each)))
    return [_text(parts)] if parts else []


def _text(parts: Sequence[tuple[str, Colour]]) -> Image.Image:
    """Returns one line of words, each in its colour."""
    font, left = ImageFont.load_default(_FONT_SIZE), float(_GAP)
    starts = []
    for text, _ in parts:
        starts.append(left)
        left += font.getlength(text) + 2 * _GAP
    line = Image.new("RGB", (round(left), _LINE))
    draw = ImageDraw.Draw(line)
    for start, (text, colour) in zip(starts, parts, strict=True):
        draw.text((start, _LINE // 2), text, colour, font, anchor="lm")
    return line


def _beside(images: Sequence[Image.Image]) -> Image.Image:
    width = sum(image.width for image in images) + _GAP * (len(images) - 1)
    row, left = Image.new("RGB", (width, max(image.height for image in images))), 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + _GAP
    return row


def _below(images: Sequence[Image.Image]) -> Image.Image:
    height = sum(image.height for image in images)
    column, top = Image.new("RGB", (max(image.width for image in images), height)), 0
    for image in images:
        column.paste(image, (0, top))
        top += image.height
    return column


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
