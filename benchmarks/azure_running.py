"""Calls of a poll of Azure Batch while ten thousand tasks run, each of them a process on the emulator.

Ten thousand runners would take more memory than most machines have.  So these tasks are submitted as always, with the
provider's own bodies but for two fields: the command line is ``sleep``, and no files are fetched for it.  What a poll
asks the service for is the same.

What is counted are the polls after all have begun.  The service lists a thousand tasks a call, so a poll that learns of
more takes more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azure_batch.procscan import marked
from orchestrator.providers.azure import AzureCompute, request
from orchestrator.providers.azure.request import Body, Site, task_body
from orchestrator.providers.azure.settings import POLL
from orchestrator.providers.base import Machine, Phase, PoolRequest, Task, TaskChanged
from orchestrator.testing.conformance import job

RUNNING = 10_000
POLLS = 10
# Tasks that end between two polls, while as many others begin; and how many such polls.  They are POLL seconds apart,
# as in the cloud.
TURNOVER, MOVING_POLLS = 100, 5
# Each node has the 256 task slots that the service allows at most: four a core.
CPUS, SIZE, NODES = 0.25, "Standard_D64as_v5", 40
PATIENCE = 300.0


def _sleeping(task: Task, wanted: PoolRequest, site: Site) -> Body:
    return {**task_body(task, wanted, site), "commandLine": "sleep 100000", "resourceFiles": []}


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:g} s in vain until {what}")
        time.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of each poll where nothing changed, and of each where tasks had ended and others begun."""

    still: list[int]
    moving: list[int]

    @property
    def most(self) -> int:
        return max(*self.still, *self.moving)


class Running:
    """A pool in which RUNNING tasks run at any time that is counted."""

    def __init__(self, compute: AzureCompute, emulator: AzureBatchEmulator, name: str) -> None:
        self.compute, self.emulator, self.name = compute, emulator, name
        self.cursor: str | None = None
        self.running: set[str] = set()

    def polls(self) -> Calls:
        wanted = PoolRequest(
            self.name,
            job(self.name),
            Machine(cpus=CPUS),
            slots=RUNNING,
            max_nodes=NODES,
            lease_until=time.time() + 7200,
            idle_timeout=300.0,
            vm_size=SIZE,
        )
        names = [f"t{n:06d}-a1" for n in range(RUNNING + MOVING_POLLS * TURNOVER)]
        tasks = (Task(name, n, 1, {"value": ""}) for n, name in enumerate(names))
        self.compute.create_pool(wanted)
        try:
            with mock.patch.object(request, "task_body", _sleeping):
                acknowledged = list(self.compute.submit(self.name, tasks))
            assert acknowledged == names
            self.wait_until_all_run()
            self.running = {name for name, phase in self.look().items() if phase is Phase.RUNNING}
            assert len(self.running) == RUNNING
            time.sleep(POLL)
            self.look()  # not counted: it goes once more over those that began last, and they may be some thousand
            still = [self.poll(ending=[]) for _ in range(POLLS)]
            moving = []
            for _ in range(MOVING_POLLS):
                time.sleep(POLL)
                ending = sorted(self.running)[:TURNOVER]
                for name in ending:
                    self.compute._batch.sdk.terminate_task(self.name, name)
                moving.append(self.poll(ending=ending))
            return Calls(still, moving)
        finally:
            self.compute.delete_pool(self.name)
            _until(lambda: not marked(self.emulator._name), "no task was left")

    def wait_until_all_run(self) -> None:
        """RUNNING tasks run, by the service's word and by the processes of this machine."""

        def running() -> bool:
            counts = self.compute._batch.sdk.get_job_task_counts(self.name).task_counts
            return counts.running == RUNNING and len(marked(self.emulator._name)) == RUNNING

        _until(running, f"{RUNNING} tasks ran")

    def look(self) -> dict[str, Phase]:
        found = self.compute.changes(self.name, self.cursor, 0.0)
        self.cursor = found.cursor
        return {event.name: event.phase for event in found.events if isinstance(event, TaskChanged)}

    def poll(self, *, ending: list[str]) -> int:
        """The calls of one, which must tell that these tasks have ended, that as many began, and of no others."""
        self.wait_until_all_run()
        self.emulator.control.reset_calls()
        phases = self.look()
        self.compute.pool_status(self.name)
        calls: int = self.emulator.control.calls()["total"]
        begun = {name for name, phase in phases.items() if phase is Phase.RUNNING}
        assert phases == dict.fromkeys(ending, Phase.ENDED) | dict.fromkeys(begun, Phase.RUNNING)
        assert len(begun - self.running) == len(begun) == len(ending)
        self.running = self.running - set(ending) | begun
        return calls
