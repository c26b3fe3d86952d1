"""Words for a person."""

from __future__ import annotations

import math

import pytest

from orchestrator.results.words import (
    count,
    duration,
    money,
    number,
    numbers,
    pairs,
    printable,
    shortened,
    value,
    width,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m 00s"),
        (61, "1m 01s"),
        (3599.9, "1h 00m"),
        (7500, "2h 05m"),
        (86_399, "23h 59m"),
        (86_400 * 4 + 3600 * 6, "4d 06h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_keep_five_digits() -> None:
    assert [number(0.123456789), number(1e-7), number(123456), number(2.0), number(math.inf)] == [
        "0.12346",
        "1e-07",
        "123456",
        "2",
        "inf",
    ]


def test_a_column_of_numbers_is_padded_to_the_same_decimals_where_that_helps() -> None:
    assert numbers([0.5, 0.25, None, 3]) == ["0.50", "0.25", "", "3"]
    assert numbers([0.5, 1e-7]) == ["0.5", "1e-07"]
    assert numbers([0.00013087, 0.05]) == ["0.00013087", "0.05"]
    assert numbers([math.nan, 0.5]) == ["nan", "0.5"]


def test_small_sums_are_not_rounded_to_nothing() -> None:
    assert [money(0), money(0.0042), money(12.345)] == ["$0.00", "$0.0042", "$12.35"]


def test_counting_knows_the_plural() -> None:
    assert [count(1, "trial"), count(1200, "trial"), count(0, "more trial", "more trials")] == [
        "1 trial",
        "1,200 trials",
        "0 more trials",
    ]


def test_values_are_one_printable_line() -> None:
    assert pairs({"a": "", "b": "x\ny", "c": [1, "z"], "d": None, "e": True, "f": 0.1}) == (
        "a='' b=x\\ny c=[1, \"z\"] d=null e=true f=0.1"
    )
    assert printable("\ud800ok\x9b") == "\\ud800ok\\x9b"
    assert value("plain") == "plain"


def test_long_text_is_cut_by_the_columns_that_it_takes() -> None:
    assert shortened("x" * 40) == "x" * 31 + "…"
    assert width(shortened("字" * 40, 11)) <= 11
    assert shortened("字" * 5, 10) == "字" * 5
