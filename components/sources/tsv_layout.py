"""What the files of a TSV source and their columns are."""

from __future__ import annotations

from collections.abc import Mapping

import pydantic
from pydantic import Field, PositiveInt
from typing_extensions import Self

from components.config import Config


class Column(Config):
    """A column by its position, from 0 on (-1: the last one), and the names that a header may give it."""

    index: int = Field(ge=-1)
    names: tuple[str, ...] = Field(min_length=1)


class TsvFile(Config):
    """A file and those of its columns that are read; each row has as many as the header, or as declared."""

    name: str = Field(pattern=r"^\w[\w.-]*$")
    header: bool
    text_a: Column
    text_b: Column | None = None
    label: Column
    # The slice that rows belong to: the value in a column, or one for all of them.
    slice: Column | str | None = None
    # Rows of other slices are left out; empty: none is.
    only: tuple[str, ...] = ()
    # Folders below the data directory, as archives unpack them, in which the file may lie.
    folders: tuple[str, ...] = ()
    # Of a file without a header. Default: as many as are read, which are then the first ones.
    num_columns: PositiveInt | None = None

    @pydantic.model_validator(mode="after")
    def _has_its_columns(self) -> Self:
        if self.num_columns is not None and (self.header or self.num_columns < self.min_columns):
            expected = "none beside a header" if self.header else f"at least {self.min_columns}"
            raise ValueError(f"{self.name}: num_columns: expected {expected}, got {self.num_columns}")
        return self

    @property
    def columns(self) -> list[Column]:
        """All columns that are read."""
        candidates = (self.text_a, self.text_b, self.label, self.slice)
        return [column for column in candidates if isinstance(column, Column)]

    @property
    def texts(self) -> list[Column]:
        """The columns of the one or two texts."""
        return [self.text_a, self.text_b] if self.text_b else [self.text_a]

    @property
    def declared_columns(self) -> int:
        """How many columns a row has where no header tells."""
        return self.num_columns or self.min_columns

    @property
    def min_columns(self) -> int:
        """The fewest columns that a file can have; one counted from the end lies behind the others."""
        indices = [column.index for column in self.columns]
        return max(indices) + 1 + (min(indices) < 0)


class TsvLayout(Config):
    """Files of one task: the columns of each, and what may stand in them."""

    labels: tuple[str, ...] = Field(min_length=2, description="The classes, in the order of their numbers.")
    synonyms: Mapping[str, str] = Field(
        default_factory=dict,
        description='Other spellings of labels in the files: {"contradictory": "contradiction"}.',
    )
    train: TsvFile = Field(description="The file to train on, and its columns.")
    evaluation: tuple[TsvFile, ...] = Field(
        min_length=1, description="The files to evaluate on, and their columns."
    )
    slice_key: str | None = Field(None, description="Key of the raw feature that holds each row's slice.")

    @property
    def classes(self) -> dict[str, int]:
        """The number of the class by what the files may call it."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return numbers | {synonym: numbers[label] for synonym, label in self.synonyms.items()}

    @property
    def train_file(self) -> TsvFile:
        """The file of the split "train", after all settings."""
        return self.train

    @property
    def evaluation_files(self) -> tuple[TsvFile, ...]:
        """The files of the evaluation split, after all settings."""
        return self.evaluation
