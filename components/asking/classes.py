"""The replies of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from components.errors import UserError
from components.features import LABEL
from components.protocols import Reply, Source

if TYPE_CHECKING:
    from components.protocols import Arrays


class NotAClassifier(UserError):
    """Outputs that are not those of a classifier."""


def class_replies(names: Sequence[str], outputs: Arrays, class_names: Sequence[str] = ()) -> Iterator[Reply]:
    """Yields the most probable class, by its name where it has one, and all probabilities, for each row.

    Raises:
      NotAClassifier: the outputs are not those of a classifier.
    """
    if not {"classes", "probabilities"} <= outputs.keys():
        raise NotAClassifier(f"expected outputs classes and probabilities, got {', '.join(sorted(outputs))}")
    labels = outputs.get("labels", outputs["classes"])
    rows = zip(names, outputs["classes"], labels, outputs["probabilities"], strict=True)
    for name, index, label, probabilities in rows:
        prediction = label.decode() if isinstance(label, bytes) else str(label)
        # A model may have more classes than have names.
        known = dict(enumerate(class_names)) | {int(index): prediction}
        shares = {known.get(i, str(i)): float(share) for i, share in enumerate(probabilities)}
        yield _reply(name, prediction, float(probabilities[index]), shares)


def probability_of(answer: Reply) -> Callable[[Reply], float]:
    """Returns what tells how probable the class that one reply predicts is in another one."""
    prediction = answer.values["prediction"]
    return lambda reply: reply.values["probabilities"].get(prediction, 0.0)


def label_names(source: Source | None) -> tuple[str, ...]:
    """Returns the names that a source gives to classes; none where it has numbers alone."""
    feature = source.features.get(LABEL) if source is not None else None
    return feature.names if feature else ()


def _reply(name: str, prediction: str, probability: float, shares: Mapping[str, float]) -> Reply:
    return Reply(
        name=name,
        values={"prediction": prediction, "probability": probability, "probabilities": shares},
        sentence=f'Prediction is "{prediction}" ({probability:.1%}).',
        cells={"prediction": prediction, "probability>": f"{probability:.1%}"},
    )
