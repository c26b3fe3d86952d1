"""A task's directories on its node, and the variables that the service gives it.

Source: "Files and directories in Azure Batch" and "Azure Batch runtime environment variables".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .protocol import Json

if TYPE_CHECKING:
    from .jobs import Job
    from .nodes import Node

# Threshold below which the service calls a node's disk full.
_RESERVED_DISK_BYTES = 1_000_000_000

DEFAULT_PREPARATION_ID = "jobpreparation"
DEFAULT_RELEASE_ID = "jobrelease"

MPI_PORT = 6000


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """A task's directory, its working directory below it, and where its output goes."""

    root: Path

    @property
    def working(self) -> Path:
        return self.root / "wd"

    @property
    def stdout(self) -> Path:
        return self.root / "stdout.txt"

    @property
    def stderr(self) -> Path:
        return self.root / "stderr.txt"

    def make(self) -> None:
        self.working.mkdir(parents=True, exist_ok=True)


def job_folder(node: Node, job: Job) -> Path:
    """`workitems/JOB/job-1`, or `workitems/SCHEDULE/JOB` for a scheduled job."""
    if job.schedule is not None:
        return node.root / "workitems" / job.schedule.id / job.id.rpartition(":")[2]
    return node.root / "workitems" / job.id / "job-1"


def task_folder(node: Node, job: Job, task_id: str) -> TaskFolder:
    return TaskFolder(job_folder(node, job) / task_id)


def startup_folder(node: Node) -> TaskFolder:
    return TaskFolder(node.root / "startup")


def make_node_folders(root: Path) -> None:
    for name in ("applications", "fsmounts", "home", "shared", "startup/wd", "volatile", "workitems"):
        (root / name).mkdir(parents=True, exist_ok=True)


def settings_variables(settings: list[Json] | None) -> dict[str, str]:
    return {setting["name"]: setting.get("value", "") for setting in settings or []}


def node_variables(node: Node, folder: TaskFolder) -> dict[str, str]:
    """The variables of every command on a node, the start task's included."""
    account = node.pool.account
    return {
        "AZ_BATCH_ACCOUNT_NAME": account.settings.account,
        "AZ_BATCH_ACCOUNT_URL": account.endpoint,
        "AZ_BATCH_CERTIFICATES_DIR": str(folder.working / "certs"),
        "AZ_BATCH_NODE_ID": node.id,
        "AZ_BATCH_NODE_IS_DEDICATED": "true" if node.dedicated else "false",
        "AZ_BATCH_NODE_MOUNTS_DIR": str(node.root / "fsmounts"),
        "AZ_BATCH_NODE_ROOT_DIR": str(node.root),
        "AZ_BATCH_NODE_SHARED_DIR": str(node.root / "shared"),
        "AZ_BATCH_NODE_STARTUP_DIR": str(node.root / "startup"),
        "AZ_BATCH_POOL_ID": node.pool.id,
        "AZ_BATCH_TASK_DIR": str(folder.root),
        "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": str(_RESERVED_DISK_BYTES),
        "AZ_BATCH_TASK_WORKING_DIR": str(folder.working),
    }


def task_variables(node: Node, job: Job, task_id: str, folder: TaskFolder) -> dict[str, str]:
    """The variables of a command of a job; the job's common ones among them, to be overridden by the task's own."""
    variables = node_variables(node, folder)
    variables["AZ_BATCH_JOB_ID"] = job.id
    variables["AZ_BATCH_TASK_ID"] = task_id
    preparation = job.spec.get("jobPreparationTask")
    if preparation is not None and task_id != preparation.get("id", DEFAULT_PREPARATION_ID):
        prepared = task_folder(node, job, preparation.get("id", DEFAULT_PREPARATION_ID))
        variables["AZ_BATCH_JOB_PREP_DIR"] = str(prepared.root)
        variables["AZ_BATCH_JOB_PREP_WORKING_DIR"] = str(prepared.working)
    variables.update(settings_variables(job.spec.get("commonEnvironmentSettings")))
    return variables


def multi_instance_variables(nodes: list[Node], node: Node, shared: Path) -> dict[str, str]:
    """What each instance of a multi-instance task is told about the others; the first node is the primary's."""
    addresses = [one.ip for one in nodes]
    cores = node.pool.cores
    return {
        "AZ_BATCH_HOST_LIST": ",".join(addresses),
        "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true" if node is nodes[0] else "false",
        "AZ_BATCH_MASTER_NODE": f"{nodes[0].ip}:{MPI_PORT}",
        "AZ_BATCH_NODE_LIST": ";".join(addresses),
        "AZ_BATCH_TASK_SHARED_DIR": str(shared),
        "CCP_NODES": " ".join([str(len(nodes)), *(f"{address} {cores}" for address in addresses)]),
    }
