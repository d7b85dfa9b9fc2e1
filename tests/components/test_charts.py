"""Lines that are where their numbers say."""

import re
from xml.etree import ElementTree

from components.charts import line_chart


def svg_of(chart: str) -> ElementTree.Element:
    # What goes into HTML as it is has to be whole.
    found = re.search(r"<svg.*</svg>", chart, re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found[0])


def test_a_line_goes_from_corner_to_corner() -> None:
    svg = svg_of(line_chart("Loss", {"train": [(0, 2.0), (50, 1.0), (100, 0.0)]}))
    (line,) = svg.iter("polyline")
    first, middle, last = (tuple(map(float, point.split(","))) for point in line.attrib["points"].split())
    (left, right, top, bottom) = (52, 352, 12, 176)
    assert (first, last) == ((left, top), (right, bottom))
    assert middle == ((left + right) / 2, (top + bottom) / 2)
    assert [text.text for text in svg.iter("text")] == ["0", "0", "1", "50", "2", "100"]


def test_one_point_is_a_dot_and_a_flat_line_lies_in_the_middle() -> None:
    dot = svg_of(line_chart("Loss", {"eval": [(7, 0.5)]}))
    assert [each.attrib["cy"] for each in dot.iter("circle")] == ["94.0"]
    flat = svg_of(line_chart("Rate", {"rate": [(0, 0.1), (9, 0.1)]}))
    (line,) = flat.iter("polyline")
    assert [point.split(",")[1] for point in line.attrib["points"].split()] == ["94.0", "94.0"]


def test_lines_are_told_apart_and_told_to_who_does_not_see_them() -> None:
    chart = line_chart(
        "A <b>", {"one": [(0, 1.0), (1, 3.0)], "none": [], "two & more": [(0, 2.0), (1, 4.25)]}
    )
    svg = svg_of(chart)
    assert len({line.attrib["stroke"] for line in svg.iter("polyline")}) == 2
    assert svg.attrib["aria-label"] == "A <b>: one ends at 3; two & more ends at 4.25"
    assert "A &lt;b&gt;" in chart
    assert "none" not in re.sub(r'fill="none"', "", chart)


def test_without_points_there_is_no_chart() -> None:
    assert line_chart("Loss", {"train": [], "eval": ()}) == ""
