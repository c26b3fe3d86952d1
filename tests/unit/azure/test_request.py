"""What is sent for a pool, a job and a task: the same every time, and valid by the SDK's own models."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models

from orchestrator.emulators.azure_batch.bodies import validated
from orchestrator.errors import InvalidRequest
from orchestrator.providers.azure import request
from orchestrator.providers.azure.sas import Signer
from orchestrator.providers.base import Machine, PoolRequest, Task
from tests.emulators.sdk_contract import differences

GOLDEN = Path(__file__).with_name("golden")
NOW = 1_795_000_000.0
GIB = 1 << 30
IMAGE = request.Image("batch.node.ubuntu 22.04", {"publisher": "p", "offer": "o", "sku": "s", "version": "latest"})


def wanted(**changes: Any) -> PoolRequest:
    job = {"timeout": 3600.0, "grace": 10.0, "outputs": [["out/"]], "checkpoint": "ckpt"}
    base = PoolRequest(
        name="glyphs-261118-120000-abcd",
        job=job,
        machine=Machine(cpus=4, gpus=1, gpu="T4", memory=16 * GIB, disk=100 * 10**9, shm=8 * GIB),
        slots=10,
        max_nodes=4,
        lease_until=NOW + 6 * 3600,
        idle_timeout=300.0,
        spot=True,
        on_demand_fallback=True,
        image="registry.example.com/team/image:1",
        labels={"run": "glyphs-261118-120000-abcd", "sweep": "glyphs"},
        secrets={"TOKEN": "s3cret"},
    )
    return replace(base, **changes)


def site(**changes: Any) -> request.Site:
    signer = Signer("acct", base64.b64encode(b"k" * 64).decode(), start=NOW, expiry=NOW + 86400)
    base = request.Site("https://acct.blob.core.windows.net/box/team", "box", "team/", signer, "blobs/ab/" + "ab" * 32)
    return replace(base, **changes)


def task(**params: Any) -> Task:
    return Task("t000003-a2", 3, 2, {"lr": 1e-3, "text": "it's $(x)\n", **params})


def bodies() -> dict[str, tuple[str, request.Body]]:
    sized = request.sizing(wanted())
    registry = request.Registry("registry.example.com", "user", "password")
    return {
        "pool": ("BatchPoolCreateOptions", request.pool_body(wanted(), sized, IMAGE, NOW, request.Equipment(registry))),
        "job": ("BatchJobCreateOptions", request.job_body(wanted(), NOW, site().url)),
        "task": ("BatchTaskCreateOptions", request.task_body(task(), wanted(), site())),
    }


def bodies_of_several_nodes() -> dict[str, tuple[str, request.Body]]:
    several = wanted(nodes=3, max_nodes=11, on_demand_fallback=False)
    return {
        "pool": ("BatchPoolCreateOptions", request.pool_body(several, request.sizing(several), IMAGE, NOW)),
        "task": ("BatchTaskCreateOptions", request.task_body(task(), several, site())),
    }


def test_a_trial_of_several_nodes_is_one_task_that_takes_them_whole() -> None:
    found = bodies_of_several_nodes()
    for model, body in found.values():
        assert differences(body, getattr(models, model)) == []
        assert validated(model, body) == body
    pool, own = found["pool"][1], found["task"][1]
    assert (pool["enableInterNodeCommunication"], pool["taskSlotsPerNode"]) == (True, 1)
    assert "min(9, " in pool["autoScaleFormula"], "two nodes more would never get a task"
    assert own["multiInstanceSettings"] == {"numberOfInstances": 3, "coordinationCommandLine": "/bin/sh -c true"}
    options = own["containerSettings"]["containerRunOptions"].split()
    assert "--network=host" in options
    alone = bodies()["task"][1]
    assert "multiInstanceSettings" not in alone
    assert options == [*alone["containerSettings"]["containerRunOptions"].split(), "--network=host"]
    rest = {"multiInstanceSettings", "containerSettings"}
    assert {k: v for k, v in own.items() if k not in rest} == {k: v for k, v in alone.items() if k not in rest}
    managed = request.managed_pool_body(pool, "/identities/one")
    assert managed["properties"]["interNodeCommunication"] == "Enabled"


def test_nodes_of_several_are_counted_together() -> None:
    sized = request.sizing(wanted(nodes=3, slots=2, max_nodes=None, on_demand_fallback=False))
    assert (sized.slots_per_node, sized.max_nodes, sized.slots) == (1, 6, 2)
    sized = request.sizing(wanted(nodes=4, slots=None, max_nodes=None, on_demand_fallback=False))
    assert (sized.max_nodes, sized.slots) == (8, 2)
    sized = request.sizing(wanted(nodes=12, slots=None, max_nodes=None, on_demand_fallback=False))
    assert (sized.max_nodes, sized.slots) == (12, 1)


@pytest.mark.parametrize(
    ("tasks", "changes", "nodes"),
    [
        (2, {"slots": None, "max_nodes": None}, 2),
        (2, {"slots": None, "max_nodes": 4}, 2),
        (10_000, {"slots": None, "max_nodes": None}, 10),
        (10_000, {"slots": 30, "max_nodes": None}, 30),
        (3, {"slots": 30, "max_nodes": None}, 3),
        (2, {"slots": None, "max_nodes": None, "nodes": 3, "on_demand_fallback": False}, 6),
        (None, {"slots": None, "max_nodes": None}, 10),
        (12, {"slots": None, "max_nodes": None, "stages": 4}, 3),
    ],
)
def test_a_pool_has_no_more_nodes_than_its_tasks_fill(tasks: int | None, changes: dict[str, Any], nodes: int) -> None:
    asked = wanted(tasks=tasks, machine=Machine(cpus=4, gpus=1, gpu="T4"), **changes)
    sized = request.sizing(asked)
    assert (sized.slots_per_node, sized.max_nodes) == (1, nodes)
    body = request.pool_body(asked, sized, IMAGE, NOW)
    assert f"coming = young ? {nodes} : 0;" in body["autoScaleFormula"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_nodes": 2, "on_demand_fallback": False}, "pool.max_nodes is 2"),
        ({"max_nodes": 6}, "on_demand_fallback"),
    ],
)
def test_several_nodes_that_cannot_be_had_together_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        request.sizing(wanted(nodes=3, **changes))


@pytest.mark.parametrize("name", ["pool", "job", "task"])
def test_a_body_is_what_it_was(name: str, request: pytest.FixtureRequest) -> None:
    body = bodies()[name][1]
    path = GOLDEN / f"{name}.json"
    assert json.loads(path.read_text("utf-8")) == body, f"if this is meant, write it anew: {json.dumps(body)}"


@pytest.mark.parametrize("name", ["pool", "job", "task"])
def test_a_body_has_no_unknown_and_lacks_no_required_field(name: str) -> None:
    model, body = bodies()[name]
    assert differences(body, getattr(models, model)) == []
    assert validated(model, body) == body


def test_a_body_passes_through_the_sdk_s_model_unchanged() -> None:
    for model, body in bodies().values():
        assert getattr(models, model)(body).as_dict() == body


def test_a_body_has_the_wall_clock_limits_of_lease_and_timeout() -> None:
    assert bodies()["job"][1]["constraints"]["maxWallClockTime"] == f"PT{6 * 3600}S"
    assert bodies()["task"][1]["constraints"]["maxWallClockTime"] == f"PT{3600 + 10 + request.OVERTIME}S"
    assert "maxWallClockTime" not in request.task_body(task(), wanted(job={}), site())["constraints"]


def test_secrets_are_in_the_task_s_environment_and_nowhere_else() -> None:
    found = bodies()
    assert {"name": "TOKEN", "value": "s3cret"} in found["task"][1]["environmentSettings"]
    assert "s3cret" not in json.dumps([found["pool"][1], found["job"][1]])
    assert "s3cret" not in repr(wanted())


def test_a_hundred_tasks_fit_into_one_call() -> None:
    body = request.task_body(task(), wanted(), site())
    assert 100 * len(json.dumps(body)) < 1_000_000


def test_without_outputs_every_grant_is_for_one_blob() -> None:
    grants = request.own_grants(site(), "r", task(), outputs=False, checkpoint=True)
    assert "outputs" not in grants
    assert grants["root"] == "runs/r/trials/000003/2"
    tokens = [*grants["own"].values(), grants["checkpoint"]]
    assert all("sr=b" in token for token in tokens)
    assert {token.split("&")[0] for token in tokens} == {"sp=cw", "sp=cwd", "sp=rcw"}
    whole = site().token("runs/r/trials/000003/2/result.json", "cwd")
    assert grants["own"]["result.json"] + grants["tail"] == whole


def test_outputs_are_granted_by_folder_where_the_account_has_folders() -> None:
    grants = request.own_grants(site(folders=True), "r", task(), outputs=True, checkpoint=False)
    assert "sr=d" in grants["outputs"]
    plain = request.own_grants(site(), "r", task(), outputs=True, checkpoint=False)
    assert plain["outputs"].startswith("sp=cw&sr=c")


def test_shared_grants_only_read_and_add() -> None:
    grants = request.shared_grants(site(), "r", ["bundles/x.tar"], poll_seconds=5)
    may = {token.split("&")[0] for token in grants["keys"].values()}
    assert may == {"sp=r", "sp=ac"}
    assert all("sr=b" in token for token in grants["keys"].values())


def test_the_command_line_gives_the_task_to_the_runner_unchanged(tmp_path: Path) -> None:
    """Executed with a python3 that only shows what it was started with."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python3").write_text('#!/bin/sh\nfor word in "$@"; do echo "[$word]"; done\ncat task.json\n')
    (tools / "python3").chmod(0o755)
    document = json.dumps({"params": {"text": 'it\'s $(x) \\ \n"é"'}})
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "ORCHESTRATE_TASK": document, "ORCHESTRATE_STORE": "https://s/x y"}
    done = subprocess.run(
        request.command_line("runs/it's/job.json"),
        shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "[runner.py]\n[--transport]\n[azure]\n[--store]\n[https://s/x y]\n[--job]\n[runs/it's/job.json]\n"
        f"[--task]\n[task.json]\n[--folder]\n[run]\n[--heartbeat]\n[15]\n{document}"
    )


def test_several_trials_on_one_node_are_told_how_many_gpus_are_theirs() -> None:
    shared = wanted(machine=Machine(cpus=1, gpus=0.5, gpu="T4"), image=None)
    shown = {item["name"]: item["value"] for item in request.job_body(shared, NOW, "u")["commonEnvironmentSettings"]}
    assert shown["ORCHESTRATE_GPUS"] == "0.5/1"
    alone = request.job_body(wanted(), NOW, "u")["commonEnvironmentSettings"]
    assert "ORCHESTRATE_GPUS" not in {item["name"] for item in alone}


def test_never_more_tasks_at_once_than_asked_for() -> None:
    narrow = wanted(machine=Machine(cpus=1), slots=3, max_nodes=None)
    sized = request.sizing(narrow)
    assert (sized.slots_per_node, sized.max_nodes) == (3, 1)
    assert request.job_body(narrow, NOW, "u")["maxParallelTasks"] == 3
    assert "maxParallelTasks" not in request.job_body(wanted(slots=None), NOW, "u")


def test_a_name_that_the_service_would_refuse_is_refused_here() -> None:
    with pytest.raises(InvalidRequest, match="cannot be the name of a pool"):
        request.sizing(wanted(name="a b"))


def offered(**changes: Any) -> dict[str, Any]:
    image = {
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        "imageReference": {"sku": "2204"},
        "verificationType": "verified",
        "capabilities": ["DockerCompatible", "NvidiaTeslaDriverInstalled"],
    }
    return {**image, **changes}


def test_the_newest_verified_ubuntu_that_can_do_it_is_chosen() -> None:
    newer = offered(nodeAgentSKUId="batch.node.ubuntu 24.04", imageReference={"sku": "2404"})
    unverified = offered(nodeAgentSKUId="batch.node.ubuntu 26.04", verificationType="unverified")
    ending = offered(nodeAgentSKUId="batch.node.ubuntu 25.04", batchSupportEndOfLife="2020-01-01T00:00:00Z")
    other = offered(nodeAgentSKUId="batch.node.el 9")
    chosen = request.choose_image([offered(), newer, unverified, ending, other], gpus=True, containers=True, until=NOW)
    assert chosen == request.Image("batch.node.ubuntu 24.04", {"sku": "2404"})


def test_nodes_without_gpus_and_containers_start_from_the_plain_image() -> None:
    plain = offered(capabilities=[], imageReference={"sku": "plain"})
    assert request.choose_image([offered(), plain], gpus=False, containers=False, until=NOW).reference == {
        "sku": "plain"
    }
    assert request.choose_image([offered(), plain], gpus=False, containers=True, until=NOW).reference == {"sku": "2204"}


def test_an_account_without_a_fitting_image_is_told_what_is_missing() -> None:
    with pytest.raises(InvalidRequest, match="GPU drivers"):
        request.choose_image([offered(capabilities=["DockerCompatible"])], gpus=True, containers=True, until=NOW)


def test_a_task_that_comes_after_another_names_it() -> None:
    chained = wanted(stages=2)
    body = request.task_body(replace(task(), after="t000002-a1", parent=2), chained, site())
    assert body["dependsOn"] == {"taskIds": ["t000002-a1"]}
    assert request.job_body(chained, NOW, "u")["usesTaskDependencies"] is True
    assert "dependsOn" not in request.task_body(task(), chained, site())
    assert request.job_body(wanted(), NOW, "u")["usesTaskDependencies"] is False
    assert differences(body, models.BatchTaskCreateOptions) == []
    assert validated("BatchTaskCreateOptions", body) == body


def test_the_service_ends_the_job_at_the_exit_codes_that_stop_a_run_and_at_no_other() -> None:
    strict = wanted(stop_codes=(3, 7))
    body = request.task_body(task(), strict, site())
    ends = {code["code"]: code["exitOptions"] for code in body["exitConditions"]["exitCodes"]}
    assert ends == {3: {"jobAction": "terminate"}, 7: {"jobAction": "terminate"}}
    assert body["exitConditions"]["default"] == {"jobAction": "none"}
    assert request.job_body(strict, NOW, "u")["onTaskFailure"] == "performexitoptionsjobaction"
    assert "exitConditions" not in request.task_body(task(), wanted(), site())
    assert request.job_body(wanted(), NOW, "u")["onTaskFailure"] == "noaction", "the service refuses a job action else"
    for name, one in (("Task", body), ("Job", request.job_body(strict, NOW, site().url))):
        model = f"Batch{name}CreateOptions"
        assert differences(one, getattr(models, model)) == []
        assert validated(model, one) == one
