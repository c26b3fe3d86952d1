"""The object store in a container of Azure Blob Storage."""

from __future__ import annotations

import builtins
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from azure.core import exceptions as azure
from azure.core.credentials import AzureSasCredential
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    ExponentialRetry,
    UserDelegationKey,
    generate_blob_sas,
    generate_container_sas,
)

from orchestrator.errors import AuthenticationFailed, InvalidRequest, NotFound, Unavailable
from orchestrator.storage import blob_blocks, blob_errors, entra, keys
from orchestrator.storage.base import ObjectInfo
from orchestrator.storage.files import explain, write_atomically
from orchestrator.storage.transfer import SINGLE, THREADS, Parallel

LONGEST_DELEGATION = 7 * 86_400.0
"""Seconds; the limit of a user delegation key, and so of every grant that is made without an account key."""

EMULATED = "devstoreaccount1"
"""The account that every emulator of Azure Storage has."""

_MARGIN = 600.0
_SCOPE = "https://storage.azure.com/.default"
_DELETED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account: its Blob endpoint, and an account key, a SAS or an Entra ID credential."""

    name: str
    endpoint: str
    credential: Any = field(repr=False)

    @classmethod
    def from_environment(cls, name: str, environ: Mapping[str, str] | None = None) -> Account:
        """What the variables of the Azure command line say of this account, else Entra ID.

        ``AZURE_STORAGE_CONNECTION_STRING`` where it names this account.  Else ``AZURE_STORAGE_KEY`` or
        ``AZURE_STORAGE_SAS_TOKEN``, unless ``AZURE_STORAGE_ACCOUNT`` names another one, and
        ``AZURE_STORAGE_SERVICE_ENDPOINT`` where it is not the public cloud's.  Raises AuthenticationFailed for the
        account of an emulator that is not there.
        """
        values = os.environ if environ is None else environ
        known = _connection_string(values.get("AZURE_STORAGE_CONNECTION_STRING", ""))
        if known.get("AccountName") == name:
            suffix = known.get("EndpointSuffix", "core.windows.net")
            scheme = known.get("DefaultEndpointsProtocol", "https")
            endpoint = known.get("BlobEndpoint") or f"{scheme}://{name}.blob.{suffix}"
            key, token = known.get("AccountKey"), known.get("SharedAccessSignature")
        else:
            endpoint = values.get("AZURE_STORAGE_SERVICE_ENDPOINT") or f"https://{name}.blob.core.windows.net"
            mine = values.get("AZURE_STORAGE_ACCOUNT", name) == name
            key = values.get("AZURE_STORAGE_KEY") if mine else None
            token = values.get("AZURE_STORAGE_SAS_TOKEN") if mine else None
        if key:
            return cls(name, endpoint, key)
        if token:
            return cls(name, endpoint, AzureSasCredential(token.lstrip("?")))
        if name == EMULATED:
            raise AuthenticationFailed(
                f"The storage account {name} is an emulated one, and nothing emulates it at the moment.",
                remedy="Run `orchestrate emulate azure` in another terminal, and paste the lines that it prints here.",
            )
        return cls(name, endpoint, entra.credential())


class BlobStore:
    """Objects below ``prefix`` of a container.  Nothing is contacted before the first call.  Safe for threads.

    ``grant_endpoint`` is how the holders of grants reach the account, where that differs.
    """

    def __init__(
        self, account: Account, container: str, prefix: str = "", *, grant_endpoint: str | None = None
    ) -> None:
        self.account = account
        self.container = container
        self._prefix = f"{keys.check_prefix(prefix)}/" if prefix else ""
        self._grant_endpoint = (grant_endpoint or account.endpoint).rstrip("/")
        self._lock = threading.Lock()
        self._delegation: tuple[UserDelegationKey, float] | None = None
        self._parallel = Parallel()
        self._service = BlobServiceClient(
            account.endpoint,
            account.credential,
            retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=5, random_jitter_range=1),
            connection_timeout=10,
            read_timeout=60,
            max_single_put_size=SINGLE,
        )
        self._client = self._service.get_container_client(container)

    @property
    def url(self) -> str:
        return f"az://{self.account.name}/{self.container}/{quote(self._prefix)}".rstrip("/")

    def ensure(self) -> None:
        """Make the container where it is missing.

        Who is not signed in is told at once: the SDK would take it for a fault in passing, and try for a minute.
        """
        with self._translated(""):
            if hasattr(self.account.credential, "get_token"):
                self.account.credential.get_token(_SCOPE)
            if not self._client.exists():
                with suppress(azure.ResourceExistsError):
                    self._client.create_container()

    def put(self, key: str, data: bytes | Path) -> None:
        client = self._client.get_blob_client(self._name(key))
        if isinstance(data, Path):
            try:
                if data.stat().st_size > SINGLE:
                    with self._translated(key):
                        blob_blocks.send(client, data, self._parallel)
                    return
                data = data.read_bytes()
            except OSError as error:
                raise explain(error, "read", str(data)) from error
        with self._translated(key):
            client.upload_blob(data, length=len(data), overwrite=True, validate_content=True)

    def get(self, key: str) -> bytes:
        name = self._name(key)
        with self._translated(key):
            found = self._client.download_blob(name, validate_content=True)
            if _is_folder(found.properties.metadata):
                raise self._missing(key)
            return bytes(found.readall())

    def fetch(self, key: str, target: Path) -> None:
        name = self._name(key)
        with self._translated(key):
            found = self._client.download_blob(name, validate_content=True, max_concurrency=THREADS)
        if _is_folder(found.properties.metadata):
            raise self._missing(key)

        def write(part: Path) -> None:
            with part.open("wb") as file, self._translated(key):
                found.readinto(file)

        try:
            write_atomically(target, write)
        except OSError as error:
            raise explain(error, "write", target) from error

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        name = self._name(key)
        if offset < 0 or size < 0:
            raise InvalidRequest(f"A range of {key!r} cannot begin at {offset} with {size} bytes.")
        if size == 0:
            if not self.exists(key):
                raise self._missing(key)
            return b""
        with self._translated(key):
            try:
                return bytes(self._client.download_blob(name, offset=offset, length=size).readall())
            except azure.HttpResponseError as error:
                if blob_errors.code_of(error) == "InvalidRange":
                    return b""  # past the end
                raise

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for found in self._listed(keys.check_prefix(prefix)):
            yield ObjectInfo(found.name[len(self._prefix) :], found.size, found.last_modified.timestamp())

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._translated(key):
            try:
                self._client.delete_blob(name, delete_snapshots="include")
            except azure.ResourceNotFoundError as error:
                if blob_errors.code_of(error) != "BlobNotFound":
                    raise

    def delete_prefix(self, prefix: str) -> None:
        names: builtins.list[str] = []
        for found in self._listed(keys.check_prefix(prefix)):
            names.append(found.name)
            if len(names) == _DELETED_AT_ONCE:
                self._delete(names)
                names = []
        if names:
            self._delete(names)

    def exists(self, key: str) -> bool:
        return self._properties(self._name(key)) is not None

    def grant(self, key: str, seconds: float, *, write: bool = False) -> str:
        """A shared access signature: GET reads the blob; with ``write``, PUT (as a block blob) writes it.

        Raises InvalidRequest for one that would outlive a user delegation key, where there is no account key.
        """
        name = self._name(key)
        allowed = BlobSasPermissions(create=True, write=True) if write else BlobSasPermissions(read=True)
        with self._translated(key):
            token = generate_blob_sas(
                self.account.name, self.container, name, permission=allowed, **self._signed(seconds)
            )
        return f"{self._grant_endpoint}/{self.container}/{quote(name)}?{token}"

    def grant_prefix(self, prefix: str, seconds: float, *, write: bool = False) -> str:
        """The URL of a prefix: with ``/NAME`` put before its ``?`` it reads, or with ``write`` writes, that blob.

        It allows nothing else (no listing, no deleting), but it allows that in the whole container: the service signs
        nothing between a blob and a container, unless the account has a hierarchical namespace.
        """
        start = self._prefix + keys.check_prefix(prefix)
        allowed = ContainerSasPermissions(create=True, write=True) if write else ContainerSasPermissions(read=True)
        with self._translated(prefix):
            token = generate_container_sas(
                self.account.name, self.container, permission=allowed, **self._signed(seconds)
            )
        return f"{self._grant_endpoint}/{self.container}/{quote(start.rstrip('/'))}?{token}"

    def _name(self, key: str) -> str:
        return self._prefix + keys.check(key)

    def _missing(self, key: str) -> NotFound:
        return NotFound(f"There is no object {key!r} in {self.url}.")

    def _properties(self, name: str) -> Any:
        with self._translated(name[len(self._prefix) :]):
            try:
                found = self._client.get_blob_client(name).get_blob_properties()
            except azure.ResourceNotFoundError:
                return None
        return None if _is_folder(found.metadata) else found

    def _listed(self, prefix: str) -> Iterator[Any]:
        """What has this name or lies below it, in order."""
        if prefix and (found := self._properties(self._prefix + prefix)):
            yield found
        below = f"{self._prefix}{prefix}/" if prefix else self._prefix
        pages = self._client.list_blobs(name_starts_with=below, include=["metadata"]).by_page()
        while True:
            with self._translated(prefix):
                page = next(pages, None)
                blobs = builtins.list(page or ())
            if page is None:
                return
            for found in blobs:
                if not _is_folder(found.metadata):
                    yield found

    def _delete(self, names: builtins.list[str]) -> None:
        with self._translated(""):
            answers = self._client.delete_blobs(*names, delete_snapshots="include", raise_on_any_failure=False)
            for name, answer in zip(names, answers, strict=True):
                if answer.status_code >= 400 and answer.status_code != 404:
                    code = answer.headers.get("x-ms-error-code", "")
                    where = f"{self.url}/{name[len(self._prefix) :]}"
                    raise blob_errors.explain(code, answer.status_code, answer.reason or "", where)

    def _signed(self, seconds: float) -> dict[str, Any]:
        if seconds <= 0:
            raise InvalidRequest(f"A grant of {seconds:.0f} s cannot be made.")
        if isinstance(self.account.credential, AzureSasCredential):
            raise AuthenticationFailed(
                f"Grants cannot be made for {self.url} with a shared access signature.", remedy=blob_errors.SIGN_IN
            )
        end = time.time() + seconds
        common = {
            "expiry": datetime.fromtimestamp(end, UTC),
            "protocol": "https" if self._grant_endpoint.startswith("https:") else "https,http",
        }
        if isinstance(self.account.credential, str):
            return {**common, "account_key": self.account.credential}
        if seconds > LONGEST_DELEGATION - 2 * _MARGIN:
            raise InvalidRequest(
                f"A grant of {seconds:.0f} s cannot be made: without an account key, Azure allows up to "
                f"{LONGEST_DELEGATION - 2 * _MARGIN:.0f} s.",
                remedy="Let the tasks use a managed identity, or set AZURE_STORAGE_KEY.",
            )
        return {**common, "user_delegation_key": self._delegation_key(end)}

    def _delegation_key(self, until: float) -> UserDelegationKey:
        with self._lock:
            if self._delegation is None or self._delegation[1] < until:
                now = time.time()
                # Clocks differ: begun a little earlier; and kept for the next grants, which end a little later.
                end = min(now + LONGEST_DELEGATION - _MARGIN, until + 3600)
                key = self._service.get_user_delegation_key(
                    datetime.fromtimestamp(now - _MARGIN, UTC), datetime.fromtimestamp(end, UTC)
                )
                self._delegation = key, end
            return self._delegation[0]

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        where = f"{self.url}/{key}".rstrip("/")
        try:
            yield
        except azure.HttpResponseError as error:
            if error.status_code is None:
                raise _without_answer(error, where) from error
            code = blob_errors.code_of(error)
            headers: Any = getattr(error.response, "headers", {})
            after = str(headers.get("retry-after", ""))
            raise blob_errors.explain(code, error.status_code, error.message, where, after) from error
        except azure.AzureError as error:
            raise _without_answer(error, where) from error


def _without_answer(error: azure.AzureError, where: str) -> AuthenticationFailed | Unavailable:
    if isinstance(error, azure.ClientAuthenticationError):
        first = error.message.partition("\n")[0].rstrip(" .")
        return AuthenticationFailed(
            f"There are no usable credentials for {where}: {first}.", remedy=blob_errors.SIGN_IN
        )
    return Unavailable(
        f"Azure Storage did not answer for {where}: {error.message}.",
        remedy="Check the network, and the account's name in AZURE_STORAGE_ACCOUNT or in the spec's storage.",
    )


def _is_folder(metadata: dict[str, str] | None) -> bool:
    """Accounts with a hierarchical namespace show their folders as empty blobs with this mark."""
    return (metadata or {}).get("hdi_isfolder") == "true"


def _connection_string(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)
