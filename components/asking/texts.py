"""Questions about texts, and about pairs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, runtime_checkable

from components.asking.classes import class_replies, label_names, probability_of
from components.asking.occlusion import of_texts
from components.asking.typed import typed
from components.errors import UserError
from components.features import TEXT_A
from components.formats.errors import FormatError
from components.formats.tsv import write_tsv
from components.protocols import (
    Entry,
    Fields,
    Given,
    Occlusion,
    Preprocessing,
    Question,
    Record,
    Reply,
    Source,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays


class NoRows(UserError):
    """A file of rows for a task whose source cannot read one."""


@runtime_checkable
class ReadsRows(Protocol):
    """What a task's source has in addition where its raw files hold texts."""

    def read_unlabelled(self, path: Path) -> Iterator[tuple[str, str | None]]:
        """Yields the text, or the two texts, of each row of a file without labels."""


@dataclass(frozen=True)
class TextAsking:
    """Asks a classifier about the texts given, or about the rows of a file."""

    # Taken from the task.
    text_features: tuple[str, ...] = (TEXT_A,)
    source: Source | None = None

    fields: ClassVar[Fields] = {}

    @property
    def takes(self) -> str:
        return (
            "pairs of texts in a file: --pairs FILE" if self.text_features[1:] else "a text, or --pairs FILE"
        )

    @property
    def entry(self) -> Entry:
        return Entry("texts" if self.text_features[1:] else "text", self.text_features)

    @property
    def sample(self) -> Given:
        """A sentence; of pairs nothing, since they take a file."""
        return Given() if self.text_features[1:] else Given(["The cat that I saw sleeps."])

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> TextAsking:
        texts = getattr(preprocessing, "text_features", self.text_features)
        return replace(self, text_features=texts, source=source)

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields one question about all texts; raises FormatError. An input that is a file is a warning."""
        texts, pairs = typed(given.inputs, given.texts), []
        for text_a, text_b in self._rows(given.rows) if given.rows else ():
            if text_b is None:
                texts.append(text_a)
            else:
                pairs.append((text_a, text_b))
        names = [*texts, *(" | ".join(pair) for pair in pairs)]
        yield Question(*self.read_texts(texts, pairs), names)

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        return class_replies(question.names, outputs, label_names(self.source))

    def occluded(self, question: Question, reply: Reply) -> Occlusion:
        """Returns the texts without some of their words."""
        return of_texts(question, self.text_features, probability_of(reply))

    def written(self, record: Record, stem: Path) -> Given:
        """Returns the text to ask about; of a pair, a file with its row."""
        texts = [cast(bytes, record[key]).decode() for key in self.text_features]
        if len(texts) == 1:
            return Given(texts)
        path = stem.with_suffix(".tsv")
        write_tsv(path, [texts])
        return Given(rows=path)

    def _rows(self, path: Path) -> Iterator[tuple[str, str | None]]:
        if not isinstance(self.source, ReadsRows):
            raise NoRows(f"--pairs {path}: expected a task whose source reads texts from a file")
        return self.source.read_unlabelled(path)

    def read_texts(
        self, texts: Sequence[str], pairs: Sequence[tuple[str, str]]
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        """Returns the signature and the inputs, by name, that ask about texts, or about pairs of them.

        ["The cat sat."], [] -> ("text", {"text_a": object[1]}).

        Raises:
          FormatError: nothing to ask about, texts for a task of pairs, or pairs for one of texts.
        """
        import numpy as np

        given = {1: [(text,) for text in texts], 2: pairs}
        rows, others = given[len(self.text_features)], given[3 - len(self.text_features)]
        if others or not rows:
            kinds = {1: "single texts", 2: "pairs of texts"}
            got = f"{len(others)} {kinds[len(others[0])]}" if others else "none"
            hint = ", in a file: --pairs FILE" if self.text_features[1:] else ""
            raise FormatError(f"expected {kinds[len(self.text_features)]}{hint}, got {got}")
        encoded = np.array([[text.encode("utf-8", "ignore") for text in row] for row in rows], object)
        return "text", dict(zip(self.text_features, encoded.T, strict=True))
