"""The record gives back what was written, and refuses to count anything twice."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.engine.machine import TrialState
from orchestrator.engine.record import Outcome, Record
from orchestrator.errors import MachineError, RunNotFound
from orchestrator.providers.base import Cause, Ended, MetricSeen


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record.create(tmp_path / "record.db", {"total": 3})


def test_what_was_written_is_read_by_another_process(record: Record, tmp_path: Path) -> None:
    with record.transaction():
        record.add_trial(0, {"lr": 0.1, "name": "ü 'quoted'", "layers": [1, 2]})
        record.save_attempt(0, 1, "submitting", None)
        record.save_attempt(0, 1, "ended", Ended(None, exit_code=0, started=1.0, finished=3.0))
        record.save_trial(0, TrialState.SUCCEEDED, 1, "", Outcome({"loss": 0.5}, ("model/a",), 2.0))
    row = Record.open(tmp_path / "record.db").trial(0)
    assert row is not None
    assert row.params == {"lr": 0.1, "name": "ü 'quoted'", "layers": [1, 2]}
    assert (row.state, row.metrics, row.outputs, row.seconds) == ("succeeded", {"loss": 0.5}, ("model/a",), 2.0)


def test_an_ended_trial_is_not_ended_again(record: Record) -> None:
    record.add_trial(0, {})
    assert record.save_trial(0, TrialState.FAILED, 1, "exit code 1", None)
    assert not record.save_trial(0, TrialState.SUCCEEDED, 2, "", Outcome({"loss": 0.0}))
    row = record.trial(0)
    assert row is not None
    assert (row.state, row.metrics) == ("failed", {})


def test_values_that_are_not_numbers_come_back_as_they_were(record: Record) -> None:
    record.add_trial(0, {})
    values = [math.nan, math.inf, -math.inf, 1e300, 0.1]
    record.add_metrics((0, 1, MetricSeen("t", "loss", value, float(i), i)) for i, value in enumerate(values))
    assert [repr(row.value) for row in record.metrics(0)] == [repr(value) for value in values]
    record.save_trial(0, TrialState.SUCCEEDED, 1, "", Outcome({"loss": math.nan}))
    (told,) = record.told("loss")
    assert told.value is None
    assert math.isnan(told.metrics["loss"])


def test_a_value_that_is_delivered_twice_is_kept_once(record: Record) -> None:
    record.add_trial(0, {})
    for step in (None, 1.0):
        seen = MetricSeen("t", "loss", 0.5, step, 10.0)
        record.add_metrics([(0, 1, seen), (0, 1, seen)])
        record.add_metrics([(0, 1, seen)])
    assert len(list(record.metrics())) == 2


def test_a_transaction_that_fails_leaves_nothing(record: Record) -> None:
    with pytest.raises(KeyboardInterrupt), record.transaction():
        record.add_trial(0, {})
        raise KeyboardInterrupt
    assert record.trial(0) is None


def test_results_are_told_in_the_order_in_which_they_were_counted(record: Record) -> None:
    for trial in range(4):
        record.add_trial(trial, {})
    for trial in (2, 0, 3):
        record.save_trial(trial, TrialState.SUCCEEDED, 1, "", Outcome({"loss": trial}))
    assert [told.trial for told in record.told("loss")] == [2, 0, 3]


def test_the_state_of_the_machine_is_restored(record: Record) -> None:
    for trial in range(5):
        record.add_trial(trial, {})
    record.save_trial(0, TrialState.SUCCEEDED, 1, "", None)
    record.save_trial(1, TrialState.FAILED, 1, "", None)
    record.save_attempt(2, 1, "submitting", None)
    record.save_attempt(3, 1, "ended", Ended(Cause.PREEMPTED))
    record.save_trial(3, TrialState.PENDING, 2, "", None)
    record.save_attempt(3, 2, "running", None)
    state = record.state()
    assert (state.next_trial, state.succeeded, state.failed, sorted(state.live)) == (5, 1, 1, [2, 3, 4])
    assert (state.live[2].in_flight, state.live[2].acknowledged) == (True, False)
    assert (state.live[3].attempt, state.live[3].acknowledged) == (2, True)
    assert state.live[3].failures == {Cause.PREEMPTED: 1}
    assert not state.live[4].in_flight


def test_a_pool_that_was_asked_for_may_exist_until_it_is_seen_gone(record: Record) -> None:
    assert not record.pool_may_exist("p")
    record.intend("create-pool", "p", 1.0)
    assert record.pool_may_exist("p")
    record.confirm("create-pool", "p", 2.0)
    record.intend("delete-pool", "p", 3.0)
    assert record.pool_may_exist("p")
    record.confirm("delete-pool", "p", 4.0)
    assert not record.pool_may_exist("p")
    record.intend("create-pool", "p", 5.0)  # the run goes on
    assert record.pool_may_exist("p")


def test_a_missing_record_and_one_of_another_version_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match=r"no record at .*nowhere\.db"):
        Record.open(tmp_path / "nowhere.db")
    Record.create(tmp_path / "old.db", {"version": 0}).close()
    with pytest.raises(MachineError, match="another version"):
        Record.open(tmp_path / "old.db")


def test_a_disk_that_fills_up_is_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "full.db", {})
    record._db.execute(f"PRAGMA max_page_count={record._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(MachineError, match="orchestrate resume"), record.transaction():
        for trial in range(1000):
            record.add_trial(trial, {"text": "x" * 1000})
    assert not record._db.in_transaction
    assert record.trial(0) is None


def test_a_reader_is_not_blocked_by_the_writer(record: Record, tmp_path: Path) -> None:
    record.add_trial(0, {})
    reader = Record.open(tmp_path / "record.db")
    with record.transaction():
        record.add_trial(1, {})
        assert [row.trial for row in reader.trials()] == [0]
    assert [row.trial for row in reader.trials()] == [0, 1]


def test_the_best_trial_is_found_among_those_that_count(record: Record) -> None:
    values = [0.5, math.nan, 0.75, math.inf, 0.75, 0.99]
    for trial, value in enumerate(values):
        record.add_trial(trial, {})
        state = TrialState.FAILED if value == 0.99 else TrialState.SUCCEEDED
        record.save_trial(trial, state, 1, "", Outcome({"val/acc.top-1": value}))
    highest, lowest = (record.best("val/acc.top-1", maximize=maximize) for maximize in (True, False))
    assert highest is not None
    assert lowest is not None
    assert (highest.trial, lowest.trial) == (2, 0)
    assert record.best("loss", maximize=True) is None


def test_trials_that_have_ended_since_are_read_in_the_order_of_their_ends(record: Record) -> None:
    for trial in range(3):
        record.add_trial(trial, {})
    for trial in (2, 0):
        record.save_trial(trial, TrialState.SUCCEEDED, 1, "", None)
    assert [(number, row.trial) for number, row in record.ended()] == [(1, 2), (2, 0)]
    record.save_trial(1, TrialState.FAILED, 1, "", None)
    assert [(number, row.trial) for number, row in record.ended(2)] == [(3, 1)]


def test_what_a_search_knew_when_it_asked_is_kept_with_the_parent_of_the_trial(record: Record) -> None:
    for trial, parent in ((0, None), (1, None)):
        record.add_trial(trial, {"x": trial})
        record.add_ask(trial, parent)
    record.save_trial(1, TrialState.SUCCEEDED, 1, "", None)
    record.add_trial(2, {"x": 2})
    record.add_ask(2, 1)
    record.add_trial(3, {"x": 3})  # of a search that learns nothing
    assert list(record.asks()) == [(0, {"x": 0}, 0), (1, {"x": 1}, 0), (2, {"x": 2}, 1), (3, {"x": 3}, 0)]
    assert [record.parent(trial) for trial in range(4)] == [None, None, 1, None]
    assert [row.parent for row in record.trials()] == [None, None, 1, None]
    assert record.last() == (3, {"x": 3})


def test_a_record_from_before_searches_kept_what_they_knew_is_read(record: Record, tmp_path: Path) -> None:
    record.add_trial(0, {"x": 1})
    record._db.execute("DROP TABLE asked")
    record.close()
    with closing(Record.open(tmp_path / "record.db")) as again:
        assert list(again.asks()) == [(0, {"x": 1}, 0)]
        assert [row.parent for row in again.trials()] == [None]
