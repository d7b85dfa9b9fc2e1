"""What the files beside a vocabulary say about how texts become ids, as `transformers` writes them.

tokenizer_config.json, special_tokens_map.json, added_tokens.json, tokenizer.json, and of
`sentence-transformers` sentence_bert_config.json. What is said there is taken over, or refused by the name
of the file and the key, where texts are not divided so here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from components import files
from components.formats.vocabulary import (
    JOINER,
    PADDING,
    SEPARATOR,
    SPECIAL_TOKENS,
    START,
    UNKNOWN,
    VocabularyError,
    read_json,
)

VOCABULARY: Final = "vocab.txt"
TOKENIZER: Final = "tokenizer.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
# Vocabularies of other kinds.
_OTHERS: Final = {
    "spiece.model": "SentencePiece",
    "sentencepiece.bpe.model": "SentencePiece",
    "tokenizer.model": "SentencePiece",
    "merges.txt": "byte-pair encoding",
    "vocab.json": "byte-pair encoding",
}

# Those that divide texts as BERT's does, and those that do what tokenizer.json says.
_CLASSES: Final = (
    *(f"{name}Tokenizer{fast}" for name in ("Bert", "DistilBert", "Electra") for fast in ("", "Fast")),
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
    None,
)
# The only values of further keys that texts are divided by here; each key may be left out.
_ONLY_CONFIG: Final[Mapping[str, tuple[Any, ...]]] = {
    "tokenizer_class": _CLASSES,
    "tokenize_chinese_chars": (True, None),
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "clean_text": (True, None),
    "wordpieces_prefix": (JOINER, None),
    "padding_side": ("right", None),
    "truncation_side": ("right", None),
}
_ONLY_TOKENIZER: Final[Mapping[str, tuple[Any, ...]]] = {
    "model.type": ("WordPiece",),
    "model.unk_token": (UNKNOWN,),
    "model.continuing_subword_prefix": (JOINER,),
    "normalizer.type": ("BertNormalizer",),
    "normalizer.clean_text": (True,),
    "normalizer.handle_chinese_chars": (True,),
    "pre_tokenizer.type": ("BertPreTokenizer",),
    "post_processor.type": ("TemplateProcessing", "BertProcessing", None),
    # That of `transformers` and of google-research/bert; words between them are rare.
    "model.max_input_chars_per_word": (100, 200, None),
    "truncation.direction": ("Right", None),
    "padding.direction": ("Right", None),
    "padding.pad_token": (PADDING, None),
}
_NAMES: Final = dict(
    zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS, strict=True)
)
# The same by its names in `transformers` 4 and 5.
_MORE: Final = ("additional_special_tokens", "extra_special_tokens")
_Reader = Callable[[str, Mapping[str, Any], Sequence[str]], "Rules"]
# `transformers` writes 10**30 where there is no bound.
_UNBOUNDED: Final = 10**9


class Said(NamedTuple):
    """Whether a file says so, and where."""

    where: str
    value: bool


class Length(NamedTuple):
    """A number of tokens that a file names, and where."""

    where: str
    tokens: int


class Rules(NamedTuple):
    """What all files beside a vocabulary say; empty where they say nothing."""

    lower_case: tuple[Said, ...] = ()
    strip_accents: tuple[Said, ...] = ()
    # The longest sequence in tokens.
    max_lengths: tuple[Length, ...] = ()

    @property
    def max_length(self) -> Length | None:
        """The least of all bounds."""
        return min(self.max_lengths, key=lambda length: length.tokens, default=None)

    def to_config(self) -> dict[str, bool]:
        """Returns what a tokenizer_config.json has to say of it."""
        said = {"do_lower_case": self.lower_case, "strip_accents": self.strip_accents}
        return {key: values[0].value for key, values in said.items() if values}

    def joined(self, other: Rules) -> Rules:
        """Returns what both say."""
        return Rules(
            self.lower_case + other.lower_case,
            self.strip_accents + other.strip_accents,
            self.max_lengths + other.max_lengths,
        )


def find_vocabulary(folder: str) -> str:
    """Returns the vocabulary of a checkpoint's folder: its vocab.txt, or its tokenizer.json alone.

    Raises VocabularyError where there is one of another kind.
    """
    present = files.list_folder(folder or ".")
    if VOCABULARY not in present and TOKENIZER in present:
        return os.path.join(folder, TOKENIZER)
    _refuse_others(folder, present)
    return os.path.join(folder, VOCABULARY)


def read_rules(vocabulary: str, tokens: Sequence[str]) -> Rules:
    """Returns what the files beside a vocabulary, whose tokens these are, say about it.

    Raises VocabularyError where they ask for what is not done here, or for other tokens.
    """
    folder = os.path.dirname(vocabulary)
    present = files.list_folder(folder or ".")
    _refuse_others(folder, present)
    rules = Rules()
    for name, read in _READERS.items():
        if name in present:
            path = os.path.join(folder, name)
            rules = rules.joined(_read(path, read, tokens))
    return rules


def _read(path: str, read: _Reader, tokens: Sequence[str]) -> Rules:
    try:
        return read(path, read_json(path), tokens)
    except (AttributeError, LookupError, StopIteration, TypeError) as error:
        raise VocabularyError(f"{path}: expected what transformers writes, got: {error!r}") from error


def _refuse_others(folder: str, present: Sequence[str]) -> None:
    for name, kind in _OTHERS.items():
        if name in present:
            raise VocabularyError(
                f"{os.path.join(folder, name)}: expected {VOCABULARY} or {TOKENIZER} of WordPiece alone,"
                f" got a vocabulary of {kind}"
            )


def _read_config(path: str, config: Mapping[str, Any], tokens: Sequence[str]) -> Rules:
    _check(path, config, _ONLY_CONFIG)
    _read_map(path, config, tokens)
    return Rules(
        _said(path, config, "do_lower_case"),
        _said(path, config, "strip_accents"),
        _max_length(path, config, "model_max_length"),
    )


def _read_sentence_config(path: str, config: Mapping[str, Any], _: Sequence[str]) -> Rules:
    # What it does not put into lower case, the tokenizer may. Its `max_seq_length` is where sentences were
    # cut off for their vectors, which bounds no other use.
    return Rules(tuple(said for said in _said(path, config, "do_lower_case") if said.value))


def _read_map(path: str, names: Mapping[str, Any], tokens: Sequence[str]) -> Rules:
    """Refuses special tokens of other names, and tokens that texts are searched for before all else."""
    for key, expected in _NAMES.items():
        if (got := _content(names.get(key, expected))) not in (expected, None):
            raise VocabularyError(f"{path}: {key}: expected {expected!r}, got {got!r}")
    for key, token in _more_tokens(names):
        _check_special(f"{path}: {key}", token)
    decoder = names.get("added_tokens_decoder") or {}
    added = {_content(token): number for number, token in decoder.items()}
    return _read_added(f"{path}: added_tokens_decoder", added, tokens)


def _more_tokens(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the tokens beside those of _NAMES, each after the key that gives it: "bos_token", "<s>"."""
    for key, value in names.items():
        if key in _MORE:
            yield from ((key, _content(token)) for token in _listed(value))
        elif key.endswith("_token") and isinstance(_content(value), str) and key not in _NAMES:
            yield key, _content(value)


def _listed(value: Any) -> list[Any]:
    """Returns the values of a list, of an object, or one alone; none for null."""
    if isinstance(value, Mapping):
        return [*value.values()]
    return value if isinstance(value, list) else [value] if value else []


def _read_added(where: str, added: Mapping[Any, Any], tokens: Sequence[str]) -> Rules:
    """Refuses added tokens, {text: id}, but special ones that the vocabulary has under the same id."""
    for token, number in added.items():
        _check_special(where, token)
        if str(number) != str(tokens.index(token)):
            raise VocabularyError(
                f"{where}: expected the id {tokens.index(token)} of {token!r} in the vocabulary, got {number}"
            )
    return Rules()


def _said(path: str, values: Mapping[str, Any], key: str) -> tuple[Said, ...]:
    value = values.get(key)
    if not isinstance(value, bool | None):
        raise VocabularyError(f"{path}: {key}: expected true or false, got {value!r}")
    return () if value is None else (Said(f"{path}: {key}", value),)


def _max_length(path: str, config: Mapping[str, Any], key: str) -> tuple[Length, ...]:
    length = config.get(key)
    if length is None:
        return ()
    if isinstance(length, bool) or not isinstance(length, int | float) or not length >= 1:
        raise VocabularyError(f"{path}: {key}: expected a number of tokens, got {length!r}")
    return () if length > _UNBOUNDED else (Length(f"{path}: {key}", int(length)),)


def _check(path: str, values: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]]) -> None:
    for key, allowed in only.items():
        if (value := values.get(key)) not in allowed and key in values:
            raise VocabularyError(f"{path}: {key}: expected {allowed[0]!r}, got {value!r}")


def _content(token: Any) -> Any:
    """Returns the text of a token: {"content": "[CLS]", "lstrip": False, …} -> "[CLS]"."""
    return token.get("content") if isinstance(token, Mapping) else token


def _check_special(where: str, token: Any) -> None:
    if token not in SPECIAL_TOKENS:
        raise VocabularyError(
            f"{where}: expected no token beside {', '.join(SPECIAL_TOKENS)}, which is looked for in texts"
            f" before they are divided, got {token!r}"
        )


def _read_tokenizer(path: str, tokenizer: Mapping[str, Any], tokens: Sequence[str]) -> Rules:
    _check(path, {key: _at(tokenizer, key) for key in _ONLY_TOKENIZER}, _ONLY_TOKENIZER)
    added = tokenizer.get("added_tokens") or []
    _read_added(f"{path}: added_tokens", {_content(token): token.get("id") for token in added}, tokens)
    template = _at(tokenizer, "post_processor.single")
    if template is not None and (got := [_piece(piece) for piece in template]) != [START, "A", SEPARATOR]:
        raise VocabularyError(
            f"{path}: post_processor: expected {START} A {SEPARATOR}, got {' '.join(map(str, got))}"
        )
    _check_same(path, _at(tokenizer, "model.vocab"), tokens)
    normalizer = tokenizer["normalizer"]
    where = f"{path}: normalizer"
    return Rules(_said(where, normalizer, "lowercase"), _said(where, normalizer, "strip_accents"))


def _check_same(path: str, vocabulary: Mapping[str, int], tokens: Sequence[str]) -> None:
    """Refuses ids that are not those of the tokens; what no text can match is left out."""
    ids = {token: number for number, token in enumerate(tokens) if " " not in token}
    for token, number in (*vocabulary.items(), *ids.items()):
        if token.strip() in ids and not ids[token.strip()] == number == vocabulary.get(token):
            raise VocabularyError(
                f"{path}: model.vocab: expected the id {ids[token.strip()]} of {token!r}, as in {VOCABULARY},"
                f" got {vocabulary.get(token)}"
            )


def _piece(piece: Any) -> Any:
    """Returns what stands at a place of a template: {"SpecialToken": {"id": "[CLS]", …}} -> "[CLS]"."""
    return next(iter(piece.values())).get("id")


def _at(values: Any, key: str) -> Any:
    """Returns values["a"]["b"] for "a.b"; None where one of them is not there."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


_READERS: Final[Mapping[str, _Reader]] = {
    TOKENIZER_CONFIG: _read_config,
    "sentence_bert_config.json": _read_sentence_config,
    "special_tokens_map.json": _read_map,
    "added_tokens.json": _read_added,
    TOKENIZER: _read_tokenizer,
}
