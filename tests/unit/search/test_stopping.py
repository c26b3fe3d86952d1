"""Early stopping and budgets: each rule by example, by a slow definition of itself, and after a crash."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.search import Stopper, Told, make_budget, make_stopper
from orchestrator.search.stopping.base import Scale
from orchestrator.search.stopping.halving import HyperbandJudge
from orchestrator.spec.stopping import Hyperband

from .spaces import quick, sweep

Report = tuple[int, float, float]


def stopper(rule: Any, goal: str = "maximize") -> Stopper:
    made = make_stopper(sweep({"x": [1, 2]}, metric="m", goal=goal, early_stopping=rule))
    assert made is not None
    return made


def given_up(rule: Any, reports: list[Report], goal: str = "maximize") -> list[tuple[int, float]]:
    """The trials that are given up, with their steps."""
    made = stopper(rule, goal)
    return [(trial, step) for trial, step, value in reports if made.observe(trial, step, value) is not None]


def curves(*values: list[float]) -> list[Report]:
    """Trial after trial, each with steps 1, 2, 3, ..."""
    return [(trial, step, value) for trial, own in enumerate(values) for step, value in enumerate(own, start=1)]


def test_without_early_stopping_there_is_no_stopper() -> None:
    assert make_stopper(sweep({"x": [1]})) is None


def test_the_median_gives_up_a_trial_whose_best_is_below_the_others_means() -> None:
    rule = {"rule": "median", "trials": 2}
    good = [0.5, 0.7, 0.9]  # means 0.5, 0.6, 0.7
    assert given_up(rule, curves(good, good, [0.55, 0.59, 0.2])) == [(2, 2.0)]
    assert given_up(rule, curves(good, good, [0.6, 0.6, 0.6], [0.8, 0.1, 0.1])) == [(2, 3.0)]
    assert given_up(rule, curves(good, [0.1, 0.1])) == []  # one other trial is too few


def test_a_percentile_asks_for_more_than_the_median() -> None:
    others = [[0.1], [0.2], [0.3], [0.4], [0.5]]
    assert given_up("median", curves(*others, [0.35])) == []
    assert given_up({"rule": "median", "percentile": 80}, curves(*others, [0.35])) == [(5, 1.0)]


def test_halving_lets_the_best_third_pass_each_rung() -> None:
    rule = {"rule": "asha", "first": 1, "reduction": 3}
    # At step 1: 0.5 alone, 0.6 better, 0.4 third of 3, 0.55 second of 4, 0.58 second of 5, 0.59 second of 6.
    reports: list[Report] = [(n, 1, value) for n, value in enumerate([0.5, 0.6, 0.4, 0.55, 0.58, 0.59])]
    assert given_up(rule, reports) == [(2, 1), (3, 1), (4, 1)]


def test_a_trial_that_jumps_over_rungs_is_judged_at_each() -> None:
    rule = {"rule": "asha", "first": 1, "reduction": 3}
    assert given_up(rule, [(0, 9, 0.9), (1, 1, 0.95), (1, 3, 0.95), (1, 9, 0.8)]) == [(1, 9)]
    assert given_up(rule, [(0, 2.5, 0.9), (1, 1.5, 0.8)]) == [(1, 1.5)]


def test_no_selection_is_made_where_a_trial_is_complete() -> None:
    reports: list[Report] = [(0, 9, 0.9), (1, 1, 0.95), (1, 3, 0.95), (1, 9, 0.8)]
    assert given_up({"rule": "asha", "last": 9}, reports) == []
    assert given_up({"rule": "hyperband", "last": 9, "after": 8.5}, reports) == []


def test_hyperband_spreads_the_trials_over_its_brackets_in_its_proportions() -> None:
    judge = HyperbandJudge(Hyperband(first=1, last=81), Scale(True))
    counts = Counter(judge.bracket(trial) for trial in range(143 * 7))
    # Source: L. Li and others, JMLR 2018, table 1: 81, 34, 15, 8 and 5 configurations for R = 81 and eta = 3.
    assert [round(counts[bracket] / 7) for bracket in range(5)] == [81, 34, 15, 8, 5]
    early = Counter(judge.bracket(trial) for trial in range(30))
    assert early[0] > early[1] > early[4] >= 1


def test_each_bracket_of_hyperband_begins_to_select_later() -> None:
    rule = {"rule": "hyperband", "first": 1, "last": 9}
    judge = HyperbandJudge(Hyperband(first=1, last=9), Scale(True))
    number = {bracket: next(t for t in range(2, 99) if judge.bracket(t) == bracket) for bracket in range(3)}
    best = {bracket: next(t for t in range(99, 999) if judge.bracket(t) == bracket) for bracket in range(3)}
    reports: list[Report] = []
    for bracket in range(3):
        reports += [(best[bracket], step, 0.9) for step in (1, 2, 3, 4, 9)]
        reports += [(number[bracket], step, 0.1) for step in (1, 2, 3, 4, 9)]
    assert given_up(rule, reports) == [(number[0], 1), (number[1], 3)]


@pytest.mark.parametrize(
    ("rule", "goal", "best", "kept", "lost"),
    [
        ({"factor": 0.25}, "maximize", 0.8, 0.65, 0.63),
        ({"factor": 0.25}, "minimize", 0.8, 0.99, 1.01),
        ({"factor": 0.25}, "maximize", -0.8, -0.95, -0.97),
        ({"factor": 0.25}, "minimize", -0.8, -0.61, -0.59),
        ({"amount": 0.1}, "maximize", 0.75, 0.66, 0.64),
        ({"amount": 0.1}, "minimize", 0.75, 0.84, 0.86),
    ],
)
def test_a_bandit_allows_its_slack_and_no_more(
    rule: dict[str, float], goal: str, best: float, kept: float, lost: float
) -> None:
    reports: list[Report] = [(0, 1, best), (1, 1, kept), (2, 1, lost)]
    assert given_up({"rule": "bandit", **rule}, reports, goal) == [(2, 1)]


def test_a_bandit_compares_with_the_best_at_the_same_step() -> None:
    reports: list[Report] = [(0, 1, 0.5), (0, 2, 0.9), (1, 1, 0.45), (1, 2, 0.6)]
    assert given_up({"rule": "bandit", "amount": 0.1}, reports) == [(1, 2)]


def test_a_plateau_ends_after_reports_without_an_improvement() -> None:
    rule = {"rule": "plateau", "reports": 2, "delta": 0.01}
    assert given_up(rule, curves([0.1, 0.2, 0.205, 0.3, 0.305, 0.3, 0.9])) == [(0, 6.0)]
    assert given_up(rule, curves([3.0, 2.0, 1.995, 1.5, 1.5, 1.4]), "minimize") == []


def test_a_threshold_ends_what_leaves_its_range_after_its_step() -> None:
    rule = {"rule": "threshold", "below": 0.1, "above": 9, "after": 1}
    assert given_up(rule, curves([0.0, 0.1, 0.09], [10.0, 9.0, 9.1])) == [(0, 3.0), (1, 3.0)]


def test_a_trial_is_given_up_once_and_steps_of_a_new_attempt_are_not_judged_again() -> None:
    rule = {"rule": "threshold", "below": 0.1}
    assert given_up(rule, [(0, 1, 0.0), (0, 2, 0.0)]) == [(0, 1)]
    assert given_up({"rule": "plateau", "reports": 2}, [(0, s, 0.5) for s in (1, 2, 1, 2, 1, 2)]) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_gives_the_trial_up_under_every_rule_and_teaches_the_rule_nothing(
    value: float,
) -> None:
    for rule in RULES:
        late = {**rule, "after": 2}
        assert given_up(late, [(0, 1, value), (0, 2, 0.5), (0, 3, value), (0, 4, value)]) == [(0, 3)]
        others = curves([0.5, 0.6], [0.4, 0.3], [0.6, 0.7])
        early = {**rule, "after": 0}
        assert given_up(early, [(9, 1, value), *others]) == [(9, 1), *given_up(early, others)]


def test_a_reason_says_what_was_compared() -> None:
    made = stopper({"rule": "median", "trials": 1}, "minimize")
    made.observe(0, 1, 0.25)
    reason = made.observe(1, 1, 0.5)
    assert reason == "median: at step 1 its best value 0.5 is worse than the median 0.25 of 1 trials"


RULES: list[Any] = [
    {"rule": "median", "trials": 2},
    {"rule": "median", "trials": 3, "percentile": 75, "after": 2},
    {"rule": "asha", "first": 1, "reduction": 2},
    {"rule": "hyperband", "first": 1, "last": 8, "reduction": 2},
    {"rule": "bandit", "amount": 0.2},
    {"rule": "plateau", "reports": 2},
]


@st.composite
def interleaved(draw: st.DrawFn) -> list[Report]:
    """Reports of a few trials at once, as several in flight give them."""
    steps: dict[int, float] = {}
    reports = []
    for _ in range(draw(st.integers(1, 60))):
        trial = draw(st.integers(0, 7))
        steps[trial] = steps.get(trial, 0.0) + draw(st.sampled_from([1.0, 1.0, 2.0]))
        reports.append((trial, steps[trial], draw(st.sampled_from([n / 8 for n in range(9)]))))
    return reports


@quick
@given(st.sampled_from(RULES), interleaved(), st.integers(0, 60))
def test_after_a_crash_the_same_reports_give_the_same_decisions(rule: Any, reports: list[Report], crash: int) -> None:
    undisturbed = stopper(rule)
    decided = [undisturbed.observe(*report) for report in reports]
    resumed = stopper(rule)
    assert [resumed.observe(*report) for report in reports[:crash]] == decided[:crash]
    assert [resumed.observe(*report) for report in reports[crash:]] == decided[crash:]


@quick
@given(st.sampled_from(RULES), interleaved())
def test_more_is_better_is_less_is_better_upside_down(rule: Any, reports: list[Report]) -> None:
    turned = [(trial, step, -value) for trial, step, value in reports]
    assert given_up(rule, reports) == given_up(rule, turned, "minimize")


@quick
@given(interleaved(), st.integers(1, 4), st.sampled_from([25.0, 50.0, 90.0]))
def test_the_median_is_what_its_definition_says(reports: list[Report], least: int, share: float) -> None:
    seen: list[Report] = []
    expected, gone = [], set()
    for trial, step, value in reports:
        if trial in gone:
            continue
        seen.append((trial, step, value))
        others = []
        for other in {t for t, s, _ in seen if s == step and t != trial}:
            own = [v for t, s, v in seen if t == other and s <= step]
            others.append(sum(own) / len(own))
        best = max(v for t, _, v in seen if t == trial)
        if len(others) >= least and best < float(np.percentile(others, share)) - 1e-12:
            expected.append((trial, step))
            gone.add(trial)
    rule = {"rule": "median", "trials": least, "percentile": share}
    assert given_up(rule, reports) == expected


@quick
@given(interleaved(), st.sampled_from([2.0, 3.0]))
def test_halving_is_what_its_definition_says(reports: list[Report], reduction: float) -> None:
    rungs: dict[int, dict[int, float]] = {}
    expected, gone = [], set()
    for trial, step, value in reports:
        if trial in gone:
            continue
        for rung in range(8):
            if reduction**rung > step or trial in rungs.get(rung, {}):
                continue
            if rung and trial not in rungs.get(rung - 1, {}):
                continue
            rungs.setdefault(rung, {})[trial] = value
            better = sum(other > value for other in rungs[rung].values())
            if better >= max(1, math.floor(len(rungs[rung]) / reduction)):
                expected.append((trial, step))
                gone.add(trial)
                break
    assert given_up({"rule": "asha", "reduction": reduction}, reports) == expected


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("medain", "did you mean|must be median"),
        ({"rule": "hyperband", "first": 1, "last": 2}, "at least first"),
        ({"rule": "hyperband"}, "last"),
        ({"rule": "bandit"}, "one slack"),
        ({"rule": "bandit", "factor": 0.1, "amount": 1}, "one slack"),
        ({"rule": "threshold"}, "needs a bound"),
        ({"rule": "threshold", "below": 2, "above": 1}, "leaves no value"),
        ({"rule": "asha", "reduction": 1}, "above 1"),
        (5, "needs a rule"),
    ],
)
def test_a_mistake_in_a_rule_is_refused_in_plain_words(rule: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        sweep({"x": [1]}, metric="m", early_stopping=rule)


def ended(*values: float | None) -> list[Told]:
    return [Told(n, {}, "failed" if v is None else "succeeded", v, {}) for n, v in enumerate(values)]


def test_a_budget_without_bounds_is_none() -> None:
    assert make_budget(sweep({"x": [1]}, metric="m")) is None


def test_a_reached_goal_is_enough() -> None:
    budget = make_budget(sweep({"x": [1]}, metric="m", target=0.9))
    assert budget is not None
    assert [budget(told) for told in ended(0.5, None, 0.9)][:2] == [None, None]
    assert budget(ended(0.95)[0]) == "m reached 0.95 in trial 0; the target was 0.9"
    smaller = make_budget(sweep({"x": [1]}, metric="m", goal="minimize", target=-1))
    assert smaller is not None
    assert [bool(smaller(told)) for told in ended(0, -0.9, -1)] == [False, False, True]


def test_no_progress_for_some_trials_is_enough() -> None:
    budget = make_budget(sweep({"x": [1]}, metric="m", patience=3))
    assert budget is not None
    cancelled = Told(9, {}, "cancelled", None, {})
    sequence = [*ended(None, None, None, 0.5, 0.4), cancelled, *ended(0.6, None, 0.6, 0.1)]
    answers = [budget(told) for told in sequence]
    assert answers[:-1] == [None] * 9
    assert answers[-1] == "m has not improved on 0.6 in 3 trials"
