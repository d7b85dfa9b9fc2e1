"""Objects that travel by the name of their class: sources here, preprocessings in the evaluator's tests."""

import json

import pytest

from components.config import ConfigError
from components.protocols import Model, Source
from components.reference import Reference
from components.sources.idx import IdxSource


def test_an_object_arrives_as_it_was_sent() -> None:
    source = IdxSource(image_shape=(3, 4), validation_fraction=0.5)
    sent = Reference.to(source).model_dump_json()
    assert json.loads(sent)["class_name"] == "components.sources.idx.IdxSource"
    assert Reference.model_validate_json(sent).load(Source) == source


def test_an_object_of_another_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="IdxSource: expected a model with settings"):
        Reference.to(IdxSource()).load(Model)


def test_what_cannot_become_json_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"object: expected a subclass of components.config.Config"):
        Reference.to(object())
