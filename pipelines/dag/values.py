"""What a user typed, as values: numbers that are written plainly, lists and mappings; all else is text.

YAML's own scalars would change it before anybody looks: 0100 is 64 in YAML 1.1, 12:30 is 750, `no` is false.
Whether a text is what a setting takes is for the setting to say.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

# The one word for no value, where a setting may have none.
NONE: Final = "none"
# What YAML takes for no value: as typed, nothing that one can mean.
_NOTHING: Final = ("", "~", "null")
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
# Those of BaseLoader; another one was written out.
_TAGS: Final = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


class Mistake(ValueError):
    """Something typed that means nothing, or two things; `line` counts from 1, `where` may be empty."""

    def __init__(self, line: int, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.line = line


def parse_value(text: str) -> Any:
    """Returns what was typed: "1" -> 1, "[a, b]" -> ["a", "b"], "none" -> None; "0100" and "a #1" stay text.

    Raises Mistake.
    """
    if text.lstrip().startswith(("[", "{")):
        try:
            node = _compose(text)
            # A comment after it would be lost.
            if node.end_mark.index == len(text.rstrip()):
                return _value(node, "")
        except RecursionError as error:
            raise Mistake(1, "", "expected no list within a list without an end") from error
        except yaml.YAMLError:
            # Text that begins so.
            pass
    return _optional(text, 1, "")


def parse_document(text: str) -> Any:
    """Returns what a YAML document holds, by the same rules; quoted text stays text. None for an empty one.

    Raises Mistake, and yaml.YAMLError for what is no YAML.
    """
    node = _compose(text)
    return None if node is None else _value(node, "")


def _compose(text: str) -> Any:
    return yaml.compose(text, Loader=yaml.BaseLoader)


def _value(node: Any, where: str) -> Any:
    if node.tag not in _TAGS:
        raise Mistake(_line(node), where, f"expected no tag, got {node.tag!r}")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where)
    if isinstance(node, yaml.SequenceNode):
        return [_item(item, where) for item in node.value]
    return _optional(node.value, _line(node), where) if node.style is None else node.value


def _mapping(node: yaml.MappingNode, where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Mistake(_line(key), where, "expected a name as key, got a list or a mapping")
        name = f"{where}.{key.value}" if where else key.value
        if key.value in values:
            raise Mistake(_line(key), name, "given twice")
        values[key.value] = _value(value, name)
    return values


def _item(node: yaml.Node, where: str) -> Any:
    """Returns a value of a list, in which `none` is a word like others."""
    is_none = isinstance(node, yaml.ScalarNode) and node.value == NONE
    return NONE if is_none else _value(node, where)


def _optional(text: str, line: int, where: str) -> Any:
    """Returns None, a number or text."""
    if text.strip().lower() in _NOTHING:
        raise Mistake(line, where, f"expected a value, or {NONE!r} for no value, got {text!r}")
    if text == NONE:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    # Only where the number says all that the text does, should text be wanted.
    return float(text) if _DECIMAL.fullmatch(text) and repr(float(text)) == text else text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
