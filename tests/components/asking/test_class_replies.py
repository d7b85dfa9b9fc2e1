import numpy as np
import pytest

from components.asking.classes import NotAClassifier, class_replies
from components.protocols import Reply

OUTPUTS = {"classes": np.array([1, 0]), "probabilities": np.array([[0.25, 0.75], [0.995, 0.005]])}


def test_a_class_without_a_name_is_called_by_its_number() -> None:
    first, second = class_replies(["a.png", "b.png"], OUTPUTS)
    assert first == Reply(
        name="a.png",
        values={"prediction": "1", "probability": 0.75, "probabilities": {"0": 0.25, "1": 0.75}},
        sentence='Prediction is "1" (75.0%).',
        cells={"prediction": "1", "probability>": "75.0%"},
    )
    assert second.sentence == 'Prediction is "0" (99.5%).'


def test_a_class_with_a_name_is_called_by_it() -> None:
    labels = np.array(["schön".encode(), b"no"], object)
    replies = class_replies(["a", "b"], {**OUTPUTS, "labels": labels})
    assert [reply.values["prediction"] for reply in replies] == ["schön", "no"]


def test_every_probability_has_the_name_of_its_class() -> None:
    labels = np.array(["schön".encode(), b"no"], object)
    first, second = class_replies(["a", "b"], {**OUTPUTS, "labels": labels}, ["no", "schön"])
    assert first.values["probabilities"] == {"no": 0.25, "schön": 0.75}
    assert second.values["probabilities"] == {"no": 0.995, "schön": 0.005}


def test_outputs_of_another_family_are_named() -> None:
    with pytest.raises(NotAClassifier, match="expected outputs classes and probabilities, got mask"):
        list(class_replies(["a"], {"mask": np.zeros(1)}))
