"""Patches and strides as nnU-Net plans them."""

import pytest

from pipelines.planning.topology import Topology, reduced, topology

THICK, ALL = (1, 2, 2), (2, 2, 2)


@pytest.mark.parametrize(
    ("spacing_mm", "size", "patch_size", "strides"),
    [
        # 64 and 60 are halved to 16 and 15 before voxels are 5×4×4 mm; then three axes go down to 4.
        ((5, 1, 1), (16, 64, 60), (16, 64, 64), (THICK, THICK, ALL, ALL)),
        # As nnU-Net published for LiTS, and for the prostate of the Medical Segmentation Decathlon.
        ((1.0, 0.7676, 0.7676), (128, 128, 128), (128, 128, 128), (ALL,) * 5),
        ((3.6, 0.62, 0.62), (20, 320, 256), (20, 320, 256), (THICK, THICK, ALL, ALL, THICK, THICK)),
        # An axis of 8 alone would be 4 at the bottom, as the others are: of 12, it is worth a level.
        ((1, 1, 1), (8, 4, 4), (8, 4, 4), ()),
        ((1, 1, 1), (12, 4, 4), (12, 4, 4), ((2, 1, 1),)),
        ((1, 1), (16, 8), (16, 8), ((2, 2),)),
    ],
)
def test_thick_axes_are_halved_once_voxels_are_about_cubes(
    spacing_mm: tuple[float, ...], size: tuple[int, ...], patch_size: tuple[int, ...], strides: tuple
) -> None:
    assert topology(spacing_mm, size) == Topology(patch_size, strides)


def test_a_patch_is_cut_along_the_axis_that_has_most_of_a_case() -> None:
    patch = topology((1, 1, 1), (64, 64, 64))
    assert patch.divisors == (16, 16, 16)
    # Of 64 of 80, 64 of 128 and 64 of 256 voxels the first is most; of 48, 3 halvings are left.
    smaller = reduced((1, 1, 1), patch, (80, 128, 256))
    assert smaller is not None
    assert smaller.patch_size == (56, 64, 64)
    assert smaller.divisors == (8, 16, 16)


def test_cutting_ends_with_the_smallest_network() -> None:
    patch: Topology | None = topology((3, 1, 1), (24, 96, 80))
    seen = []
    while patch is not None:
        seen.append(patch)
        patch = reduced((3, 1, 1), patch, (40, 200, 200))
    voxels = [depth * height * width for depth, height, width in (each.patch_size for each in seen)]
    assert voxels == sorted(voxels, reverse=True)
    assert len(set(voxels)) == len(voxels)
    for each in seen:
        assert each.strides
        assert all(size % step == 0 for size, step in zip(each.patch_size, each.divisors, strict=True))
    assert voxels[-1] < 1000
