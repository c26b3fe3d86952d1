"""From our pool and tasks to the bodies of AWS's calls.  Pure: the same request always gives the same body.

Sources: the API reference of AWS Batch (CreateComputeEnvironment, CreateJobQueue, RegisterJobDefinition, SubmitJob) and
its user guide on Spot, on retries and on jobs that are stuck in RUNNABLE.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.providers import catalogue
from orchestrator.providers.aws import boot
from orchestrator.providers.base import PoolRequest, Task
from orchestrator.storage import sources
from orchestrator.storage.layout import RunKeys

Body = dict[str, Any]

# Where nobody says how many machines a pool may have.
DEFAULT_MAX_NODES = 10
# Where a task needs no GPU and no machine is named, Batch chooses the size, from those of these families whose memory a
# core (GiB) is enough: several, so that it finds spot machines where one family has none.
FAMILIES = {"c6i": 2, "m6i": 4, "r6i": 8}
# MiB a core that a task gets which asks for none.
MEMORY_A_CORE = 1750
# Cores of the largest machine of these families.
LARGEST = 128
# Of a machine's memory, what tasks can have: the system and ECS keep the rest.
USABLE = 0.92
# Seconds beyond its timeout and grace after which the service ends a task whose runner cannot end it any more.
OVERTIME = 120
# Tries that the service gives a task whose machine was taken away; then the engine decides.
SPOT_TRIES = 5
# Seconds after which what cannot run is ended (limits of the service: 600 to 86,400).
STUCK = 1800
_STUCK_REASONS = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
)
SPOT_RECLAIMED = "Host EC2"

# Tags by which what is ours is known.
OWNER, RUN, LEASE = "orchestrate", "orchestrate-run", "orchestrate-lease"
_PREFIX = "orchestrate-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def name(run: str) -> str:
    """Of a run's queue, definition and launch template, and how the names of its environments begin."""
    return _PREFIX + run


def environment_names(run: str) -> tuple[str, str]:
    """The one that runs come to first, and the on-demand one that may stand behind it."""
    return f"{name(run)}-main", f"{name(run)}-fallback"


def secret_name(run: str, variable: str) -> str:
    return f"/orchestrate/{run}/{variable}"


@dataclass(frozen=True, slots=True)
class Sizing:
    """What machines a request comes to.  ``price`` is US$ an hour of one at most, None where nobody knows.

    ``usual`` is what one usually costs as a spot machine, where such are asked for and that is known.  ``instances``
    are types or families that Batch may choose from.  ``memory`` (MiB), ``cpus``: of one task.
    """

    instances: tuple[str, ...]
    cpus: int
    memory: int
    gpus: int
    slots_per_node: int
    max_nodes: int
    max_cpus: int
    price: float | None
    usual: float | None = None

    @property
    def slots(self) -> int:
        return self.max_cpus // self.cpus

    @property
    def machine(self) -> str:
        return " or ".join(self.instances)


def check_inputs(job: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for an input that no task on AWS can be given."""
    az = "Copy it to S3 and name it s3://BUCKET/KEY, or take the azure provider."
    sources.check(job, "aws", {"s3": "", "az": az})


def sizing(request: PoolRequest) -> Sizing:
    """Raises InvalidRequest for what no machine can hold, and for names that the service would not take."""
    if not _NAME.fullmatch(request.name):
        raise InvalidRequest(
            f"'{request.name}' cannot be the name of a pool.",
            remedy="Use letters, digits, '-' and '_' alone, 100 at most.",
        )
    if not request.image:
        raise InvalidRequest(
            "AWS Batch runs containers alone, and this sweep names no image.",
            remedy="Set workload.image to one that has python3 and what the program needs.",
        )
    need = request.machine
    cpus = max(1, math.ceil(need.cpus))
    gpus = math.ceil(need.gpus)
    if not gpus and request.vm_size is None:
        return _families(request, cpus)
    choice = catalogue.choose("aws", need, spot=request.spot, vm_size=request.vm_size)
    size = choice.size
    if size.retired is not None:
        raise InvalidRequest(
            f"AWS Batch has had no image for machines of size {size.name} since {size.retired}.",
            remedy="Choose a newer pool.vm_size, such as g4dn.xlarge, or leave it out.",
        )
    per_node = max(1, min(choice.slots, int(size.gpus) // gpus if gpus else choice.slots, request.slots or 1 << 30))
    wanted = math.ceil(request.slots / per_node) if request.slots else None
    nodes = min((number for number in (request.max_nodes, wanted) if number), default=DEFAULT_MAX_NODES)
    # A task gets its part of the machine, so that as many as there are slots fill it.
    cpus = max(cpus, size.cpus // per_node)
    memory = math.ceil(need.memory / (1 << 20)) if need.memory else 0
    memory = max(memory, int(size.memory * USABLE) // (1 << 20) // per_node)
    price, usual = request.price, None
    if price is None:
        price, usual = size.price, size.spot if request.spot else None
    return Sizing((size.name,), cpus, memory, gpus, per_node, nodes, nodes * per_node * cpus, price, usual)


def _families(request: PoolRequest, cpus: int) -> Sizing:
    """Machines of any size: a node is counted as what one task takes of one, at the dearest family's price."""
    memory = math.ceil(request.machine.memory / (1 << 20)) if request.machine.memory else cpus * MEMORY_A_CORE
    cpus = max(cpus, math.ceil(memory / (max(FAMILIES.values()) * 1024 * USABLE)))
    if cpus > LARGEST:
        raise InvalidRequest(
            f"No machine of aws in our table fits one trial, which takes {cpus} cores.",
            remedy="Lower resources, or name a size in pool.vm_size.",
        )
    fitting = tuple(name for name, gib in FAMILIES.items() if memory <= cpus * gib * 1024 * USABLE)
    price, usual = request.price, None
    if price is None:
        known = [size for name in fitting if (size := catalogue.find("aws", f"{name}.large")) is not None]
        price = cpus * max(size.price / size.cpus for size in known if size.price is not None)
        spot = [size.spot / size.cpus for size in known if size.spot is not None]
        usual = cpus * max(spot) if request.spot and spot else None
    slots = request.slots or 4 * (request.max_nodes or DEFAULT_MAX_NODES)
    return Sizing(fitting, cpus, memory, 0, 1, slots, slots * cpus, price, usual)


def price_of(instance: Mapping[str, Any], spot: Mapping[tuple[str, str], float]) -> float:
    """US$ an hour of a machine as ``describe_instances`` tells of it; 0 where nothing is known of its family.

    ``spot`` are the prices of spot machines by size and zone; one that is not in it is counted as one on demand.  The
    sizes of a family cost what their cores do, so that one which the table lacks follows from its smallest.
    """
    kind = str(instance["InstanceType"])
    if instance.get("InstanceLifecycle") == "spot":
        told = spot.get((kind, instance.get("Placement", {}).get("AvailabilityZone", "")))
        if told is not None:
            return told
    size = catalogue.find("aws", kind)
    if size is not None and size.price is not None:
        return size.price
    small = catalogue.find("aws", f"{kind.partition('.')[0]}.large")
    if small is None or small.price is None:
        return 0.0
    cores = instance.get("CpuOptions") or {}
    return small.price / small.cpus * int(cores.get("CoreCount", 1)) * int(cores.get("ThreadsPerCore", 2))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's machines stand and who they are.  ``runner`` is the runner's key in the store."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    instance_role: str
    service_role: str | None
    execution_role: str | None
    job_role: str | None
    region: str
    account: str
    store: str
    runner: str
    poll_seconds: float
    endpoint: str | None = None
    environment: Mapping[str, str] | None = None


def secret(run: str, variable: str, value: str) -> Body:
    """What ``put_parameter`` sends; the containers get it by the execution role."""
    return {"Name": secret_name(run, variable), "Value": value, "Type": "SecureString", "Overwrite": True}


def tags(request: PoolRequest) -> dict[str, str]:
    ours = {OWNER: "1", RUN: request.name, LEASE: str(math.ceil(request.lease_until))}
    return {**request.labels, **ours}


def launch_template(request: PoolRequest) -> Body | None:
    """What ``create_launch_template`` sends; None where the image's own disk (30 GB) is enough."""
    if not request.machine.disk:
        return None
    listed = [{"Key": key, "Value": value} for key, value in sorted(tags(request).items())]
    disk = {"VolumeSize": math.ceil(request.machine.disk / 1e9), "VolumeType": "gp3", "DeleteOnTermination": True}
    return {
        "LaunchTemplateName": name(request.name),
        "LaunchTemplateData": {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": disk}]},
        "TagSpecifications": [{"ResourceType": "launch-template", "Tags": listed}],
    }


def environments(request: PoolRequest, place: Place) -> list[Body]:
    """What ``create_compute_environment`` sends: one environment, and one on demand behind it where that is wanted."""
    main, fallback = environment_names(request.name)
    bodies = [_environment(main, request, place, spot=request.spot)]
    if request.spot and request.on_demand_fallback:
        bodies.append(_environment(fallback, request, place, spot=False))
    return bodies


def _environment(name_: str, request: PoolRequest, place: Place, *, spot: bool) -> Body:
    sized = sizing(request)
    resources: Body = {
        "type": "SPOT" if spot else "EC2",
        # Never BEST_FIT, the default: it waits for one size and cannot use a fallback.
        "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED" if spot else "BEST_FIT_PROGRESSIVE",
        "minvCpus": 0,
        "maxvCpus": sized.max_cpus,
        "instanceTypes": list(sized.instances),
        "subnets": list(place.subnets),
        "securityGroupIds": list(place.security_groups),
        "instanceRole": place.instance_role,
        "tags": {**tags(request), "Name": name_},
        "ec2Configuration": [{"imageType": "ECS_AL2023_NVIDIA" if sized.gpus else "ECS_AL2023"}],
    }
    if request.machine.disk:
        resources["launchTemplate"] = {"launchTemplateName": name(request.name), "version": "$Latest"}
    body: Body = {
        "computeEnvironmentName": name_,
        "type": "MANAGED",
        "state": "ENABLED",
        "computeResources": resources,
        "tags": tags(request),
    }
    if place.service_role:
        body["serviceRole"] = place.service_role
    return body


def queue(request: PoolRequest, arns: Iterable[str]) -> Body:
    """What ``create_job_queue`` sends; ``arns`` are the environments, the first one first."""
    order = [{"order": number, "computeEnvironment": arn} for number, arn in enumerate(arns, 1)]
    stuck = [
        {"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": STUCK, "action": "CANCEL"}
        for reason in _STUCK_REASONS
    ]
    return {
        "jobQueueName": name(request.name),
        "state": "ENABLED",
        "priority": 1,
        "computeEnvironmentOrder": order,
        "jobStateTimeLimitActions": stuck,
        "tags": tags(request),
    }


def definition(request: PoolRequest, place: Place, now: float) -> Body:
    """What ``register_job_definition`` sends: the container that all tasks of the run share."""
    sized = sizing(request)
    needs = [("VCPU", str(sized.cpus)), ("MEMORY", str(sized.memory))]
    if sized.gpus:
        needs.append(("GPU", str(sized.gpus)))
    variables = {
        "AWS_REGION": place.region,
        "ORCHESTRATE_POLL": f"{place.poll_seconds:g}",
        **(place.environment or {}),
    }
    if place.endpoint:
        variables["AWS_ENDPOINT_URL_S3"] = place.endpoint
    container: Body = {
        "image": request.image,
        "command": command(request, place),
        "environment": [{"name": key, "value": value} for key, value in variables.items()],
        "resourceRequirements": [{"type": kind, "value": value} for kind, value in needs],
    }
    if place.job_role:
        container["jobRoleArn"] = place.job_role
    if request.secrets:
        if place.execution_role:
            container["executionRoleArn"] = place.execution_role
        arn = f"arn:{partition(place.region)}:ssm:{place.region}:{place.account}:parameter"
        container["secrets"] = [
            {"name": variable, "valueFrom": arn + secret_name(request.name, variable)}
            for variable in sorted(request.secrets)
        ]
    if request.machine.shm:
        container["linuxParameters"] = {"sharedMemorySize": math.ceil(request.machine.shm / (1 << 20))}
    return {
        "jobDefinitionName": name(request.name),
        "type": "container",
        "parameters": {"batch": "none"},
        "containerProperties": container,
        "retryStrategy": {
            "attempts": SPOT_TRIES,
            "evaluateOnExit": [
                {"onStatusReason": f"{SPOT_RECLAIMED}*", "action": "RETRY"},
                # What matches no rule would be tried again.
                {"onReason": "*", "action": "EXIT"},
            ],
        },
        "timeout": {"attemptDurationSeconds": _longest(request, now)},
        "propagateTags": True,
        "tags": tags(request),
    }


def command(request: PoolRequest, place: Place) -> list[str]:
    """The container's command; the batch is filled in by each submission."""
    grace = float(request.job.get("grace") or 0.0)
    words = (place.store, place.runner, RunKeys(request.name).job, f"{request.lease_until:.0f}", f"{grace:g}")
    return ["python3", "-c", boot.script(), *words, "Ref::batch"]


def _longest(request: PoolRequest, now: float) -> int:
    """Seconds that one try may take, at least the minute that the service wants."""
    longest = request.lease_until - now
    if request.job.get("timeout"):
        longest = min(longest, float(request.job["timeout"]) + float(request.job.get("grace") or 0) + OVERTIME)
    return max(60, math.ceil(longest))


def partition(region: str) -> str:
    """The part of AWS that a region belongs to, as ARNs name it."""
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def batch_key(run: str, number: int) -> str:
    return f"{RunKeys(run).root}/batches/{number:04d}.jsonl"


def batch_name(run: str, number: int) -> str:
    """The name of the job that runs a batch: the same however often it is sent."""
    return f"{name(run)}-b{number:04d}"


def task_line(task: Task) -> bytes:
    return json.dumps(task.document, separators=(",", ":")).encode()


def submission(run: str, number: int, size: int) -> Body:
    """What ``submit_job`` sends for a batch; one task alone cannot be an array."""
    body: Body = {
        "jobName": batch_name(run, number),
        "jobQueue": name(run),
        "jobDefinition": name(run),
        "parameters": {"batch": batch_key(run, number)},
        "propagateTags": True,
        "tags": {OWNER: "1", RUN: run},
    }
    if size > 1:
        body["arrayProperties"] = {"size": size}
    return body
