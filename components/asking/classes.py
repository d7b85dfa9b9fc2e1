"""The replies of a classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from components.errors import UserError
from components.protocols import Reply

if TYPE_CHECKING:
    from components.protocols import Arrays


class NotAClassifier(UserError):
    """Outputs that are not those of a classifier."""


def class_replies(names: Sequence[str], outputs: Arrays) -> Iterator[Reply]:
    """Yields the most probable class, by its name where it has one, and its probability, for each row.

    Raises:
      NotAClassifier: the outputs are not those of a classifier.
    """
    if not {"classes", "probabilities"} <= outputs.keys():
        raise NotAClassifier(f"expected outputs classes and probabilities, got {', '.join(sorted(outputs))}")
    labels = outputs.get("labels", outputs["classes"])
    rows = zip(names, outputs["classes"], labels, outputs["probabilities"], strict=True)
    for name, index, label, probabilities in rows:
        yield _reply(
            name, label.decode() if isinstance(label, bytes) else str(label), float(probabilities[index])
        )


def _reply(name: str, prediction: str, probability: float) -> Reply:
    return Reply(
        name=name,
        values={"prediction": prediction, "probability": probability},
        sentence=f'Prediction is "{prediction}" ({probability:.1%}).',
        cells={"prediction": prediction, "probability>": f"{probability:.1%}"},
    )
