import io

import numpy as np
import pytest
from PIL import Image

from components.pictures import Scan, axial, contact_sheet, planes, voxel_of_interest

NAMES = ("background", "liver", "tumour")
# Of a label's first and second class, and of an answer's.
BLUE, GREEN, YELLOW, RED = (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0)
# Longest side of a plane, and what is between planes.
LONGEST, GAP = 320, 4


def pixels(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)))


def where(png: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (png == colour).all(axis=-1)


def air(shape=(4, 8, 16)) -> np.ndarray:
    return np.full(shape, -1000, np.int16)


def test_planes_are_as_large_as_their_millimetres():
    # 40 mm from the feet to the head, 16 mm to the front, 16 mm to the right: 8 pixels a mm.
    picture = pixels(planes(Scan(air(), (10.0, 2.0, 1.0))))
    assert picture.shape == (40 * 8, 16 * 8 + GAP + 16 * 8 + GAP + 16 * 8, 3)


def test_planes_are_seen_from_the_feet_the_front_and_the_left():
    # White where it is nearest to the head, the front and the right; in canonical axes the last of each.
    image = air((8, 8, 8))
    image[4:, 4:, 4:] = 1000
    picture = pixels(planes(Scan(image, (1.0, 1.0, 1.0)), at=(7, 7, 7)))[..., 0]
    for left in (0, LONGEST + GAP, 2 * (LONGEST + GAP)):
        plane = picture[:, left : left + LONGEST]
        # Beside the letters of the sides.
        assert (plane[50:100, 50:100] == 255).all()
        assert (plane[-100:, 50:100] == 0).all()
        assert (plane[50:100, -100:] == 0).all()


def test_grey_is_the_part_of_the_window_that_an_intensity_is_at():
    image = np.full((8, 8, 8), 40, np.int16)
    # 200 of 400 HU.
    assert pixels(planes(Scan(image, (1.0, 1.0, 1.0))))[100, 100].tolist() == [128, 128, 128]
    assert pixels(planes(Scan(image, (1.0, 1.0, 1.0)), window=(30, 50)))[100, 100].tolist() == [128] * 3
    assert pixels(planes(Scan(image, (1.0, 1.0, 1.0)), window=(40, 50)))[100, 100].tolist() == [0, 0, 0]


def test_contours_surround_what_is_of_a_class():
    label = np.zeros((8, 8, 8), np.uint8)
    label[:, 2:6, 2:6] = 1
    picture = pixels(planes(Scan(air((8, 8, 8)), (1.0, 1.0, 1.0), label)))
    axial = where(picture, BLUE)[:LONGEST, :LONGEST]
    # 40 pixels a voxel: the border of a square from 80 to 240.
    rows, columns = np.nonzero(axial)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (80, 239, 80, 239)
    assert axial.sum() == 4 * 160 - 4


def test_an_answer_is_dashed_and_of_other_colours():
    label = np.zeros((8, 8, 8), np.uint8)
    label[:, 2:6, 2:6] = 1
    picture = pixels(planes(Scan(air((8, 8, 8)), (1.0, 1.0, 1.0), label, label)))
    axial = picture[:LONGEST, :LONGEST]
    over, under = where(axial, YELLOW), where(axial, BLUE)
    # Where both are the same, the label's line shows through each side's gaps.
    assert over.sum() + under.sum() == 4 * 160 - 4
    for side in (np.s_[80, 80:240], np.s_[239, 80:240], np.s_[80:240, 80], np.s_[80:240, 239]):
        assert 0.5 <= over[side].mean() < 0.75
        assert 0.25 < under[side].mean() <= 0.5


def test_classes_are_named_below_in_their_colours():
    label = np.zeros((8, 8, 8), np.uint8)
    label[4, 4, 4] = 2
    scan = Scan(air((8, 8, 8)), (1.0, 1.0, 1.0), label)
    below = pixels(planes(scan, NAMES))[LONGEST:]
    assert where(below, GREEN).any()
    # There is no liver in these planes.
    assert not where(below, BLUE).any()
    assert pixels(planes(Scan(scan.image, scan.spacing_mm))).shape[0] == LONGEST


def test_a_class_without_a_name_is_named_by_its_number():
    label = np.full((8, 8, 8), 7, np.uint8)
    assert pixels(planes(Scan(air((8, 8, 8)), (1.0, 1.0, 1.0), label), NAMES)).shape[0] > LONGEST


def test_the_voxel_of_interest_is_in_the_largest_section_of_the_rarest_class():
    label = np.zeros((5, 6, 7), np.uint8)
    label[:4] = 1
    label[1, 1, 1] = 2
    label[3, 2:4, 3:6] = 2
    label[3, 4, 1:6] = 2
    # The fourth section has most of class 2, its row 4 five voxels, and 3 is in their middle.
    assert voxel_of_interest(Scan(air(label.shape), (1, 1, 1), label)) == (3, 4, 3)


def test_what_an_answer_alone_has_is_looked_at_where_there_is_no_label():
    answer = np.zeros((5, 6, 7), np.uint8)
    answer[4, 5, 6] = 1
    assert voxel_of_interest(Scan(air(answer.shape), (1, 1, 1), None, answer)) == (4, 5, 6)
    assert voxel_of_interest(Scan(air(answer.shape), (1, 1, 1), np.zeros_like(answer), answer)) == (4, 5, 6)
    assert voxel_of_interest(Scan(air(answer.shape), (1, 1, 1))) == (2, 3, 3)


def test_a_voxel_that_is_asked_for_is_where_planes_go():
    label = np.zeros((8, 8, 8), np.uint8)
    label[0] = 1
    label[7] = 2
    picture = pixels(planes(Scan(air((8, 8, 8)), (1.0, 1.0, 1.0), label), at=(7, 0, 0)))
    axial = picture[:LONGEST, :LONGEST]
    assert where(axial, GREEN).any()
    assert not where(axial, BLUE).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 2), (2, 1, 700)])
def test_thin_volumes_have_planes_of_a_pixel_at_least(shape):
    label = np.ones(shape, np.uint8)
    assert pixels(planes(Scan(air(shape), (0.1, 1.0, 1.0), label, label), NAMES)).size


def test_a_contact_sheet_has_pictures_in_rows_below_their_names():
    small, large = (planes(Scan(air((2, 4, size)), (1.0, 1.0, 1.0))) for size in (4, 8))
    heights, widths = zip(*(pixels(png).shape[:2] for png in (small, large)), strict=True)
    sheet = pixels(contact_sheet([("a", small), ("b", large), ("c", small)]))
    line = 20
    assert sheet.shape[:2] == (max(heights) + heights[0] + 2 * line, sum(widths) + GAP)
    # Names are white, and above.
    assert where(sheet[:line], (255, 255, 255)).any()
    assert np.array_equal(sheet[line : line + heights[0], : widths[0]], pixels(small))
    one = pixels(contact_sheet([("a", small)], columns=3))
    assert one.shape[:2] == (heights[0] + line, widths[0])


def test_axial_planes_go_from_the_feet_to_the_head():
    # Of 400 HU from -160 on, 255 is white: 40 HU is 127.5, 140 HU 191.25.
    image = np.stack([np.full((8, 8), 40 + 100 * depth, np.int16) for depth in range(3)])
    drawn = axial(Scan(image, (5.0, 1.0, 1.0)), most=10)
    assert [pixels(png)[100, 100, 0] for png in drawn] == [128, 191, 255]
    assert pixels(drawn[0]).shape == (LONGEST, LONGEST, 3)


def test_of_many_axial_planes_some_are_shown_the_first_and_the_last_among_them():
    image = np.stack([np.full((8, 8), depth, np.int16) for depth in range(100)])
    window = (0, 255)
    drawn = axial(Scan(image, (1.0, 1.0, 1.0)), 3, window)
    # 49.5 to the even number.
    assert [pixels(png)[100, 100, 0] for png in drawn] == [0, 50, 99]
