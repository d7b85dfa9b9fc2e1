import copy
from html.parser import HTMLParser

import pytest

from components.evaluator.report import html, slices_table
from components.protocols import Section

RESULT = {
    "task": "shapes",
    "blessed": False,
    "reasons": ["accuracy 0.600 is below 0.900"],
    "notes": ["trained <1 hour"],
    "blessing": {"metric": "accuracy", "threshold": 0.9, "max_drop": 0.01},
    "num_examples": 5,
    "invalid_predictions": 1,
    "metrics": {"accuracy": 0.6, "precision_by_class": [1.0, None], "recall_by_class": [2 / 3, 0.5]},
    "baseline_metrics": {"accuracy": 0.5},
    "intervals": {"metric": [0.51, 0.69], "difference": [-0.05, 0.25]},
    "slices": [
        {"slice": {"label": 0}, "count": 3, "metrics": {"accuracy": 0.6667}},
        {"slice": {"label": 1}, "count": 2, "metrics": {"accuracy": 0.5}},
    ],
}
SECTIONS = [Section("Colours", "<i>all of them</i>")]
WORST = [{"badness": 0.991, "html": "<b>picture</b>is 4"}]
EMPTY = {
    "num_examples": 0,
    "metrics": {},
    "baseline_metrics": None,
    "intervals": {"metric": None, "difference": None},
    "slices": [],
}


class Balanced(HTMLParser):
    """Fails on a tag that is closed but not open; the void tags of the page need no end."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_shows_the_result():
    page = html(RESULT, SECTIONS, WORST)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    for text in (
        "Not blessed",
        "accuracy 0.600 is below 0.900",
        "trained &lt;1 hour",
        "<td>0.6000</td><td>0.5100 to 0.6900</td><td>0.5000</td><td>+0.1000</td><td>-0.0500 to +0.2500</td>",
    ):
        assert text in page
    assert "<h2>Colours</h2>\n<i>all of them</i>" in page
    assert "<li><b>picture</b>is 4</li>" in page


def test_the_worst_slice_comes_first():
    page = html(RESULT, SECTIONS, WORST)
    assert page.index("label = 1") < page.index("label = 0")


def test_a_slice_without_the_metric_comes_last():
    slices = [{"slice": {"label": 2}, "count": 1, "metrics": {"accuracy": None}}, *RESULT["slices"]]
    page = html({**RESULT, "slices": slices}, SECTIONS, WORST)
    assert page.index("label = 1") < page.index("label = 0") < page.index("label = 2")
    assert "<td>label = 2</td><td>1</td><td>–</td>" in page


def test_of_a_feature_with_many_slices_the_worst_50_are_shown_beside_those_of_others():
    titles = [
        {"slice": {"title": f"t{place}"}, "count": 2, "metrics": {"accuracy": place / 100}}
        for place in range(60)
    ]
    header, rows = slices_table({**RESULT, "slices": [*titles, *RESULT["slices"]]})
    assert [row[0] for row in rows[:50]] == [f"title = t{place}" for place in range(50)]
    assert [row[0] for row in rows[50:]] == ["label = 1", "label = 0", "10 others"]
    assert {len(row) for row in rows} == {len(header)}


def test_slices_of_few_examples_come_after_those_that_say_something():
    slices = [
        {"slice": {"label": label}, "count": count, "metrics": {"accuracy": accuracy}}
        for label, count, accuracy in ((0, 19, 0.0), (1, 20, 0.9), (2, 500, 0.5), (3, 5, None))
    ]
    _, rows = slices_table({**RESULT, "slices": slices})
    assert [row[0] for row in rows] == ["label = 2", "label = 1", "label = 0", "label = 3"]


def test_slices_have_the_names_of_their_classes_and_the_difference_to_the_last_blessed_model():
    first, second = RESULT["slices"]
    slices = [
        {**first, "name": "label = round", "baseline_metrics": {"accuracy": 0.5}},
        {**second, "name": "label = square", "baseline_metrics": None},
    ]
    header, rows = slices_table({**RESULT, "slices": slices})
    assert header == ["Slice", "Examples", "accuracy", "Difference in accuracy"]
    assert rows == [["label = square", "2", "0.5000", "–"], ["label = round", "3", "0.6667", "+0.1667"]]


def test_how_the_model_was_made_comes_last():
    page = html(RESULT, SECTIONS, WORST, [Section("Settings", "<p>three</p>")])
    assert page.index("<h2>Worst mistakes</h2>") < page.index("<h2>Settings</h2>\n<p>three</p>")


def test_everything_from_the_result_is_escaped():
    result = copy.deepcopy(RESULT)
    result.update(task="<script>a</script>", reasons=["<script>b</script>"])
    result["slices"][0]["slice"] = {"<script>c</script>": "<script>d</script>"}
    result["metrics"]["<script>e</script>"] = 1.0
    page = html(result, [Section("<script>f</script>", "")], WORST)
    assert "<script" not in page
    assert all(f"&lt;script&gt;{letter}&lt;" in page for letter in "abcde")


def test_nothing_is_loaded_from_outside():
    page = html(RESULT, SECTIONS, WORST)
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("worst", [WORST, []], ids=["mistakes", "none"])
def test_an_evaluation_of_nothing_has_a_page_too(worst):
    assert "there is none yet" in html({**RESULT, **EMPTY}, [], worst)
