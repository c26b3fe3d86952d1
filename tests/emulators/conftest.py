from __future__ import annotations

import base64
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from orchestrator.emulators.azure_batch import AzureBatchEmulator

from .recorder import Recorder
from .sdk_contract import differences

T = TypeVar("T")
_numbers = itertools.count(1)

# It only ends a test that hangs: machines of tests may be slow for minutes.
WAIT_SECONDS = 120.0
POLL_SECONDS = 0.02


def connect(emulator: AzureBatchEmulator, **options: Any) -> BatchClient:
    """A real client that does not retry by itself, so that a test sees every answer."""
    credential = AzureNamedKeyCredential(emulator.account, emulator.key)
    return BatchClient(emulator.endpoint, credential, **{"retry_total": 0, **options})


def error_code(problem: HttpResponseError) -> str:
    """The service's code of an error, also where the SDK has not read the body of a streamed answer."""
    problem.response.read()
    body = problem.response.json()
    assert differences(body, models.BatchError) == []
    code: str = body["code"]
    return code


def wait_for(ask: Callable[[], T], until: Callable[[T], bool], what: str = "") -> T:
    """Ask until the answer is the wanted one; fails with the last answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = 0.005
    while True:
        answer = ask()
        if until(answer):
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain {what}: {answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def machine(**more: Any) -> models.VirtualMachineConfiguration:
    return models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(
            publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2204", version="latest"
        ),
        node_agent_sku_id="batch.node.ubuntu 22.04",
        **more,
    )


class Workbench:
    """A client, and short ways to the things that nearly every test needs."""

    def __init__(self, emulator: AzureBatchEmulator, client: BatchClient) -> None:
        self.emulator = emulator
        self.client = client
        self._made: list[Callable[[], object]] = []

    def clear(self) -> None:
        """Delete the pools and jobs of the test, so that nothing of it runs on beside the next ones."""
        for delete in reversed(self._made):
            with contextlib.suppress(HttpResponseError):
                delete()

    @staticmethod
    def name(prefix: str) -> str:
        return f"{prefix}-{next(_numbers)}"

    def pool(self, nodes: int = 1, *, spot: int = 0, wait: bool = True, **more: Any) -> str:
        """Make a pool and wait for its nodes."""
        pool_id = self.name("pool")
        options = {"vm_size": "Standard_D2s_v3", "virtual_machine_configuration": machine(), **more}
        if not options.get("enable_auto_scale"):
            options |= {"target_dedicated_nodes": nodes, "target_low_priority_nodes": spot}
        self.client.create_pool(models.BatchPoolCreateOptions(id=pool_id, **options))
        self._made.append(lambda: self.client.begin_delete_pool(pool_id, polling_interval=POLL_SECONDS).result())
        if wait:
            self.nodes(pool_id, "idle", nodes + spot)
        return pool_id

    def nodes(self, pool_id: str, state: str, count: int) -> list[models.BatchNode]:
        """Wait until `count` nodes are in a state."""
        return wait_for(
            lambda: [node for node in self.client.list_nodes(pool_id) if node.state == state],
            lambda nodes: len(nodes) == count,
            f"for {count} nodes to be {state}",
        )

    def job(self, pool_id: str, **more: Any) -> str:
        job_id = self.name("job")
        self.client.create_job(
            models.BatchJobCreateOptions(id=job_id, pool_info=models.BatchPoolInfo(pool_id=pool_id), **more)
        )
        self._made.append(
            lambda: self.client.begin_delete_job(job_id, force=True, polling_interval=POLL_SECONDS).result()
        )
        return job_id

    def task(self, job_id: str, command: str, task_id: str | None = None, **more: Any) -> str:
        """Add a task that runs `command` in a shell."""
        task_id = task_id or self.name("task")
        line = shell(command)
        self.client.create_task(job_id, models.BatchTaskCreateOptions(id=task_id, command_line=line, **more))
        return task_id

    def until(self, job_id: str, task_id: str, state: str = "completed") -> models.BatchTask:
        """Wait for a task's state."""
        return wait_for(
            lambda: self.client.get_task(job_id, task_id),
            lambda task: task.state == state,
            f"for task {task_id} to be {state}",
        )

    def run(self, job_id: str, command: str, **more: Any) -> models.BatchTask:
        """Run a task to its end."""
        return self.until(job_id, self.task(job_id, command, **more))

    def text(self, job_id: str, task_id: str, path: str = "stdout.txt") -> str:
        return b"".join(self.client.download_task_file(job_id, task_id, path)).decode()

    def job_until(self, job_id: str, state: str) -> models.BatchJob:
        return wait_for(
            lambda: self.client.get_job(job_id), lambda job: job.state == state, f"for the job to be {state}"
        )

    def exists(self, pool_id: str) -> bool:
        """Whether there is a pool; the SDK's own `pool_exists` raises where there is none."""
        try:
            return self.client.pool_exists(pool_id)
        except ResourceNotFoundError:
            return False

    def terminate(self, job_id: str, reason: str = "by the test") -> None:
        """Terminate a job and wait for its end. The SDK cannot send this request without a body."""
        options = {"terminateReason": reason}
        self.client.begin_terminate_job(job_id, options, polling_interval=POLL_SECONDS).result()
        self.job_until(job_id, "completed")

    def restart(self, pool_id: str, node_id: str, *, reimage: bool = False) -> None:
        if reimage:
            poller = self.client.begin_reimage_node(
                pool_id, node_id, {"nodeReimageOption": "requeue"}, polling_interval=POLL_SECONDS
            )
        else:
            poller = self.client.begin_reboot_node(
                pool_id, node_id, {"nodeRebootOption": "requeue"}, polling_interval=POLL_SECONDS
            )
        poller.result()

    def path(self, pool_id: str, pattern: str) -> Path:
        """Wait for the one path below a pool's nodes: a node's folders come a moment after its state."""
        root = self.emulator.folder / "nodes" / pool_id
        (found,) = wait_for(lambda: list(root.glob(pattern)), bool, f"for {pattern}")
        return found

    def steady(self, pool_id: str) -> models.BatchPool:
        return wait_for(
            lambda: self.client.get_pool(pool_id),
            lambda pool: pool.allocation_state == "steady",
            "for the pool to be steady",
        )


def shell(command: str) -> str:
    quoted = command.replace("'", "'\"'\"'")
    return f"/bin/sh -c '{quoted}'"


@pytest.fixture(scope="session")
def emulator() -> Iterator[AzureBatchEmulator]:
    """One emulator for the tests that do not disturb each other."""
    with AzureBatchEmulator(boot_seconds=0.05) as running:
        yield running


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Fails the test where an answer is not what the SDK expects."""
    recording = Recorder()
    yield recording
    assert recording.problems == []


@pytest.fixture
def bench(emulator: AzureBatchEmulator, recorder: Recorder) -> Iterator[Workbench]:
    with connect(emulator, raw_response_hook=recorder) as client:
        made = Workbench(emulator, client)
        yield made
        made.clear()


@pytest.fixture
def own_bench(recorder: Recorder) -> Iterator[Callable[..., Workbench]]:
    """Makes an emulator of a test's own, with settings of its own."""
    running: list[tuple[AzureBatchEmulator, BatchClient]] = []

    def make(**options: Any) -> Workbench:
        emulator = AzureBatchEmulator(**{"boot_seconds": 0.05, **options}).start()
        client = connect(emulator, raw_response_hook=recorder)
        running.append((emulator, client))
        return Workbench(emulator, client)

    yield make
    for emulator, client in running:
        client.close()
        emulator.stop()


@pytest.fixture(scope="session")
def some_key() -> str:
    return base64.b64encode(b"k" * 64).decode()
