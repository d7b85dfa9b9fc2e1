"""Names of modules in strings, which import-linter does not see, point down as imports do."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

ROOT: Final = Path(__file__).parents[2]


def layers() -> dict[str, int]:
    """The height of each module that pyproject.toml names: the lowest layer has 0."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    lowest_first = reversed(contract["layers"])
    return {
        module.strip(): height for height, layer in enumerate(lowest_first) for module in layer.split("|")
    }


def height(dotted: str) -> int:
    """The height of the layer that a module, or what it holds, is in; 0 for none."""
    parts = dotted.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((HEIGHTS[prefix] for prefix in prefixes if prefix in HEIGHTS), 0)


HEIGHTS: Final = layers()


def upward(module: str, text: str) -> Iterator[str]:
    """Yields the strings of a module that name a higher one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names_module = node.value.split(".")[0] in ("components", "pipelines") and "." in node.value
            if names_module and height(node.value) > height(module):
                yield node.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('NAME = "pipelines.dag.entrypoints.run_fn"', ["pipelines.dag.entrypoints.run_fn"]),
        ('f(f"components.example_gen.{name}")', ["components.example_gen."]),
        ('NAME = "components.formats.idx"', []),
        ('NAME = "pipelines/tasks"', []),
    ],
)
def test_a_string_that_names_a_higher_module_is_found(text: str, expected: list[str]) -> None:
    assert list(upward("components.sources.idx", text)) == expected


def test_no_string_names_a_higher_module() -> None:
    found = {
        str(file.relative_to(ROOT)): names
        for file in (ROOT / "components").rglob("*.py")
        if (names := list(upward(dotted(file), file.read_text(encoding="utf-8"))))
    }
    assert found == {}


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def test_formats_need_neither_tensorflow_nor_beam() -> None:
    heavy = {"tensorflow", "apache_beam", "keras", "tfx"}
    for file in (ROOT / "components/formats").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        assert not heavy & {name.split(".")[0] for name in names}, file
