"""A sweep on the emulated cloud ends with the same table whatever fails meanwhile, and leaves nothing behind.

With ``--soak`` it has 200 trials and the client is killed ten times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azurite import Azurite
from orchestrator.emulators.emulated import environment
from orchestrator.providers.azure import AzureCompute
from orchestrator.storage.layout import Home

SPEC = """
name: survive
workload:
  command: echo loss=0.{x}; mkdir out; echo {x} > out/model
  outputs: [out/]
  checkpoint: ckpt
  metrics: {loss: 'loss=([0-9.]+)'}
parameters: {x: {range: [101, LAST]}}
search: {metric: loss, goal: minimize}
resources: {cpus: 2}
pool: {max_nodes: 4, spot: true, lease: 1h}
limits: {parallel: 8, retries: {infrastructure: 5, preempted: 20}}
provider: azure
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[AzureBatchEmulator]:
    with AzureBatchEmulator(boot_seconds=0.05) as batch:
        yield batch


class Sweep:
    """One sweep from the command line, in a home of its own."""

    def __init__(self, emulator: AzureBatchEmulator, storage: Azurite, folder: Path, trials: int) -> None:
        self.emulator, self.control, self.trials, self.folder = emulator, emulator.control, trials, folder
        self.spec = folder / "sweep.yaml"
        self.spec.write_text(SPEC.replace("LAST", str(101 + trials)))
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
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )

    def call(self, *arguments: str) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err.decode()[-3000:]
        return out.decode()

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
        assert [row["trial"] for row in rows] == list(range(self.trials))
        assert [row["state"] for row in rows] == ["succeeded"] * self.trials
        assert [row["params"]["x"] for row in rows] == [101 + trial for trial in range(self.trials)]
        assert [row["metrics"]["loss"] for row in rows] == [float(f"0.{101 + trial}") for trial in range(self.trials)]
        assert all(len(row["outputs"]) == 1 and row["outputs"][0].endswith("/outputs/out/model") for row in rows)
        state = self.control.state()
        assert (state["pools"], state["jobs"]) == ({}, {})
        with environment(self.variables), closing(AzureCompute(self.home, "check")) as compute:
            assert list(compute.owned()) == []


@pytest.fixture
def sweep(
    emulator: AzureBatchEmulator, storage: Azurite, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Sweep]:
    yield Sweep(emulator, storage, tmp_path, 200 if request.config.getoption("--soak") else 16)
    emulator.control.clear_faults()


def during(process: subprocess.Popen[bytes], act: Callable[[], object], every: float) -> None:
    """Act again and again until the process has ended."""

    def work() -> None:
        while process.poll() is None:
            act()
            time.sleep(every)

    threading.Thread(target=work, daemon=True).start()


def test_a_sweep_survives_a_fifth_of_all_calls_failing(sweep: Sweep) -> None:
    sweep.control.error(0.08, seed=1)
    sweep.control.throttle(0.06, seed=2, retry_after=0.2)
    sweep.control.drop(0.03, seed=3, when="before")
    sweep.control.drop(0.03, seed=4, when="after")
    sweep.call("run", str(sweep.spec), "--yes")
    hits = sum(rule["hits"] for rule in sweep.control.faults())
    sweep.control.clear_faults()
    assert hits >= 5
    sweep.check()


def test_a_sweep_survives_the_preemption_of_its_nodes(sweep: Sweep) -> None:
    chance = random.Random(7)
    taken: list[str] = []

    def preempt() -> None:
        nodes = sweep.control.nodes(state="running")
        if nodes and len(taken) < max(2, sweep.trials // 20):
            node = chance.choice(nodes)
            sweep.control.preempt(node, restore_after=0.2)
            taken.append(node)

    process = sweep.start("run", str(sweep.spec), "--yes")
    during(process, preempt, 0.7)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err.decode()[-3000:]
    assert len(taken) >= 2
    sweep.check()


def test_a_sweep_survives_kill_9_of_its_client_at_any_moment(sweep: Sweep) -> None:
    chance = random.Random(11)
    killed = 0
    process = sweep.start("run", str(sweep.spec), "--yes")
    for _ in range(10 if sweep.trials > 100 else 3):
        deadline = time.monotonic() + (1.0 if killed else 30.0)
        while sweep.run_id is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 4.0))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
        assert sweep.run_id is not None
        process = sweep.start("resume", sweep.run_id)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err.decode()[-3000:]
    assert killed
    sweep.check()


def test_after_kill_9_gc_keeps_what_may_be_resumed_and_cancel_leaves_nothing(sweep: Sweep) -> None:
    process = sweep.start("run", str(sweep.spec), "--yes", "--set", "workload.command=sleep 1000")
    deadline = time.monotonic() + 60
    while not sweep.control.nodes(state="running"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    sweep.call("gc")
    assert sweep.control.state()["pools"], "its lease goes on, and a resume would find it"
    assert sweep.run_id is not None
    sweep.call("cancel", sweep.run_id)
    deadline = time.monotonic() + 30
    while sweep.control.state()["pools"] or sweep.control.state()["jobs"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
