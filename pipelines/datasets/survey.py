"""What raw data hold, row by row, and what looks wrong, before a model learns from them.

Read twice: first to count and to keep a few numbers a row, then for the rows that are shown. No row stays in
memory but those, so that what it takes grows by some 30 bytes a row, up to `most_rows` of a split.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.features import LABEL, Feature
from components.protocols import BadRecord, Note, Record, Source, Split

MOST_ROWS: Final = 2_000_000
# Of a feature with more values, such as an id, they are not counted.
_MOST_VALUES: Final = 50
# Rows at the start of a split that are shown, and examples of what looks wrong.
_FIRST: Final = 10
_EXAMPLES: Final = 5
# By how much longer than the median is worth a look; short ones differ by chance.
_FAR: Final = 10
_LEAST_FAR: Final = 100
_CHARACTERS: Final = 300
# Control characters but white space.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")

# A split, and how many rows of it come before.
Place = tuple[str, int]


class Row(NamedTuple):
    """A row of a split, counted from 1."""

    split: str
    number: int
    record: Record


class Lengths(NamedTuple):
    """How long the values of a feature are, in characters of texts and in bytes of others."""

    unit: str
    minimum: int
    median: float
    mean: float
    maximum: int


class Held(NamedTuple):
    """What one split holds, as the files give it."""

    split: str
    num_rows: int
    # Whether these are all.
    is_whole: bool
    num_unusable: int
    first_unusable: str | None
    # By feature and value, as far as it has few values and a request does not carry it, such as a label.
    counts: Mapping[str, Mapping[str, int]]
    # By feature that a request carries.
    lengths: Mapping[str, Lengths]
    first: Sequence[Row]


class Doubt(NamedTuple):
    """Something that looks wrong, how many rows it is, and some of them."""

    what: str
    num_rows: int
    examples: Sequence[Row]


class Survey(NamedTuple):
    """What was found in a data directory."""

    splits: Sequence[Held]
    doubts: Sequence[Doubt]


def survey(source: Source, directory: Path, most_rows: int = MOST_ROWS) -> Survey:
    """Returns what the files of a source hold; raises FormatError for files that cannot be read."""
    source.check(directory)
    read = {
        split.name: _Reading(split, source.features).filled(_records(source, directory, split), most_rows)
        for split in source.input_splits
    }
    found = list(_doubts(read))
    wanted = {(name, place) for name, each in read.items() for place in range(min(_FIRST, each.num_rows))}
    wanted.update(place for each in found for place in each.places)
    rows = _rows(source, directory, wanted)
    # What has too many values in one split cannot be compared.
    few = set.intersection(*({*each.counts} for each in read.values()))
    return Survey(
        splits=[
            each.held([rows[name, place] for place in range(min(_FIRST, each.num_rows))], few)
            for name, each in read.items()
        ],
        doubts=[Doubt(each.what, each.num_rows, [rows[place] for place in each.places]) for each in found],
    )


def shown(record: Record, features: Mapping[str, Feature]) -> dict[str, str]:
    """Returns the values of a record in words: texts cut, categories by their names, other bytes counted."""
    return {key: _value(value, features[key]) for key, value in record.items() if key in features}


def _records(source: Source, directory: Path, split: Split) -> Iterator[Record | BadRecord | Note]:
    for part in source.parts(directory, split):
        yield from part.records()


def _rows(source: Source, directory: Path, wanted: set[Place]) -> dict[Place, Row]:
    """Returns the rows at some places; reads no further than the last of them."""
    rows: dict[Place, Row] = {}
    for split in source.input_splits:
        last = max((place for name, place in wanted if name == split.name), default=-1)
        every = _records(source, directory, split)
        good = (record for record in every if not isinstance(record, (BadRecord, Note)))
        for place, record in enumerate(itertools.islice(good, last + 1)):
            if (split.name, place) in wanted:
                rows[split.name, place] = Row(split.name, place + 1, record)
    return rows


class _Reading:
    """What is kept of each row of a split."""

    def __init__(self, split: Split, features: Mapping[str, Feature]) -> None:
        self.split = split
        self.features = features
        # Hashes of what a request would carry, and of the label.
        self.inputs = array("Q")
        self.labels = array("Q")
        served = [key for key, feature in features.items() if feature.served]
        self.lengths = {key: array("I") for key in served if features[key].dtype == "bytes"}
        self.served = served
        # Of values that may be texts: which have been none.
        self.not_text: set[str] = set()
        # Of those that have few values.
        self.counts: dict[str, Counter[str]] = {key: Counter() for key in features if key not in served}
        self.num_unusable = 0
        self.first_unusable: str | None = None
        self.is_whole = True

    def filled(self, records: Iterable[Record | BadRecord | Note], most_rows: int) -> _Reading:
        """Returns itself with all rows, or the first ones."""
        for record in records:
            if isinstance(record, BadRecord):
                self.num_unusable += 1
                self.first_unusable = self.first_unusable or record.reason
            elif not isinstance(record, Note):
                if self.num_rows == most_rows:
                    self.is_whole = False
                    break
                self._add(record)
        return self

    @property
    def num_rows(self) -> int:
        return len(self.inputs)

    def held(self, first: Sequence[Row], counted: Collection[str]) -> Held:
        return Held(
            split=self.split.name,
            num_rows=self.num_rows,
            is_whole=self.is_whole,
            num_unusable=self.num_unusable,
            first_unusable=self.first_unusable,
            counts={key: dict(found.most_common()) for key, found in self.counts.items() if key in counted},
            lengths={key: self._lengths(key) for key, found in self.lengths.items() if found},
            first=first,
        )

    def _add(self, record: Record) -> None:
        self.inputs.append(_hash(record.get(key) for key in self.served))
        self.labels.append(_hash([record.get(LABEL)]))
        for key, found in self.lengths.items():
            found.append(self._length(key, _listed(record.get(key, ()))))
        for key in self.counts.keys() & record.keys():
            self._count(key, record[key])

    def _length(self, key: str, values: Sequence[Any]) -> int:
        if key not in self.not_text and not all(map(_is_text, values)):
            self.not_text.add(key)
        if key in self.not_text:
            return sum(map(len, values))
        return sum(len(value.decode().strip()) for value in values)

    def _count(self, key: str, value: Any) -> None:
        found = self.counts[key]
        found[_value(value, self.features[key])] += 1
        if len(found) > _MOST_VALUES:
            del self.counts[key]

    def _lengths(self, key: str) -> Lengths:
        found = np.asarray(self.lengths[key])
        unit = "bytes" if key in self.not_text else "characters"
        return Lengths(unit, int(found.min()), float(np.median(found)), float(found.mean()), int(found.max()))


class _Suspicion(NamedTuple):
    """A doubt before its rows are read: where they are, by split and place."""

    what: str
    num_rows: int
    places: Sequence[Place]


def _doubts(read: Mapping[str, _Reading]) -> Iterator[_Suspicion]:
    """Yields what looks wrong, the worst first."""
    first, *others = read
    for other in others:
        yield from _shared(read[first], read[other])
    yield from _contradictions(list(read.values()))
    for each in read.values():
        yield from _repeated(each)
        for key in each.lengths:
            yield from _odd_lengths(each, key)


def _shared(first: _Reading, other: _Reading) -> Iterator[_Suspicion]:
    earlier, later = _array(first.inputs), _array(other.inputs)
    found = np.flatnonzero(np.isin(later, earlier))
    if found.size:
        pairs = [
            place
            for row in found[:_EXAMPLES]
            for place in ((first, int(np.argmax(earlier == later[row]))), (other, int(row)))
        ]
        what = f"Rows of {other.split.name} whose input is in {first.split.name}, too"
        yield _Suspicion(what, int(found.size), _named(pairs))


def _contradictions(read: Sequence[_Reading]) -> Iterator[_Suspicion]:
    inputs = np.concatenate([_array(each.inputs) for each in read])
    labels = np.concatenate([_array(each.labels) for each in read])
    order = np.lexsort((labels, inputs))
    is_other_input, is_other_label = (np.diff(each[order]) != 0 for each in (inputs, labels))
    found = np.flatnonzero(~is_other_input & is_other_label)
    if found.size:
        rows = [int(order[place + step]) for place in found[:_EXAMPLES] for step in (0, 1)]
        count = int(np.unique(inputs[order][found]).size)
        yield _Suspicion("Inputs that have several labels", count, _named(_located(read, rows)))


def _located(read: Sequence[_Reading], rows: Iterable[int]) -> Iterator[tuple[_Reading, int]]:
    """Yields where rows are that are counted on over the splits."""
    ends = np.cumsum([each.num_rows for each in read])
    for row in rows:
        split = int(np.searchsorted(ends, row, "right"))
        yield read[split], row - int(ends[split]) + read[split].num_rows


def _repeated(reading: _Reading) -> Iterator[_Suspicion]:
    inputs = _array(reading.inputs)
    order = np.argsort(inputs, kind="stable")
    again = np.sort(order[1:][inputs[order][1:] == inputs[order][:-1]])
    if again.size:
        pairs = [
            (reading, int(place))
            for row in again[:_EXAMPLES]
            for place in (np.argmax(inputs == inputs[row]), row)
        ]
        what = f"Rows of {reading.split.name} whose input was there before"
        yield _Suspicion(what, int(again.size), _named(pairs))


def _odd_lengths(reading: _Reading, key: str) -> Iterator[_Suspicion]:
    lengths, name = _array(reading.lengths[key]), reading.split.name
    limit = max(_FAR * float(np.median(lengths)), _LEAST_FAR)
    # The longest first.
    longest = np.argsort(-lengths.astype(np.int64), kind="stable")
    far = longest[lengths[longest] > limit]
    unit = "bytes" if key in reading.not_text else "characters"
    for what, rows in (
        (f"Rows of {name} with nothing in {key}", np.flatnonzero(lengths == 0)),
        (f"Rows of {name} with more than {limit:,.0f} {unit} in {key}", far),
    ):
        if len(rows):
            places = [(reading, int(row)) for row in rows[:_EXAMPLES]]
            yield _Suspicion(what, len(rows), _named(places))


def _named(places: Iterable[tuple[_Reading, int]]) -> list[Place]:
    """Returns places by the names of their splits, each once."""
    return list(dict.fromkeys((reading.split.name, place) for reading, place in places))


def _array(values: array[int]) -> NDArray[Any]:
    return np.asarray(values)


def _hash(values: Iterable[Any]) -> int:
    """Returns 64 bits that the values alone decide."""
    digest = hashlib.blake2b(digest_size=8)
    for value in values:
        for part in _listed(value):
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(len(content).to_bytes(8, "big") + content)
        digest.update(b"|")
    return int.from_bytes(digest.digest(), "big")


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _is_text(value: bytes) -> bool:
    """Whether bytes are text: UTF-8, and no zeros, which images have."""
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False


def _value(value: Any, feature: Feature) -> str:
    if isinstance(value, (list, tuple)):
        return _cut(" · ".join(_value(each, feature) for each in value))
    if isinstance(value, bytes):
        # A terminal would obey what it is told by control characters.
        return _cut(_CONTROL.sub("\ufffd", value.decode())) if _is_text(value) else f"{len(value):,} bytes"
    if isinstance(value, int) and 0 <= value < len(feature.names):
        return feature.names[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
