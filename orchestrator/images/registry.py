"""Logins of the clouds' registries.  They live for hours and in memory only: no file and no log gets them."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.errors import AuthenticationFailed, MachineError

_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_ACR = re.compile(r"[a-z0-9]+\.azurecr\.(?:io|cn|us)")

# The user name of every token of Azure's registries:
# https://learn.microsoft.com/azure/container-registry/container-registry-authentication
_ACR_USER = "00000000-0000-0000-0000-000000000000"
_ACR_SCOPE = "https://management.azure.com/.default"
_SECONDS = 30.0

Login = Mapping[str, str]


def login(registry: str, repository: str) -> Login | None:
    """``username`` and ``password`` for this registry by the cloud's own credentials; None: not a cloud's.

    On ECR the repository is made where it is missing, since a push does not.
    """
    host = registry.partition("/")[0]
    ecr = _ECR.fullmatch(host)
    if ecr is not None:
        return ecr_login(ecr["account"], ecr["region"], "/".join([*registry.split("/")[1:], repository]))
    return acr_login(host) if _ACR.fullmatch(host) else None


def ecr_login(account: str, region: str, repository: str) -> Login:
    """Raises AuthenticationFailed where AWS gives us no token, or refuses to make the repository."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise MachineError("ECR needs the Python package boto3.", remedy="pip install 'orchestrator[aws]'") from error
    client = boto3.client("ecr", region_name=region)
    try:
        token = client.get_authorization_token(registryIds=[account])["authorizationData"][0]["authorizationToken"]
        with contextlib.suppress(client.exceptions.RepositoryAlreadyExistsException):
            client.create_repository(registryId=account, repositoryName=repository)
    except ClientError as error:
        action, code = error.operation_name, error.response["Error"]["Code"]
        raise AuthenticationFailed(
            f"AWS refused ecr:{action} in {region}: {code}.", remedy="Allow it to this user or role, or use another."
        ) from error
    except BotoCoreError as error:
        raise AuthenticationFailed(
            f"ECR cannot be logged in to: {error}.", remedy="Set AWS credentials, for instance by AWS_PROFILE."
        ) from error
    username, _, password = base64.b64decode(token).decode().partition(":")
    return {"username": username, "password": password}


def acr_login(host: str, *, token: Callable[[], str] | None = None, scheme: str = "https") -> Login:
    """Exchanges a token of Microsoft Entra for one of the registry.

    Source: https://azure.github.io/acr/AAD-OAuth.html, *Calling POST /oauth2/exchange*.  Raises AuthenticationFailed.
    """
    form = {"grant_type": "access_token", "service": host, "access_token": (token or _entra_token)()}
    request = urllib.request.Request(f"{scheme}://{host}/oauth2/exchange", urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            given: Any = json.load(answer)
        return {"username": _ACR_USER, "password": given["refresh_token"]}
    except urllib.error.HTTPError as error:
        raise AuthenticationFailed(
            f"The registry {host} refused the login: HTTP {error.code}.",
            remedy="Give this identity the role AcrPush on the registry.",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise AuthenticationFailed(
            f"The registry {host} cannot be logged in to: {error!r}.", remedy="Check its name and the network."
        ) from error


def _entra_token() -> str:
    try:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise MachineError(
            "Azure's registries need the Python package azure-identity.", remedy="pip install 'orchestrator[azure]'"
        ) from error
    try:
        found: str = DefaultAzureCredential().get_token(_ACR_SCOPE).token
    except ClientAuthenticationError as error:
        raise AuthenticationFailed(
            "Azure gives us no token.",
            remedy="Log in (az login), or set AZURE_CLIENT_ID, AZURE_TENANT_ID and a secret.",
        ) from error
    return found
