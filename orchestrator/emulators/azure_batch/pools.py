"""Pools: what was asked for, the nodes they have, and their autoscaling."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from .allocation import Allocation, read_timeout
from .autoscale.metrics import Metrics, Snapshot
from .autoscaling import AutoScaling
from .errors import BatchFault, invalid_property
from .identifiers import check_id
from .images import node_agents
from .nodes import Node
from .protocol import Json
from .timefmt import SECOND, Micros, duration, iso
from .tracked import Tracked
from .vm_sizes import cores

if TYPE_CHECKING:
    from .account import Account

MAX_SLOTS = 256
_SLOTS_PER_CORE = 4

# Written into a pool but never given back.
_SECRETS = {"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings"}


class Pool(Tracked):
    """A pool of nodes.

    Args:
        spec: the body that asked for it, validated.
        owner: id of the job or schedule whose auto pool it is.
    """

    def __init__(self, account: Account, spec: Json, owner: str | None = None) -> None:
        super().__init__(account.clock, account.versions, "active")
        self.account = account
        self.spec: Json = spec
        self.id: str = spec["id"]
        self.owner = owner
        self.cores = cores(spec["vmSize"])
        self.core_micros: Micros = 0
        self.nodes: dict[str, Node] = {}
        self.metrics = Metrics(account.settings.sample_seconds, self.created, self._snapshot)
        self.allocation: Allocation = Allocation(self, read_timeout(spec))
        self.autoscaling: AutoScaling = AutoScaling(self)

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def url(self) -> str:
        return f"{self.account.endpoint}/pools/{self.id}"

    @property
    def slots(self) -> int:
        slots: int = self.spec.get("taskSlotsPerNode", 1)
        return slots

    @property
    def fill(self) -> str:
        policy: str = self.spec.get("taskSchedulingPolicy", {}).get("nodeFillType", "spread")
        return policy

    @property
    def job_order(self) -> str:
        order: str = self.spec.get("taskSchedulingPolicy", {}).get("jobDefaultOrder", "none")
        return order

    def begin(self) -> None:
        """Go for the first nodes."""
        if self.spec.get("enableAutoScale"):
            self.autoscaling.begin()
        else:
            self.allocation.resize(
                self.spec.get("targetDedicatedNodes", 0), self.spec.get("targetLowPriorityNodes", 0), "requeue"
            )

    def change(self, spec: Json) -> None:
        """Take a changed body over; nodes that are there keep what they were made with."""
        self.spec = spec
        self.cores = cores(spec["vmSize"])
        self.touch()

    def require_active(self) -> None:
        if self.state == "deleting":
            raise BatchFault("PoolBeingDeleted")

    def add_node(self, *, dedicated: bool) -> Node:
        number = self.account.next_node_number()
        node_id = f"tvmps_{secrets.token_hex(32)}_{'d' if dedicated else 'p'}"
        node = Node(self, node_id, number, dedicated=dedicated)
        self.metrics.note(self.clock.now())
        self.nodes[node_id] = node
        node.begin()
        return node

    def forget(self, node: Node) -> None:
        """A node has left."""
        self.nodes.pop(node.id, None)
        self.core_micros += self.cores * (self.clock.now() - node.allocated)
        self.allocation.check_done()
        if self.state == "deleting" and not self.nodes:
            self._finish_delete()

    def find_node(self, node_id: str) -> Node:
        node = self.nodes.get(node_id)
        if node is None:
            raise BatchFault("NodeNotFound")
        return node

    def delete(self) -> None:
        self.enter("deleting")
        self.autoscaling.stop()
        self.allocation.drop_all()
        if not self.nodes:
            self._finish_delete()

    def _finish_delete(self) -> None:
        self.account.clock.after(self.account.settings.operation_seconds, lambda: self.account.forget_pool(self))

    def core_hours(self) -> float:
        """Hours of cores that its nodes, past and present, have had."""
        now = self.clock.now()
        running = sum(self.cores * (now - node.allocated) for node in self.nodes.values())
        return (self.core_micros + running) / SECOND / 3600

    def _snapshot(self) -> Snapshot:
        """The counts that formulas read; what this machine cannot attribute to a node is zero."""
        active = running = succeeded = failed = 0
        for job in self.account.jobs_on(self):
            counts = job.index.counts
            if job.state == "active":  # No other starts a task, so none of its tasks is ready.
                active += counts.ready_instances
            running += counts.running
            succeeded += counts.succeeded
            failed += counts.failed
        nodes = list(self.nodes.values())
        usable = [node for node in nodes if node.state in ("idle", "running")]
        busy = sum(self.slots - node.free_slots for node in usable)
        dedicated = sum(node.dedicated for node in nodes)
        values: dict[str, Any] = dict.fromkeys(
            [
                "$WallClockSeconds",
                "$MemoryBytes",
                "$DiskBytes",
                "$DiskReadBytes",
                "$DiskWriteBytes",
                "$DiskReadOps",
                "$DiskWriteOps",
                "$NetworkInBytes",
                "$NetworkOutBytes",
            ],
            0.0,
        )
        values.update(
            {
                "$CPUPercent": 100.0 * busy / max(1, self.slots * len(usable)),
                "$SampleNodeCount": float(len(nodes)),
                "$ActiveTasks": float(active),
                "$RunningTasks": float(running),
                "$PendingTasks": float(active + running),
                "$SucceededTasks": float(succeeded),
                "$FailedTasks": float(failed),
                "$CurrentDedicatedNodes": float(dedicated),
                "$CurrentLowPriorityNodes": float(len(nodes) - dedicated),
                "$PreemptedNodeCount": float(sum(node.state == "preempted" for node in nodes)),
                "$UsableNodeCount": float(len(usable)),
            }
        )
        return values

    @property
    def shown_start_task(self) -> Json:
        shown = without_secrets(self.spec["startTask"])
        assert isinstance(shown, dict)
        return {"maxTaskRetryCount": 0, "waitForSuccess": True, **shown}

    def json(self, *, stats: bool = False) -> Json:
        found: Json = {"id": self.id, "url": self.url, **self.tracked_json(with_previous=False)}
        shown = without_secrets(
            {
                name: value
                for name, value in self.spec.items()
                if name
                not in (
                    "targetDedicatedNodes",
                    "targetLowPriorityNodes",
                    "resizeTimeout",
                    "startTask",
                    "enableAutoScale",
                    "autoScaleFormula",
                    "autoScaleEvaluationInterval",
                )
            }
        )
        assert isinstance(shown, dict)
        found |= {**shown, "vmSize": self.spec["vmSize"].lower()}
        found |= self.allocation.json()
        found |= self.autoscaling.json()
        found["enableInterNodeCommunication"] = self.spec.get("enableInterNodeCommunication", False)
        found["taskSlotsPerNode"] = self.slots
        found["taskSchedulingPolicy"] = {"nodeFillType": self.fill, "jobDefaultOrder": self.job_order}
        if self.spec.get("startTask") is not None:
            found["startTask"] = self.shown_start_task
        if stats:
            found["stats"] = self._stats()
        return found

    def _stats(self) -> Json:
        now = iso(self.clock.now())
        span = {"startTime": iso(self.created), "lastUpdateTime": now}
        zeros = dict.fromkeys(("avgCPUPercentage", "avgMemoryGiB", "peakMemoryGiB", "avgDiskGiB", "peakDiskGiB"), 0.0)
        zeros |= dict.fromkeys(("diskReadGiB", "diskWriteGiB", "networkReadGiB", "networkWriteGiB"), 0.0)
        return {
            "url": f"{self.url}/stats",
            **span,
            "usageStats": {**span, "dedicatedCoreTime": duration(round(self.core_hours() * 3600) * SECOND)},
            "resourceStats": {**span, **zeros, "diskReadIOps": "0", "diskWriteIOps": "0"},
        }


def without_secrets(value: Any) -> Any:
    """`value` without what the service keeps to itself."""
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items() if name not in _SECRETS}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def check_pool(spec: Json, *, with_id: bool = True) -> None:
    """What the service refuses in a pool beyond the types of its properties.

    Raises:
        BatchFault: names the property and what is wrong with it.
    """
    if with_id:
        check_id("id", spec["id"])
    check_machine(spec)
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        if spec.get(name, 0) < 0:
            raise invalid_property(name, spec[name], "must not be negative")
        if spec.get("enableAutoScale") and name in spec:
            raise invalid_property(name, spec[name], "must not be given where enableAutoScale is true")
    read_timeout(spec)
    AutoScaling.check(spec)


def check_machine(spec: Json) -> None:
    """The part of `check_pool` that also holds for a changed pool."""
    size_cores = cores(spec["vmSize"])
    machine = spec.get("virtualMachineConfiguration")
    if machine is None:
        raise BatchFault("MissingRequiredProperty", values={"PropertyName": "virtualMachineConfiguration"})
    if machine["nodeAgentSKUId"].lower() not in {agent.lower() for agent in node_agents()}:
        raise invalid_property(
            "nodeAgentSKUId",
            machine["nodeAgentSKUId"],
            "is no node agent; these are: " + ", ".join(sorted(node_agents())),
        )
    slots = spec.get("taskSlotsPerNode", 1)
    if not 1 <= slots <= min(_SLOTS_PER_CORE * size_cores, MAX_SLOTS):
        raise invalid_property(
            "taskSlotsPerNode", slots, f"must be from 1 to {min(_SLOTS_PER_CORE * size_cores, MAX_SLOTS)}"
        )
    check_metadata(spec)
    check_applications(spec)


def check_metadata(spec: Json) -> None:
    for item in spec.get("metadata", []):
        if not item["name"]:
            raise invalid_property("metadata.name", item["name"], "must not be empty")


def check_applications(spec: Json) -> None:
    if spec.get("applicationPackageReferences"):
        name = spec["applicationPackageReferences"][0]["applicationId"]
        raise BatchFault("InvalidApplicationPackageReferences", f"There is no application {name!r} here.")
