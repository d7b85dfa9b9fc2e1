from __future__ import annotations

import pytest

from pipelines.dashboard.forms import Upload, _parsed

BODY = (
    b'--edge\r\nContent-Disposition: form-data; name="text"\r\n\r\nR\xc3\xb4me\r\nfell.\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a b.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n--edgy\r\n\r\n--edge--\r\n"
)


def test_a_form_of_parts_has_texts_and_files() -> None:
    form = _parsed(BODY, "multipart/form-data; boundary=edge")
    assert form.texts == {"text": "Rôme\nfell."}
    assert form.files == {"file": Upload("a b.png", b"\x89PNG\r\n\x1a\n--edgy\r\n")}


def test_a_field_for_a_file_that_was_left_empty_is_none() -> None:
    body = b'--e\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--e--\r\n'
    assert _parsed(body, "multipart/form-data; boundary=e").files == {}


def test_fields_in_one_line_are_decoded() -> None:
    form = _parsed(b"a=1&a=2&text=R%C3%B4me%0D%0Afell.", "application/x-www-form-urlencoded")
    assert form.texts == {"a": "2", "text": "Rôme\nfell."}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (BODY[:-4], "multipart/form-data; boundary=edge"),
        (BODY, "multipart/form-data"),
        (b"", "multipart/form-data; boundary=edge"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=1"] * 101), "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--e\r\nContent-Disposition: form-data\r\n\r\nx\r\n--e--\r\n", "multipart/form-data; boundary=e"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        _parsed(body, kind)
