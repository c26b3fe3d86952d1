"""The dead-man formula, evaluated by the emulator's own evaluator of the service's language."""

from __future__ import annotations

from orchestrator.emulators.azure_batch.autoscale.evaluate import Inputs, Result, run
from orchestrator.emulators.azure_batch.autoscale.grammar import MAX_LENGTH, parse
from orchestrator.emulators.azure_batch.autoscale.metrics import Metrics, Snapshot
from orchestrator.emulators.azure_batch.timefmt import SECOND
from orchestrator.providers.azure import autoscale

MADE = 1_800_000_000.0
LEASE = MADE + 6 * 3600


class Pool:
    """A pool's counts over time, sampled every 30 seconds as the service does."""

    def __init__(
        self,
        *,
        slots: int = 1,
        first: int = 4,
        most: int = 10,
        spot: bool = False,
        fallback: bool = False,
        together: int = 1,
    ):
        self.text = autoscale.formula(
            created=MADE,
            lease_until=LEASE,
            idle_timeout=600,
            slots_per_node=slots,
            first_nodes=first,
            max_nodes=most,
            spot=spot,
            on_demand_fallback=fallback,
            together=together,
        )
        self.pending = self.running = 0
        self.preempted = 0
        self.metrics = Metrics(30, round(MADE * SECOND), self._read)

    def _read(self) -> Snapshot:
        return {
            "$ActiveTasks": float(self.pending - self.running),
            "$RunningTasks": float(self.running),
            "$PendingTasks": float(self.pending),
            "$PreemptedNodeCount": float(self.preempted),
        }

    def counts(self, at: float, pending: int, preempted: int = 0, running: int = 0) -> None:
        """From ``at`` seconds after the pool was made these are the counts."""
        self.metrics.note(round((MADE + at) * SECOND))
        self.pending, self.preempted, self.running = pending, preempted, running

    def at(self, seconds: float, *, target: int = 0, current: int = 0) -> Result:
        """What the formula says for a pool with so many nodes of each kind asked for and there."""
        now = round((MADE + seconds) * SECOND)
        self.metrics.note(now)
        there = {"$CurrentDedicatedNodes": float(current), "$CurrentLowPriorityNodes": float(current)}
        return run(parse(self.text), Inputs(now, self.metrics, there, target, target))


def test_a_new_pool_gets_the_nodes_that_it_was_made_for_at_once() -> None:
    result = Pool(slots=2, first=4).at(0)
    assert (result.target_dedicated, result.target_low_priority) == (4, 0)
    assert result.option == "taskcompletion"


def test_nodes_follow_the_pending_tasks_counted_in_slots_and_never_pass_the_maximum() -> None:
    pool = Pool(slots=4, first=1, most=10)
    pool.counts(10, 17)
    assert pool.at(300).target_dedicated == 5
    pool.counts(310, 1000)
    assert pool.at(600).target_dedicated == 10
    pool.counts(610, 3)
    assert pool.at(1200).target_dedicated == 1


def test_an_idle_pool_keeps_one_node_for_the_idle_time_and_then_none() -> None:
    pool = Pool()
    pool.counts(10, 8)
    pool.counts(1000, 0)
    assert pool.at(1300).target_dedicated == 1
    assert pool.at(1570).target_dedicated == 1
    assert pool.at(1680).target_dedicated == 0


def test_a_pool_that_never_got_a_task_ends_after_its_first_minutes() -> None:
    assert Pool().at(300).target_dedicated == 0


def test_after_the_lease_there_are_no_nodes_whatever_waits() -> None:
    pool = Pool()
    pool.counts(10, 50)
    assert pool.at(LEASE - MADE - 1).target_dedicated == 10
    for later in (0, 1, 3600, 10 * 86400):
        result = pool.at(LEASE - MADE + later)
        assert (result.target_dedicated, result.target_low_priority) == (0, 0)


def test_spot_pools_take_spot_nodes_and_with_fallback_dedicated_ones_for_those_preempted() -> None:
    plain, fallback = Pool(spot=True), Pool(spot=True, fallback=True)
    for pool in (plain, fallback):
        pool.counts(10, 6, preempted=2)
    result = plain.at(300)
    assert (result.target_dedicated, result.target_low_priority) == (0, 6)
    result = fallback.at(300)
    assert (result.target_dedicated, result.target_low_priority) == (2, 6)


def test_nodes_that_tasks_take_together_come_and_stay_in_their_number() -> None:
    pool = Pool(together=3, first=6, most=9)
    assert pool.at(0).target_dedicated == 6
    pool.counts(10, 6)  # two that wait, each counted as its three nodes
    assert pool.at(300).target_dedicated == 6
    pool.counts(310, 30)
    assert pool.at(600).target_dedicated == 9
    pool.counts(610, 2, running=2)  # two that run, counted once each
    assert pool.at(1200).target_dedicated == 6
    pool.counts(1210, 1, running=1)
    assert pool.at(1500).target_dedicated == 3
    pool.counts(1510, 0)
    assert pool.at(2000).target_dedicated == 3, "within the idle time"
    assert pool.at(2400).target_dedicated == 0
    pool.counts(2410, 3)
    assert pool.at(LEASE - MADE).target_dedicated == 0


def test_a_gap_in_the_samples_does_not_bring_nodes_back() -> None:
    pool = Pool()
    pool.counts(10, 8)
    pool.counts(400, 0)
    pool.at(400)
    pool.metrics.note = lambda now: None  # type: ignore[method-assign]  # the service has stopped sampling
    assert pool.at(20_000).target_dedicated == 0


def test_a_resize_that_failed_for_want_of_machines_is_asked_for_again() -> None:
    pool = Pool(slots=2)
    pool.counts(10, 15)
    assert pool.at(300).target_dedicated == 8
    assert pool.at(600, target=8, current=3).target_dedicated == 3, "the same target would start no resize"
    assert pool.at(900, target=3, current=3).target_dedicated == 8
    assert pool.at(1200, target=8, current=8).target_dedicated == 8


def test_the_formula_stays_within_the_service_s_limit() -> None:
    assert len(Pool(spot=True, fallback=True).text) < MAX_LENGTH
