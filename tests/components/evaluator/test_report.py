import copy
from html.parser import HTMLParser

import pytest

from components.evaluator.report import html

RESULT = {
    "task": "shapes",
    "blessed": False,
    "reasons": ["accuracy 0.600 is below 0.900"],
    "blessing": {"metric": "accuracy", "threshold": 0.9, "max_drop": 0.01},
    "num_examples": 5,
    "invalid_predictions": 1,
    "metrics": {"accuracy": 0.6, "precision_by_class": [1.0, None], "recall_by_class": [2 / 3, 0.5]},
    "baseline_metrics": {"accuracy": 0.5},
    "class_names": [],
    "confusion_matrix": [[2, 1], [0, 1]],
    "examples_by_class": [3, 2],
    "slices": [
        {"slice": {"label": 0}, "count": 3, "metrics": {"accuracy": 0.6667}},
        {"slice": {"label": 1}, "count": 2, "metrics": {"accuracy": 0.5}},
    ],
}
MISTAKES = [{"actual": 4, "predicted": 9, "probability": 0.991, "html": "<b>picture</b>"}]
EMPTY = {
    "num_examples": 0,
    "metrics": {},
    "baseline_metrics": None,
    "confusion_matrix": [],
    "examples_by_class": [],
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
    page = html(RESULT, MISTAKES)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    for text in (
        "Not blessed",
        "accuracy 0.600 is below 0.900",
        "<td>0.6000</td><td>0.5000</td><td>+0.1000</td>",
    ):
        assert text in page
    assert "<td>1</td><td>2</td><td>–</td><td>0.5000</td>" in page  # class, examples, precision, recall
    assert "<b>picture</b>is 4, said 9 (99.1%)" in page


def test_classes_are_called_by_their_names():
    page = html(
        {**RESULT, "class_names": ["round <3", "square"]}, [{**MISTAKES[0], "actual": 0, "predicted": 1}]
    )
    assert '<th scope="col">round &lt;3</th><th scope="col">square</th>' in page
    assert "<td>square</td><td>2</td>" in page
    assert "is round &lt;3, said square (99.1%)" in page


def test_the_worst_slice_comes_first():
    page = html(RESULT, MISTAKES)
    assert page.index("label = 1") < page.index("label = 0")


def test_everything_from_the_result_is_escaped():
    result = copy.deepcopy(RESULT)
    result.update(task="<script>a</script>", reasons=["<script>b</script>"])
    result["slices"][0]["slice"] = {"<script>c</script>": "<script>d</script>"}
    result["metrics"]["<script>e</script>"] = 1.0
    page = html(result, [{**MISTAKES[0], "actual": "<script>f</script>"}])
    assert "<script" not in page
    assert all(f"&lt;script&gt;{letter}&lt;" in page for letter in "abcdef")


def test_nothing_is_loaded_from_outside():
    page = html(RESULT, MISTAKES)
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("mistakes", [MISTAKES, []], ids=["mistakes", "none"])
def test_an_evaluation_of_nothing_has_a_page_too(mistakes):
    assert "there is none yet" in html({**RESULT, **EMPTY}, mistakes)
