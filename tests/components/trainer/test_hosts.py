"""Who is who among processes that train together."""

import json
from typing import Any

import pytest

from components.trainer import hosts
from components.trainer.errors import TrainConfigError

WORKERS = {"worker": ["a:1", "b:1"]}
WITH_CHIEF = {"chief": ["a:1"], "worker": ["b:1"]}


@pytest.mark.parametrize(
    ("config", "is_chief", "name", "has_others"),
    [
        (None, True, "chief", False),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, True, "chief", False),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": 0}}, True, "chief", True),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": 1}}, False, "worker-1", True),
        ({"cluster": WITH_CHIEF, "task": {"type": "chief", "index": 0}}, True, "chief", True),
        # The first worker is the chief only where nobody else is.
        ({"cluster": WITH_CHIEF, "task": {"type": "worker", "index": 0}}, False, "worker-0", True),
    ],
)
def test_one_process_is_the_chief(
    monkeypatch: pytest.MonkeyPatch, config: Any, is_chief: bool, name: str, has_others: bool
) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps(config) if config else "")
    assert (hosts.is_chief(), hosts.name(), hosts.has_others()) == (is_chief, name, has_others)


def test_a_text_that_is_no_configuration_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "a:1,b:1")
    with pytest.raises(TrainConfigError, match="TF_CONFIG: expected a JSON object with a cluster, got 'a:1"):
        hosts.has_others()
