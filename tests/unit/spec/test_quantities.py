from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from orchestrator.spec.quantities import (
    flag,
    number,
    parse_duration,
    parse_size,
    printable,
    spelled_duration,
    text,
    whole,
)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("16GiB", 16 * 2**30),
        ("500MB", 500_000_000),
        ("1.5 TB", 1_500_000_000_000),
        ("2gib", 2 * 2**30),
        (2**31, 2**31),
        ("2147483648", 2**31),
        (1e9, 10**9),
    ],
)
def test_sizes_are_bytes(written: Any, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written",
    ["16G", "16", 16, -1, "GiB", "", "16 apples", True, None, [1], 10**400, "9" * 50 + "GiB", float("inf"), "-1GiB"],
)
def test_what_is_no_size_is_refused(written: Any) -> None:
    with pytest.raises(PydanticCustomError):
        parse_size(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0),
        ("90", 90.0),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("2d", 172800.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        (0.25, 0.25),
    ],
)
def test_durations_are_seconds(written: Any, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["5x", "1:30", "h", "", "-5m", -1, True, None, [], "11y", "4000d", float("nan"), 10**400]
)
def test_what_is_no_duration_is_refused(written: Any) -> None:
    with pytest.raises(PydanticCustomError):
        parse_duration(written)


@given(st.integers(min_value=1, max_value=3650 * 24 * 3600))
def test_a_spelled_duration_reads_back(seconds: int) -> None:
    assert parse_duration(spelled_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "spelling"), [(86400.0, "24h"), (300.0, "5m"), (10.0, "10s"), (172800.0, "2d"), (90.0, "90s")]
)
def test_durations_are_spelled_as_people_do(seconds: float, spelling: str) -> None:
    assert spelled_duration(seconds) == spelling


def test_numbers_may_be_texts_but_never_booleans() -> None:
    assert number("1e-4") == 1e-4
    assert whole("40") == 40
    assert whole(4.0) == 4
    for wrong in (True, "x", None, [1], float("nan"), float("inf"), "1e999", 10**400, "1" * 1000):
        with pytest.raises(PydanticCustomError):
            number(wrong)
    for wrong in (4.5, False, 2**70):
        with pytest.raises(PydanticCustomError):
            whole(wrong)


def test_large_whole_numbers_keep_their_last_digit() -> None:
    assert whole(2**53 + 1) == 2**53 + 1


def test_flags_are_booleans_alone() -> None:
    assert flag(True) is True
    for wrong in (1, 0, "true", None):
        with pytest.raises(PydanticCustomError):
            flag(wrong)


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800", "", "  ", 5, None, ["a"]])
def test_texts_are_what_a_command_line_can_carry(wrong: Any) -> None:
    with pytest.raises(PydanticCustomError):
        text(wrong)


def test_printable_texts_stay_as_they_are() -> None:
    assert printable("é 𝔘\n\t") == "é 𝔘\n\t"
