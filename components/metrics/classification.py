"""How good a classifier's answers are: everything follows from the confusion matrix and the cross-entropy."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from typing_extensions import Self

from components.config import Config, known_names
from components.features import IMAGE, LABEL, Feature
from components.html import image, number, table
from components.metrics.confusion import (
    accuracy,
    f1,
    matthews_corrcoef,
    precision_by_class,
    recall_by_class,
)
from components.protocols import Model, Raw, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays

PROBABILITIES: Final = "probabilities"
CONFUSION_MATRIX: Final = "confusion_matrix"
_NUMBERS: Final[Mapping[str, Callable[[NDArray[Any]], float]]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews_corrcoef": matthews_corrcoef,
}
_BY_CLASS: Final[Mapping[str, Callable[[NDArray[Any]], list[float]]]] = {
    "precision_by_class": precision_by_class,
    "recall_by_class": recall_by_class,
}
# Lower is better, so that it cannot bless.
_CROSS_ENTROPY: Final = "cross_entropy"
_KNOWN: Final = (*_NUMBERS, _CROSS_ENTROPY, *_BY_CLASS, CONFUSION_MATRIX)
# The least probability that a logarithm is taken of, as in Keras.
_EPSILON: Final = 1e-7


class Classification(Config):
    """Compares `probabilities` with the label; an answer that is not finite is of no class, and wrong.

    Its sums are counts[actual, answered], with a last column for no class, row by row, and the cross-entropy.
    """

    metrics: Annotated[tuple[str, ...], known_names("metric", _KNOWN)] = ("accuracy", CONFUSION_MATRIX)
    # The rest is taken from the task.
    class_names: tuple[str, ...] = ()
    num_classes: int = 2

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name in self.metrics if name in _NUMBERS)

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        """Returns itself with the names of the classes and how many there are."""
        label = features[LABEL]
        known = 0 if label.maximum is None else label.maximum + 1
        classes = max(known, getattr(model, "num_classes", 0))
        return self.model_copy(update={"class_names": label.names, "num_classes": classes})

    def sums(self, raw: Raw, answer: Arrays) -> NDArray[Any]:
        counts = np.zeros((self.num_classes, self.num_classes + 1))
        counts[raw[LABEL], self._answered(answer)] = 1
        return np.append(counts, _cross_entropy(answer[PROBABILITIES], raw[LABEL]))

    def results(self, sums: NDArray[Any]) -> dict[str, float | list[float]]:
        counts = self._counts(sums)
        total = counts.sum()
        known: dict[str, float | list[float]] = {
            **{name: of(counts) for name, of in _NUMBERS.items()},
            **{name: by_class(counts) for name, by_class in _BY_CLASS.items()},
            _CROSS_ENTROPY: float(sums[-1] / total) if total else math.nan,
        }
        return {name: known[name] for name in self.metrics if name in known}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Returns class_names, in the order of the labels, confusion_matrix and examples_by_class."""
        counts = self._counts(sums).astype(int)
        return {
            "class_names": list(self.class_names),
            "confusion_matrix": counts[:, :-1].tolist(),
            "examples_by_class": counts.sum(axis=1).tolist(),
        }

    def badness(self, raw: Raw, answer: Arrays) -> float:
        """Returns the probability of the wrong class that was answered."""
        answered = self._answered(answer)
        wrong = answered not in (raw[LABEL], self.num_classes)
        return float(answer[PROBABILITIES][answered]) if wrong else 0.0

    def show(self, raw: Raw, answer: Arrays) -> str:
        """Returns the example and "is 4, said 9 (99.1%)"."""
        answered = self._answered(answer)
        actual, said = self._name(raw[LABEL]), self._name(answered)
        sure = answer[PROBABILITIES].ravel()[answered : answered + 1].sum()
        return f"{self.picture(raw)}{escape(f'is {actual}, said {said} ({sure:.1%})')}"

    def picture(self, raw: Raw) -> str:
        """Returns the raw example itself as HTML."""
        return ""

    def sections(self, sums: NDArray[Any]) -> Iterator[Section]:
        """Yields precision, recall and number of examples by class, and the confusion matrix."""
        counts = self._counts(sums)
        by_class = {name: _BY_CLASS[name](counts) for name in self.metrics if name in _BY_CLASS}
        if by_class:
            yield Section("Classes", self._classes(counts.sum(axis=1), by_class))
        yield Section("Confusion matrix", self._heat_map(counts[:, :-1].astype(int)))

    def _counts(self, sums: NDArray[Any]) -> NDArray[Any]:
        return sums[:-1].reshape(self.num_classes, self.num_classes + 1)

    def _answered(self, answer: Arrays) -> int:
        """Returns the most probable class; the number of classes where there is none that counts."""
        probabilities = answer[PROBABILITIES].ravel()
        finite = np.isfinite(probabilities).all()
        return min(int(probabilities.argmax()), self.num_classes) if finite else self.num_classes

    def _name(self, index: int) -> str:
        return self.class_names[index] if index < len(self.class_names) else str(index)

    def _classes(self, sizes: Sequence[float], by_class: Mapping[str, Sequence[float]]) -> str:
        header = ["Class", "Examples", *(name.removesuffix("_by_class").capitalize() for name in by_class)]
        rows = [
            [self._name(index), f"{size:,.0f}", *(number(values[index]) for values in by_class.values())]
            for index, size in enumerate(sizes)
        ]
        return table(header, rows)

    def _heat_map(self, matrix: NDArray[Any]) -> str:
        """Returns the matrix with each cell as strong as its share of the row; mistakes are red."""
        titles = [escape(self._name(index)) for index in range(self.num_classes)]
        header = "".join(f'<th scope="col">{title}</th>' for title in titles)
        rows = [
            f'<tr><th scope="row">{titles[actual]}</th>'
            + "".join(_heat_cell(count, row.sum(), right=actual == said) for said, count in enumerate(row))
            + "</tr>"
            for actual, row in enumerate(matrix)
        ]
        return (
            '<p class="note">Rows: the label. Columns: what the model said.</p>'
            f'<div class="wide"><table class="matrix"><tr><td></td>{header}</tr>{"".join(rows)}</table></div>'
        )


class ImageClassification(Classification):
    """Classification of images, which reports show as pictures."""

    # Taken from the task's model.
    image_shape: tuple[int, ...] = (28, 28)

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        shape = getattr(model, "image_shape", self.image_shape)
        return super().fitted_to(features, model).model_copy(update={"image_shape": shape})

    def picture(self, raw: Raw) -> str:
        """Returns {"image": bytes} as '<img src="data:image/png;base64,…">'."""
        from PIL import Image

        pixels = np.frombuffer(raw[IMAGE], np.uint8).reshape(self.image_shape)
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        return image(png.getvalue())


class TextClassification(Classification):
    """Classification of texts, or pairs of them, which reports show in paragraphs."""

    # Taken from the task's source: what a request carries.
    texts: tuple[str, ...] = ()

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        texts = tuple(key for key, feature in features.items() if feature.served)
        return super().fitted_to(features, model).model_copy(update={"texts": texts})

    def picture(self, raw: Raw) -> str:
        """Returns {"text_a": b"1 < 2"} as '<p>1 &lt; 2</p>'."""
        return "".join(f"<p>{escape(raw[key].decode('utf-8', 'replace'))}</p>" for key in self.texts)


def _cross_entropy(probabilities: NDArray[Any], label: int) -> float:
    """Returns -log of the label's probability; NaN where any is not finite."""
    if not np.isfinite(probabilities).all():
        return math.nan
    mine = probabilities.ravel()[label] if label < probabilities.size else 0.0
    return -math.log(min(max(float(mine), _EPSILON), 1 - _EPSILON))


def _heat_cell(count: int, total: int, right: bool) -> str:
    if not count:
        return '<td class="note">·</td>'
    colour = "46 157 79" if right else "208 68 55"
    # The root lets a single mistake among hundreds be seen.
    strength = 0.7 * (count / total) ** 0.5
    return f'<td style="background: rgb({colour} / {strength:.2f})">{count:,}</td>'
