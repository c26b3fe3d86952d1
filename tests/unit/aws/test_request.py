"""What is sent for a pool and its tasks: the same every time, and valid by botocore's own models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator

from orchestrator.errors import InvalidRequest
from orchestrator.providers.aws import boot, preview, request
from orchestrator.providers.base import Machine, PoolRequest, Task
from orchestrator.storage.layout import Home
from tests.unit.aws.conftest import Cloud, tasks
from tests.unit.aws.conftest import request as pool

GOLDEN = Path(__file__).with_name("golden")
NOW = 1_795_000_000.0
GIB = 1 << 30
RUN = "glyphs-261118-120000-abcd"

PLACE = request.Place(
    subnets=("subnet-1", "subnet-2"),
    security_groups=("sg-1",),
    instance_role="ecsInstanceRole",
    service_role=None,
    execution_role="arn:aws:iam::123456789012:role/execution",
    job_role="arn:aws:iam::123456789012:role/job",
    region="eu-west-1",
    account="123456789012",
    store="s3://bucket/team",
    runner="blobs/ab/" + "ab" * 32,
    poll_seconds=5.0,
)


def wanted(**changes: Any) -> PoolRequest:
    base = PoolRequest(
        name=RUN,
        job={"timeout": 3600.0, "grace": 10.0},
        machine=Machine(cpus=4, gpus=1, gpu="T4", memory=8 * GIB, disk=100 * 10**9, shm=8 * GIB),
        slots=10,
        max_nodes=4,
        lease_until=NOW + 6 * 3600,
        idle_timeout=300.0,
        spot=True,
        on_demand_fallback=True,
        image="registry.example.com/team/image:1",
        labels={"run": RUN, "sweep": "glyphs"},
        secrets={"TOKEN": "s3cret"},
    )
    return replace(base, **changes)


def bodies() -> list[tuple[str, str, Any]]:
    """Service, operation and body of each call for the pool above and its first ten thousand tasks."""
    main, fallback = request.environments(wanted(), PLACE)
    return [
        ("ec2", "CreateLaunchTemplate", request.launch_template(wanted())),
        ("batch", "CreateComputeEnvironment", main),
        ("batch", "CreateComputeEnvironment", fallback),
        ("batch", "CreateJobQueue", request.queue(wanted(), ["arn:main", "arn:fallback"])),
        ("batch", "RegisterJobDefinition", request.definition(wanted(), PLACE, NOW)),
        ("batch", "SubmitJob", request.submission(RUN, 1, 10_000)),
    ]


def test_the_requests_are_those_that_were_reviewed() -> None:
    """Delete the golden file to write it anew, and read what has changed."""
    told = json.dumps([list(body) for body in bodies()], indent=1, sort_keys=True)
    told = told.replace(json.dumps(boot.script()), '"(the script of boot.py)"') + "\n"
    golden = GOLDEN / "requests.json"
    if not golden.exists():
        golden.write_text(told)
        pytest.fail("the golden file was written anew")
    assert told == golden.read_text()


def test_botocore_finds_nothing_wrong_with_them() -> None:
    session = botocore.session.get_session()
    for service, operation, body in bodies():
        shape = session.get_service_model(service).operation_model(operation).input_shape
        report = ParamValidator().validate(body, shape)
        assert not report.has_errors(), report.generate_report()


def test_no_secret_is_in_any_of_them() -> None:
    assert "s3cret" not in json.dumps(bodies())


def test_only_a_machine_that_was_taken_away_is_a_reason_to_try_again() -> None:
    rules = request.definition(wanted(), PLACE, NOW)["retryStrategy"]["evaluateOnExit"]
    assert [rule["action"] for rule in rules] == ["RETRY", "EXIT"]
    assert rules[0] == {"onStatusReason": "Host EC2*", "action": "RETRY"}
    assert rules[-1] == {"onReason": "*", "action": "EXIT"}, "what matches no rule would be tried again"


def test_environments_shrink_to_nothing_and_never_wait_for_one_size() -> None:
    for body in request.environments(wanted(), PLACE):
        assert body["computeResources"]["minvCpus"] == 0
        assert body["computeResources"]["allocationStrategy"] != "BEST_FIT"


def test_spot_machines_are_asked_for_exactly_when_they_are_wanted() -> None:
    kinds = [b["computeResources"]["type"] for b in request.environments(wanted(), PLACE)]
    assert kinds == ["SPOT", "EC2"]
    alone = request.environments(wanted(on_demand_fallback=False), PLACE)
    assert [b["computeResources"]["type"] for b in alone] == ["SPOT"]
    plain = request.environments(wanted(spot=False), PLACE)
    assert [b["computeResources"]["type"] for b in plain] == ["EC2"]


def test_as_many_tasks_as_there_are_slots_fill_the_machines() -> None:
    sized = request.sizing(wanted())
    assert (sized.instances, sized.slots_per_node, sized.max_nodes, sized.slots) == (("g4dn.xlarge",), 1, 4, 4)
    shared = request.sizing(wanted(vm_size="g4dn.12xlarge", slots=None, max_nodes=2))
    assert (shared.slots_per_node, shared.slots, shared.cpus) == (4, 8, 12)


def test_machines_with_gpus_have_the_image_that_brings_their_driver_and_the_disk_that_was_asked_for() -> None:
    for body in request.environments(wanted(), PLACE):
        resources = body["computeResources"]
        assert resources["ec2Configuration"] == [{"imageType": "ECS_AL2023_NVIDIA"}]
        assert resources["launchTemplate"]["launchTemplateName"] == request.name(RUN)
        assert {request.OWNER, request.RUN, request.LEASE} <= set(resources["tags"]), "the machines are ours too"
        assert {request.OWNER, request.RUN, request.LEASE} <= set(body["tags"])
    template = request.launch_template(wanted())
    assert template is not None
    assert template["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 100
    plain = wanted(machine=Machine(cpus=1))
    assert request.launch_template(plain) is None
    for body in request.environments(plain, PLACE):
        assert body["computeResources"]["ec2Configuration"] == [{"imageType": "ECS_AL2023"}]
        assert "launchTemplate" not in body["computeResources"]


def test_the_queue_asks_spot_machines_first_and_ends_what_can_never_run() -> None:
    body = request.queue(wanted(), ["arn:main", "arn:fallback"])
    order = sorted(body["computeEnvironmentOrder"], key=lambda one: one["order"])
    assert [one["computeEnvironment"] for one in order] == ["arn:main", "arn:fallback"]
    reasons = [one["reason"] for one in body["jobStateTimeLimitActions"]]
    assert {reason.partition(":")[0] for reason in reasons} == {"MISCONFIGURATION", "CAPACITY"}
    for one in body["jobStateTimeLimitActions"]:
        assert (one["state"], one["action"]) == ("RUNNABLE", "CANCEL")
        assert 600 <= one["maxTimeSeconds"] <= 86_400


def test_without_a_gpu_the_service_chooses_among_families_and_the_dearest_is_the_price() -> None:
    sized = request.sizing(wanted(machine=Machine(cpus=2), slots=8, max_nodes=None))
    assert (sized.instances, sized.cpus, sized.max_cpus, sized.slots) == (("c6i", "m6i", "r6i"), 2, 16, 8)
    assert sized.memory == 2 * request.MEMORY_A_CORE
    assert sized.price == pytest.approx(2 * 0.126 / 2)
    large = request.sizing(wanted(machine=Machine(cpus=1, memory=3 * GIB), slots=8))
    assert large.instances == ("m6i", "r6i")
    huge = request.sizing(wanted(machine=Machine(cpus=1, memory=30 * GIB), slots=8))
    assert (huge.instances, huge.cpus) == (("r6i",), 5)
    with pytest.raises(InvalidRequest, match="No machine of aws"):
        request.sizing(wanted(machine=Machine(cpus=200)))


@pytest.mark.parametrize(
    ("instance", "price"),
    [
        ({"InstanceType": "m6i.xlarge"}, 0.192),
        ({"InstanceType": "g4dn.xlarge"}, 0.526),
        ({"InstanceType": "c6i.32xlarge", "CpuOptions": {"CoreCount": 64, "ThreadsPerCore": 2}}, 5.44),
        ({"InstanceType": "z9.metal"}, 0.0),
    ],
)
def test_a_machine_costs_what_the_table_says_or_its_family_s_cores_do(instance: dict[str, Any], price: float) -> None:
    assert request.price_of(instance, {}) == pytest.approx(price)
    as_spot = {**instance, "InstanceLifecycle": "spot"}
    assert request.price_of(as_spot, {}) == pytest.approx(price), "the table's spot price is a usual one, and no bound"


def test_a_task_ends_at_its_limit_and_at_the_lease_whichever_is_first() -> None:
    assert request.definition(wanted(), PLACE, NOW)["timeout"] == {"attemptDurationSeconds": 3600 + 10 + 120}
    short = wanted(lease_until=NOW + 600)
    assert request.definition(short, PLACE, NOW)["timeout"] == {"attemptDurationSeconds": 600}
    assert request.definition(wanted(lease_until=NOW), PLACE, NOW)["timeout"] == {"attemptDurationSeconds": 60}


def test_a_task_is_one_line_whatever_its_parameters_hold() -> None:
    line = request.task_line(Task("t000003-a2", 3, 2, {"text": "a\nb ü"}))
    assert b"\n" not in line
    assert json.loads(line) == {"name": "t000003-a2", "trial": 3, "attempt": 2, "params": {"text": "a\nb ü"}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": None}, "names no image"),
        ({"name": "no spaces"}, "cannot be the name"),
        ({"machine": Machine(gpus=1, gpu="abacus")}, "offers no abacus"),
        ({"machine": Machine(gpus=64, gpu="T4")}, "No machine of aws"),
        ({"machine": Machine(gpus=1, gpu="V100")}, "were retired"),
        ({"vm_size": "p3.2xlarge", "machine": Machine(gpus=1)}, "no image for machines of size p3.2xlarge"),
    ],
)
def test_what_can_never_run_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        request.sizing(wanted(**changes))


def test_a_plan_shows_what_is_sent_and_needs_no_account(cloud: Cloud) -> None:
    """Against what passed over the wire for the same request; what only AWS knows stands in angle brackets."""
    asked = pool(spot=True, on_demand_fallback=True, secrets={"TOKEN": "<TOKEN>"}, machine=Machine(cpus=1, disk=10**11))
    told = list(preview.calls(Home(Path("/nowhere")), asked, tasks(3)))
    sent: list[tuple[str, str]] = []

    def note(name: str, sending: Any) -> None:
        service, operation = name.split(".")
        if not operation.startswith(("Describe", "List", "Get")):
            sent.append((operation, service))

    cloud.wire.disturb = note
    compute = cloud.connect()
    compute.create_pool(asked)
    list(compute.submit(asked.name, tasks(3)))
    operations = [call.operation for call in told if call.operation != "put_object"]  # the store has its own client
    assert operations == [xform_name(operation) for operation, _ in sent]
    made = cloud.client("batch").describe_job_definitions(jobDefinitionName=f"orchestrate-{asked.name}")
    shown = next(call.body for call in told if call.operation == "register_job_definition")
    assert made["jobDefinitions"][0]["containerProperties"]["command"] == shown["containerProperties"]["command"]
    listed = next(call.body["Body"] for call in told if call.operation == "put_object")
    assert [line["params"] for line in listed] == [{"x": 0}, {"x": 1}, {"x": 2}]
