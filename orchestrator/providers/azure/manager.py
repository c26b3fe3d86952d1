"""Azure's resource manager, for the one thing that Azure Batch itself cannot do: make a pool with an identity."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.providers.azure.request import Body, managed_pool_body
from orchestrator.providers.azure.settings import Settings, is_local
from orchestrator.storage import entra

API_VERSION = "2024-07-01"
_EXISTS = 412


class PoolExists(InvalidRequest):
    """There is a pool of this name."""


def create_pool(settings: Settings, body: Body, identity: str, credential: Any = None) -> None:
    """Make the pool.  Raises PoolExists, and what the SDK raises.  ``credential``: None for Entra ID's default one."""
    from azure.core import PipelineClient
    from azure.core.exceptions import HttpResponseError
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy
    from azure.core.rest import HttpRequest

    signed = BearerTokenCredentialPolicy(credential or entra.credential(), f"{settings.manager}/.default")
    request = HttpRequest(
        "PUT",
        f"{settings.manager}{settings.batch_resource}/pools/{body['id']}",
        params={"api-version": API_VERSION},
        headers={"If-None-Match": "*"},
        json=managed_pool_body(body, identity),
    )
    with PipelineClient[Any, Any](settings.manager, policies=[signed]) as client:
        response = client.send_request(request, enforce_https=not is_local(settings.manager))
        try:
            response.raise_for_status()
        except HttpResponseError as error:
            if error.status_code == _EXISTS:
                raise PoolExists(f"There is a pool {body['id']}.") from error
            raise
