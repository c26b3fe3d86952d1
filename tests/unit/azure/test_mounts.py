"""Inputs that lie in Blob Storage are mounted on the nodes, so that data too large to copy is read where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from azure.storage.blob import BlobServiceClient

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azurite import Azurite
from orchestrator.errors import InvalidRequest
from orchestrator.providers.azure import pool, request
from orchestrator.providers.base import PoolState
from orchestrator.spec import template
from orchestrator.storage.layout import RunKeys
from tests.emulators.sdk_contract import differences
from tests.unit.azure.conftest import PATIENCE, Cloud, Watch, task
from tests.unit.azure.test_request import IMAGE, NOW, wanted


@pytest.fixture(scope="module")
def emulator(storage: Azurite) -> Iterator[AzureBatchEmulator]:
    accounts = storage.account_url.replace(storage.account, "{account}")
    with AzureBatchEmulator(boot_seconds=0.05, blob_url=accounts) as batch:
        yield batch


def inputs(path: str) -> list[dict[str, object]]:
    return [{"from": template.compile(path).to_json(), "to": ["data"]}]


def test_a_task_reads_what_is_mounted_in_the_folder_that_its_parameters_name(cloud: Cloud, storage: Azurite) -> None:
    with BlobServiceClient.from_connection_string(storage.connection_string) as service:
        container = service.create_container("speech")
        container.upload_blob("german/one.txt", b"eins")
        container.upload_blob("french/one.txt", b"un")
    document = {"inputs": inputs(f"az://{storage.account}/speech/{{language}}")}
    run, compute = cloud.pool(document=document, slots=1, max_nodes=1)
    tasks = [
        task(number, "cat data/one.txt", language=word) for number, word in enumerate(("german", "french", "none"))
    ]
    list(compute.submit(run, tasks))
    watch = Watch(compute, run)
    for one in tasks:
        watch.ended(one.name)
    assert [compute.read_log(run, one.name, "stdout", 0, 99) for one in tasks[:2]] == [b"eins", b"un"]
    results = [json.loads(compute._store.get(RunKeys(run).result(one.trial, 1))) for one in tasks]
    assert [result["cause"] for result in results] == [None, None, "command"]
    assert "is not in what is mounted" in results[2]["reason"]
    assert not any("speech" in item.key for item in compute._store.list(""))


def test_a_container_that_cannot_be_read_ends_the_pool_with_its_reason(
    cloud: Cloud, storage: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "REPLACE_LEAST", 0)
    monkeypatch.setattr(pool, "REPLACE_SHARE", 0)
    run, compute = cloud.pool(document={"inputs": inputs(f"az://{storage.account}/nowhere")}, slots=1, max_nodes=1)
    deadline = time.monotonic() + PATIENCE
    while (status := compute.pool_status(run)).state is not PoolState.FAILED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "MountConfigurationException" in status.reason


def test_the_body_is_what_the_sdk_knows_and_the_grant_is_to_read_one_container() -> None:
    from azure.batch import models

    asked = replace(wanted(), job={"inputs": inputs("az://acct/speech/german") + inputs("az://acct/speech/french")})
    assert request.mounted(asked.job) == [("acct", "speech")]
    mounts = (request.Mount("acct", "speech", "sp=rl&sr=c&sig=x"),)
    equipment = request.Equipment(mounts=mounts, start="apt-get install -y 'x y'")
    body = request.pool_body(asked, request.sizing(asked), IMAGE, NOW, equipment)
    assert differences(body, models.BatchPoolCreateOptions) == []
    assert "sig=x" not in repr(mounts)
    (mount,) = request.managed_pool_body(body, "/identity")["properties"]["mountConfiguration"]
    assert mount["azureBlobFileSystemConfiguration"]["relativeMountPath"] == "acct.speech"


@pytest.mark.parametrize("path", ["az://acct", "az://acct/{name}", "az:///speech"])
def test_an_input_without_a_container_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match="does not name a container"):
        request.in_blob(template.compile(path).to_json())
