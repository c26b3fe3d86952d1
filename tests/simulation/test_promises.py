"""The promises, tried in thousands of simulated runs full of faults.  A failing seed replays: ``pytest --seed N``."""

from __future__ import annotations

import math
import os
import random
import sqlite3
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields

import pytest

from orchestrator.engine import machine as m
from orchestrator.engine.driver import Driver, Finished, Progress
from orchestrator.engine.record import Record
from orchestrator.errors import ProviderError
from orchestrator.providers.base import Cause, Machine, PoolRequest
from tests.simulation.world import (
    NODE_PRICE,
    SLOWEST_DELETION,
    TIMEOUT,
    Fate,
    FatefulConnection,
    Faults,
    Killed,
    Program,
    SimulatedCompute,
    SimulatedSearch,
    SimulatedStore,
    VirtualClock,
    World,
)

LIVES_WITH_FAULTS = 60
MOST_LIVES = 70
STEPS = 100_000


@dataclass
class Scenario:
    """What one seed stands for."""

    seed: int

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.faults = Faults.drawn(rng)
        self.trials = rng.randint(1, 9)
        self.slots = rng.choice([1, 1, 2, 3])
        self.window = rng.choice([1, self.slots, self.slots + 2])
        self.failing = rng.choice([0.0, 0.0, 0.3, 1.0])
        self.survives = rng.random() < 0.6
        self.max_failures = rng.choice([None, None, None, 0, 2])
        self.max_cost = rng.choice([None, None, rng.uniform(0.05, 0.4)])
        self.interrupt_at = rng.choice([None, None, rng.uniform(0, 300)])
        self.impatient = rng.random() < 0.3
        self.known_size = rng.random() < 0.7
        self.stages = rng.choice([1, 1, 2, 3])
        self.trials = -(-self.trials // self.stages) * self.stages
        self.ordered = self.stages > 1 and rng.random() < 0.5
        self.fatal = rng.random() < 0.2

    def rules(self) -> m.Rules:
        again = (Cause.PREEMPTED, Cause.INFRASTRUCTURE, Cause.NO_CAPACITY, Cause.TIMEOUT)
        return m.Rules(
            window=self.window,
            keep_places=self.window == 1 and self.stages == 1,
            stages=self.stages,
            ordered=self.ordered,
            fatal=frozenset({1} if self.fatal else ()),
            total=self.trials if self.known_size else None,
            retries=dict.fromkeys(again, 10_000),
            max_failures=self.max_failures,
            timeout=TIMEOUT,
            max_cost=self.max_cost,
        )

    @property
    def cost_of_stopping(self) -> float:
        return (self.rules().poll + self.rules().grace) * NODE_PRICE / 3600


@dataclass
class Ending:
    scenario: Scenario
    status: m.RunStatus
    rows: dict[int, tuple[str, dict[str, float], dict[str, object]]]
    world: World
    told: list[int]
    struck: Counter[str]
    lives: int
    crossings: int
    cost_seen: float
    pool_may_exist: bool


@dataclass
class Watcher:
    """Sits where a user sits: presses Ctrl-C at its time, twice if ``impatient``; a driver must come to its end."""

    clock: VirtualClock
    interrupt_at: float | None
    impatient: bool
    driver: Driver | None = None
    steps: int = 0

    def __call__(self, progress: Progress, finished: list[Finished]) -> None:
        self.steps += 1
        assert self.steps < STEPS, "the driver turns in circles"
        if self.interrupt_at is not None and self.clock.now() >= self.interrupt_at and self.driver is not None:
            self.interrupt_at = None
            for _ in range(2 if self.impatient else 1):
                self.driver.stop(m.RunStatus.INTERRUPTED, "Ctrl-C")


def play(seed: int) -> Ending:
    """One run from its first driver to its last, through all its deaths."""
    scenario = Scenario(seed)
    fate = Fate(seed, scenario.faults)
    clock = VirtualClock()
    too_dear = math.inf if scenario.max_cost is None else scenario.max_cost - scenario.cost_of_stopping
    world = World(
        seed, fate, clock, slots=scenario.slots, failing=scenario.failing, survives=scenario.survives,
        too_dear=too_dear, stages=scenario.stages, ordered=scenario.ordered, fatal=scenario.fatal,
    )  # fmt: skip
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=FatefulConnection)
    record = Record.adopt(connection, {"total": scenario.rules().total})
    connection.fate = fate
    at = None if scenario.interrupt_at is None else clock.now() + scenario.interrupt_at
    watcher = Watcher(clock, at, scenario.impatient)
    lives, pool = 0, f"run-{seed}"
    while True:
        lives += 1
        assert lives < MOST_LIVES, "the run does not come to its end"
        if lives > LIVES_WITH_FAULTS:
            fate.calm()
        search = SimulatedSearch(scenario.trials, fate, adaptive=scenario.stages == 1)
        request = PoolRequest(pool, {}, Machine(), scenario.slots, None, 0.0, 0.0)
        watcher.steps = 0
        try:
            watcher.driver = Driver(
                request, scenario.rules(), record, SimulatedCompute(world), SimulatedStore(world),  # type: ignore[arg-type]
                search, clock, metric="loss", observer=watcher,
            )  # fmt: skip
            status = watcher.driver.run()
        except (Killed, ProviderError) as left:
            if not scenario.impatient and not isinstance(left, Killed):
                raise  # only who does not wait for the teardown is told that it fails
            assert world.pool is None or record.pool_may_exist(pool), "a pool was made before it was written down"
            world.client_died()
            clock.sleep(fate.rng.uniform(0, 500))
            continue
        over = record.facts().get("finished") is not None
        assert over or scenario.impatient, "only who is told to leaves a run unfinished"
        assert world.pool is None or record.pool_may_exist(pool), "a pool is forgotten"
        assert world.pool is None or not over or status is m.RunStatus.BROKEN, "a pool outlives its run"
        if not over:
            world.client_died()
        elif status in (m.RunStatus.BROKEN, m.RunStatus.INTERRUPTED):  # the user mends it and resumes
            connection.fate = None
            record.reopen(clock.now())
            connection.fate = fate
            fate.faults.lasting = 0.0
        else:
            break
    fate.calm()
    rows = {row.trial: (row.state, dict(row.metrics), dict(row.params)) for row in record.trials()}
    return Ending(
        scenario, status, rows, world, search.told, fate.struck, lives, fate.crossings,
        record.facts().get("cost", 0.0), record.pool_may_exist(pool),
    )  # fmt: skip


def check(end: Ending) -> None:
    """P1, P2, P4 and P5 (P3, an unacknowledged task, shows as a trial without an end)."""
    s, world = end.scenario, end.world
    expected = {trial: Program.of(s.seed, trial, s.failing) for trial in range(s.trials)}
    counted = [trial for trial, (state, _, _) in end.rows.items() if state in m.TERMINAL]

    assert sorted(end.told) == sorted(counted), "each ended trial is told once"
    for trial in counted:
        state, metrics, params = end.rows[trial]
        skipped = any(expected[earlier].fails for earlier in range(trial - trial % s.stages, trial))
        assert params["x"] == trial, f"trial {trial} has the parameters of another"
        wanted = "failed" if skipped or expected[trial].fails else "succeeded"
        assert state == wanted, f"trial {trial} ended as {state}"
        assert metrics == ({} if skipped else {"loss": expected[trial].value}), f"trial {trial} has other metrics"
        assert not (skipped and trial in world.executions), f"trial {trial} began after a stage that failed"

    assert world.pool is None, "a pool outlives its run"
    assert not end.pool_may_exist, "the record still thinks that a pool may exist"

    failures = sum(end.rows[trial][0] == "failed" for trial in counted)
    if end.status is m.RunStatus.FAILED and s.fatal:
        assert any(expected[trial].fails for trial in counted), "the run was stopped for nothing"
    elif end.status in (m.RunStatus.SUCCEEDED, m.RunStatus.FAILED) and (
        s.max_failures is None or failures <= s.max_failures
    ):
        assert len(counted) == s.trials, f"trials are lost: {sorted(set(expected) - set(counted))}"
        assert (end.status is m.RunStatus.SUCCEEDED) == (failures <= (s.max_failures or 0))
    elif end.status is m.RunStatus.FAILED:
        assert s.max_failures is not None
        assert failures > s.max_failures
    else:
        assert end.status is m.RunStatus.OVER_BUDGET, f"unexpected end {end.status}"
        assert s.max_cost is not None
        assert end.cost_seen + s.cost_of_stopping >= s.max_cost
    if s.max_cost is not None:
        # The provider's own time is not ours to shorten, nor that in which nobody is there or gets an answer.
        late = s.rules().poll + SLOWEST_DELETION + world.blind
        assert world.cost() <= s.max_cost + late * NODE_PRICE / 3600 + 1e-9, "the limit was passed by more than a poll"

    if s.window == 1 and s.stages == 1 and end.status is not m.RunStatus.OVER_BUDGET:
        for trial in sorted(counted):
            assert end.rows[trial][2] == {"x": trial, "after": list(range(trial))}, "another point was asked"


def _many(seeds: range) -> tuple[Counter[str], str]:
    """What went wrong in these runs; and the first that broke a promise."""
    struck: Counter[str] = Counter()
    for seed in seeds:
        try:
            end = play(seed)
            check(end)
        except Exception as error:  # reported with its seed, then replayed alone
            return struck, f"seed {seed}: {type(error).__name__}: {error}"
        struck += end.struck
    return struck, ""


@pytest.mark.timeout(1200)
def test_no_fault_breaks_a_promise(simulation_runs: int, simulation_seed: int | None) -> None:
    if simulation_seed is not None:
        check(play(simulation_seed))
        return
    step = 250
    chunks = [range(start, min(start + step, simulation_runs)) for start in range(0, simulation_runs, step)]
    struck: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for some, failure in pool.map(_many, chunks):
            assert not failure, f"{failure}  (replay it: pytest tests/simulation --seed N)"
            struck += some
    assert struck["kill"] > simulation_runs, "the simulation does not kill drivers any more"
    rare = {fault.name: struck[fault.name] for fault in fields(Faults) if struck[fault.name] < simulation_runs / 50}
    assert not rare, f"this hardly ever goes wrong any more: {rare}"


def test_a_run_without_faults_ends_with_every_trial_at_its_first_attempt() -> None:
    class Quiet(Scenario):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.faults = Faults()
            self.max_cost = self.max_failures = self.interrupt_at = None

    original = globals()["Scenario"]
    globals()["Scenario"] = Quiet
    try:
        for seed in range(50):
            end = play(seed)
            check(end)
            assert end.lives == 1
            assert all(count == 1 for count in end.world.executions.values())
    finally:
        globals()["Scenario"] = original


def test_a_spending_limit_is_passed_by_one_poll_interval_at_most() -> None:
    met = 0
    for seed in range(400):
        scenario = Scenario(seed)
        if (
            scenario.max_cost is None
            or scenario.faults.kill
            or scenario.faults.fail_before
            or scenario.faults.fail_after
        ):
            continue
        end = play(seed)
        if end.status is m.RunStatus.OVER_BUDGET:
            met += 1
            late = scenario.rules().poll + SLOWEST_DELETION  # the provider's own time is not ours to shorten
            assert end.world.cost() <= scenario.max_cost + late * NODE_PRICE / 3600 + 1e-9
    assert met >= 3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_seed_plays_the_same_run(seed: int) -> None:
    first, second = play(seed), play(seed)
    assert (first.rows, first.lives, first.crossings) == (second.rows, second.lives, second.crossings)
