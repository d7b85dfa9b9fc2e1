"""Models and a server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving_client import Client, Models, publish, served


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def everything(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of `Everything` as version 3 of "m"."""
    base_path = tmp_path_factory.mktemp("everything")
    publish(models.everything, base_path, 3)
    with served(base_path) as client:
        yield client
