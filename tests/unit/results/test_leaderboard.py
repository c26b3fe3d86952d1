"""The order of trials."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results.leaderboard import Trial, best, comparable, rank, sort

STATES = ("succeeded", "failed", "pruned", "running", "submitted", "pending", "cancelled")


def trial(number: int, value: float | None, state: str = "succeeded", **params: object) -> Trial:
    return Trial(number, state, params, {} if value is None else {"acc": value})


def numbers(trials: list[Trial]) -> list[int]:
    return [one.trial for one in trials]


trials_of_any_kind = st.lists(st.tuples(st.sampled_from(STATES), st.none() | st.floats()), max_size=12).map(
    lambda rows: [trial(number, value, state) for number, (state, value) in enumerate(rows)]
)


def test_the_highest_value_is_first_or_the_lowest_where_that_is_the_goal() -> None:
    trials = [trial(0, 0.5), trial(1, 0.9), trial(2, 0.7)]
    assert numbers(rank(trials, "acc")) == [1, 2, 0]
    assert numbers(rank(trials, "acc", maximize=False)) == [0, 2, 1]


def test_a_failed_trial_is_last_however_good_its_value() -> None:
    trials = [trial(0, 0.99, "failed"), trial(1, None), trial(2, math.nan), trial(3, 0.1)]
    assert numbers(rank(trials, "acc")) == [3, 1, 2, 0]


def test_equals_stay_in_the_order_of_their_numbers() -> None:
    trials = [trial(2, 0.5), trial(0, 0.5), trial(1, 0.5)]
    assert numbers(rank(trials, "acc")) == [0, 1, 2]


def test_without_a_metric_the_order_is_that_of_the_numbers_with_the_failed_ones_last() -> None:
    trials = [trial(1, 0.9), trial(0, None, "failed"), trial(2, 0.1, "running")]
    assert numbers(rank(trials, None)) == [1, 2, 0]


def test_there_is_no_best_where_nothing_can_be_compared() -> None:
    assert best([], "acc") is None
    assert (
        best([trial(0, math.nan), trial(1, math.inf), trial(2, 0.5, "failed"), trial(3, 0.5, "running")], "acc") is None
    )
    assert best([trial(0, 0.5)], None) is None


@given(trials_of_any_kind, st.booleans())
def test_ranking_keeps_every_trial_and_never_puts_a_worse_value_before_a_better(
    trials: list[Trial], maximize: bool
) -> None:
    ranked = rank(trials, "acc", maximize=maximize)
    assert sorted(numbers(ranked)) == numbers(trials)
    values = [comparable(one, "acc") for one in ranked]
    known = [value for value in values if value is not None]
    assert values == [*known, *[None] * (len(values) - len(known))]
    assert known == sorted(known, reverse=maximize)
    failed = [one.state == "failed" for one in ranked]
    assert failed == sorted(failed)


def test_sorting_puts_numbers_before_texts_and_what_has_no_value_last() -> None:
    trials = [
        Trial(0, "succeeded", {"lr": 0.1, "opt": "sgd"}, {"acc": 0.5}, seconds=3.0),
        Trial(1, "succeeded", {"lr": 1e-3, "opt": "adam"}, {"acc": math.nan}, seconds=1.0),
        Trial(2, "failed", {"lr": 0.01, "opt": 7}, {}),
    ]
    assert numbers(sort(trials, lambda one: one.params["lr"])) == [1, 2, 0]
    assert numbers(sort(trials, lambda one: one.params["lr"], descending=True)) == [0, 2, 1]
    assert numbers(sort(trials, lambda one: one.seconds)) == [1, 0, 2]
    assert numbers(sort(trials, lambda one: one.metrics.get("acc"))) == [0, 1, 2]  # NaN is no number to compare
    assert numbers(sort(trials, lambda one: one.params["opt"])) == [2, 1, 0]
    assert numbers(sort(trials, lambda one: None)) == [0, 1, 2]
