from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.emulators.azure_batch import AzureBatchEmulator, Control
from orchestrator.emulators.azurite import Azurite, find_azurite
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.providers.azure import AzureCompute
from orchestrator.providers.azure.client import Batch
from orchestrator.providers.base import Changes, Machine, Phase, PoolRequest, PoolState, Task, TaskChanged
from orchestrator.storage.layout import Home
from orchestrator.testing.conformance import job
from tests.emulators.recorder import Recorder

_numbers = itertools.count(1)
# Seconds.  It only ends a test that hangs: machines of tests may be slow for minutes.
PATIENCE = 120.0


@pytest.fixture(scope="session")
def storage() -> Iterator[Azurite]:
    try:
        find_azurite()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    with Azurite() as server:
        yield server


@pytest.fixture(scope="module")
def emulator() -> Iterator[AzureBatchEmulator]:
    with AzureBatchEmulator(boot_seconds=0.05) as batch:
        yield batch


@pytest.fixture
def control(emulator: AzureBatchEmulator) -> Iterator[Control]:
    yield emulator.control
    emulator.control.clear_faults()
    emulator.control.allow_allocation()


class Cloud:
    """The emulated account, and the connections that a test has opened."""

    def __init__(self, emulator: AzureBatchEmulator, home: Home) -> None:
        self.emulator, self.home = emulator, home
        self.control = emulator.control
        self._open: list[tuple[str, AzureCompute]] = []

    def connect(self, run: str) -> AzureCompute:
        compute = AzureCompute(self.home, run)
        self._open.append((run, compute))
        return compute

    def pool(self, *, document: dict[str, Any] | None = None, **changes: Any) -> tuple[str, AzureCompute]:
        """A pool of its own."""
        run = f"unit-{next(_numbers)}-{int(time.time())}"
        compute = self.connect(run)
        compute.create_pool(self.request(run, document=document, **changes))
        return run, compute

    def request(self, run: str, *, document: dict[str, Any] | None = None, **changes: Any) -> PoolRequest:
        wanted: dict[str, Any] = {
            "name": run,
            "job": job(run, **(document or {})),
            "machine": Machine(),
            "slots": 2,
            "max_nodes": 2,
            "lease_until": time.time() + 3600,
            "idle_timeout": 300.0,
        }
        return PoolRequest(**{**wanted, **changes})

    def calls(self, function: Callable[[], object]) -> dict[str, int]:
        """How often each operation was called by ``function``."""
        self.control.reset_calls()
        function()
        counted = self.control.calls()["operations"]
        return {name: sum(answers.values()) for name, answers in counted.items()}

    def close(self) -> None:
        self.control.clear_faults()
        self.control.allow_allocation()
        for run, compute in self._open:
            deadline = time.monotonic() + PATIENCE
            compute.delete_pool(run)
            while compute.pool_status(run).state is not PoolState.GONE:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            compute.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Holds every answer that the provider gets against the SDK's models, as the emulator does every request."""
    recording = Recorder()
    note = Batch._note_time

    def recorded(self: Batch, response: Any) -> None:
        note(self, response)
        recording(response)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batch, "_note_time", recorded)
        yield recording
    assert recording.problems == []


@pytest.fixture
def cloud(emulator: AzureBatchEmulator, storage: Azurite, tmp_path: Path, recorder: Recorder) -> Iterator[Cloud]:
    variables = {
        "AZURE_BATCH_ENDPOINT": emulator.endpoint,
        "AZURE_BATCH_ACCOUNT": emulator.account,
        "AZURE_BATCH_KEY": emulator.key,
        "AZURE_STORAGE_ACCOUNT": storage.account,
        "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
    }
    with environment(variables):
        made = Cloud(emulator, Home(tmp_path))
        yield made
        made.close()


def task(trial: int, script: str = "exit 0", attempt: int = 1, **params: Any) -> Task:
    return Task(f"t{trial:06d}-a{attempt}", trial, attempt, {"script": script, "value": "", **params})


class Watch:
    """Listens to a pool."""

    def __init__(self, compute: AzureCompute, run: str) -> None:
        self.compute, self.run = compute, run
        self.cursor: str | None = None
        self.heard: list[TaskChanged] = []

    def look(self, wait: float = 0.5) -> Changes:
        changes = self.compute.changes(self.run, self.cursor, wait)
        self.cursor = changes.cursor
        self.heard += [event for event in changes.events if isinstance(event, TaskChanged)]
        return changes

    def phases(self, name: str) -> list[Phase]:
        return [event.phase for event in self.heard if event.name == name]

    def one_runs(self) -> bool:
        """Whether any task has been seen running: several calls add tasks at once, so nobody knows which is first."""
        return any(event.phase is Phase.RUNNING for event in self.heard)

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, self.heard
            self.look()

    def ended(self, name: str) -> TaskChanged:
        self.until(lambda: Phase.ENDED in self.phases(name))
        return next(event for event in reversed(self.heard) if event.name == name)
