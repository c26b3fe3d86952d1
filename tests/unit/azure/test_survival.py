"""A sweep on the emulated cloud ends with the same table whatever fails meanwhile, and leaves nothing behind.

One test has everything at once; with ``--soak`` each of the disturbances is also played alone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azurite import Azurite
from orchestrator.emulators.emulated import environment
from orchestrator.providers.azure import AzureCompute
from orchestrator.storage.layout import Home

TRIALS, NODES, KILLS = 200, 4, 10
# Seconds.  It only ends a test that hangs.
PATIENCE = 300

# The last trial waits for the file `go`, so that nothing ends before everything has happened to it.
SPEC = """
name: survive
workload:
  command: "while [ {x} = LAST ] && ! [ -e GO ]; do sleep 0.1; done; echo loss=0.{x}; mkdir out; echo {x} > out/model"
  outputs: [out/]
  checkpoint: ckpt
  metrics: {loss: 'loss=([0-9.]+)'}
parameters: {x: {range: [101, END]}}
search: {metric: loss, goal: minimize}
resources: {cpus: 2}
pool: {max_nodes: NODES, spot: true, lease: 1h}
limits: {parallel: 8, retries: {infrastructure: 5, preempted: 20}}
provider: azure
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[AzureBatchEmulator]:
    with AzureBatchEmulator(boot_seconds=0.05) as batch:
        yield batch


def finish(process: subprocess.Popen[bytes]) -> str:
    """What it prints.  One that does not end is made to say where it is."""
    try:
        out, err = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate()
    assert process.returncode == 0, err.decode()[-6000:]
    return out.decode()


class Sweep:
    """One sweep from the command line, in a home of its own."""

    def __init__(self, emulator: AzureBatchEmulator, storage: Azurite, folder: Path) -> None:
        self.emulator, self.control, self.folder = emulator, emulator.control, folder
        self.spec, self.go = folder / "sweep.yaml", folder / "go"
        words = {"LAST": 100 + TRIALS, "END": 101 + TRIALS, "NODES": NODES, "GO": self.go}
        text = SPEC
        for word, value in words.items():
            text = text.replace(word, str(value))
        self.spec.write_text(text)
        self.home = Home(folder / "home")
        self.variables = {
            "ORCHESTRATE_HOME": str(self.home.path),
            "AZURE_BATCH_ENDPOINT": emulator.endpoint,
            "AZURE_BATCH_ACCOUNT": emulator.account,
            "AZURE_BATCH_KEY": emulator.key,
            "AZURE_STORAGE_ACCOUNT": storage.account,
            "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.main", *arguments],
            env={**os.environ, **self.variables, "PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )

    def call(self, *arguments: str) -> str:
        return finish(self.start(*arguments))

    @property
    def run_id(self) -> str | None:
        runs = list(self.home.runs.glob("*/record.db")) if self.home.runs.exists() else []
        return runs[0].parent.name if runs else None

    def table(self) -> list[dict[str, Any]]:
        assert self.run_id is not None
        rows = [json.loads(line) for line in self.call("results", self.run_id, "--json").splitlines()]
        return sorted(rows, key=lambda row: int(row["trial"]))

    def check(self) -> None:
        """Every trial ended once with its own value, and nothing is left in the cloud."""
        rows = self.table()
        assert [row["trial"] for row in rows] == list(range(TRIALS))
        assert [row["state"] for row in rows] == ["succeeded"] * TRIALS
        assert [row["params"]["x"] for row in rows] == [101 + trial for trial in range(TRIALS)]
        assert [row["metrics"]["loss"] for row in rows] == [float(f"0.{101 + trial}") for trial in range(TRIALS)]
        assert all(len(row["outputs"]) == 1 and row["outputs"][0].endswith("/outputs/out/model") for row in rows)
        state = self.control.state()
        assert (state["pools"], state["jobs"]) == ({}, {})
        with environment(self.variables), closing(AzureCompute(self.home, "check")) as compute:
            assert list(compute.owned()) == []


@pytest.fixture
def sweep(emulator: AzureBatchEmulator, storage: Azurite, tmp_path: Path) -> Iterator[Sweep]:
    yield Sweep(emulator, storage, tmp_path)
    emulator.control.clear_faults()


def fail_a_fifth(sweep: Sweep) -> None:
    """Of all calls: broken before or after their effect, refused, never answered; each of it among the first ten."""
    sweep.control.error(0.05, seed=1)
    sweep.control.error(0.03, seed=5, when="after")
    sweep.control.throttle(0.06, seed=2, retry_after=0.2)
    sweep.control.drop(0.03, seed=3, when="before")
    sweep.control.drop(0.03, seed=6, when="after")


def preempt_half(sweep: Sweep, chance: random.Random) -> None:
    """Take away half of the nodes, one by one while they run tasks, and bring each back."""
    taken: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    while len(taken) < NODES // 2:
        assert time.monotonic() < deadline, "half of the nodes have run tasks"
        nodes = [node for node in sweep.control.nodes(state="running") if node not in taken]
        if nodes:
            node = chance.choice(nodes)
            sweep.control.preempt(node, restore_after=0.5)
            taken.add(node)
        time.sleep(chance.uniform(1.0, 3.0))


def kill_and_resume(sweep: Sweep, process: subprocess.Popen[bytes], chance: random.Random) -> subprocess.Popen[bytes]:
    """Kill the client and its successors at any moment since the run has a name; gives the one that is left alive."""
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 2.5))
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        assert sweep.run_id is not None
        process = sweep.start("resume", sweep.run_id)
    return process


alone = [pytest.param({what}, id=what, marks=pytest.mark.soak) for what in ("failing", "preempted", "killed")]


@pytest.mark.parametrize("what", [pytest.param({"failing", "preempted", "killed"}, id="all-at-once"), *alone])
def test_a_sweep_survives_failing_calls_preempted_nodes_and_the_deaths_of_its_client(
    sweep: Sweep, what: set[str]
) -> None:
    if "failing" in what:
        fail_a_fifth(sweep)
    process = sweep.start("run", str(sweep.spec), "--yes")
    while sweep.run_id is None:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    with ThreadPoolExecutor(1) as beside:
        preempted = beside.submit(preempt_half, sweep, random.Random(7)) if "preempted" in what else None
        if "killed" in what:
            process = kill_and_resume(sweep, process, random.Random(11))
        if preempted is not None:
            preempted.result()
    sweep.go.touch()
    finish(process)
    if "failing" in what:
        assert all(rule["hits"] for rule in sweep.control.faults())
    sweep.control.clear_faults()
    sweep.check()


def started(sweep: Sweep, *arguments: str) -> None:
    """A run whose client is killed when its tasks run."""
    process = sweep.start("run", str(sweep.spec), "--yes", "--set", "workload.command=sleep 1000", *arguments)
    deadline = time.monotonic() + PATIENCE
    while not sweep.control.nodes(state="running"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()


def gone(sweep: Sweep) -> None:
    deadline = time.monotonic() + PATIENCE
    while sweep.control.state()["pools"] or sweep.control.state()["jobs"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_after_kill_9_gc_keeps_what_may_be_resumed_and_cancel_leaves_nothing(sweep: Sweep) -> None:
    started(sweep)
    told = sweep.call("gc")
    assert "kept until" in told, "what costs money and is left alone is named"
    assert sweep.control.state()["pools"], "its lease goes on, and a resume would find it"
    assert sweep.run_id is not None
    sweep.call("cancel", sweep.run_id)
    gone(sweep)


def test_after_kill_9_and_without_a_resume_there_are_no_nodes_after_the_lease_and_gc_leaves_nothing(
    sweep: Sweep,
) -> None:
    started(sweep)
    sweep.control.advance(3000)
    assert sweep.control.nodes(), "there is work, and the lease goes on"
    sweep.control.advance(3000)
    deadline = time.monotonic() + PATIENCE
    while sweep.control.nodes():
        assert time.monotonic() < deadline
        sweep.control.advance(301)
    assert "azure-pool" in sweep.call("gc", "--dry-run")
    shutil.rmtree(sweep.home.path)  # as on any other machine
    assert "azure-pool" not in sweep.call("gc")
    assert "azure-pool" in sweep.call("gc", "--provider", "azure")
    gone(sweep)
    assert sweep.call("gc", "--json") == ""


STAGES = """
name: stages
workload:
  command: >-
    while ! [ -e GO ]; do sleep 0.1; done; echo {stage} >> ck/seen; echo length=$(wc -l < ck/seen); test {n} != 2 ||
    exit CODE; test CODE = 0 || sleep 1000
  checkpoint: ck
  metrics: {length: 'length=([0-9]+)'}
parameters: {n: [1, 2, 3], stage: {stages: [a, b, c]}}
search: {metric: length}
pool: {max_nodes: 3, lease: 1h}
limits: {exit_codes: {7: stop}}
provider: azure
"""


def abandoned(sweep: Sweep, code: int) -> str:
    """A run in stages whose first ones run when its client is killed; names it.  Then they are let go."""
    sweep.spec.write_text(STAGES.replace("GO", str(sweep.go)).replace("CODE", str(code)))
    process = sweep.start("run", str(sweep.spec), "--yes")
    deadline = time.monotonic() + PATIENCE
    while tasks(sweep) != (6, 3, 0):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    sweep.go.touch()
    assert sweep.run_id is not None
    return sweep.run_id


def tasks(sweep: Sweep) -> tuple[int, int, int]:
    """How many tasks wait, run and have ended."""
    if sweep.run_id not in sweep.control.state()["jobs"]:
        return 0, 0, 0
    with environment(sweep.variables), closing(AzureCompute(sweep.home, "check")) as compute:
        counts = compute._batch.sdk.get_job_task_counts(sweep.run_id).task_counts
    return counts.active, counts.running, counts.completed


def test_the_stages_of_a_point_follow_each_other_with_nobody_of_us_alive(sweep: Sweep) -> None:
    run = abandoned(sweep, code=0)
    deadline = time.monotonic() + PATIENCE
    while tasks(sweep) != (0, 0, 9):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    sweep.call("resume", run)
    rows = sweep.table()
    assert [(row["state"], row["attempts"]) for row in rows] == [("succeeded", 1)] * 9
    assert [row["metrics"]["length"] for row in rows] == [1, 2, 3] * 3, "each goes on from the checkpoint before it"
    gone(sweep)


def test_an_exit_code_that_stops_the_run_does_so_with_nobody_of_us_alive(sweep: Sweep) -> None:
    run = abandoned(sweep, code=7)
    deadline = time.monotonic() + PATIENCE
    while sweep.control.state()["jobs"][run]["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tasks(sweep)[1] == 0
    passed = 0
    while sweep.control.nodes():
        assert passed < 1800, "nothing is left to do, so no machine is kept, and the lease goes on for an hour"
        sweep.control.advance(301)
        passed += 301
    resumed = sweep.start("resume", run)
    out, err = resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 1, (out, err)
    assert "trial 3 ended with exit code 7, at which limits.exit_codes stops the run" in err.decode()
    states = [row["state"] for row in sweep.table()]
    assert states == [*["cancelled"] * 3, *["failed"] * 3, *["cancelled"] * 3]
    gone(sweep)
