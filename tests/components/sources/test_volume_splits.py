"""Patients stay on one side of the split, and there however many others come."""

import pytest

from components.formats.errors import FormatError
from components.sources.volume_splits import held_out_by_hash, held_out_by_name, patient_of

NAMES = [f"volume-{number}" for number in range(131)]


def test_a_patient_is_what_the_pattern_finds() -> None:
    assert patient_of("p7-before", None) == "p7-before"
    assert patient_of("p7-before", "p[0-9]+") == "p7"
    assert patient_of("liver_p7-before", "_(p[0-9]+)-") == "p7"
    with pytest.raises(FormatError, match=r"case volume-0: expected a name with source.patient_pattern 'p"):
        patient_of("volume-0", "p[0-9]")


def test_the_share_is_about_that_of_the_patients() -> None:
    # Binomial with p = 0.2: 26.2 ± 4.6 of 131.
    assert 13 <= len(held_out_by_hash(NAMES, None, 0.2)) <= 40
    assert held_out_by_hash(NAMES, None, 0.05) < held_out_by_hash(NAMES, None, 0.2)


def test_new_cases_move_no_other() -> None:
    before = held_out_by_hash(NAMES[:100], None, 0.2)
    assert before == held_out_by_hash(NAMES, None, 0.2) & set(NAMES[:100])
    assert held_out_by_hash(NAMES[::-1], None, 0.2) == held_out_by_hash(NAMES, None, 0.2)


def test_which_cases_are_held_out_never_changes() -> None:
    assert held_out_by_hash(NAMES[:20], None, 0.2) == {
        "volume-3", "volume-5", "volume-11", "volume-18"
    }  # fmt: skip


def test_scans_of_one_patient_fare_alike() -> None:
    names = [f"p{number // 3}_scan{number % 3}" for number in range(300)]
    chosen = held_out_by_hash(names, "p[0-9]+", 0.3)
    patients = {name.split("_")[0] for name in chosen}
    assert len(chosen) == 3 * len(patients)
    # Of 100 patients: 30 ± 4.6.
    assert 16 <= len(patients) <= 44


def test_one_patient_is_held_out_if_none_would_be() -> None:
    for names in (NAMES[:2], NAMES[50:53]):
        assert len(held_out_by_hash(names, None, 0.0001)) == 1
    assert held_out_by_hash([], None, 0.2) == set()


def test_names_and_patterns_are_held_out() -> None:
    assert held_out_by_name(NAMES[:12], None, ["volume-1?", "volume-3"]) == {
        "volume-10", "volume-11", "volume-3"
    }  # fmt: skip
    assert held_out_by_name(NAMES, None, ["*"]) == set(NAMES)


def test_the_file_of_a_scan_stands_for_its_case() -> None:
    assert held_out_by_name(NAMES, None, ["volume-7.nii.gz"]) == {"volume-7"}


def test_a_name_stands_for_itself_even_if_it_is_a_pattern() -> None:
    assert held_out_by_name(["scan[1]", "scan1", "scan2"], None, ["scan[1]"]) == {"scan[1]", "scan1"}


def test_a_name_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(FormatError, match=r"eval_cases: unknown case 'volume_3'; did you mean 'volume-3'"):
        held_out_by_name(NAMES[:5], None, ["volume_3"])


def test_some_scans_of_a_patient_are_not_held_out_without_the_others() -> None:
    names = ["p1_a", "p1_b", "p2_a"]
    with pytest.raises(FormatError, match=r"expected all cases of patient p1, got none of p1_b"):
        held_out_by_name(names, "p[0-9]+", ["p1_a"])
    assert held_out_by_name(names, "p[0-9]+", ["p1_*"]) == {"p1_a", "p1_b"}
