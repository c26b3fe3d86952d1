"""Azure Batch against its emulator: submission, polls, ``logs -f``, and how soon the emulator itself answers.

The peer of submission is the SDK's own ``create_tasks``, given the same tasks as its own models, in turns.  What it
takes to make those models is not counted for it; what it takes us to make the bodies is counted for us.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from azure.batch import models

from benchmarks import azure_running
from benchmarks.command import environment as own_environment
from benchmarks.command import interleaved, orchestrate
from benchmarks.report import Figure
from orchestrator.emulators.azure_batch import AzureBatchEmulator, Control
from orchestrator.emulators.azurite import Azurite
from orchestrator.emulators.emulated import environment
from orchestrator.providers.azure import AzureCompute, default_store, request
from orchestrator.providers.base import Machine, PoolRequest, Task
from orchestrator.storage.layout import Home
from orchestrator.testing.conformance import job

TASKS = 10_000
ROUNDS = 5
LINES = 60
PRINT = f"import time\nfor _ in range({LINES}):\n    print(time.time(), flush=True)\n    time.sleep(0.13)"

_numbers = itertools.count()


def tasks() -> list[Task]:
    return [Task(f"t{n:06d}-a1", n, 1, {"script": "exec sleep 100000", "value": ""}) for n in range(TASKS)]


class Bench:
    """Pools of one slot, so that the machine is left to what is measured."""

    def __init__(self, home: Home, control: Control) -> None:
        self.home, self.control = home, control
        self.compute = AzureCompute(home, "bench")

    def pool(self) -> PoolRequest:
        run = f"bench-{next(_numbers)}"
        wanted = PoolRequest(
            run, job(run), Machine(), slots=1, max_nodes=1, lease_until=time.time() + 7200, idle_timeout=300.0
        )
        self.compute.create_pool(wanted)
        return wanted

    def ours(self) -> float:
        wanted, all_tasks = self.pool(), tasks()
        start = time.perf_counter()
        acknowledged = sum(1 for _ in self.compute.submit(wanted.name, all_tasks))
        took = time.perf_counter() - start
        assert acknowledged == TASKS
        self.compute.delete_pool(wanted.name)
        return took

    def theirs(self) -> float:
        wanted = self.pool()
        site = self.compute._site
        assert site is not None
        bodies = [models.BatchTaskCreateOptions(request.task_body(task, wanted, site)) for task in tasks()]
        start = time.perf_counter()
        self.compute._batch.sdk.create_tasks(wanted.name, bodies)
        took = time.perf_counter() - start
        self.compute.delete_pool(wanted.name)
        return took

    def counted(self, function: Callable[[], object]) -> int:
        self.control.reset_calls()
        function()
        calls: int = self.control.calls()["total"]
        return calls


def start() -> float:
    """Seconds until an emulator answers."""
    began = time.perf_counter()
    with AzureBatchEmulator():
        return time.perf_counter() - began


def lines(folder: Path) -> float:
    """Seconds from a line to ``logs -f``, at the 95th percentile."""
    spec = folder / "lines.json"
    document = {"name": "lines", "provider": "azure", "workload": {"command": [sys.executable, "-c", PRINT]}}
    spec.write_text(json.dumps(document))
    env = own_environment(folder)
    command = orchestrate(folder, "run", str(spec), "--detach", "--yes")
    run_id = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()[-1]
    follow = subprocess.Popen(orchestrate(folder, "logs", run_id, "0", "-f"), env=env, stdout=subprocess.PIPE)
    started = time.time()
    assert follow.stdout is not None
    late = []
    for line in follow.stdout:
        now, printed = time.time(), float(line)
        if printed > started + 1:
            late.append(now - printed)
    assert follow.wait() == 0
    assert len(late) > LINES // 2, len(late)
    return statistics.quantiles(late, n=20)[-1]


def run() -> list[Figure]:
    started = statistics.median(start() for _ in range(ROUNDS))
    with tempfile.TemporaryDirectory() as name, Azurite() as storage, AzureBatchEmulator(boot_seconds=0.1) as batch:
        folder = Path(name)
        variables = {
            "AZURE_BATCH_ENDPOINT": batch.endpoint,
            "AZURE_BATCH_ACCOUNT": batch.account,
            "AZURE_BATCH_KEY": batch.key,
            "AZURE_STORAGE_ACCOUNT": storage.account,
            "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
        }
        with environment(variables):
            home = Home(folder)
            default_store(home)
            bench = Bench(home, batch.control)
            calls = bench.counted(bench.ours) - 2  # the deletes of pool and job
            ours, theirs = interleaved(ROUNDS, bench.ours, bench.theirs)
            polls = azure_running.Running(bench.compute, batch, "bench-running").polls()
            late = lines(folder)
    beside = f"{ours:.2f} s beside {theirs:.2f} s"
    turnover = azure_running.TURNOVER
    changing = (
        f"{max(polls.still)} where nothing changes, {max(polls.moving)} where {turnover} ended and {turnover} began"
    )
    return [
        Figure(f"calls to Azure Batch from nothing to {TASKS} submitted tasks", calls, "calls", most=103),
        Figure(f"{TASKS} tasks submitted, against the SDK's create_tasks", ours / theirs, "times", 1.1, beside),
        Figure(f"calls of a poll with {azure_running.RUNNING} running tasks", polls.most, "calls", 3, changing),
        Figure("the emulator of Azure Batch answers", started, "s", most=1.0),
        Figure("a line printed by an emulated task until `logs -f` shows it, 95th percentile", late, "s", most=1.5),
    ]
