"""What the machine decides, one decision at a time; the simulation tries them together."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from orchestrator.engine import machine as m
from orchestrator.providers.base import Cause, Ended, Phase, PoolState

RULES = m.Rules(window=2, total=4, retries={Cause.EXIT_CODE: 1, Cause.PREEMPTED: 3}, backoff=2.0)


def begun(rules: m.Rules = RULES) -> m.Machine:
    machine = m.Machine(rules)
    machine.apply(m.Begin(0.0))
    return machine


def end(
    machine: m.Machine, trial: int, cause: Cause | None = None, attempt: int = 1, now: float = 1.0
) -> list[m.Action]:
    return machine.apply(m.TaskSeen(trial, attempt, Phase.ENDED, now, Ended(cause, f"ended by {cause}")))


def submits(actions: list[m.Action]) -> list[tuple[int, int]]:
    return [(a.trial, a.attempt) for a in actions if isinstance(a, m.Submit)]


def saved(actions: list[m.Action]) -> list[tuple[int, str]]:
    return [(a.trial, a.state.value) for a in actions if isinstance(a, m.SaveTrial)]


def test_the_pool_is_asked_for_before_the_first_submission() -> None:
    actions = m.Machine(RULES).apply(m.Begin(0.0))
    assert actions[0] == m.CreatePool()
    assert submits(actions) == [(0, 1), (1, 1)]


def test_every_submission_is_written_down_first() -> None:
    actions = m.Machine(RULES).apply(m.Begin(0.0))
    for trial in (0, 1):
        intent = actions.index(m.SaveAttempt(trial, 1, "submitting"))
        assert intent < actions.index(m.Submit(trial, 1))


def test_the_window_is_refilled_when_a_trial_ends() -> None:
    machine = begun()
    assert submits(end(machine, 0)) == [(2, 1)]
    assert submits(end(machine, 1)) == [(3, 1)]
    assert submits(end(machine, 2)) == []


def test_an_end_that_is_told_twice_is_counted_once() -> None:
    machine = begun()
    end(machine, 0)
    assert end(machine, 0) == []
    assert machine.state.succeeded == 1


def test_the_end_of_an_earlier_attempt_does_not_end_the_present_one() -> None:
    machine = begun()
    end(machine, 0, Cause.PREEMPTED)
    machine.apply(m.Tick(10.0))
    assert machine.state.live[0].attempt == 2
    assert end(machine, 0, None, attempt=1) == []
    assert machine.state.succeeded == 0


@pytest.mark.parametrize(
    ("cause", "attempts"), [(Cause.EXIT_CODE, 2), (Cause.PREEMPTED, 4), (Cause.TIMEOUT, 1), (Cause.COMMAND, 1)]
)
def test_each_cause_has_its_own_limit_of_attempts(cause: Cause, attempts: int) -> None:
    machine = begun(replace(RULES, total=1))
    now, tried = 0.0, 0
    while 0 in machine.state.live:
        tried += 1
        actions = end(machine, 0, cause, attempt=tried, now=now)
        now += 1000
        machine.apply(m.Tick(now))
    assert tried == attempts
    assert saved(actions) == [(0, "failed")]


def test_a_retry_waits_twice_as_long_each_time() -> None:
    machine = begun(replace(RULES, total=1))
    waits = []
    now = 0.0
    for attempt in (1, 2, 3):
        end(machine, 0, Cause.PREEMPTED, attempt=attempt, now=now)
        deadline = machine.next_deadline(now)
        assert deadline is not None
        assert submits(machine.apply(m.Tick(deadline - 0.01))) == []
        assert submits(machine.apply(m.Tick(deadline))) == [(0, attempt + 1)]
        waits.append(deadline - now)
        now = deadline
    assert waits == [2.0, 4.0, 8.0]


def test_an_attempt_that_died_with_our_driver_counts_against_no_limit() -> None:
    machine = begun(replace(RULES, total=1, retries={}))
    for attempt in range(1, 30):
        machine.apply(m.Acknowledged(0, attempt, 0.0))
        assert submits(machine.apply(m.TaskMissing(0, attempt, 0.0))) == [(0, attempt + 1)]


def test_an_intent_that_never_took_effect_goes_out_again_under_the_same_name() -> None:
    machine = begun(replace(RULES, total=1))
    assert submits(machine.apply(m.TaskMissing(0, 1, 0.0))) == [(0, 1)]


def test_other_trials_go_on_while_one_waits_for_its_retry() -> None:
    assert submits(end(begun(), 0, Cause.PREEMPTED)) == [(2, 1)]


def test_a_search_that_learns_is_not_asked_for_more_while_a_trial_waits_for_its_retry() -> None:
    machine = begun(replace(RULES, keep_places=True))
    assert submits(end(machine, 0, Cause.PREEMPTED)) == []
    assert submits(machine.apply(m.Tick(100.0))) == [(0, 2)]


def test_the_run_ends_when_every_trial_has_ended_and_the_pool_is_gone() -> None:
    machine = begun(replace(RULES, total=1))
    actions = end(machine, 0)
    assert actions[-2:] == [m.SaveStatus(m.RunStatus.SUCCEEDED, ""), m.DeletePool()]
    assert machine.apply(m.PoolSeen(PoolState.DELETING, "", 0, 0, 2.0)) == []
    assert machine.apply(m.PoolSeen(PoolState.GONE, "", 0, 0, 3.0)) == [m.Finish(m.RunStatus.SUCCEEDED, "")]


def test_without_a_limit_one_failure_makes_the_verdict_but_stops_nothing() -> None:
    machine = begun(replace(RULES, retries={}))
    for trial in range(4):
        actions = end(machine, trial, Cause.EXIT_CODE if trial == 0 else None)
    assert m.SaveStatus(m.RunStatus.FAILED, "") in actions


def test_failures_within_the_limit_leave_a_success() -> None:
    machine = begun(replace(RULES, retries={}, max_failures_share=Fraction(1, 4)))
    for trial in range(4):
        actions = end(machine, trial, Cause.EXIT_CODE if trial == 0 else None)
    assert m.SaveStatus(m.RunStatus.SUCCEEDED, "") in actions


def test_a_share_of_failures_is_exact() -> None:
    rules = replace(RULES, max_failures_share=Fraction("29") / 100)
    assert rules.failures_allowed(100) == 29


def test_failures_beyond_the_limit_end_the_run_at_once() -> None:
    machine = begun(replace(RULES, retries={}, max_failures=1))
    end(machine, 0, Cause.EXIT_CODE)
    actions = end(machine, 1, Cause.EXIT_CODE)
    assert machine.state.status is m.RunStatus.FAILED
    assert m.Cancel(2, 1) in actions
    assert submits(actions) == []


def test_a_command_that_starts_for_no_trial_ends_the_run() -> None:
    machine = begun(replace(RULES, total=1000))
    for trial in range(m.HOPELESS_COMMANDS):
        end(machine, trial, Cause.COMMAND)
    assert machine.state.status is m.RunStatus.FAILED
    assert "could not be started" in machine.state.reason


def test_a_stop_waits_for_the_tasks_but_not_for_ever() -> None:
    machine = begun()
    actions = machine.apply(m.StopRun(m.RunStatus.INTERRUPTED, "Ctrl-C", 5.0))
    assert [a for a in actions if isinstance(a, m.Cancel)] == [m.Cancel(0, 1), m.Cancel(1, 1)]
    assert m.DeletePool() not in actions
    assert end(machine, 0, Cause.CANCELLED, now=6.0)[-1] == m.SaveTrial(
        0, m.TrialState.PENDING, 2, "ended by cancelled"
    )
    deadline = machine.next_deadline(6.0)
    assert deadline is not None
    assert m.DeletePool() in machine.apply(m.Tick(deadline))


def test_a_run_whose_time_is_over_waits_for_its_tasks_and_not_for_its_time() -> None:
    machine = begun(replace(RULES, run_timeout=5.0))
    assert machine.next_deadline(1.0) == 5.0
    assert m.Cancel(0, 1) in machine.apply(m.Tick(6.0))
    assert machine.state.phase is m.RunPhase.DRAINING
    deadline = machine.next_deadline(6.0)
    assert deadline is not None
    assert deadline > 6.0


def test_a_trial_that_ends_well_while_the_run_stops_is_counted() -> None:
    machine = begun()
    machine.apply(m.StopRun(m.RunStatus.INTERRUPTED, "Ctrl-C", 5.0))
    assert saved(end(machine, 0, None, now=6.0)) == [(0, "succeeded")]


def test_a_task_that_something_else_stopped_is_tried_again() -> None:
    machine = begun(replace(RULES, retries={Cause.INFRASTRUCTURE: 1}))
    actions = end(machine, 0, Cause.CANCELLED)
    assert saved(actions) == [(0, "pending")]
    assert next(a for a in actions if isinstance(a, m.SaveAttempt)).ended.cause is Cause.INFRASTRUCTURE  # type: ignore[union-attr]


def test_a_pruned_trial_is_told_to_stop_and_ends_as_pruned_whatever_its_exit() -> None:
    for cause in (None, Cause.CANCELLED, Cause.EXIT_CODE):
        machine = begun()
        assert machine.apply(m.PruneTrial(0, "worse than the median", 1.0)) == [m.Cancel(0, 1)]
        assert saved(end(machine, 0, cause)) == [(0, "pruned")]


def test_the_first_reason_to_stop_stands() -> None:
    machine = begun()
    machine.apply(m.StopRun(m.RunStatus.INTERRUPTED, "Ctrl-C", 1.0))
    machine.apply(m.StopRun(m.RunStatus.CANCELLED, "later", 2.0))
    assert (machine.state.status, machine.state.reason) == (m.RunStatus.INTERRUPTED, "Ctrl-C")


def test_money_is_spent_up_to_the_limit_less_the_teardown() -> None:
    rules = replace(RULES, max_cost=1.0, poll=10.0, grace=26.0)  # teardown: 36 s, at $10 an hour 10 cents
    machine = begun(rules)
    assert machine.apply(m.PoolSeen(PoolState.READY, "", 0.89, 10.0, 1.0)) == []
    machine.apply(m.PoolSeen(PoolState.READY, "", 0.91, 10.0, 2.0))
    assert machine.state.status is m.RunStatus.OVER_BUDGET


def test_a_run_that_is_stopped_gives_its_tasks_no_more_time_than_it_has_money_for() -> None:
    machine = begun(replace(RULES, max_cost=1.0, poll=36.0, grace=3600.0))
    machine.apply(m.PoolSeen(PoolState.READY, "", 0.1, 0.2, 1.0))
    machine.apply(m.StopRun(m.RunStatus.INTERRUPTED, "Ctrl-C", 2.0))
    assert machine.apply(m.PoolSeen(PoolState.READY, "", 0.89, 10.0, 3.0)) == []  # until the next look: 10 cents
    assert machine.apply(m.PoolSeen(PoolState.READY, "", 0.91, 10.0, 4.0)) == [m.DeletePool()]


def test_a_run_that_has_spent_its_money_makes_no_pool_again() -> None:
    machine = m.Machine(replace(RULES, max_cost=1.0), m.State(cost=1.0))
    actions = machine.apply(m.Begin(0.0))
    assert machine.state.status is m.RunStatus.OVER_BUDGET
    assert machine.state.phase is not m.RunPhase.WORKING, "what is performed later finds that no pool is wanted"
    assert submits(actions) == []


def test_nobody_waits_for_the_tasks_of_a_pool_that_is_gone() -> None:
    machine = begun()
    machine.apply(m.StopRun(m.RunStatus.INTERRUPTED, "Ctrl-C", 1.0))
    assert machine.state.in_flight == 2
    assert machine.apply(m.PoolSeen(PoolState.GONE, "", 0, 0, 2.0)) == [m.DeletePool()]
    assert machine.apply(m.PoolSeen(PoolState.GONE, "", 0, 0, 3.0)) == [m.Finish(m.RunStatus.INTERRUPTED, "Ctrl-C")]


def test_a_pool_that_vanishes_is_made_again() -> None:
    assert begun().apply(m.PoolSeen(PoolState.GONE, "", 0, 0, 1.0)) == [m.CreatePool()]


def test_a_pool_that_can_never_be_ends_the_run_with_its_reason() -> None:
    machine = begun()
    machine.apply(m.PoolSeen(PoolState.FAILED, "quota of 0 cores", 0, 0, 1.0))
    assert (machine.state.status, machine.state.reason) == (m.RunStatus.BROKEN, "quota of 0 cores")


def test_a_silent_task_is_stopped_and_then_given_up_after_its_timeout() -> None:
    machine = begun(replace(RULES, timeout=100.0))
    machine.apply(m.TaskSeen(0, 1, Phase.RUNNING, 0.0))
    late = 100.0 + RULES.grace + m.TIMEOUT_MARGIN + 1
    assert machine.apply(m.Tick(late - 2)) == []
    assert m.Cancel(0, 1) in machine.apply(m.Tick(late))
    actions = machine.apply(m.Tick(late + RULES.grace + m.TIMEOUT_MARGIN + 1))
    assert saved(actions) == [(0, "failed")]


def test_a_task_that_is_stopped_for_its_time_has_failed_by_its_time() -> None:
    machine = begun(replace(RULES, timeout=100.0, retries={Cause.INFRASTRUCTURE: 5}))
    machine.apply(m.TaskSeen(0, 1, Phase.RUNNING, 0.0))
    late = 100.0 + RULES.grace + m.TIMEOUT_MARGIN + 1
    machine.apply(m.Tick(late))
    assert saved(end(machine, 0, Cause.CANCELLED, now=late + 1)) == [(0, "failed")]


def test_a_search_that_ends_early_ends_the_run() -> None:
    machine = begun(replace(RULES, total=None, window=3))
    machine.apply(m.Exhausted(1, 0.0))
    assert list(machine.state.live) == [0]
    end(machine, 0)
    assert machine.state.status is m.RunStatus.SUCCEEDED


def test_a_million_trials_take_the_memory_of_the_window() -> None:
    machine = begun(m.Rules(window=4, total=1_000_000))
    for trial in range(20_000):
        end(machine, trial)
        assert len(machine.state.live) <= 4
    assert machine.state.succeeded == 20_000


STAGED = replace(RULES, total=6, stages=3)
AHEAD = replace(STAGED, window=6, ordered=True)


def cancels(actions: list[m.Action]) -> list[tuple[int, int]]:
    return [(a.trial, a.attempt) for a in actions if isinstance(a, m.Cancel)]


def test_a_stage_is_submitted_when_the_one_before_it_has_ended_well() -> None:
    machine = m.Machine(STAGED)
    actions = machine.apply(m.Begin(0.0))
    assert submits(actions) == [(0, 1), (3, 1)], "a stage that waits takes no place in the window"
    assert [a.trial for a in actions if isinstance(a, m.Foresee)] == [1, 2, 4, 5], "each point is known as a whole"
    assert submits(end(machine, 3)) == [(4, 1)]
    assert submits(end(machine, 0)) == [(1, 1)]
    assert submits(end(machine, 0)) == []


def test_a_stage_waits_while_the_one_before_it_is_tried_again() -> None:
    machine = begun(STAGED)
    assert submits(end(machine, 0, Cause.EXIT_CODE)) == []
    assert submits(machine.apply(m.Tick(10.0))) == [(0, 2)]
    assert submits(end(machine, 0, attempt=2)) == [(1, 1)]


@pytest.mark.parametrize("rules", [STAGED, AHEAD], ids=["by us", "by the provider"])
def test_stages_after_one_that_failed_fail_without_having_begun(rules: m.Rules) -> None:
    machine = begun(rules)
    end(machine, 0)
    machine.apply(m.Tick(2.0))
    actions = end(machine, 1, Cause.TIMEOUT)
    assert saved(actions) == [(1, "failed"), (2, "failed")]
    (skipped,) = [a for a in actions if isinstance(a, m.SaveTrial) and a.trial == 2]
    assert (skipped.attempt, skipped.reason) == (0, "not begun: trial 1, an earlier stage, failed")
    assert machine.state.failed == 2
    assert cancels(actions) == ([(2, 1)] if rules.ordered else [])
    assert machine.state.in_flight == (3 if rules.ordered else 1)


def test_commands_that_cannot_be_started_end_the_run_whatever_was_to_come_after_them() -> None:
    machine = begun(replace(STAGED, window=9, total=9))
    for trial in (0, 3, 6):
        end(machine, trial, Cause.COMMAND)
    assert machine.state.status is m.RunStatus.FAILED
    assert "could not be started" in machine.state.reason


def test_where_the_provider_keeps_the_order_all_stages_are_submitted_ahead() -> None:
    assert submits(m.Machine(AHEAD).apply(m.Begin(0.0))) == [(trial, 1) for trial in range(6)]
    machine = m.Machine(replace(AHEAD, window=4))
    assert submits(machine.apply(m.Begin(0.0))) == [(trial, 1) for trial in range(4)]
    assert submits(end(machine, 0)) == [(4, 1)], "one that found no room is submitted when there is some"


def test_what_was_submitted_ahead_is_made_anew_when_the_stage_before_it_is_tried_again() -> None:
    machine = begun(AHEAD)
    actions = end(machine, 0, Cause.EXIT_CODE)
    assert cancels(actions) == [(1, 1), (2, 1)], "they name an attempt that will never end well"
    assert submits(actions) == []
    machine.apply(m.Tick(3.0))
    machine.apply(m.Tick(3.0))
    actions = [*machine.apply(m.Tick(3.0))]
    assert {trial: live.attempt for trial, live in machine.state.live.items() if live.in_flight} == {
        0: 2, 1: 2, 2: 2, 3: 1, 4: 1, 5: 1,
    }  # fmt: skip
    end(machine, 0, attempt=2)
    assert end(machine, 1, attempt=1) == [], "the old attempt is not counted"


def test_what_waits_for_an_end_that_only_we_know_to_be_good_is_made_anew() -> None:
    machine = begun(AHEAD)
    seen = m.TaskSeen(0, 1, Phase.ENDED, 1.0, Ended(None), overruled=True)
    actions = machine.apply(seen)
    assert cancels(actions) == [(1, 1), (2, 1)]
    assert (1, 2) in submits(actions)
    assert saved(actions) == [(0, "succeeded"), (1, "pending"), (2, "pending")]


def test_a_resumed_run_takes_up_each_point_where_it_stands() -> None:
    state = m.State(next_trial=6, live={1: m.Live(), 2: m.Live(), 3: m.Live(in_flight=True), 4: m.Live(), 5: m.Live()})
    machine = m.Machine(STAGED, state)
    assert submits(machine.apply(m.Begin(0.0))) == [(1, 1)], "trial 0 has ended, and trial 3 runs"


def test_a_final_exit_code_is_not_tried_again() -> None:
    machine = begun(replace(RULES, final=frozenset({7})))
    ended = Ended(Cause.EXIT_CODE, "ended with exit code 7", exit_code=7)
    assert saved(machine.apply(m.TaskSeen(0, 1, Phase.ENDED, 1.0, ended))) == [(0, "failed")]
    assert saved(machine.apply(m.TaskSeen(1, 1, Phase.ENDED, 1.0, replace(ended, exit_code=8)))) == [(1, "pending")]
    assert machine.state.phase is m.RunPhase.WORKING


def test_a_fatal_exit_code_stops_the_run() -> None:
    machine = begun(replace(RULES, fatal=frozenset({7})))
    ended = Ended(Cause.EXIT_CODE, "ended with exit code 7", exit_code=7)
    actions = machine.apply(m.TaskSeen(0, 1, Phase.ENDED, 1.0, ended))
    assert saved(actions) == [(0, "failed")]
    assert cancels(actions) == [(1, 1)]
    assert machine.state.status is m.RunStatus.FAILED
    assert machine.state.reason == "trial 0 ended with exit code 7, at which limits.exit_codes stops the run"


def test_a_fatal_exit_code_counts_only_as_the_programs_own() -> None:
    machine = begun(replace(RULES, fatal=frozenset({7})))
    stopped = Ended(Cause.TIMEOUT, "stopped, and then it ended with 7", exit_code=7)
    machine.apply(m.TaskSeen(0, 1, Phase.ENDED, 1.0, stopped))
    assert machine.state.phase is m.RunPhase.WORKING
