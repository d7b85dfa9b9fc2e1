from __future__ import annotations

import re
from xml.etree import ElementTree

from pipelines.dag import nodes
from pipelines.dashboard import charts
from pipelines.dashboard.charts import Box


def test_the_dag_has_an_arrow_for_each_edge_that_no_longer_way_says() -> None:
    svg = charts.dag({nodes.TRAINER: Box("running", "5 s")})
    ElementTree.fromstring(svg)
    assert svg.count('class="arrow"') == 9
    assert '<g class="node running">' in svg
    assert svg.count('<g class="node waiting">') == 9


def test_names_are_escaped() -> None:
    assert "<b>" not in charts.dag({nodes.TRAINER: Box("<b>", "<b>")})


def test_heat_is_measured_by_the_strongest() -> None:
    assert charts.heats([0.5, 0.25, 0.0, -0.25]) == ["h4", "h2", "h0", "h0"]
    # What hardly changes anything is not blown up.
    assert charts.heats([0.0025]) == ["h1"]
    svg = charts.heat([0.5, 0.0, 0.0, 0.25], "why")
    ElementTree.fromstring(svg)
    assert re.findall(r'class="(h\d)" x="(\d)" y="(\d)"', svg) == [
        ("h4", "0", "0"), ("h0", "1", "0"), ("h0", "0", "1"), ("h2", "1", "1"),
    ]  # fmt: skip
