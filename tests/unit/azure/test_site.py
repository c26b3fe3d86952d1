"""What a run's tasks find in the store: local inputs uploaded by content, grants for exactly these, and no others."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from orchestrator.emulators.emulated import emulated, environment
from orchestrator.errors import AuthenticationFailed, InvalidRequest, MachineError, UsageError
from orchestrator.providers.azure import default_store, site
from orchestrator.storage.blob import BlobStore
from orchestrator.storage.layout import Home, RunKeys
from tests.unit.azure.conftest import Cloud, Watch, task


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data of mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("A")
    (folder / "deep" / "b.txt").write_text("B")
    return folder


def test_local_inputs_are_uploaded_once_and_found_by_the_tasks(cloud: Cloud, data: Path) -> None:
    document = {"inputs": [{"from": [str(data)], "to": ["in"]}]}
    run, compute = cloud.pool(document=document)
    list(compute.submit(run, [task(0, "cat in/a.txt in/deep/b.txt")]))
    Watch(compute, run).ended(task(0).name)
    assert compute.read_log(run, task(0).name, "stdout", 0, 10) == b"AB"
    keys = json.loads(compute._store.get(RunKeys(run).grants))["keys"]
    assert sum(key.startswith("blobs/") for key in keys) == 3, "the list of the files, and the two files"
    assert all(token.startswith(("sp=r&sr=b&", "sp=ac&sr=b&")) for token in keys.values())


def test_a_run_that_goes_on_where_its_inputs_are_not_finds_them_in_the_store(cloud: Cloud, data: Path) -> None:
    document = {"inputs": [{"from": [str(data)], "to": ["in"]}]}
    run, _ = cloud.pool(document=document)
    shutil.rmtree(data)
    elsewhere = cloud.connect(run)
    elsewhere.create_pool(cloud.request(run, document=document))
    list(elsewhere.submit(run, [task(0, "cat in/a.txt")]))
    Watch(elsewhere, run).ended(task(0).name)
    assert elsewhere.read_log(run, task(0).name, "stdout", 0, 10) == b"A"


def test_inputs_that_are_nowhere_are_refused(cloud: Cloud, tmp_path: Path) -> None:
    compute = cloud.connect("refused")
    missing = {"inputs": [{"from": [str(tmp_path / "nothing")], "to": ["in"]}]}
    with pytest.raises(InvalidRequest, match="does not exist on this machine"):
        compute.create_pool(cloud.request("refused", document=missing))
    varying = {"inputs": [{"from": [f"{tmp_path}/nothing/", {"name": "x"}], "to": ["in"]}]}
    with pytest.raises(InvalidRequest, match="whatever its parameters are"):
        compute.create_pool(cloud.request("refused", document=varying))


def test_grants_of_a_task_that_waited_for_days_still_work(cloud: Cloud) -> None:
    store = cloud.connect("grants")._store
    assert isinstance(store, BlobStore)
    lease = time.time() + 5 * 86400
    place = site.site(store, lease, time.time())
    assert time.strftime("%Y-%m-%dT%H", time.gmtime(lease + 3600)) in place.token("k", "r")


def granted_a_day_ago(cloud: Cloud, days_left: float) -> str:
    store = cloud.connect("granted")._store
    store.put("granted/input", b"x")
    now = time.time()
    return site.site(store, now + days_left * 86400, now - 86400).link("granted/input")


def test_what_was_granted_a_day_ago_is_still_given(cloud: Cloud) -> None:
    with urllib.request.urlopen(granted_a_day_ago(cloud, days_left=4.0)) as answer:
        assert answer.read() == b"x"


def test_what_was_granted_for_a_lease_that_is_over_is_given_no_more(cloud: Cloud) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(granted_a_day_ago(cloud, days_left=-0.1))


def test_the_store_of_runs_is_told_or_the_variable_that_is_missing(cloud: Cloud, tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert default_store(home) == "az://devstoreaccount1/orchestrate"
    nothing = {"AZURE_STORAGE_ACCOUNT": "", "AZURE_STORAGE_CONNECTION_STRING": ""}
    with environment(nothing), pytest.raises(AuthenticationFailed, match="AZURE_STORAGE_ACCOUNT is not set"):
        default_store(home)


def test_tasks_in_the_cloud_cannot_reach_a_folder_of_this_machine(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="az:// store"):
        cloud.connect("f").create_pool(cloud.request("f", store=tmp_path.as_uri()))


def test_a_cloud_that_nobody_emulates_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"There are: .*azure"), emulated("gcp"):
        pass


def test_two_emulated_clouds_do_not_share_a_folder(storage: object, tmp_path: Path) -> None:
    with (
        emulated("azure", tmp_path),
        pytest.raises(MachineError, match="Another emulated cloud"),
        emulated("azure", tmp_path),
    ):
        pass
