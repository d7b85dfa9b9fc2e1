"""What the functions return: plain values, which a notebook shows as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from components import html

if TYPE_CHECKING:
    from pipelines.runs.display import NodeReport
    from pipelines.runs.history import Evaluation
    from pipelines.runs.local import RunReport

_Item = TypeVar("_Item")


class Table(tuple[_Item, ...]):
    """Objects, and how a notebook shows them: a row each."""

    _header: Sequence[str]
    _rows: Sequence[Sequence[str]]

    def __new__(
        cls, items: Iterable[_Item], header: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> Table[_Item]:
        table = super().__new__(cls, items)
        table._header, table._rows = header, rows
        return table

    def _repr_html_(self) -> str:
        return html.table(self._header, self._rows)


class Outcome(NamedTuple):
    """How a run went; what it did not reach is None."""

    run_id: str
    nodes: Sequence[NodeReport]
    metrics: Mapping[str, Any]
    blessed: bool | None
    # Why the model was not published; None where it was.
    refused: str | None
    version: int | None
    # Folders and a file.
    model_dir: str | None
    published_dir: str | None
    report: str | None

    @classmethod
    def of(cls, report: RunReport, evaluation: Evaluation | None, refused: str | None) -> Outcome:
        """Returns what is worth knowing of a run's report."""
        return cls(
            run_id=report.short_id,
            nodes=report.nodes,
            metrics=evaluation.metrics if evaluation else {},
            blessed=report.blessed,
            refused=refused,
            version=report.pushed_version,
            model_dir=report.model_dir,
            published_dir=report.pushed_dir,
            report=evaluation.report if evaluation else None,
        )

    def _repr_html_(self) -> str:
        nodes = [[node.node, node.state, f"{node.seconds:.1f}"] for node in self.nodes]
        numbers = [[name, html.number(v)] for name, v in self.metrics.items() if isinstance(v, float)]
        said = f"refused: {self.refused}" if self.refused else f"published: version {self.version}"
        verdict = f"<p>{escape(self.run_id)}, {escape(said)}</p>"
        shown = html.table(["node", "state", "seconds"], nodes)
        return verdict + (html.table(["metric", "value"], numbers) if numbers else "") + shown
