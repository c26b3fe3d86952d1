"""From our pool and tasks to the bodies that Azure Batch is sent.  Pure: the same request always gives the same body.

The bodies are plain JSON of the REST API 2025-06-01; tests hold them against the SDK's models, field by field.
"""

from __future__ import annotations

import functools
import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from orchestrator.errors import InvalidRequest
from orchestrator.providers import catalogue
from orchestrator.providers.azure import autoscale
from orchestrator.providers.azure.sas import Signer
from orchestrator.providers.azure.settings import Settings
from orchestrator.providers.base import PoolRequest, Recurrence, Task
from orchestrator.storage import sources
from orchestrator.storage.layout import RunKeys

Body = dict[str, Any]

# Where nobody says how many nodes a pool may have.
DEFAULT_MAX_NODES = 10
# Task slots of one node: at most four a core, and at most this many (limit of the service).
MOST_SLOTS = 256
# Seconds beyond its timeout and grace after which the service ends a task whose runner cannot end it any more.
OVERTIME = 120
# Seconds between two beginnings of a schedule, and characters of an auto pool's prefix: limits of the service.
LEAST_RECURRENCE, MOST_PREFIX = 60, 20
# Seconds that the machines of a scheduled job may take to come.
POOL_COMES = 1800
# How long the service keeps an ended task's files on its node, in seconds; all that matters is in Blob by then.
RETENTION = 3600
# How long after the lease the tasks' grants still work, in seconds: for what is being stored when it ends.
GRANTS_OUTLIVE = 3600
# The runner's folder, below a task's working directory.
FOLDER = "run"
# Parts of the feed of metrics; a part takes 50,000 additions (limit of append blobs).
FEED_PARTS = 16

# Made once: `json.dumps` makes an encoder each time that it is given separators.
_compact = json.JSONEncoder(separators=(",", ":")).encode

# Metadata by which our pools and jobs are known.
OWNER, RUN, LEASE = "orchestrate", "orchestrate-run", "orchestrate-lease"

# Files that every attempt may write: create and write, and for the result of an earlier, preempted try also delete.
_ATTEMPT_FILES = {
    "params.json": "cw",
    "stdout.txt": "cw",
    "stderr.txt": "cw",
    "metrics.jsonl": "cw",
    "heartbeat.json": "cw",
    "result.json": "cwd",
}

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Sizing:
    """What machines a request comes to.  ``price`` is US$ an hour of one node, None where nobody knows.

    A task takes a slot of one node, or ``together`` whole nodes.
    """

    choice: catalogue.Choice
    slots_per_node: int
    max_nodes: int
    price: float | None
    together: int = 1

    @property
    def slots(self) -> int:
        return self.slots_per_node * self.max_nodes // self.together


def sizing(request: PoolRequest) -> Sizing:
    """Raises InvalidRequest for what no machines can hold, and for names that the service would not take."""
    if not _NAME.fullmatch(request.name):
        raise InvalidRequest(
            f"'{request.name}' cannot be the name of a pool.",
            remedy="Use letters, digits, '-' and '_' alone, 64 at most.",
        )
    need = request.machine
    choice = catalogue.choose("azure", need, spot=request.spot, vm_size=request.vm_size)
    together = request.nodes
    slots = min(choice.slots, 4 * choice.size.cpus, MOST_SLOTS, request.slots or MOST_SLOTS)
    if together > 1:
        _check_together(request)
        slots = 1  # the service gives tasks of several nodes to no others
    wanted = math.ceil(request.slots / slots) * together if request.slots else None
    most = max(DEFAULT_MAX_NODES, together)
    nodes = min((number for number in (request.max_nodes, wanted) if number), default=most)
    if request.at_once:
        # A new pool gets all its nodes at once, whatever tasks come.
        nodes = min(nodes, math.ceil(request.at_once / slots) * together)
    nodes -= nodes % together  # the rest would never get a task
    price = request.price
    if price is None:
        spot = choice.size.spot if request.spot else None
        price = choice.size.price if spot is None else spot
    return Sizing(choice, slots, nodes, price, together)


def _check_together(request: PoolRequest) -> None:
    if request.max_nodes is not None and request.max_nodes < request.nodes:
        raise InvalidRequest(
            f"A trial takes {request.nodes} machines together, and pool.max_nodes is {request.max_nodes}.",
            remedy=f"Set pool.max_nodes to {request.nodes} at least, or lower resources.nodes.",
        )
    if request.spot and request.on_demand_fallback:
        raise InvalidRequest(
            f"The {request.nodes} machines that a trial takes together must be of one kind, and with "
            "pool.on_demand_fallback a pool has spot machines and others.",
            remedy="Leave out pool.on_demand_fallback, or pool.spot.",
        )


@dataclass(frozen=True, slots=True)
class Image:
    """The machine image of a pool's nodes, as ``list_supported_images`` has it."""

    agent: str
    reference: Body


def choose_image(images: Iterable[Mapping[str, Any]], *, gpus: bool, containers: bool, until: float) -> Image:
    """The newest verified Ubuntu image that has what is needed and is supported ``until`` then.

    Raises InvalidRequest where the account offers none.
    """
    found: list[tuple[tuple[bool, tuple[int, ...], str], Image]] = []
    for image in images:
        agent, reference = image["nodeAgentSKUId"], image["imageReference"]
        able = {str(capability).lower() for capability in image.get("capabilities") or ()}
        version = re.fullmatch(r"batch\.node\.ubuntu (\d+)\.(\d+)", agent)
        ends = image.get("batchSupportEndOfLife")
        if (
            version is None
            or str(image.get("verificationType", "")).lower() != "verified"
            or (gpus and "nvidiatesladriverinstalled" not in able)
            or (containers and "dockercompatible" not in able)
            or (ends is not None and datetime.fromisoformat(ends).timestamp() < until)
        ):
            continue
        # Nodes that need neither drivers nor Docker start faster from the plain image.
        plain = not able
        rank = (plain, tuple(map(int, version.groups())), str(reference.get("sku", "")))
        found.append((rank, Image(agent, dict(reference))))
    if not found:
        what = " and ".join(["Ubuntu", *(["GPU drivers"] if gpus else []), *(["containers"] if containers else [])])
        raise InvalidRequest(f"The Batch account offers no verified image with {what}.")
    return max(found, key=lambda item: item[0])[1]


@dataclass(frozen=True, slots=True)
class Registry:
    """A private registry of container images and who may read it: a managed identity, or a user with a password."""

    server: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity: str | None = None

    @property
    def body(self) -> Body:
        if self.identity is not None:
            return {"registryServer": self.server, "identityReference": {"resourceId": self.identity}}
        return {"registryServer": self.server, "username": self.username, "password": self.password}


def registry_of(settings: Settings, request: PoolRequest) -> Registry | None:
    """The private registry, where the run's image lies in it.  Raises InvalidRequest where nobody is named for it."""
    server = settings.registry_server
    if request.image is None or not server or not request.image.startswith(f"{server}/"):
        return None
    if settings.registry_identity is not None:
        if settings.batch_resource is None:
            raise InvalidRequest(
                "AZURE_REGISTRY_IDENTITY is set, and AZURE_BATCH_RESOURCE_ID is not: only Azure's resource manager "
                "makes pools with an identity.",
                remedy="Set it to what `az batch account show --query id` prints.",
            )
        return Registry(server, identity=settings.registry_identity)
    if settings.registry_username is None or settings.registry_password is None:
        raise InvalidRequest(
            f"AZURE_REGISTRY_SERVER is set to {server}, and nobody who may read it.",
            remedy="Set AZURE_REGISTRY_IDENTITY, or AZURE_REGISTRY_USERNAME and AZURE_REGISTRY_PASSWORD.",
        )
    return Registry(server, settings.registry_username, settings.registry_password)


@dataclass(frozen=True, slots=True)
class Mount:
    """A container that the nodes have as a folder, to be read only; ``token`` lets them read and list it."""

    account: str
    container: str
    token: str = field(repr=False)

    @property
    def body(self) -> Body:
        return {
            "azureBlobFileSystemConfiguration": {
                "accountName": self.account,
                "containerName": self.container,
                "relativeMountPath": mount_name(self.account, self.container),
                "sasKey": self.token,
                "blobfuseOptions": "-o ro -o allow_other",
            }
        }


@dataclass(frozen=True, slots=True)
class Equipment:
    """What nodes have beside their image.  ``start`` is a command that each runs as root in a shell when it starts."""

    registry: Registry | None = None
    mounts: tuple[Mount, ...] = ()
    start: str | None = None


def mount_name(account: str, container: str) -> str:
    """The folder of a mounted container, below that of all mounts."""
    return f"{account}.{container}"


def in_blob(source: sources.Source) -> tuple[str, str, sources.Source] | None:
    """Account, container and the rest of an input's path that begins ``az://``; None for any other.

    Raises InvalidRequest where a parameter stands in the name of the container, since pools are made before parameters
    are known.
    """
    if sources.scheme(source) != "az":
        return None
    place, rest = sources.in_store(source)
    account, _, container = place.removeprefix("az://").partition("/")
    return account, container, rest


def check_inputs(job: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for an input that no task on Azure can be given."""
    s3 = "Copy it to Blob Storage and name it az://ACCOUNT/CONTAINER/PATH, or take the aws provider."
    sources.check(job, "azure", {"az": "", "s3": s3})


def mounted(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Account and container of everything that the job's inputs have mounted, once each."""
    places = [in_blob(item["from"]) for item in job.get("inputs") or ()]
    return list(dict.fromkeys((place[0], place[1]) for place in places if place is not None))


def pool_body(
    request: PoolRequest,
    sized: Sizing,
    image: Image,
    now: float,
    equipment: Equipment = Equipment(),
) -> Body:
    """What ``create_pool`` sends."""
    formula = autoscale.formula(
        created=now,
        lease_until=request.lease_until,
        idle_timeout=request.idle_timeout,
        slots_per_node=sized.slots_per_node,
        first_nodes=sized.max_nodes,
        max_nodes=sized.max_nodes,
        spot=request.spot,
        on_demand_fallback=request.on_demand_fallback,
        together=sized.together,
    )
    return {
        "id": request.name,
        **_nodes(request, sized, image, equipment),
        "enableAutoScale": True,
        "autoScaleFormula": formula,
        "autoScaleEvaluationInterval": duration(autoscale.EVALUATION),
        "metadata": _metadata(request),
    }


def managed_pool_body(body: Body, identity: str) -> Body:
    """The same pool as the resource manager takes it (Microsoft.Batch/batchAccounts/pools), with an identity.

    The service itself has no way to give a pool one.
    """
    machine = {name: value for name, value in body["virtualMachineConfiguration"].items() if name != "nodeAgentSKUId"}
    machine["nodeAgentSkuId"] = body["virtualMachineConfiguration"]["nodeAgentSKUId"]
    if "containerConfiguration" in machine:
        machine["containerConfiguration"] = {**machine["containerConfiguration"], "type": "DockerCompatible"}
    more = {name: body[name] for name in ("mountConfiguration", "startTask") if name in body}
    if "startTask" in more:
        root = {"autoUser": {"scope": "Pool", "elevationLevel": "Admin"}}
        more["startTask"] = {**more["startTask"], "userIdentity": root}
    return {
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
        "properties": {
            "vmSize": body["vmSize"],
            "deploymentConfiguration": {"virtualMachineConfiguration": machine},
            "scaleSettings": {
                "autoScale": {
                    "formula": body["autoScaleFormula"],
                    "evaluationInterval": body["autoScaleEvaluationInterval"],
                }
            },
            "taskSlotsPerNode": body["taskSlotsPerNode"],
            "taskSchedulingPolicy": {"nodeFillType": "Pack"},
            "interNodeCommunication": "Enabled" if body["enableInterNodeCommunication"] else "Disabled",
            "metadata": body["metadata"],
            **more,
        },
    }


def _nodes(request: PoolRequest, sized: Sizing, image: Image, equipment: Equipment) -> Body:
    """What the nodes of a pool are, however many."""
    machine: Body = {"imageReference": image.reference, "nodeAgentSKUId": image.agent}
    if request.image is not None:
        machine["containerConfiguration"] = {
            "type": "dockerCompatible",
            "containerImageNames": [request.image],
        }
        if equipment.registry is not None:
            machine["containerConfiguration"]["containerRegistries"] = [equipment.registry.body]
    if request.machine.disk:
        machine["osDisk"] = {"diskSizeGB": math.ceil(request.machine.disk / 1e9)}
    more: Body = {}
    if equipment.mounts:
        more["mountConfiguration"] = [mount.body for mount in equipment.mounts]
    if equipment.start is not None:
        more["startTask"] = {
            "commandLine": f"/bin/sh -c {shlex.quote(equipment.start)}",
            "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "admin"}},
            "maxTaskRetryCount": 1,
            "waitForSuccess": True,
        }
    return {
        **more,
        "vmSize": sized.choice.size.name,
        "virtualMachineConfiguration": machine,
        "taskSlotsPerNode": sized.slots_per_node,
        "taskSchedulingPolicy": {"nodeFillType": "pack"},
        "enableInterNodeCommunication": sized.together > 1,
    }


def job_body(request: PoolRequest, now: float, store_url: str) -> Body:
    """What ``create_job`` sends.  Its wall-clock limit ends the tasks with the lease, whoever is still alive."""
    parallel = {"maxParallelTasks": request.slots} if request.slots else {}
    return {
        **parallel,
        "id": request.name,
        "poolInfo": {"poolId": request.name},
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "performexitoptionsjobaction" if request.stop_codes else "noaction",
        "usesTaskDependencies": request.stages > 1,
        "constraints": {"maxWallClockTime": duration(max(60.0, request.lease_until - now)), "maxTaskRetryCount": 0},
        "commonEnvironmentSettings": _environment({"ORCHESTRATE_STORE": store_url, **_gpus(request)}),
        "metadata": _metadata(request),
    }


def schedule_body(
    request: PoolRequest,
    task: Task,
    when: Recurrence,
    site: Site,
    image: Image,
    equipment: Equipment = Equipment(),
) -> Body:
    """What ``create_job_schedule`` sends: each time a job on a pool of its own, which the service deletes with the job.

    The task is the job's manager, so that nobody needs to add it, and the job ends with it.  A job may last until its
    task's time limit, or until the next one is due.
    """
    sized = sizing(replace(request, slots=1, max_nodes=1))
    # A manager ends its job whatever it ends with.
    work = task_body(task, replace(request, stop_codes=()), site)
    longest = _longest(request) or when.every
    kind = "targetLowPriorityNodes" if request.spot else "targetDedicatedNodes"
    pool = {**_nodes(request, sized, image, equipment), kind: 1, "metadata": _metadata(request)}
    begins = {} if when.start is None else {"doNotRunUntil": stamp(when.start)}
    return {
        "id": request.name,
        "schedule": {
            **begins,
            "doNotRunAfter": stamp(when.until),
            "recurrenceInterval": duration(max(when.every, LEAST_RECURRENCE)),
        },
        "jobSpecification": {
            "poolInfo": {
                "autoPoolSpecification": {
                    "autoPoolIdPrefix": request.name[:MOST_PREFIX],
                    "poolLifetimeOption": "job",
                    "keepAlive": False,
                    "pool": pool,
                }
            },
            "jobManagerTask": {
                **work,
                "killJobOnCompletion": True,
                "runExclusive": True,
                "allowLowPriorityNode": request.spot,
            },
            # The pool takes minutes to come, and they are not the task's.
            "constraints": {"maxWallClockTime": duration(longest + POOL_COMES)},
            "commonEnvironmentSettings": _environment({"ORCHESTRATE_STORE": site.url, **_gpus(request)}),
            "metadata": _metadata(request),
        },
        "metadata": _metadata(request),
    }


def _metadata(request: PoolRequest) -> list[Body]:
    pairs = {OWNER: "1", RUN: request.name, LEASE: str(math.ceil(request.lease_until))}
    pairs.update({name: value for name, value in request.labels.items() if name not in pairs})
    return [{"name": name, "value": value} for name, value in pairs.items()]


def _environment(values: Mapping[str, str]) -> list[Body]:
    return [{"name": name, "value": value} for name, value in values.items()]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a run's tasks find their files.

    ``url`` of the store without a slash at its end, ``container`` and ``prefix`` (empty or ending in a slash) are where
    its keys are; ``runner`` is the runner's key.  ``folders``: the account has a hierarchical namespace, so that a
    grant can be for one folder.  ``heartbeat`` is how often a runner says that it lives, and stores its checkpoint if
    that has changed, in seconds.  ``mounts`` are what the nodes have mounted.
    """

    url: str
    container: str
    prefix: str
    signer: Signer
    runner: str
    folders: bool = False
    heartbeat: float = 15.0
    mounts: tuple[Mount, ...] = ()

    def token(self, key: str, permissions: str) -> str:
        return self.signer.blob(self.container, self.prefix + key, permissions)

    def short(self, key: str, permissions: str) -> str:
        """A token without the end that all tokens have."""
        return self.signer.blob_short(self.container, self.prefix + key, permissions)

    def link(self, key: str, permissions: str = "r") -> str:
        """A URL for one object."""
        return f"{self.url}/{quote(key)}?{self.token(key, permissions)}"


def shared_grants(site: Site, run: str, reads: Sequence[str], *, poll_seconds: float) -> Body:
    """What all tasks of a run may do: read the job and its inputs, hear that they should stop, add to the feed."""
    keys = RunKeys(run)
    tokens = {key: site.short(key, "r") for key in (keys.job, keys.stop, *reads)}
    tokens.update({keys.feed(part): site.short(keys.feed(part), "ac") for part in range(FEED_PARTS)})
    return {
        "version": 1,
        "poll": poll_seconds,
        "stop": keys.stop,
        "feed": keys.feed(0)[:-8],
        "keys": tokens,
        "tail": site.signer.tail,
    }


def own_grants(site: Site, run: str, task: Task, *, outputs: bool, checkpoint: bool) -> Body:
    """What one attempt may write: its own files and the checkpoint of its trial.

    Only an account with a hierarchical namespace can grant a folder.  Elsewhere a job with outputs, whose names
    nobody knows beforehand, gets leave to create and write (not to read, list or delete) in the container.
    """
    keys = RunKeys(run)
    root = keys.attempt(task.trial, task.attempt)
    tokens = {name: site.short(f"{root}/{name}", may) for name, may in _ATTEMPT_FILES.items()}
    grants: Body = {"root": root, "own": tokens, "tail": site.signer.tail}
    if checkpoint:
        grants["checkpoint"] = site.short(keys.checkpoint(task.trial), "rcw")
        if task.parent is not None:
            first = keys.checkpoint(task.parent)
            grants["first"] = {"key": first, "token": site.short(first, "r")}
    if outputs:
        folder = f"{site.prefix}{keys.outputs(task.trial, task.attempt)}"
        token = site.signer.folder(site.container, folder, "cw") if site.folders else None
        grants["outputs"] = token or site.signer.container(site.container, "cw")
    return grants


def task_body(task: Task, request: PoolRequest, site: Site) -> Body:
    """What is sent for one task; see ``orchestrator.runner`` for what it then runs."""
    job = request.job
    keys = RunKeys(request.name)
    own = own_grants(
        site, request.name, task, outputs=bool(job.get("outputs")), checkpoint=job.get("checkpoint") is not None
    )
    environment = {
        "ORCHESTRATE_TASK": _compact(task.document),
        "ORCHESTRATE_GRANTS": _compact(own),
        **request.secrets,
    }
    body: Body = {
        "id": task.name,
        "commandLine": command_line(keys.job, site.heartbeat),
        "resourceFiles": _resource_files(site, keys.grants),
        "environmentSettings": _environment(environment),
        "constraints": {"maxTaskRetryCount": 0, "retentionTime": duration(RETENTION)},
        "requiredSlots": 1,
        # The nodes of a pool are one run's: its tasks may share what they find there.
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
    }
    if task.after is not None:
        body["dependsOn"] = {"taskIds": [task.after]}
    if request.stop_codes:
        body["exitConditions"] = _exit_conditions(request.stop_codes)
    longest = _longest(request)
    if longest is not None:
        body["constraints"]["maxWallClockTime"] = duration(longest)
    if request.image is not None:
        body["containerSettings"] = {
            "imageName": request.image,
            "containerRunOptions": " ".join(_run_options(request)),
            "workingDirectory": "taskWorkingDirectory",
        }
    if request.nodes > 1:
        # The service has the command run on the first node once this has ended on all.
        body["multiInstanceSettings"] = {
            "numberOfInstances": request.nodes,
            "coordinationCommandLine": "/bin/sh -c true",
        }
    return body


def _exit_conditions(stop_codes: Sequence[int]) -> Body:
    """The service ends the job at these codes, and at no other, which it would do by itself if it were told nothing."""
    stop = [{"code": code, "exitOptions": {"jobAction": "terminate"}} for code in stop_codes]
    return {"exitCodes": stop, "default": {"jobAction": "none"}}


def _longest(request: PoolRequest) -> float | None:
    """Seconds after which the service ends a task that its runner has not ended."""
    timeout = request.job.get("timeout")
    return float(timeout) + float(request.job.get("grace") or 0) + OVERTIME if timeout else None


@functools.lru_cache(maxsize=16)
def _resource_files(site: Site, grants: str) -> list[Body]:
    """The same for all tasks of a run."""
    return [
        {"httpUrl": site.link(site.runner), "filePath": "runner.py"},
        {"httpUrl": site.link(grants), "filePath": "grants.json"},
    ]


@functools.lru_cache(maxsize=16)
def command_line(job_key: str, heartbeat: float = 15.0) -> str:
    """The task's command: it needs a shell and python3.  A try on a node that had one before starts clean."""
    runner = (
        f'exec python3 runner.py --transport azure --store "$ORCHESTRATE_STORE" --job {shlex.quote(job_key)}'
        f" --task task.json --folder {FOLDER} --heartbeat {heartbeat:g}"
    )
    script = f'rm -rf {FOLDER} && printf %s "$ORCHESTRATE_TASK" > task.json && {runner}'
    return f"/bin/sh -c {shlex.quote(script)}"


def _gpus(request: PoolRequest) -> dict[str, str]:
    """Where several tasks share a node with GPUs each must keep to its own."""
    sized = sizing(request)
    total = int(sized.choice.size.gpus)
    if not request.machine.gpus or sized.slots_per_node == 1:
        return {}
    return {"ORCHESTRATE_GPUS": f"{request.machine.gpus:g}/{total}"}


def _run_options(request: PoolRequest) -> list[str]:
    options = ["--rm"]
    if request.machine.gpus:
        options += ["--gpus", "all"]
    if request.machine.shm:
        options.append(f"--shm-size={request.machine.shm}b")
    if request.nodes > 1:
        options.append("--network=host")  # the addresses that a task is told are its nodes' own
    return options


def duration(seconds: float) -> str:
    """ISO 8601, in whole seconds rounded up."""
    return f"PT{math.ceil(seconds)}S"


def stamp(at: float) -> str:
    """A time as filters take it; fractions are kept, since transitions have them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
