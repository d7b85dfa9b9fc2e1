import pytest

from components.formats.vocabulary import find_cased


@pytest.mark.parametrize(
    ("tokens", "upper"),
    [
        (["[UNK]", "<S>", "[unused1]", "the", "##ing", "№"], False),
        (["[UNK]", "the", "The"], True),
        (["[UNK]", "the", "##É"], True),
        (["[UNK]", "李", "1"], None),
    ],
)
def test_case_is_told_from_tokens_of_letters(tokens: list[str], upper: bool | None) -> None:
    found = find_cased(tokens)
    assert (found and found.upper) == upper
