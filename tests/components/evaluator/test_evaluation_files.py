import pytest

from components.evaluator.files import EvaluationError, load_metrics
from components.files import write_text


@pytest.mark.parametrize("scheme", ["", "ram://"], ids=["local", "object store"])
def test_what_is_written_is_read(tmp_path, scheme):
    uri = f"{scheme}{tmp_path}"
    write_text(f"{uri}/metrics.json", '{"blessed": false}')
    write_text(f"{uri}/metrics.json", '{"blessed": true}')
    assert load_metrics(uri) == {"blessed": True}


def test_nothing_is_left_aside(tmp_path):
    write_text(str(tmp_path / "metrics.json"), "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("scheme", ["", "ram://"], ids=["local", "object store"])
def test_a_missing_result_is_one_line(tmp_path, scheme):
    with pytest.raises(EvaluationError, match=r"metrics\.json: expected the result of an evaluation"):
        load_metrics(f"{scheme}{tmp_path}/nowhere")


def test_a_truncated_result_is_one_line(tmp_path):
    (tmp_path / "metrics.json").write_text('{"blessed": tr')
    with pytest.raises(EvaluationError, match=r"metrics\.json: not JSON"):
        load_metrics(str(tmp_path))
