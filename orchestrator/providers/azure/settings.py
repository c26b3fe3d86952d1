"""Where the Batch account is and who we are there: from the environment, else from a profile file, never from a spec.

Without a key the credentials are those of Entra ID, as ``azure.identity.DefaultAzureCredential`` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orchestrator.errors import AuthenticationFailed
from orchestrator.storage import profile
from orchestrator.storage.layout import Home

# Seconds between two looks: at the service, and at an emulator on this machine, which costs nothing to ask.
POLL, LOCAL_POLL = 5.0, 0.25
DEFAULT_CONTAINER = "orchestrate"

# Where Azure's resources are managed, in the public cloud.
MANAGER = "https://management.azure.com"

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """``endpoint`` is the Batch account's URL; ``key`` its shared key, None for Entra ID.  Keys are never shown.
    ``storage`` is the URL of the store of runs that name none.

    ``registry_identity`` and ``batch_resource`` are resource ids: of a user-assigned managed identity, and of the
    Batch account.  ``start_command`` is run as root by each node when it starts.
    """

    endpoint: str
    account: str
    key: str | None = field(default=None, repr=False)
    storage: str | None = None
    registry_server: str | None = None
    registry_username: str | None = None
    registry_password: str | None = field(default=None, repr=False)
    registry_identity: str | None = None
    batch_resource: str | None = None
    manager: str = MANAGER
    start_command: str | None = None

    @property
    def local(self) -> bool:
        """Whether this is an emulator on this machine."""
        return is_local(self.endpoint)

    @property
    def poll_seconds(self) -> float:
        return LOCAL_POLL if self.local else POLL


def is_local(endpoint: str) -> bool:
    return urlsplit(endpoint).hostname in _LOOPBACK


def load(home: Home, environ: Mapping[str, str] | None = None) -> Settings:
    """Raises AuthenticationFailed naming the variable that is missing, UsageError for a wrong profile file."""
    values = profile.azure(home, environ)
    endpoint = values.get("AZURE_BATCH_ENDPOINT", "").rstrip("/")
    if not endpoint:
        raise AuthenticationFailed(
            "AZURE_BATCH_ENDPOINT is not set, so there is no Batch account to go to.",
            remedy="Set it to the account's URL (portal: Batch account, Overview), such as "
            "https://ACCOUNT.REGION.batch.azure.com, or use --emulate.",
        )
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    host = urlsplit(endpoint).hostname or ""
    account = values.get("AZURE_BATCH_ACCOUNT", "")
    key = values.get("AZURE_BATCH_KEY")
    if not account:
        if not host.endswith(".azure.com") and key is not None:
            raise AuthenticationFailed(
                "AZURE_BATCH_KEY is set and AZURE_BATCH_ACCOUNT is not.", remedy="Set it to the account's name."
            )
        account = host.split(".")[0]
    if urlsplit(endpoint).scheme != "https" and host not in _LOOPBACK:
        raise AuthenticationFailed(
            f"AZURE_BATCH_ENDPOINT is {endpoint}: credentials go over https only.", remedy="Write it with https://."
        )
    return Settings(
        endpoint,
        account,
        key,
        _storage(values),
        values.get("AZURE_REGISTRY_SERVER"),
        values.get("AZURE_REGISTRY_USERNAME"),
        values.get("AZURE_REGISTRY_PASSWORD"),
        values.get("AZURE_REGISTRY_IDENTITY"),
        values.get("AZURE_BATCH_RESOURCE_ID"),
        values.get("AZURE_RESOURCE_MANAGER", MANAGER).rstrip("/"),
        values.get("AZURE_START_COMMAND"),
    )


def store_url(known: Settings) -> str:
    """The store of runs whose spec names none.  Raises AuthenticationFailed naming the variable that is missing."""
    if known.storage is None:
        raise AuthenticationFailed(
            "AZURE_STORAGE_ACCOUNT is not set, so there is no place for code, logs and results.",
            remedy="Set it to the name of a storage account, or write storage: az://ACCOUNT/CONTAINER in the spec.",
        )
    return known.storage


def _storage(values: Mapping[str, str]) -> str | None:
    if "AZURE_STORAGE_URL" in values:
        return values["AZURE_STORAGE_URL"]
    account = values.get("AZURE_STORAGE_ACCOUNT")
    if account is None:
        pairs = (part.split("=", 1) for part in values.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
        account = dict(pair for pair in pairs if len(pair) == 2).get("AccountName")
    return f"az://{urlsplit(f'//{account}').hostname}/{DEFAULT_CONTAINER}" if account else None
