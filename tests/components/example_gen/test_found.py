"""What raw files hold, counted part by part and put together."""

import json
from collections import Counter

import pytest

from components.example_gen.found import AllFound, ShardFound, Tally
from components.protocols import BadRecord, Found, Note

BAD = (BadRecord("a:2: bad"), BadRecord("a:4: bad"))


def test_good_records_pass_and_bad_ones_are_counted() -> None:
    tally = Tally("site")
    good = [{"site": b"x"}, {"site": b"y"}, {"site": b"x"}]
    assert list(tally.pass_on([good[0], BAD[0], good[1], BAD[1], good[2]])) == good
    assert tally.found == Found(Counter({b"x": 2, b"y": 1}), 2, "a:2: bad")


def test_records_that_nothing_counts_by_count_together() -> None:
    tally = Tally()
    assert len(list(tally.pass_on([{"n": 1}, {"n": 2}]))) == 2
    assert tally.found == Found(Counter({b"": 2}))


def test_bad_records_and_notes_are_counted_by_their_kinds() -> None:
    tally = Tally()
    records = [
        Note("moved", "a:1: moved"),
        {"n": 1},
        BadRecord("a:2: bad", "empty"),
        Note("moved", "a:3: moved"),
        Note("respelled", "a:3: respelled"),
        {"n": 3},
        BadRecord("a:4: bad"),
    ]
    assert list(tally.pass_on(records)) == [{"n": 1}, {"n": 3}]
    kinds = Counter({"moved": 2, "respelled": 1, "empty": 1})
    assert tally.found == Found(Counter({b"": 2}), 2, "a:2: bad", kinds, "a:1: moved")


def test_a_value_to_count_by_is_bytes() -> None:
    with pytest.raises(TypeError, match="n: expected bytes to count records by, got 1"):
        list(Tally("n").pass_on([{"n": 1}]))


def test_parts_in_any_order_add_up_by_file_with_the_first_bad_record_of_the_file() -> None:
    shards = [
        ShardFound(
            2, "a", Found(Counter({b"x": 1}), 1, "a:9: bad", Counter(k=1), "a:8: k"), {"train": 1, "eval": 0}
        ),
        ShardFound(3, "b", Found(Counter({b"": 5})), {"test": 5}),
        ShardFound(0, "a", Found(Counter({b"x": 2, b"y": 1})), {"train": 1, "eval": 2}),
        ShardFound(1, "a", Found(Counter({b"y": 1}), 2, "a:4: bad", Counter(k=2)), {"train": 1, "eval": 0}),
    ]
    found = AllFound.of(shards)
    assert found.files == {
        "a": Found(Counter({b"x": 3, b"y": 2}), 3, "a:4: bad", Counter(k=3), "a:8: k"),
        "b": Found(Counter({b"": 5})),
    }
    assert found.splits == {"train": 3, "eval": 2, "test": 5}


def test_any_bytes_survive_as_json() -> None:
    found = AllFound(
        {"a": Found(Counter({bytes(range(256)): 3, "你".encode(): 1}), 1, "a:1: «bad»", Counter(ä=1), "ö")},
        {"x": 4},
    )
    assert AllFound.from_json(json.loads(json.dumps(found.to_json()))) == found
