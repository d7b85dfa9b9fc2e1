"""How good a classifier's answers are: everything follows from the confusion matrix and the cross-entropy."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from pydantic import Field
from typing_extensions import Self

from components.config import Config, known_names
from components.features import IMAGE, LABEL, Feature
from components.html import difference, image, number, table
from components.metrics.confusion import (
    accuracy,
    f1,
    f1_by_class,
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
# Into so many equal parts of [0, 1] the probabilities of answers are sorted, to see how often they hold.
_CONFIDENCE_BINS: Final = 10
# The least probability that a logarithm is taken of, as in Keras.
_EPSILON: Final = 1e-7


class Classification(Config):
    """Compares `probabilities` with the label; an answer that is not finite is of no class, and wrong.

    Its sums are counts[actual, answered], with a last column for no class, row by row, the cross-entropy, and
    by how probable an answer was: how many there are, how many are right, the sum of their probabilities.
    """

    metrics: Annotated[tuple[str, ...], known_names("metric", _KNOWN)] = Field(
        ("accuracy", CONFUSION_MATRIX), description="What is measured."
    )
    class_names: tuple[str, ...] = Field((), description="Taken from the task.")
    num_classes: int = Field(2, description="Taken from the task.")

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
        bins = self._confidence(answer, raw[LABEL])
        cross_entropy = _cross_entropy(answer[PROBABILITIES], raw[LABEL])
        return np.concatenate([counts.ravel(), [cross_entropy], bins.ravel()])

    def results(self, sums: NDArray[Any]) -> dict[str, float | list[float]]:
        counts = self._counts(sums)
        total = counts.sum()
        known: dict[str, float | list[float]] = {
            **{name: of(counts) for name, of in _NUMBERS.items()},
            **{name: by_class(counts) for name, by_class in _BY_CLASS.items()},
            _CROSS_ENTROPY: float(sums[counts.size] / total) if total else math.nan,
        }
        return {name: known[name] for name in self.metrics if name in known}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Returns class_names, in the order of the labels, confusion_matrix, examples_by_class, calibration.

        Of the calibration: examples, right ones and mean probability by bin, and the mean distance of the
        two shares, weighted by examples (C. Guo et al., On Calibration of Modern Neural Networks, 2017).
        """
        counts = self._counts(sums).astype(int)
        return {
            "class_names": list(self.class_names),
            "confusion_matrix": counts[:, :-1].tolist(),
            "examples_by_class": counts.sum(axis=1).tolist(),
            "calibration": _calibration(self._bins(sums)),
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
        """Yields precision, recall and F1 by class, the confusion matrix, and how well probabilities hold."""
        return self._sections(sums, None)

    def compared_sections(self, sums: NDArray[Any], baseline: NDArray[Any]) -> Iterator[Section]:
        """Yields the same, and of classes by how much they differ from another model's."""
        return self._sections(sums, baseline)

    def _sections(self, sums: NDArray[Any], baseline: NDArray[Any] | None) -> Iterator[Section]:
        yield Section("Classes", self._classes(sums, baseline))
        yield Section("Confusion matrix", self._heat_map(self._counts(sums)[:, :-1].astype(int)))
        yield Section("Calibration", _calibration_table(_calibration(self._bins(sums))))

    def _counts(self, sums: NDArray[Any]) -> NDArray[Any]:
        shape = (self.num_classes, self.num_classes + 1)
        return sums[: shape[0] * shape[1]].reshape(shape)

    def _bins(self, sums: NDArray[Any]) -> NDArray[Any]:
        """Returns [bins, 3]: answers, right ones, sum of their probabilities."""
        return sums[-3 * _CONFIDENCE_BINS :].reshape(_CONFIDENCE_BINS, 3)

    def _confidence(self, answer: Arrays, label: int) -> NDArray[Any]:
        bins = np.zeros((_CONFIDENCE_BINS, 3))
        answered = self._answered(answer)
        if answered < answer[PROBABILITIES].size:
            sure = min(max(float(answer[PROBABILITIES].ravel()[answered]), 0.0), 1.0)
            place = min(int(sure * _CONFIDENCE_BINS), _CONFIDENCE_BINS - 1)
            bins[place] = (1.0, answered == label, sure)
        return bins

    def _answered(self, answer: Arrays) -> int:
        """Returns the most probable class; the number of classes where there is none that counts."""
        probabilities = answer[PROBABILITIES].ravel()
        finite = np.isfinite(probabilities).all()
        return min(int(probabilities.argmax()), self.num_classes) if finite else self.num_classes

    def _name(self, index: int) -> str:
        return self.class_names[index] if index < len(self.class_names) else str(index)

    def _classes(self, sums: NDArray[Any], baseline: NDArray[Any] | None) -> str:
        counts = self._counts(sums)
        header, columns = ["Class", "Examples"], []
        for title, of in (
            ("Precision", precision_by_class),
            ("Recall", recall_by_class),
            ("F1", f1_by_class),
        ):
            now = of(counts)
            header.append(title)
            columns.append([number(value) for value in now])
            if baseline is not None:
                header.append("Difference")
                before = of(self._counts(baseline))
                columns.append([difference(*pair) for pair in zip(now, before, strict=True)])
        sizes = [f"{size:,.0f}" for size in counts.sum(axis=1)]
        names = map(self._name, range(self.num_classes))
        return table(header, zip(names, sizes, *columns, strict=True))

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

    image_shape: tuple[int, ...] = Field((28, 28), description="Taken from the model.")

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

    texts: tuple[str, ...] = Field((), description="Taken from the source: what a request carries.")

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


def _calibration(bins: NDArray[Any]) -> dict[str, Any]:
    total = bins[:, 0].sum()
    distances = np.abs(bins[:, 1] - bins[:, 2])
    return {
        "expected_error": float(distances.sum() / total) if total else math.nan,
        "bins": [
            {
                "from": place / len(bins),
                "to": (place + 1) / len(bins),
                "examples": int(count),
                "right": int(right),
                "mean_probability": float(sure / count),
            }
            for place, (count, right, sure) in enumerate(bins)
            if count
        ],
    }


def _calibration_table(calibration: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{part['from']:.0%} to {part['to']:.0%}",
            f"{part['examples']:,}",
            f"{part['mean_probability']:.1%}",
            f"{part['right'] / part['examples']:.1%}",
        ]
        for part in calibration["bins"]
    ]
    note = (
        "How sure the model said it was, and how often it was right. Expected calibration error: "
        f"{number(calibration['expected_error'])}."
    )
    return f'<p class="note">{note}</p>' + table(["Probability", "Answers", "Mean", "Right"], rows)


def _heat_cell(count: int, total: int, right: bool) -> str:
    if not count:
        return '<td class="note">·</td>'
    colour = "46 157 79" if right else "208 68 55"
    # The root lets a single mistake among hundreds be seen.
    strength = 0.7 * (count / total) ** 0.5
    return f'<td style="background: rgb({colour} / {strength:.2f})">{count:,}</td>'
