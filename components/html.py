"""Pieces of self-contained HTML pages."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

from markupsafe import Markup


def number(value: float | None) -> str:
    """Returns a number with four digits; "–" for one that does not exist."""
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def difference(value: float | None, before: float | None) -> str:
    """Returns "+0.0100", by how much a number is larger than before; "–" where either does not exist."""
    if value is None or before is None or math.isnan(value) or math.isnan(before):
        return "–"
    return f"{value - before:+.4f}"


def section(heading: str, content: str) -> str:
    """Returns HTML content under a heading; nothing where there is none."""
    return f"<section><h2>{escape(heading)}</h2>\n{content}</section>" if content else ""


def image(png: bytes, alt: str = "", style: str = "") -> str:
    """Returns a picture that needs no file; `style` is CSS, and goes before that of the page."""
    styled = f' style="{escape(style)}"' if style else ""
    return f'<img alt="{escape(alt)}"{styled} src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of texts, which scrolls where it is too wide; a cell of Markup is HTML already."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Markup) else escape(cell)
