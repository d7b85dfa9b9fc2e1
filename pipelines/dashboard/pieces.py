"""HTML that an Evaluator wrote into a file, with what a page shows of it and nothing else."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from typing import Final

from markupsafe import Markup

_TAGS: Final = frozenset(
    (
        *("p", "div", "span", "br", "strong", "em", "b", "i", "mark", "ins", "del", "code"),
        *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
    )
)
_PICTURE: Final = "data:image/png;base64,"


def cleaned(html: str) -> Markup:
    """Returns a piece of HTML without attributes, other tags and what is from elsewhere, and with all ends.

    A file under the pipeline root is not code of this server's, and styles within a page are forbidden.
    """
    cleaner = _Cleaner()
    cleaner.feed(html)
    cleaner.close()
    return cleaner.result()


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[str] = []
        # Depth within what is code, of which not even the text is shown.
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag == "img":
            self._parts.append(_image(dict(attrs)))
        elif tag in _TAGS:
            self._parts.append(f"<{tag}>")
            if tag != "br":
                self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(self._hidden - 1, 0)
        elif tag in self._open:
            while (last := self._open.pop()) != tag:
                self._parts.append(f"</{last}>")
            self._parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(escape(data))

    def result(self) -> Markup:
        return Markup("".join([*self._parts, *(f"</{tag}>" for tag in reversed(self._open))]))


def _image(attributes: dict[str, str | None]) -> str:
    source = attributes.get("src") or ""
    alt = escape(attributes.get("alt") or "")
    return f'<img alt="{alt}" src="{escape(source)}">' if source.startswith(_PICTURE) else ""
