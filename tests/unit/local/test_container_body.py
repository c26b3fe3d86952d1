"""What the engine is asked for a trial's container."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers.base import Machine, PoolRequest
from orchestrator.providers.local.container import berth, container_body, devices_of, input_places
from orchestrator.storage.layout import Home
from tests.unit.local.conftest import job

GIB = 2**30


def body(home: Home, request: PoolRequest, **changed: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"image": "i@sha256:1", "user": "1000:1000", "life": "l", "runner": Path("/r/runner.py")}
    return container_body(request, home, home.store, 3, **{**known, **changed})


@pytest.fixture
def request_(tmp_path: Path) -> PoolRequest:
    return PoolRequest("run-1", job("run-1", "true"), Machine(), 1, None, 1234.5, 0.0, image="i", isolation="docker")


def mounts(made: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {mount["Target"]: (mount["Source"], mount["ReadOnly"]) for mount in made["HostConfig"]["Mounts"]}


def test_only_the_slot_s_own_folder_can_be_written(home: Home, request_: PoolRequest, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    document = {
        **request_.job,
        "code": {"digest": "d" * 64},
        "inputs": [{"from": [f"{tmp_path}/data"], "to": ["data"]}, {"from": [f"{tmp_path}/gone"], "to": ["gone"]}],
    }
    found = mounts(body(home, replace(request_, job=document)))
    bundle = f"bundles/{'d' * 64}.tar"
    assert found.pop("/orchestrate/slot") == (str(berth(home.store, "run-1", 3)), False)
    assert {target: source for target, (source, read_only) in found.items() if read_only} == {
        "/orchestrate/inside.py": str(Path(container_body.__code__.co_filename).with_name("inside.py")),
        "/orchestrate/runner.py": "/r/runner.py",
        f"/orchestrate/store/{bundle}": str(home.store / bundle),
        "/orchestrate/inputs/0": f"{tmp_path}/data",
    }


def test_a_container_has_the_trial_s_resources_and_no_more(home: Home, request_: PoolRequest) -> None:
    need = Machine(cpus=1.5, memory=2 * GIB, shm=GIB)
    host = body(home, replace(request_, machine=need), devices=["0", "2"])["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"], host["ShmSize"]) == (
        1_500_000_000,
        2 * GIB,
        2 * GIB,
        GIB,
    )
    assert host["DeviceRequests"] == [{"Driver": "nvidia", "DeviceIDs": ["0", "2"], "Capabilities": [["gpu"]]}]
    assert not {"Memory", "ShmSize", "DeviceRequests"} & body(home, request_)["HostConfig"].keys()


def test_a_container_has_no_network_unless_it_is_asked_for(home: Home, request_: PoolRequest) -> None:
    assert body(home, request_)["HostConfig"]["NetworkMode"] == "none"
    assert body(home, replace(request_, network=True))["HostConfig"]["NetworkMode"] == "default"


def test_who_is_not_root_cannot_become_it(home: Home, request_: PoolRequest) -> None:
    made = body(home, request_)
    assert made["User"] == "1000:1000"
    assert (made["HostConfig"]["CapDrop"], made["HostConfig"]["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert "CapDrop" not in body(home, request_, user="0:0")["HostConfig"]


def test_a_container_says_whose_it_is_and_for_how_long_and_leaves_nothing(home: Home, request_: PoolRequest) -> None:
    made = body(home, request_)
    labels = made["Labels"]
    assert (labels["orchestrate.run"], labels["orchestrate.life"], labels["orchestrate.lease"]) == (
        "run-1",
        "l",
        "1234",
    )
    other = body(Home(Path("/another")), request_)["Labels"]
    assert labels["orchestrate.home"] != other["orchestrate.home"]
    assert made["HostConfig"]["AutoRemove"]


def test_a_secret_is_no_part_of_what_the_engine_keeps(home: Home, request_: PoolRequest) -> None:
    assert "hush-hush" not in repr(body(home, replace(request_, secrets={"TOKEN": "hush-hush"})))


def test_an_input_whose_path_has_a_parameter_is_found_in_its_folder() -> None:
    inputs = [
        {"from": ["/data/fold-", {"name": "x"}, ".csv"], "to": ["a"]},
        {"from": ["/data/all"], "to": ["b"]},
        {"from": ["blobs/ab/abc"], "to": ["c"]},
        {"from": ["s3://bucket/", {"name": "x"}], "to": ["d"]},
    ]
    places = input_places(job("run-1", "true", inputs=inputs), Path("/brought"))
    assert places == [
        ("/data", "/orchestrate/inputs/0"),
        ("/data/all", "/orchestrate/inputs/1"),
        ("/brought", "/orchestrate/inputs/2"),
    ]


@pytest.mark.parametrize("source", [[{"name": "x"}], ["/", {"name": "x"}]])
def test_no_container_is_given_the_whole_disk(source: list[Any]) -> None:
    with pytest.raises(InvalidRequest, match="any file of this machine"):
        input_places(job("run-1", "true", inputs=[{"from": source, "to": ["a"]}]), Path("/brought"))


def test_a_slot_s_gpus_are_those_that_a_process_would_see() -> None:
    assert devices_of({"CUDA_VISIBLE_DEVICES": "0,2"}) == ["0", "2"]
    assert devices_of({}) == []
