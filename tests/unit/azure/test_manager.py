"""Pools with a managed identity are made by Azure's resource manager, so that a registry is read without password."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from orchestrator.errors import AuthenticationFailed, InvalidRequest
from orchestrator.providers.azure import manager, request, settings
from orchestrator.providers.azure.client import ours
from orchestrator.storage.layout import Home
from tests.unit.azure.test_request import IMAGE, NOW, wanted

BATCH = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Batch/batchAccounts/b"
IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
SET = {
    "AZURE_BATCH_ENDPOINT": "https://b.westeurope.batch.azure.com",
    "AZURE_REGISTRY_SERVER": "registry.example.com",
    "AZURE_REGISTRY_IDENTITY": IDENTITY,
    "AZURE_BATCH_RESOURCE_ID": BATCH,
}


class Token:
    """Somebody who is signed in."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(f"token for {scopes[0]}", int(time.time()) + 3600)


class Manager(BaseHTTPRequestHandler):
    """Keeps pools as the resource manager does; one that exists is not made again."""

    protocol_version = "HTTP/1.1"
    pools: dict[str, Any]

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"].startswith("Bearer token for http://127.0.0.1")
        assert self.headers["If-None-Match"] == "*"
        status = 403 if "forbidden" in self.path else 412 if self.path in self.pools else 200
        self.pools.setdefault(self.path, body)
        answer = json.dumps(
            {"error": {"code": "AuthorizationFailed", "message": "no"}} if status == 403 else {}
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Not to the tests' output."""


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, Any]]]:
    Manager.pools = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Manager)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Manager.pools
    server.shutdown()
    server.server_close()


def body(known: settings.Settings) -> request.Body:
    asked = wanted()
    return request.pool_body(
        asked, request.sizing(asked), IMAGE, NOW, request.Equipment(request.registry_of(known, asked), start="true")
    )


def test_a_pool_with_an_identity_is_made_once_and_has_all_that_any_pool_has(
    served: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    address, pools = served
    known = settings.load(Home(tmp_path), {**SET, "AZURE_RESOURCE_MANAGER": address})
    plain = body(known)
    manager.create_pool(known, plain, IDENTITY, Token())
    ((path, made),) = pools.items()
    assert path == f"{BATCH}/pools/{wanted().name}?api-version={manager.API_VERSION}"
    assert made["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    told = made["properties"]
    machine = told["deploymentConfiguration"]["virtualMachineConfiguration"]
    assert machine["containerConfiguration"]["containerRegistries"] == [
        {"registryServer": "registry.example.com", "identityReference": {"resourceId": IDENTITY}}
    ]
    assert told["scaleSettings"]["autoScale"]["formula"] == plain["autoScaleFormula"], "the dead-man switch"
    assert told["metadata"] == plain["metadata"], "gc knows it as ours"
    assert told["startTask"]["userIdentity"]["autoUser"] == {"scope": "Pool", "elevationLevel": "Admin"}
    with pytest.raises(manager.PoolExists):
        manager.create_pool(known, plain, IDENTITY, Token())


def test_who_may_not_make_pools_there_is_told_so(served: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    from azure.core.exceptions import HttpResponseError

    known = settings.load(Home(tmp_path), {**SET, "AZURE_RESOURCE_MANAGER": served[0]})
    refused = replace(known, batch_resource="/forbidden")
    with pytest.raises(HttpResponseError) as caught:
        manager.create_pool(refused, body(known), IDENTITY, Token())
    assert isinstance(ours(caught.value), AuthenticationFailed)
    assert "AuthorizationFailed" in str(ours(caught.value))


def test_what_is_missing_for_a_private_registry_is_named(tmp_path: Path) -> None:
    without = settings.load(Home(tmp_path), {**SET, "AZURE_BATCH_RESOURCE_ID": ""})
    with pytest.raises(InvalidRequest, match="AZURE_BATCH_RESOURCE_ID is not"):
        request.registry_of(without, wanted())
    nobody = settings.load(Home(tmp_path), {**SET, "AZURE_REGISTRY_IDENTITY": ""})
    with pytest.raises(InvalidRequest, match="nobody who may read it"):
        request.registry_of(nobody, wanted())
    assert request.registry_of(without, wanted(image="docker.io/python:3.12")) is None
