"""Frozen, validated settings whose errors name the key, and for an unknown key the nearest known one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import pydantic
from typing_extensions import Self

from components import files
from components.errors import UserError

# What of a number's spelling says the same to everybody: no 1_000, no blanks.
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# As large as the counters of TensorFlow are.
_MOST: Final = 2**63 - 1
_LIST: Final = "a list, such as [a, b]"
# Of what begins as a list and is none in YAML, to which *.md is a reference.
_QUOTES: Final = ', with quotes around what begins with a sign: ["*.txt"]'
# In place of pydantic's sentences.
_EXPECTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "a dictionary"),
    "string_type": "text",
}


class ConfigError(UserError, ValueError):
    """A setting that does not exist or does not hold."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Returns one line.

    unknown_name("task", "mnits", ["mnist"]) -> "unknown task 'mnits'; did you mean 'mnist'? known: mnist"
    """
    names = sorted(known)
    spelled = {each.casefold(): each for each in names}
    nearest = difflib.get_close_matches(name.casefold(), spelled, n=1, cutoff=0.5)
    hint = f"did you mean {spelled[nearest[0]]!r}? " if nearest else ""
    return f"unknown {what} {name!r}; {hint}known: {', '.join(names)}"


def known_names(what: str, known: Collection[str]) -> pydantic.AfterValidator:
    """Returns what annotates a tuple of names, so that one that is not known is a ValueError."""

    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in known:
                raise ValueError(unknown_name(what, name, known))
        return names

    return pydantic.AfterValidator(check)


def unknown_of_many(what: str, name: str, known: Iterable[str]) -> str:
    """Returns the same where there are too many names to list: the nearest one alone."""
    (nearest,) = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return f"unknown {what} {name!r}; the nearest known is {nearest!r}"


def in_words(detail: Mapping[str, Any]) -> str:
    """Returns what one of the errors of a pydantic.ValidationError says: "expected an integer"."""
    if expected := _EXPECTED.get(detail["type"]):
        is_broken = expected == _LIST and str(detail["input"]).lstrip().startswith("[")
        return f"expected {expected}{_QUOTES if is_broken else ''}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be ", "expected ", 1)


def check_keys(values: Any, known: Iterable[str]) -> None:
    """Raises ConfigError for a key of a mapping that is not known, of which pydantic names no near one."""
    for key in values if isinstance(values, Mapping) else ():
        if key not in known:
            raise ConfigError(unknown_name("key", str(key), known))


def _location(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a path, or none for no value")
    return files.resolved(text)


# A path or URI in a setting, where no shell puts the home folder in place of ~.
Location = Annotated[str, pydantic.AfterValidator(_location)]


class Config(pydantic.BaseModel):
    """Base of every settings object: immutable, no unknown keys, no silent coercion of nonsense."""

    # A number where text is expected is that text as it was typed: labels=[0, 1].
    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_known_keys(cls, values: Any) -> Any:
        check_keys(values, cls.model_fields)
        return values

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns pydantic's copy, whose values are not validated; raises ConfigError for an unknown key."""
        check_keys(update, type(self).model_fields)
        return super().model_copy(update=update, deep=deep)

    def input_files(self) -> tuple[str, ...]:
        """Returns the files beside the data whose content counts: paths or URIs."""
        return ()

    def check_input_files(self) -> None:
        """Raises UserError where one of `input_files` cannot be used, as far as a second's look tells."""

    def override(self, changes: Mapping[str, Any], path: str) -> Self:
        """Returns a validated copy with `changes` applied; errors name `path.key`."""
        known = type(self).model_fields
        for key in changes:
            if key not in known:
                raise ConfigError(f"{path}.{key}: {unknown_name('key', key, known)}")
        # The fields' own values, not their dumps: a field may hold an object of a subclass.
        values = {name: getattr(self, name) for name in known}
        for key, change in changes.items():
            inner = values[key]
            if isinstance(inner, Config) and isinstance(change, Mapping):
                change = inner.override(change, f"{path}.{key}")
            values[key] = change
        try:
            changed = type(self)(**values)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            where = ".".join([path, *(str(part) for part in first["loc"])])
            # A rule about several keys names their values itself; its input would be the whole section.
            got = f", got {first['input']!r}" if first["loc"] else ""
            raise ConfigError(f"{where}: {in_words(first)}{got}") from error
        for key in changes:
            _check_numbers(f"{path}.{key}", values[key], getattr(changed, key))
        return changed


def _check_numbers(where: str, given: Any, taken: Any) -> None:
    """Raises ConfigError for a number that is not written plainly, or is larger than TensorFlow counts."""
    if isinstance(given, Mapping):
        inner = dict(taken)
        for key, value in given.items():
            _check_numbers(f"{where}.{key}", value, inner.get(key))
    elif isinstance(given, Sequence) and isinstance(taken, Sequence) and not isinstance(given, str):
        for index, pair in enumerate(zip(given, taken, strict=False)):
            _check_numbers(f"{where}.{index}", *pair)
    elif isinstance(taken, int | float) and not isinstance(taken, bool):
        if isinstance(given, str) and not _NUMBER.fullmatch(given):
            raise ConfigError(f"{where}: expected digits alone, a point and an exponent, got {given!r}")
        if isinstance(taken, int) and abs(taken) > _MOST:
            raise ConfigError(f"{where}: expected a number of at most 2**63 - 1, got {given!r}")
