"""What the service begins by itself: each time a job on a pool of its own, and nothing of it left when it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from azure.batch import models

from orchestrator.emulators.azure_batch.bodies import validated
from orchestrator.errors import InvalidRequest
from orchestrator.providers.azure import request
from orchestrator.providers.base import Recurrence
from orchestrator.storage.layout import RunKeys
from tests.emulators.sdk_contract import differences
from tests.unit.azure.conftest import PATIENCE, Cloud, task
from tests.unit.azure.test_request import IMAGE, NOW, site, wanted
from tests.unit.azure.test_request import task as a_task

DAY = 86_400.0


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("spot", [True, False])
def test_the_body_is_what_the_sdk_knows(spot: bool) -> None:
    when = Recurrence(every=DAY, until=NOW + 30 * DAY, start=NOW + 3600)
    body = request.schedule_body(wanted(spot=spot), a_task(), when, site(), IMAGE)
    assert differences(body, models.BatchJobScheduleCreateOptions) == []
    assert validated("BatchJobScheduleCreateOptions", body) == body
    job = body["jobSpecification"]
    assert job["poolInfo"]["autoPoolSpecification"]["poolLifetimeOption"] == "job"
    assert job["jobManagerTask"]["killJobOnCompletion"] is True
    assert job["constraints"]["maxWallClockTime"] == f"PT{3600 + 10 + request.OVERTIME + request.POOL_COMES}S"
    assert body["schedule"]["doNotRunAfter"].startswith("2026-12-")


def test_a_job_s_manager_has_no_exit_conditions_which_the_service_does_not_know_of_it() -> None:
    when = Recurrence(every=DAY, until=NOW + 30 * DAY)
    body = request.schedule_body(wanted(stop_codes=(3,)), a_task(), when, site(), IMAGE)
    assert "exitConditions" not in body["jobSpecification"]["jobManagerTask"]
    assert differences(body, models.BatchJobScheduleCreateOptions) == []


def test_each_night_a_pool_comes_the_task_runs_and_the_pool_goes(cloud: Cloud) -> None:
    run = "nightly"
    compute = cloud.connect(run)
    assert compute.capabilities.schedule
    with pytest.raises(InvalidRequest, match="takes one machine"):
        compute.schedule(cloud.request(run, nodes=2), task(0), Recurrence(DAY, until=time.time() + DAY))
    store, keys = compute._store, RunKeys(run)
    script = "date +%N > out; echo ran"
    wanted = cloud.request(run, document={"outputs": [["out"]]})
    now = time.time()
    for _ in range(2):  # the second takes the place of the first
        compute.schedule(wanted, task(0, script), Recurrence(DAY, until=now + 1.5 * DAY, start=now + 3600))
    assert cloud.control.state()["pools"] == {}
    seen = set()
    for night in range(2):
        cloud.control.advance(3700 if night == 0 else DAY)
        wait(lambda: store.exists(keys.result(0, 1)))
        assert json.loads(store.get(keys.result(0, 1)))["cause"] is None
        seen.add(store.get(f"{keys.outputs(0, 1)}/out"))
        store.delete(keys.result(0, 1))
        wait(lambda: cloud.control.state()["pools"] == {})
    assert [thing.kind for thing in compute.owned() if thing.run == run][:1] == ["azure-schedule"]
    cloud.control.advance(DAY)
    assert cloud.control.state()["pools"] == {}, "its end is over"
    compute.unschedule(run)
    compute.unschedule(run)
    wait(lambda: [thing for thing in compute.owned() if thing.run == run] == [])
    assert len(seen) == 2


def test_a_schedule_of_somebody_else_is_left_alone(cloud: Cloud) -> None:
    compute = cloud.connect("theirs")
    theirs = {"id": "theirs", "schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "none"}}}
    compute._batch.sdk.create_job_schedule(models.BatchJobScheduleCreateOptions(theirs))
    with pytest.raises(InvalidRequest, match="did not make"):
        compute.schedule(cloud.request("theirs"), task(0), Recurrence(DAY, until=time.time() + DAY))
    assert compute._batch.sdk.get_job_schedule("theirs").id == "theirs"
    assert [thing for thing in compute.owned() if thing.name == "theirs"] == []
