"""Tables for a terminal."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results.leaderboard import Trial
from orchestrator.results.table import Column, fit, trials_table, varied
from orchestrator.results.words import width

TRIALS = [
    Trial(7, "succeeded", {"lr": 0.01, "epochs": 5, "opt": "adam"}, {"loss": 0.25, "acc": 0.9}, seconds=12.0),
    Trial(12, "succeeded", {"lr": 0.5, "epochs": 5, "opt": "sgd"}, {"loss": 1.0, "acc": 0.75}, seconds=64.0),
]


def test_columns_are_aligned_and_numbers_stand_with_their_points_below_each_other() -> None:
    assert trials_table(TRIALS, "acc", None).lines() == [
        "trial   acc    time    lr  opt   loss",
        "    7  0.90     12s  0.01  adam  0.25",
        "   12  0.75  1m 04s  0.50  sgd   1.00",
    ]


def test_what_is_the_same_for_all_trials_is_left_out_unless_there_is_one_trial() -> None:
    assert varied(TRIALS) == ["lr", "opt"]
    assert varied(TRIALS[:1]) == ["lr", "epochs", "opt"]
    assert varied([Trial(0, "succeeded", {"a": 1}), Trial(1, "succeeded", {"a": True})]) == ["a"]


def test_a_narrow_terminal_gets_fewer_columns_and_their_names() -> None:
    table = trials_table(TRIALS, "acc", 30)
    assert [column.header for column in table.columns] == ["trial", "acc", "time", "lr"]
    assert table.left_out == ["opt", "loss"]
    assert max(map(len, table.lines())) <= 30


def test_states_are_shown_where_not_every_trial_succeeded() -> None:
    failed = Trial(1, "failed", {"lr": 0.1}, {})
    assert "state" not in trials_table(TRIALS, "acc", None).lines()[0]
    assert "failed" in trials_table([*TRIALS, failed], "acc", None).lines()[-1]


def test_values_that_are_not_finite_and_missing_ones_keep_their_row() -> None:
    trials = [Trial(0, "succeeded", {}, {"acc": math.nan}), Trial(1, "succeeded", {}, {}), TRIALS[0]]
    lines = trials_table(trials, "acc", None).lines()
    assert len(lines) == 4
    assert "nan" in lines[1]


def test_no_value_can_break_the_table_or_move_the_cursor() -> None:
    nasty = Trial(0, "succeeded", {"text": "a\nb\x1b[2J\t\x07", "other": "x" * 500}, {})
    lines = trials_table([nasty, TRIALS[0]], None, None).lines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert "a\\nb\\x1b[2J" in lines[1]
    assert max(map(len, lines)) < 120


cells = st.text(max_size=6).filter(str.isprintable)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5), st.integers(1, 40))
def test_every_row_of_a_table_is_as_wide_as_its_columns(rows: list[tuple[str, str, str]], wide: int) -> None:
    columns = [Column(str(place), column, needed=place == 0) for place, column in enumerate(zip(*rows, strict=True))]
    table = fit(columns, wide)
    needed = columns[0].width
    assert all(width(line) <= max(wide, needed) for line in table.lines())
    assert [column.header for column in table.columns] + list(table.left_out) == ["0", "1", "2"]
