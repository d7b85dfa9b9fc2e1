"""Which source files a module runs, found by following its imports, and which other packages it uses."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

OWN: Final = ("components", "pipelines")
# What is imported by its name: "components.example_gen.idx.Executor".
_DOTTED: Final = re.compile(r"[a-z_]\w*(\.\w+)+")


class Closure(NamedTuple):
    """Everything that some modules run."""

    # By path, relative to what is on sys.path: "components/trainer/loop.py".
    files: dict[str, Path]
    # Names of other packages: "tensorflow".
    packages: frozenset[str]


class _Names(NamedTuple):
    imported: frozenset[str]
    # Texts that may be names of modules, or of something in them.
    quoted: frozenset[str]


def closure(modules: Iterable[str], apart: Collection[str] = ()) -> Closure:
    """Returns what modules run, from late imports and dotted names in strings, too.

    Followed are our own packages and those of the modules themselves, except what is `apart`.
    """
    pending = list(modules)
    own = {*OWN, *(_top(name) for name in pending)}
    found: dict[str, Path] = {}
    others: set[str] = set()
    while pending:
        name = pending.pop()
        if _top(name) not in own:
            others.add(_top(name))
        elif name not in found and not _is_within(name, apart) and (file := _file(name)):
            found[name] = file
            names = _names(name, file.name == "__init__.py", file.read_bytes())
            quoted = {text for text in names.quoted if _top(text) in own}
            # A package that is named, and not imported, may be run: `python -m components.serving`.
            run = {f"{text}.__main__" for text in quoted}
            reached = {name, *names.imported, *quoted, *run}
            pending += [parent for text in sorted(reached) for parent in _and_parents(text)]
    return Closure({_relative(name, file): file for name, file in sorted(found.items())}, frozenset(others))


@functools.cache
def _names(module: str, is_package: bool, source: bytes) -> _Names:
    imported: set[str] = set()
    quoted: set[str] = set()
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if is_package else module.rpartition(".")[0]
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            imported.update((base, *(f"{base}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            quoted.add(node.value)
    return _Names(frozenset(imported), frozenset(quoted))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields what runs: not what is there for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes(node)


def _file(module: str) -> Path | None:
    """Returns the file of a module or package; None for a name of something else."""
    top, *rest = module.split(".")
    root = importlib.import_module(top)
    if not rest:
        file = getattr(root, "__file__", None)
        return Path(file) if file else None
    for folder in getattr(root, "__path__", ()):
        path = Path(folder, *rest)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None


def _relative(module: str, file: Path) -> str:
    """Returns the path of a module's file as sys.path has it: "components/trainer/loop.py"."""
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if file.name == "__init__.py" else f"{path}.py"


def _and_parents(name: str) -> Iterator[str]:
    """Yields "a.b.c", "a.b" and "a", all of which importing the first one runs."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _is_within(module: str, packages: Collection[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _top(name: str) -> str:
    return name.partition(".")[0]
