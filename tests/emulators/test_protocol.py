"""What holds for every request: signatures, versions, conditions, errors, ids."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.rest import HttpRequest

from orchestrator.emulators.azure_batch import (
    AzureBatchEmulator,
    server,  # noqa: F401  (registers the routes)
)
from orchestrator.emulators.azure_batch.routing import ROUTES

from .conftest import Workbench, connect
from .sdk_contract import operations

VERSION = "2025-06-01"


def raw(emulator: AzureBatchEmulator, method: str, target: str, headers: dict[str, str] | None = None) -> Any:
    link = http.client.HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=10)
    try:
        link.request(method, target, headers=headers or {})
        response = link.getresponse()
        return response, response.read()
    finally:
        link.close()


def test_every_operation_of_the_sdk_has_a_route_with_its_path_and_no_other_is_there() -> None:
    ours = {(route.name, route.method, "/" + "/".join(route.path)) for route in ROUTES}
    assert ours == {(each.name, each.method, each.template) for each in operations()}


def test_a_wrong_key_is_refused_and_the_string_to_sign_is_told(emulator: AzureBatchEmulator) -> None:
    credential = AzureNamedKeyCredential(emulator.account, base64.b64encode(b"wrong").decode())
    with (
        BatchClient(emulator.endpoint, credential, retry_total=0) as client,
        pytest.raises(HttpResponseError) as caught,
    ):
        list(client.list_pools())
    assert caught.value.status_code == 403
    assert caught.value.model.code == "AuthenticationFailed"
    details = {each.key: each.value for each in caught.value.model.error_values}
    assert f"/{emulator.account}/pools" in details["AuthenticationErrorDetail"]


def test_another_account_is_refused(emulator: AzureBatchEmulator) -> None:
    with (
        BatchClient(emulator.endpoint, AzureNamedKeyCredential("other", emulator.key), retry_total=0) as client,
        pytest.raises(HttpResponseError) as caught,
    ):
        list(client.list_pools())
    assert caught.value.status_code == 403


def test_a_request_without_authorization_is_answered_with_401(emulator: AzureBatchEmulator) -> None:
    response, body = raw(emulator, "GET", f"/pools?api-version={VERSION}")
    assert response.status == 401
    assert json.loads(body)["code"] == "AuthenticationFailed"


def test_a_token_is_refused_since_only_shared_keys_are_known(emulator: AzureBatchEmulator) -> None:
    response, _ = raw(emulator, "GET", f"/pools?api-version={VERSION}", {"Authorization": "Bearer abc"})
    assert response.status == 401


def test_a_signed_request_changed_on_the_way_is_refused(bench: Workbench) -> None:
    signed: list[HttpRequest] = []
    with connect(
        bench.emulator, custom_hook_policy=None, raw_request_hook=lambda request: signed.append(request.http_request)
    ) as client:
        list(client.list_pools())
    headers = dict(signed[0].headers)
    response, _ = raw(bench.emulator, "GET", f"/jobs?api-version={VERSION}", headers)
    assert response.status == 403


def test_an_old_request_is_refused_however_far_the_emulated_clock_was_moved(bench: Workbench) -> None:
    old = datetime.now(UTC) - timedelta(minutes=16)
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_pools(ocp_date=old))
    assert caught.value.status_code == 403
    assert list(bench.client.list_pools(ocp_date=datetime.now(UTC) - timedelta(minutes=5))) is not None


def test_a_query_parameter_in_capitals_is_signed_as_the_sdk_signs_it(bench: Workbench) -> None:
    assert list(bench.client.list_applications(service_timeout=20)) == []


def test_the_version_is_required_and_only_one_is_spoken(emulator: AzureBatchEmulator) -> None:
    with connect(emulator, api_version="2019-06-01.9.0") as client, pytest.raises(HttpResponseError) as caught:
        list(client.list_pools())
    assert (caught.value.status_code, caught.value.model.code) == (400, "UnsupportedRequestVersion")


def test_the_client_request_id_is_echoed_where_that_is_asked_for(bench: Workbench) -> None:
    given = str(uuid.uuid4())
    seen: list[Any] = []
    list(
        bench.client.list_applications(
            headers={"client-request-id": given, "return-client-request-id": "true"},
            raw_response_hook=lambda response: seen.append(response.http_response.headers),
        )
    )
    list(
        bench.client.list_applications(
            headers={"client-request-id": given},
            raw_response_hook=lambda response: seen.append(response.http_response.headers),
        )
    )
    assert seen[0]["client-request-id"] == given
    assert "client-request-id" not in seen[1]
    assert seen[0]["request-id"] != seen[1]["request-id"]


def test_an_unknown_path_and_a_wrong_verb_are_told_apart(emulator: AzureBatchEmulator) -> None:
    response, body = raw(emulator, "GET", f"/nothing?api-version={VERSION}")
    assert (response.status, json.loads(body)["code"]) == (400, "InvalidUri")
    response, body = raw(emulator, "PUT", f"/pools?api-version={VERSION}")
    assert (response.status, json.loads(body)["code"]) == (405, "UnsupportedHttpVerb")


def test_what_is_not_http_is_refused_and_the_server_goes_on(emulator: AzureBatchEmulator, bench: Workbench) -> None:
    import socket

    host, _, port = urlsplit(emulator.endpoint).netloc.partition(":")
    with socket.create_connection((host, int(port))) as link:
        link.sendall(b"hello\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 400")
    assert list(bench.client.list_applications()) == []


def test_errors_have_the_services_form(bench: Workbench) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        bench.client.get_pool("no-such-pool")
    error = caught.value.model
    assert error.code == "PoolNotFound"
    assert error.message.lang == "en-US"
    first, request_line, time_line = error.message.value.split("\n")
    assert first == "The specified pool does not exist."
    assert request_line.startswith("RequestId:")
    assert time_line.startswith("Time:")


def test_ids_are_unique_without_regard_to_case(bench: Workbench) -> None:
    pool_id = bench.pool(0)
    with pytest.raises(ResourceExistsError) as caught:
        bench.client.create_pool(
            models.BatchPoolCreateOptions(
                id=pool_id.upper(),
                vm_size="Standard_D2s_v3",
                virtual_machine_configuration=bench.client.get_pool(pool_id).virtual_machine_configuration,
            )
        )
    assert caught.value.model.code == "PoolExists"
    assert bench.client.get_pool(pool_id.upper()).id == pool_id


@pytest.mark.parametrize("bad", ["", "with space", "a/b", "x" * 65, "dot.ted"])
def test_an_id_with_other_characters_is_refused(bench: Workbench, bad: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_job(models.BatchJobCreateOptions(id=bad, pool_info=models.BatchPoolInfo(pool_id="p")))
    assert caught.value.model.code == "InvalidPropertyValue"


# -- conditional headers


def test_an_etag_changes_with_the_resource_and_guards_a_write(bench: Workbench) -> None:
    job_id = bench.job("some-pool")
    old = bench.client.get_job(job_id).etag
    bench.client.update_job(job_id, models.BatchJobUpdateOptions(priority=5))
    new = bench.client.get_job(job_id).etag
    assert new != old
    with pytest.raises(HttpResponseError) as caught:
        bench.client.update_job(
            job_id,
            models.BatchJobUpdateOptions(priority=6),
            etag=old,
            match_condition=MatchConditions.IfNotModified,
        )
    assert (caught.value.status_code, caught.value.model.code) == (412, "ConditionNotMet")
    assert bench.client.get_job(job_id).priority == 5
    bench.client.update_job(
        job_id, models.BatchJobUpdateOptions(priority=7), etag=new, match_condition=MatchConditions.IfNotModified
    )
    assert bench.client.get_job(job_id).priority == 7


def test_a_read_of_what_has_not_changed_is_answered_with_304(bench: Workbench) -> None:
    job_id = bench.job("some-pool")
    etag = bench.client.get_job(job_id).etag
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_job(job_id, etag=etag, match_condition=MatchConditions.IfModified)
    assert caught.value.status_code == 304
    bench.client.update_job(job_id, models.BatchJobUpdateOptions(priority=1))
    assert bench.client.get_job(job_id, etag=etag, match_condition=MatchConditions.IfModified).priority == 1


def test_conditions_on_the_time_of_change_hold_in_both_directions(bench: Workbench) -> None:
    job_id = bench.job("some-pool")
    changed = bench.client.get_job(job_id).last_modified
    before, after = changed - timedelta(seconds=10), changed + timedelta(seconds=10)
    assert bench.client.get_job(job_id, if_modified_since=before).id == job_id
    assert bench.client.get_job(job_id, if_unmodified_since=after).id == job_id
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_job(job_id, if_modified_since=after)
    assert caught.value.status_code == 304
    with pytest.raises(HttpResponseError) as caught:
        bench.client.update_job(job_id, models.BatchJobUpdateOptions(priority=1), if_unmodified_since=before)
    assert caught.value.status_code == 412


def test_a_condition_on_a_pool_that_is_gone_is_not_found(bench: Workbench) -> None:
    with pytest.raises(ResourceNotFoundError):
        bench.client.get_pool("gone", match_condition=MatchConditions.IfPresent)


def test_a_date_header_that_is_no_date_is_refused(bench: Workbench) -> None:
    job_id = bench.job("some-pool")
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_job(job_id, headers={"If-Modified-Since": "yesterday"})
    assert caught.value.model.code == "InvalidHeaderValue"
    now = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert bench.client.get_job(job_id, headers={"If-Modified-Since": now}).id == job_id


def test_a_body_of_another_type_is_refused(bench: Workbench) -> None:
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_job(b"{}", content_type="text/plain")
    assert caught.value.model.code == "InvalidHeaderValue"
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_job(b"not json", content_type="application/json")
    assert caught.value.model.code == "InvalidRequestBody"


def test_every_answer_has_the_emulated_date(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=datetime(2030, 1, 1, tzinfo=UTC))
    told: list[str] = []
    list(
        bench.client.list_pools(raw_response_hook=lambda response: told.append(response.http_response.headers["Date"]))
    )
    assert [date[:16] for date in told] == ["Tue, 01 Jan 2030"]
