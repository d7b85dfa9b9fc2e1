"""What of HTML in a file reaches a page."""

from __future__ import annotations

import pytest

from pipelines.dashboard.pieces import cleaned

PNG = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (f'<img alt="a" src="{PNG}">is 4, said 9 (99.1%)', f'<img alt="a" src="{PNG}">is 4, said 9 (99.1%)'),
        ("<p>Said <mark>1 &lt; 2</mark></p>", "<p>Said <mark>1 &lt; 2</mark></p>"),
        (f'<img style="width: 9rem" src="{PNG}" onerror="alert(1)">', f'<img alt="" src="{PNG}">'),
        ('<img src="https://elsewhere/a.png">', ""),
        ("<script>alert(1)</script><style>p{}</style>a", "a"),
        ('<p onclick="alert(1)" class="x">a</p>', "<p>a</p>"),
        ('<a href="javascript:alert(1)">a</a><iframe src="/"></iframe>', "a"),
        ("<p><strong>a", "<p><strong>a</strong></p>"),
        ("a</p></div></li>", "a"),
        ("<p><em>a</p>b", "<p><em>a</em></p>b"),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("a<br>b<!-- c -->", "a<br>b"),
    ],
)
def test_a_piece_is_what_it_shows_and_nothing_else(html: str, expected: str) -> None:
    assert cleaned(html) == expected
