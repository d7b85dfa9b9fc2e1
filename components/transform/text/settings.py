"""Which vocabulary texts are divided by: a given one, the checkpoint's, or one that is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from typing_extensions import Self

from components.config import Config, ConfigError
from components.formats.vocabulary import VocabularyError, find_cased, read_vocabulary
from components.protocols import Model


class VocabularySettings(Config):
    """A vocabulary and its letter case; base of what turns texts into pieces."""

    # Path or URI of a vocab.txt; None: learned from the training split.
    vocabulary: str | None = None
    # Upper bound of a learned vocabulary.
    vocabulary_size: int = Field(8000, ge=100)
    # None: what the vocabulary knows, and true for a learned one.
    lower_case: bool | None = None

    def input_files(self) -> tuple[str, ...]:
        return (self.vocabulary,) if self.vocabulary is not None else ()

    def fitted_to(self, model: Model) -> Self:
        """Returns itself with the vocabulary of the model's checkpoint, if it has one and none was chosen.

        Raises ConfigError where a text may hold more tokens, or others, than the model has embeddings for.
        """
        encoder = getattr(model, "encoder_config", None)
        if encoder is None:
            return self
        vocabulary = self.vocabulary or getattr(model, "vocabulary_file", None)
        fitted = self.model_copy(update={"vocabulary": vocabulary})
        used = self.limits(encoder)
        if vocabulary is None:
            used["vocabulary_size"] = self.vocabulary_size, encoder.vocabulary_size
        else:
            # Before a run has begun, not in the middle of it.
            tokens = read_vocabulary(vocabulary)
            fitted.knows_no_upper_case(tokens)
            used[f"vocabulary: {vocabulary}"] = len(tokens), encoder.vocabulary_size
        for name, (size, limit) in used.items():
            if size > limit:
                raise ConfigError(
                    f"preprocessing.{name}: expected at most {limit}, which the model has embeddings for, "
                    f"got {size}"
                )
        return fitted

    def limits(self, encoder: Any) -> dict[str, tuple[int, int]]:
        """Returns other settings that an encoder limits, by name: what is set, and the most it can be."""
        return {}

    def knows_no_upper_case(self, tokens: Sequence[str] | None) -> bool:
        """Whether texts are put into lower case; None stands for a vocabulary that is to be learned.

        Raises VocabularyError where `lower_case` contradicts the vocabulary.
        """
        found = None if tokens is None else find_cased(tokens)
        if found is None:
            return self.lower_case is not False
        if self.lower_case == found.upper:
            known = f"{found.token!r}{'' if found.upper else ' and nothing in upper case'}"
            raise VocabularyError(
                f"{self.vocabulary}, line {found.line}: expected lower_case={not found.upper} with a"
                f" vocabulary that holds {known}, got lower_case={self.lower_case}"
            )
        return not found.upper
