"""Which vocabulary texts are divided by: a given one, the checkpoint's, or one that is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import Field
from typing_extensions import Self

from components.config import Config, ConfigError, Location
from components.formats.tokenizer_files import Rules, Said, read_rules
from components.formats.vocabulary import (
    SPECIAL_TOKENS,
    CasedToken,
    VocabularyError,
    find_cased,
    read_vocabulary,
)
from components.protocols import Model
from components.transform.text.segments import no_pieces
from components.transform.text.tokenization import tokenize
from components.transform.text.vocabulary import write_vocabulary


class FoundVocabulary(NamedTuple):
    """The tokens that texts are divided into, and whether these are put into lower case before."""

    tokens: Sequence[str]
    # A file of them, one a line; None while tf.Transform has not learned them yet.
    path: str | None
    lower_case: bool


class VocabularySettings(Config):
    """A vocabulary and its letter case; base of what turns texts into pieces."""

    vocabulary: Location | None = Field(
        None, description="Path or URI of a vocab.txt. Default: learned from the training split."
    )
    vocabulary_size: int = Field(8000, ge=100, description="Tokens that a learned vocabulary has at most.")
    lower_case: bool | None = Field(
        None,
        description="Put texts into lower case. Default: as the vocabulary knows; true for a learned one.",
    )
    strip_accents: bool | None = Field(None, description="Default: where texts are put into lower case.")

    materialized: ClassVar[bool] = True

    def input_files(self) -> tuple[str, ...]:
        return (self.vocabulary,) if self.vocabulary is not None else ()

    def fitted_to(self, model: Model) -> Self:
        """Returns itself with the vocabulary of the model's checkpoint, if it has one and none was chosen.

        What the files beside the vocabulary say is taken over where nothing was chosen. Raises ConfigError
        where a text may hold more tokens, or others, than the model has embeddings for.
        """
        encoder = getattr(model, "encoder_config", None)
        if encoder is None:
            return self
        vocabulary = self.vocabulary or getattr(model, "vocabulary_file", None)
        used = self.limits(encoder)
        if vocabulary is None:
            fitted = self
            used["vocabulary_size"] = self.vocabulary_size, encoder.vocabulary_size
        else:
            # Before a run has begun, not in the middle of it.
            tokens = read_vocabulary(vocabulary)
            fitted = self.model_copy(update={"vocabulary": vocabulary})._ruled(tokens)
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

    def pieces(self, texts: Any, learned_from: Any = None) -> tuple[Any, Sequence[str]]:
        """Returns ids int64[batch, (pieces)] of texts string[batch], and the vocabulary that they are of.

        A vocabulary that is to be learned is learned from them, or from other texts, string[any number].
        """
        found = self.find_vocabulary(texts if learned_from is None else learned_from)
        if found.path is None:
            # tf.Transform looks at the shape alone.
            return no_pieces(texts), found.tokens
        ids = tokenize(texts, found.tokens, found.path, found.lower_case, self.strip_accents)
        return ids, found.tokens

    def find_vocabulary(self, texts: Any) -> FoundVocabulary:
        """Returns the vocabulary that is given, or one learned from texts string[any number]."""
        if self.vocabulary is not None:
            tokens = read_vocabulary(self.vocabulary)
            return FoundVocabulary(tokens, write_vocabulary(tokens), self.knows_no_upper_case(tokens))
        from components.transform.text import vocabulary_analyzer

        lower_case = self.knows_no_upper_case(None)
        path = vocabulary_analyzer.learn_vocabulary_file(
            self.vocabulary_size, texts, lower_case, self.strip_accents
        )
        return FoundVocabulary(read_vocabulary(path) if path else SPECIAL_TOKENS, path, lower_case)

    def knows_no_upper_case(self, tokens: Sequence[str] | None) -> bool:
        """Whether texts are put into lower case; None stands for a vocabulary that is to be learned.

        Raises VocabularyError where `lower_case` contradicts the vocabulary, and no file beside it agrees.
        """
        found = None if tokens is None else find_cased(tokens)
        if found is None:
            return self.lower_case is not False
        if self.lower_case == found.upper and not self._is_said(tokens):
            raise VocabularyError(
                f"{self.vocabulary}, line {found.line}: expected lower_case={not found.upper} with a"
                f" vocabulary that holds {_shown(found)}, got lower_case={self.lower_case}"
            )
        return not found.upper if self.lower_case is None else self.lower_case

    def _ruled(self, tokens: Sequence[str]) -> Self:
        """Returns itself with what the files beside the vocabulary say; raises where they contradict it."""
        rules = read_rules(str(self.vocabulary), tokens)
        self.check_length(rules)
        found = find_cased(tokens)
        lower_case = _agreed("lower_case", self.lower_case, rules.lower_case)
        if self.lower_case is None and found is not None and lower_case == found.upper:
            raise VocabularyError(
                f"{rules.lower_case[0].where}: expected {not found.upper} with a vocabulary that holds"
                f" {_shown(found)}, got {lower_case}; preprocessing.lower_case decides"
            )
        strip_accents = _agreed("strip_accents", self.strip_accents, rules.strip_accents)
        fitted = self.model_copy(update={"lower_case": lower_case, "strip_accents": strip_accents})
        fitted.knows_no_upper_case(tokens)
        return fitted

    def check_length(self, rules: Rules) -> None:
        """Raises ConfigError where sequences may be longer than the files beside a vocabulary allow."""

    def _is_said(self, tokens: Sequence[str] | None) -> bool:
        rules = read_rules(str(self.vocabulary), tokens or ())
        return any(said.value == self.lower_case for said in rules.lower_case)


def _agreed(name: str, chosen: bool | None, said: Sequence[Said]) -> bool | None:
    """Returns what was chosen, else what all files say; None where nobody says anything."""
    if chosen is not None or not said:
        return chosen
    for other in said[1:]:
        if other.value != said[0].value:
            raise VocabularyError(
                f"{said[0].where}: expected {other.value} as in {other.where}, got {said[0].value};"
                f" preprocessing.{name} decides"
            )
    return said[0].value


def _shown(found: CasedToken) -> str:
    return f"{found.token!r}{'' if found.upper else ' and nothing in upper case'}"
