from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.emulators.azure_batch.autoscale.evaluate import (
    EvaluationError,
    Inputs,
    InsufficientSamples,
    Result,
    run,
)
from orchestrator.emulators.azure_batch.autoscale.grammar import FormulaSyntaxError, FormulaTooLong, parse
from orchestrator.emulators.azure_batch.autoscale.metrics import Metrics
from orchestrator.emulators.azure_batch.timefmt import HOUR, MINUTE, SECOND, of_datetime

NOW = of_datetime(datetime(2026, 3, 2, 8, 30, 15, tzinfo=UTC))  # A Monday.


def metrics(values: list[float] | None = None, name: str = "$PendingTasks") -> Metrics:
    """Samples of the last minutes, one every 30 seconds, the last of them now."""
    found = values or []
    begin = NOW - 30 * SECOND * max(0, len(found) - 1)
    pending = iter(found)
    current = {"value": 0.0}
    made = Metrics(30, begin, lambda: {name: current["value"]})
    for number, value in enumerate(pending):
        current["value"] = value
        made.note(begin + number * 30 * SECOND)
    return made


def evaluate(formula: str, samples: list[float] | None = None, **more: Any) -> Result:
    options: dict[str, Any] = {
        "now": NOW,
        "metrics": metrics(samples),
        "plain": {"$CurrentDedicatedNodes": 3.0, "$CurrentLowPriorityNodes": 1.0, "$TaskSlotsPerNode": 4.0},
        "target_dedicated": 2,
        "target_low_priority": 5,
        "random": random.Random(1),
    }
    return run(parse(formula), Inputs(**{**options, **more}))


def value(expression: str, samples: list[float] | None = None) -> int:
    return evaluate(f"$TargetDedicatedNodes = {expression};", samples).target_dedicated


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("20 / 4 / 5", 1),
        ("7 / 2", 3),
        ("-(-5)", 5),
        ("--5", 5),
        ("2 < 3", 1),
        ("2 >= 3", 0),
        ("1 == 1 && 2 != 2", 0),
        ("0 || 5", 1),
        ("!0", 1),
        ("!(3 > 2)", 0),
        ("1 ? 2 : 3", 2),
        ("0 ? 2 : 0 ? 3 : 4", 4),
        ("1 + 1 == 2 ? 10 : 20", 10),
        (".5 * 4", 2),
        ("1e1", 10),
        ("$TargetDedicatedNodes + 1", 3),
        ("$TargetDedicated + $TargetLowPriority", 7),
        ("$CurrentDedicatedNodes * 1.4", 4),
        ("$CurrentLowPriorityNodes", 1),
        ("$TaskSlotsPerNode", 4),
    ],
)
def test_arithmetic_comparison_logic_and_choice(expression: str, expected: int) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("min(3, 1, 2)", 1),
        ("max(vec(3, 1), 2)", 3),
        ("avg(1, 2, 3, 6)", 3),
        ("sum(vec(1, 2), 3)", 6),
        ("len(vec(1, 2), 3)", 3),
        ("range(2, 9, 4)", 7),
        ("norm(3, 4)", 5),
        ("std(2, 4, 4, 4, 5, 5, 7, 9) * 1000", 2138),
        ("lg(8)", 3),
        ("ln(1)", 0),
        ("log(1000)", 3),
        ("sum(lg(vec(2, 4, 8)))", 6),
        ("ceil(1.2)", 2),
        ("floor(1.8)", 1),
        ("round(2.5)", 3),
        ("round(2.4)", 2),
        ("val(vec(7, 8, 9), 1)", 8),
        ("percentile(vec(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 90)", 9),
        ("sum(vec(1, 2) * 3)", 9),
        ("sum(vec(1, 2) + vec(10, 20))", 33),
        ("rand() >= 0 && rand() <= 1", 1),
    ],
)
def test_functions(expression: str, expected: int) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("time().year", 2026),
        ("time().month", 3),
        ("time().day", 2),
        ("time().weekday", 1),
        ("time().hour", 8),
        ("time().minute", 30),
        ("time().second", 15),
        ('time("2026-03-01T00:00:00Z").weekday', 0),
        ('time("Mon, 02 Mar 2026 08:00:00 GMT") < time()', 1),
        ("(time() + TimeInterval_Hour).hour", 9),
        ("(time() - TimeInterval_Day * 2).day", 28),
        ('time() - time("2026-03-02T08:00:15Z") == 30 * TimeInterval_Minute', 1),
        ("TimeInterval_Week == 7 * TimeInterval_Day", 1),
        ("TimeInterval_Hour / 2 > TimeInterval_Minute * 29", 1),
        ("-TimeInterval_Hour < TimeInterval_Zero", 1),
        ("TimeInterval_Second - TimeInterval_Millisecond * 1000 == TimeInterval_Zero", 1),
        ("TimeInterval_100ns * 10 == TimeInterval_Microsecond", 1),
    ],
)
def test_times_and_intervals(expression: str, expected: int) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$PendingTasks.GetSample(1)", 40),
        ("avg($PendingTasks.GetSample(2))", 35),
        ("max($PendingTasks.GetSample(TimeInterval_Minute))", 40),
        ("len($PendingTasks.GetSample(TimeInterval_Minute))", 3),
        ("sum($PendingTasks.GetSample(60 * TimeInterval_Second, 90 * TimeInterval_Second))", 30),
        ("len($PendingTasks.GetSample(TimeInterval_Minute, 100))", 3),
        ("len($PendingTasks.GetSample(time() - TimeInterval_Minute, time()))", 3),
        ("$PendingTasks.GetSamplePercent(90 * TimeInterval_Second)", 100),
        ("$PendingTasks.GetSamplePercent(TimeInterval_Minute * 10)", 20),
        ("$PendingTasks.GetSamplePercent(TimeInterval_Minute * 9, TimeInterval_Minute * 10)", 0),
        ("$PendingTasks.Count()", 4),
        ("$PendingTasks.GetSamplePeriod() == 30 * TimeInterval_Second", 1),
        ("time() - $PendingTasks.HistoryBeginTime() == 90 * TimeInterval_Second", 1),
        ("val($PendingTasks.GetSample(4), 0)", 10),
    ],
)
def test_samples(expression: str, expected: int) -> None:
    assert value(expression, [10, 20, 30, 40]) == expected


def test_a_sample_percentage_that_is_not_reached_ends_the_evaluation() -> None:
    for formula in (
        "$TargetDedicatedNodes = max($PendingTasks.GetSample(TimeInterval_Minute * 10, 50));",
        "$TargetDedicatedNodes = max($PendingTasks.GetSample(TimeInterval_Minute * 9, TimeInterval_Minute * 10));",
    ):
        with pytest.raises(InsufficientSamples):
            evaluate(formula, [1, 2, 3])


def test_the_documented_formula_for_pending_tasks_scales_with_them() -> None:
    formula = """
        startingNumberOfVMs = 1;
        maxNumberofVMs = 25;
        pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
        pendingTaskSamples = pendingTaskSamplePercent < 70 ? startingNumberOfVMs
            : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
        $TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);
        $NodeDeallocationOption = taskcompletion;
    """
    assert evaluate(formula, [9.0]).target_dedicated == 1
    result = evaluate(formula, [12.0] * 7)
    assert (result.target_dedicated, result.option) == (12, "taskcompletion")
    assert evaluate(formula, [400.0] * 7).target_dedicated == 25


def test_the_documented_formula_for_working_hours_reads_the_clock() -> None:
    formula = """
        $curTime = time();
        $workHours = $curTime.hour >= 8 && $curTime.hour < 18;
        $isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
        $isWorkingWeekdayHour = $workHours && $isWeekday;
        $TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;
    """
    result = evaluate(formula)
    assert result.target_dedicated == 20
    assert "$TargetDedicatedNodes=20" in result.text
    assert "$isWeekday=1" in result.text
    assert "$curTime=2026-03-02T08:30:15.000000Z" in result.text
    assert evaluate(formula, now=NOW + 12 * HOUR).target_dedicated == 10


def test_the_documented_formula_for_tasks_with_comments_and_two_branches() -> None:
    formula = """
        // Get pending tasks for the past 15 minutes.
        $samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
        $tasks = $samples < 70 ? max(0,$PendingTasks.GetSample(1)) : max( $PendingTasks.GetSample(1),
            avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
        /* If number of pending tasks is not 0, set targetVM to pending tasks, otherwise
           half of current dedicated. */
        $targetVMs = $tasks > 0? $tasks:max(0, $TargetDedicatedNodes/2);
        $TargetDedicatedNodes = max(0, min($targetVMs, 20));
        $NodeDeallocationOption = taskcompletion;
    """
    assert evaluate(formula, [3.0]).target_dedicated == 3
    assert evaluate(formula, [0.0] * 40).target_dedicated == 1
    assert evaluate(formula, [50.0] * 40).target_dedicated == 20


def test_a_deadline_makes_every_later_target_zero() -> None:
    formula = (
        '$alive = time() < time("2026-03-02T09:00:00Z");'
        "$TargetLowPriorityNodes = $alive ? min(4, max($PendingTasks.GetSample(1))) : 0;"
        "$TargetDedicatedNodes = 0;"
    )
    assert evaluate(formula, [9.0]).target_low_priority == 4
    late = Inputs(NOW + HOUR, metrics([9.0]), {}, 0, 4)
    assert run(parse(formula), late).target_low_priority == 0


def test_targets_that_are_not_set_stay_and_full_names_win_over_aliases() -> None:
    result = evaluate("$TargetDedicated = 9;")
    assert (result.target_dedicated, result.target_low_priority, result.option) == (9, 5, "requeue")
    assert evaluate("$TargetDedicatedNodes = 4; $TargetDedicated = 9;").target_dedicated == 4


def test_stop_ends_the_formula_with_what_was_set_so_far() -> None:
    assert evaluate("$TargetDedicatedNodes = 4; stop(); $TargetDedicatedNodes = 9;").target_dedicated == 4


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("$TargetDedicatedNodes = unknown;", "there is no variable unknown"),
        ("$TargetDedicatedNodes = frobnicate(1);", "there is no function frobnicate"),
        ("$TargetDedicatedNodes = $PendingTasks;", "not a number of nodes"),
        ("$TargetDedicatedNodes = $PendingTasks + 1;", "take samples of it with GetSample"),
        ("$TargetDedicatedNodes = $PendingTasks.Average();", "has no method Average"),
        ("$TargetDedicatedNodes = 1 / 0;", "division by zero"),
        ("$TargetDedicatedNodes = -1;", "cannot be negative"),
        ('$TargetDedicatedNodes = "three";', "not a number of nodes"),
        ("$TargetDedicatedNodes = time();", "not a number of nodes"),
        ("$TargetDedicatedNodes = time() + 1;", "not a number"),
        ("$TargetDedicatedNodes = time() < 1;", "cannot be compared"),
        ("$TargetDedicatedNodes = time().century;", "a time has no century"),
        ("$TargetDedicatedNodes = avg();", "avg of no values"),
        ("$TargetDedicatedNodes = ln(-1);", "not positive"),
        ("$TargetDedicatedNodes = val(vec(1), 1);", "there is no element 1"),
        ("$TargetDedicatedNodes = sum(vec(1) + vec(1, 2));", "lengths 1 and 2"),
        ("$PendingTasks = 3;", "read-only"),
        ("TimeInterval_Hour = 3;", "is a constant"),
        ("$NodeDeallocationOption = sometimes;", "there is no variable sometimes"),
        ('$NodeDeallocationOption = "sometimes";', "not one of requeue"),
        ('$TargetDedicatedNodes = time("noon");', "neither a W3C-DTF nor an RFC 1123 time"),
    ],
)
def test_what_cannot_be_evaluated_is_said(formula: str, reason: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate(formula, [1.0])
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "where"),
    [
        ("", "line 1"),
        ("// nothing", "line 1"),
        ("$x = ;", "line 1, column 6"),
        ("$x = 1 +", "ends in the middle"),
        ("$x = (1;", "expected ')'"),
        ("$x = 1\n$y = 2;", "line 2, column 1"),
        ("$x = 1 ? 2;", "expected ':'"),
        ("$x = f(1,;", "unexpected ';'"),
        ("$x = 1 @ 2;", "unexpected character '@'"),
        ("$x = time().;", "expected a name"),
        ("$x = __import__('os').system('x') if 1 else 2;", "expected ';'"),
        ("$x = " + "(" * 200 + "1" + ")" * 200, "nested too deeply"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_place(formula: str, where: str) -> None:
    with pytest.raises(FormulaSyntaxError) as caught:
        parse(formula)
    assert where in str(caught.value)


def test_a_formula_has_at_most_eight_kilobytes_and_a_hundred_statements() -> None:
    assert len(parse("$x = 1;" * 100)) == 100
    with pytest.raises(FormulaTooLong):
        parse("$x = 1;" * 101)
    with pytest.raises(FormulaTooLong):
        parse("$x = 1; //" + "x" * 8192)


def test_samples_are_taken_every_period_with_the_value_of_their_time() -> None:
    current = {"value": 1.0}
    made = Metrics(30, NOW, lambda: {"$PendingTasks": current["value"]})
    made.note(NOW)
    made.note(NOW + MINUTE)  # Called before the change: the samples until here are of the old value.
    current["value"] = 5.0
    made.note(NOW + 2 * MINUTE)
    taken = [(sample.time - NOW) // SECOND for sample in made.samples]
    assert taken == [0, 30, 60, 90, 120]
    assert [sample.values["$PendingTasks"] for sample in made.samples] == [1.0, 1.0, 1.0, 5.0, 5.0]


def test_samples_are_kept_for_a_day_even_after_a_jump_of_a_year() -> None:
    made = Metrics(30, NOW, lambda: {"$PendingTasks": 1.0})
    made.note(NOW)
    made.note(NOW + 365 * 24 * HOUR)
    assert 2878 <= len(made.samples) <= 2881
