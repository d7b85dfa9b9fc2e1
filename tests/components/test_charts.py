"""Lines and bars that are where their numbers say."""

import math
import re
from xml.etree import ElementTree

import pytest

from components.charts import Line, bars, colour, lines_chart, sparkline


def test_a_curve_goes_from_the_left_to_the_right_edge() -> None:
    svg = ElementTree.fromstring(sparkline([1.0, 3.0, 2.0], "accuracy"))
    assert svg.attrib["aria-label"] == "accuracy"
    assert svg.find("polyline").attrib["points"] == "3.0,21.0 48.0,3.0 93.0,12.0"  # type: ignore[union-attr]


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_value_is_no_curve(values: list[float]) -> None:
    assert sparkline(values, "accuracy") == ""


def test_a_chart_has_round_numbers_at_its_axes() -> None:
    svg = lines_chart([Line("train", [(0, 0.13), (400, 0.87)])], "loss")
    ElementTree.fromstring(svg)
    assert re.findall(r">([\d.,]+)</text>", svg) == [
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "0",
        "100",
        "200",
        "300",
        "400",
    ]


def test_a_chart_leaves_out_what_is_no_number() -> None:
    svg = lines_chart([Line("train", [(0, 1.0), (1, math.nan), (2, 2.0)])], "loss")
    assert "nan" not in svg
    assert lines_chart([Line("train", [(0, math.nan)])], "loss") == ""


def test_one_point_and_equal_values_are_drawn() -> None:
    for points in ([(5.0, 0.0)], [(0.0, 2.0), (1.0, 2.0)]):
        ElementTree.fromstring(lines_chart([Line("eval", points)], "loss"))


def test_a_line_goes_from_corner_to_corner() -> None:
    svg = ElementTree.fromstring(lines_chart([Line("train", [(0, 2.0), (50, 1.0), (100, 0.0)])], "loss"))
    (line,) = svg.iter("polyline")
    first, middle, last = (tuple(map(float, point.split(","))) for point in line.attrib["points"].split())
    (left, right, top, bottom) = (62, 470, 10, 192)
    assert (first, last) == ((left, top), (right, bottom))
    assert middle == ((left + right) / 2, (top + bottom) / 2)


def test_one_point_is_a_dot() -> None:
    svg = ElementTree.fromstring(lines_chart([Line("eval", [(7, 0.5)])], "loss"))
    assert [each.attrib["cy"] for each in svg.iter("circle")] == ["101.0"]


def test_lines_are_told_apart() -> None:
    svg = ElementTree.fromstring(lines_chart([Line(name, [(0, 1), (1, 2)]) for name in "ab"], "loss"))
    assert [group.attrib["class"] for group in svg.iter("g")] == ["series s0", "series s1"]
    assert [colour(place) for place in (0, 7, 8)] == ["s0", "s7", "s0"]


def test_the_tallest_bar_is_as_tall_as_the_picture() -> None:
    svg = ElementTree.fromstring(bars([10, 30], "how often"))
    assert [bar.attrib["height"] for bar in svg.iter("rect")] == ["13.33", "40.00"]
    assert bars([0, 0], "nothing") == ""


def test_names_of_charts_are_escaped() -> None:
    for svg in (
        lines_chart([Line("<b>", [(0, 1), (1, 2)])], "<b>"),
        bars([1], "<b>"),
        sparkline([1, 2], "<b>"),
    ):
        assert "<b>" not in svg
