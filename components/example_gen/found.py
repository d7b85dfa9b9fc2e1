"""What raw files turned out to hold: counted by the workers, merged, and read by the main process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from components.formats.errors import FormatError
from components.protocols import BadRecord, ChecksAllFound, Found, Note, Record, Source


class Tally:
    """Counts the records that pass, and holds the bad ones and the notes back."""

    def __init__(self, counted_by: str | None = None) -> None:
        self.counted_by = counted_by
        self.good: Counter[bytes] = Counter()
        self.num_bad = 0
        self.first_bad = ""
        self.kinds: Counter[str] = Counter()
        self.first_note = ""

    @property
    def found(self) -> Found:
        """What has passed so far."""
        return Found(self.good, self.num_bad, self.first_bad, self.kinds, self.first_note)

    def pass_on(self, records: Iterable[Record | BadRecord | Note]) -> Iterator[Record]:
        """Yields the good records."""
        for record in records:
            if isinstance(record, BadRecord):
                self.num_bad += 1
                self.first_bad = self.first_bad or record.reason
                self.kinds.update([record.kind] if record.kind else [])
            elif isinstance(record, Note):
                self.first_note = self.first_note or record.example
                self.kinds[record.kind] += 1
            else:
                self.good[self._value(record)] += 1
                yield record

    def _value(self, record: Record) -> bytes:
        value = b"" if self.counted_by is None else record[self.counted_by]
        if not isinstance(value, bytes):
            raise TypeError(f"{self.counted_by}: expected bytes to count records by, got {value!r}")
        return value


class ShardFound(NamedTuple):
    """What one part held, and how many of its records each split got."""

    # The place of the part among all parts.
    number: int
    file: str
    found: Found
    splits: Mapping[str, int]


class AllFound(NamedTuple):
    """The same of all parts."""

    files: Mapping[str, Found]
    splits: Mapping[str, int]

    @classmethod
    def of(cls, shards: Iterable[ShardFound]) -> AllFound:
        """Returns what shards, in any order, add up to; what is first is so in the first part."""
        by_file: dict[str, Found] = {}
        splits: Counter[str] = Counter()
        for _, file, found, counts in sorted(shards, key=lambda shard: shard.number):
            by_file[file] = _sum(by_file.get(file, Found(Counter())), found)
            splits.update(counts)
        return cls(by_file, splits)

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values; bytes become text of as many characters."""
        by_file = {
            file: [{value.decode("latin-1"): count for value, count in found.good.items()}, *found[1:]]
            for file, found in self.files.items()
        }
        return {"files": by_file, "splits": dict(self.splits)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> AllFound:
        """Returns what became these values."""
        by_file = {
            file: Found(
                Counter({value.encode("latin-1"): count for value, count in good.items()}),
                num_bad,
                first_bad,
                Counter(kinds),
                first_note,
            )
            for file, (good, num_bad, first_bad, kinds, first_note) in content["files"].items()
        }
        return cls(by_file, content["splits"])


def accept(source: Source, found: AllFound, split_names: Iterable[str]) -> None:
    """Raises FormatError for files that do not hold enough, and for an empty split."""
    for file in sorted(found.files):
        source.check_found(file, found.files[file])
    if isinstance(source, ChecksAllFound):
        source.check_all_found(found.files)
    for name in split_names:
        if not found.splits.get(name):
            # No later node could use it.
            raise FormatError(f"split {name!r}: expected at least one record, got none")


def _sum(before: Found, found: Found) -> Found:
    return Found(
        before.good + found.good,
        before.num_bad + found.num_bad,
        before.first_bad or found.first_bad,
        before.kinds + found.kinds,
        before.first_note or found.first_note,
    )
