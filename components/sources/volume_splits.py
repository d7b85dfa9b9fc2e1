"""Which cases are held out for evaluation: those of some patients, chosen by a hash or by name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from components.config import unknown_name
from components.formats.errors import FormatError
from components.sources.hashing import hashed
from components.sources.volume_layouts import stem


def patient_of(name: str, pattern: str | None) -> str:
    """Returns whose a case is: of its name what a pattern finds, the first group if it has one.

    patient_of("p7-before", "(p[0-9]+)-") -> "p7". Raises FormatError where it finds nothing.
    """
    if pattern is None:
        return name
    match = re.search(pattern, name)
    if match is None:
        raise FormatError(f"case {name}: expected a name with source.patient_pattern {pattern!r} in it")
    return str(match[1] if match.re.groups else match[0])


def held_out_by_hash(names: Sequence[str], pattern: str | None, fraction: float) -> set[str]:
    """Returns the cases of a share of the patients; of at least one. More cases leave the others be."""
    patients = {name: patient_of(name, pattern) for name in names}
    hashes = {patient: hashed(patient) / 2**64 for patient in patients.values()}
    chosen = {patient for patient, value in hashes.items() if value < fraction}
    chosen = chosen or set(sorted(hashes, key=lambda patient: hashes[patient])[:1])
    return {name for name, patient in patients.items() if patient in chosen}


def held_out_by_name(names: Sequence[str], pattern: str | None, wanted: Sequence[str]) -> set[str]:
    """Returns the cases with these names, or patterns of names, or names of scans' files.

    Raises FormatError for one that is not there, and for some cases of a patient without the others.
    """
    found = {
        each: {name for name in names if name in (each, stem(each)) or fnmatch.fnmatchcase(name, each)}
        for each in wanted
    }
    for each, matching in found.items():
        if not matching:
            raise FormatError(f"source.eval_cases: {unknown_name('case', each, names)}")
    chosen = set().union(*found.values())
    patients = {patient_of(name, pattern) for name in chosen}
    for name in names:
        if name not in chosen and (patient := patient_of(name, pattern)) in patients:
            raise FormatError(
                f"source.eval_cases: expected all cases of patient {patient}, got none of {name}"
            )
    return chosen
