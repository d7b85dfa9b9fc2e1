from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from pipelines.dag import nodes
from pipelines.dashboard import charts
from pipelines.dashboard.charts import Box, Line


def test_a_curve_goes_from_the_left_to_the_right_edge() -> None:
    svg = ElementTree.fromstring(charts.sparkline([1.0, 3.0, 2.0], "accuracy"))
    assert svg.attrib["aria-label"] == "accuracy"
    assert svg.find("polyline").attrib["points"] == "3.0,21.0 48.0,3.0 93.0,12.0"  # type: ignore[union-attr]


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_value_is_no_curve(values: list[float]) -> None:
    assert charts.sparkline(values, "accuracy") == ""


def test_a_chart_has_round_numbers_at_its_axes() -> None:
    svg = charts.lines_chart([Line("train", [(0, 0.13), (400, 0.87)])], "loss")
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
    svg = charts.lines_chart([Line("train", [(0, 1.0), (1, math.nan), (2, 2.0)])], "loss")
    assert "nan" not in svg
    assert charts.lines_chart([Line("train", [(0, math.nan)])], "loss") == ""


def test_one_point_and_equal_values_are_drawn() -> None:
    for points in ([(5.0, 0.0)], [(0.0, 2.0), (1.0, 2.0)]):
        ElementTree.fromstring(charts.lines_chart([Line("eval", points)], "loss"))


def test_the_dag_has_an_arrow_for_each_edge_that_no_longer_way_says() -> None:
    svg = charts.dag({nodes.TRAINER: Box("running", "5 s")})
    ElementTree.fromstring(svg)
    assert svg.count('class="arrow"') == 9
    assert '<g class="node running">' in svg
    assert svg.count('<g class="node waiting">') == 9


def test_names_are_escaped() -> None:
    assert "<b>" not in charts.dag({nodes.TRAINER: Box("<b>", "<b>")})
    assert "<b>" not in charts.lines_chart([Line("<b>", [(0, 1), (1, 2)])], "<b>")


def test_heat_is_measured_by_the_strongest() -> None:
    assert charts.heats([0.5, 0.25, 0.0, -0.25]) == ["h4", "h2", "h0", "h0"]
    # What hardly changes anything is not blown up.
    assert charts.heats([0.0025]) == ["h1"]
    svg = charts.heat([0.5, 0.0, 0.0, 0.25], "why")
    ElementTree.fromstring(svg)
    assert re.findall(r'class="(h\d)" x="(\d)" y="(\d)"', svg) == [
        ("h4", "0", "0"), ("h0", "1", "0"), ("h0", "0", "1"), ("h2", "1", "1"),
    ]  # fmt: skip
