"""Points that were tried several times."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results.export import to_record
from orchestrator.results.leaderboard import Trial, rank
from orchestrator.results.points import Point, best_of, points, repeats
from orchestrator.results.table import trials_table


def trial(number: int, value: float | None, state: str = "succeeded", lr: float = 0.1) -> Trial:
    metrics = {} if value is None else {"acc": value}
    return Trial(number, state, {"lr": lr, "seed": number % 3}, metrics, seconds=2.0)


def of(*trials: Trial) -> list[Point]:
    return points(trials, {"seed": 3}, "acc")


def test_a_point_has_mean_sample_deviation_and_number_of_its_trials() -> None:
    first, second = of(*(trial(n, value, lr=n // 3) for n, value in enumerate([0.5, 0.75, 1.0, 0.875, 0.875, 0.875])))
    assert (first.metrics, first.deviations, first.n) == ({"acc": 0.75}, {"acc": 0.25}, 3)
    assert (second.metrics, second.deviations, second.params) == ({"acc": 0.875}, {"acc": 0.0}, {"lr": 1})
    assert [point.trial for point in rank([first, second], "acc")] == [1, 0]
    assert best_of(first, "acc").trial == 2


def test_what_failed_or_is_not_finite_does_not_count_and_n_says_so() -> None:
    (point,) = of(trial(0, 0.5), trial(1, math.nan), trial(2, 0.9, "failed"))
    assert (point.state, point.metrics, point.deviations, point.n) == ("succeeded", {"acc": 0.5}, {}, 1)
    (pruned,) = of(trial(0, 0.5, "pruned"), trial(1, None, "failed"), trial(2, 0.7, "pruned"))
    assert (pruned.state, pruned.metrics) == ("pruned", {"acc": pytest.approx(0.6)})
    (failed,) = of(trial(0, 0.5, "failed"))
    assert (failed.state, failed.metrics, failed.n) == ("failed", {}, 0)


def test_the_table_shows_mean_deviation_and_n() -> None:
    rows = of(trial(0, 0.5), trial(1, 0.75), trial(2, 1.0), trial(3, 0.5, lr=1), trial(4, None, "failed", lr=1))
    assert trials_table(rank(rows, "acc"), "acc", None).lines() == [
        "point   acc     ±       n  time   lr",
        "    0  0.75  0.25       3  2.0s  0.1",
        "    1  0.50        1 of 2  2.0s    1",
    ]


def test_a_record_of_a_point_names_its_trials() -> None:
    (point,) = of(trial(0, 0.5), trial(1, 0.75), trial(2, 1.0))
    assert to_record(point) == {
        "point": 0,
        "trials": [0, 1, 2],
        "state": "succeeded",
        "params": {"lr": 0.1},
        "metrics": {"acc": 0.75},
        "deviations": {"acc": 0.25},
        "n": 3,
        "seconds": 2.0,
    }


def test_a_recorded_spec_says_what_is_repeated() -> None:
    assert repeats({"parameters": {"seed": {"repeat": 3}, "lr": {"choice": [1]}, "fold": {"repeat": 2}}}) == {
        "seed": 3,
        "fold": 2,
    }
    assert repeats({"name": "x"}) == {}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_every_trial_is_in_one_point_and_means_are_those_of_its_trials(values: list[float]) -> None:
    found = of(*(trial(number, value) for number, value in enumerate(values)))
    assert [one.trial for point in found for one in point.trials] == list(range(len(values)))
    for point in found:
        mine = [one.metrics["acc"] for one in point.trials]
        assert point.metrics["acc"] == fmean(mine)
        assert point.deviations.get("acc") == (stdev(mine) if len(mine) > 1 else None)
