"""The connection to the Batch service: the SDK's client, its errors in our words, and calls that are made again.

Every call that this provider makes is idempotent, so one that failed in passing is simply repeated: a few times here,
with growing waits or as long as the service asks for, and later by the engine.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from orchestrator.providers.azure.settings import Settings
from orchestrator.storage import entra

if TYPE_CHECKING:
    from azure.batch import BatchClient
    from azure.core.exceptions import AzureError

P = ParamSpec("P")
T = TypeVar("T")

API_VERSION = "2025-06-01"

# Tries of one call, the first wait between two and the longest, in seconds.  A longer wait that the service asks for
# is handed to the engine, which goes on with other things meanwhile.
TRIES = 7
# Tries where nothing has ever answered: then it is more likely the address that is wrong than the service.
TRIES_OF_FIRST = 4
FIRST_WAIT = 0.1
LONGEST_WAIT = 8.0
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60

# Source: "Batch Status and Error Codes" of Microsoft's REST reference.  What is not named goes by its HTTP status.
_KINDS: dict[str, type[ProviderError]] = {
    **dict.fromkeys(
        (
            "AuthenticationFailed", "AuthorizationFailure", "InsufficientAccountPermissions",
            "InvalidAuthenticationInfo", "AccountIsDisabled", "AuthorizationPermissionMismatch",
        ),
        AuthenticationFailed,
    ),
    **dict.fromkeys(("TooManyRequests", "ServerBusy", "TooManyEnableAutoScaleRequests"), Throttled),
    **dict.fromkeys(
        (
            "PoolQuotaReached", "ActiveJobAndScheduleQuotaReached", "AccountCoreQuotaReached",
            "AccountLowPriorityCoreQuotaReached",
        ),
        QuotaExceeded,
    ),
    # In the middle of something: the same call will be right when that is over.
    **dict.fromkeys(
        (
            "PoolBeingDeleted", "PoolBeingCreated", "PoolBeingResized", "JobBeingDeleted", "JobBeingTerminated",
            "JobScheduleBeingDeleted", "JobScheduleBeingTerminated", "NodeBeingCreated", "NodeBeingStarted",
            "NodeBeingRebooted", "NodeBeingReimaged", "OperationTimedOut", "InternalError", "ConditionNotMet",
        ),
        Unavailable,
    ),
    **dict.fromkeys(
        (
            "PoolNotFound", "JobNotFound", "TaskNotFound", "NodeNotFound", "FileNotFound", "ResourceNotFound",
            "JobScheduleNotFound",
        ),
        NotFound,
    ),
}  # fmt: skip

_REMEDIES = {
    AuthenticationFailed: "Check AZURE_BATCH_ENDPOINT and AZURE_BATCH_KEY, or unset the key and sign in with "
    "`az login`; the identity needs the role 'Azure Batch Data Contributor' on the account.",
    QuotaExceeded: "Delete what is not needed (`orchestrate gc`), or ask for more quota in the Azure portal.",
}


SIGN_IN = (
    "Sign in with `az login`, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET (a service principal) "
    "or AZURE_BATCH_KEY and AZURE_STORAGE_KEY (shared keys)."
)


class Batch:
    """One account.  Nothing is contacted before the first call.  Safe for threads; close it at the end.

    ``ahead`` is by how many seconds the service's clock was before ours at its last answer.  ``sleep`` and ``seed`` are
    for tests.
    """

    def __init__(
        self, settings: Settings, *, sleep: Callable[[float], object] = time.sleep, seed: int | None = None
    ) -> None:
        self.settings = settings
        self._sleep = sleep
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._made: BatchClient | None = None
        self._reached = False
        self.ahead = 0.0

    @property
    def sdk(self) -> BatchClient:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> BatchClient:
        from azure.batch import BatchClient
        from azure.core.credentials import AzureNamedKeyCredential

        settings = self.settings
        credential: Any
        if settings.key is not None:
            credential = AzureNamedKeyCredential(settings.account, settings.key)
        else:
            credential = entra.credential()
        return BatchClient(
            settings.endpoint,
            credential,
            api_version=API_VERSION,
            retry_total=0,  # repeated here, where Retry-After and the kind of error are known
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            raw_response_hook=self._note_time,
        )

    def _note_time(self, response: Any) -> None:
        self._reached = True
        try:
            told = parsedate_to_datetime(response.http_response.headers["Date"])
        except (KeyError, TypeError, ValueError):
            return
        ahead = told.timestamp() - time.time()
        # The header has whole seconds, and an answer takes a while.
        self.ahead = ahead if abs(ahead) > 5.0 else 0.0

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None

    # -------------------------------------------------------------------------------------------------- calls

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(...)``, an operation of the SDK.  Raises our errors and no others."""
        wait = FIRST_WAIT
        for left in reversed(range(TRIES)):
            try:
                return self._once(lambda: function(*args, **kwargs))
            except ProviderError as error:
                if left <= TRIES - TRIES_OF_FIRST and not self._reached and _never_sent(error):
                    raise AuthenticationFailed(
                        f"{error.message.rstrip('.')}.",
                        remedy=f"Check AZURE_BATCH_ENDPOINT, which is {self.settings.endpoint}, and the network.",
                    ) from error
                asked = error.retry_after if isinstance(error, Throttled) else None
                if not self._again(error) or left == 0 or (asked is not None and asked > LONGEST_WAIT):
                    raise
                self._sleep(asked if asked is not None else wait * self._random.uniform(0.5, 1.5))
                wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("the last try either returns or raises")

    @staticmethod
    def _again(error: ProviderError) -> bool:
        """Whether asking again within seconds can help; what is in the middle of something takes longer."""
        return error.retryable and not code_of(error).startswith(("PoolBeing", "JobBeing"))

    @staticmethod
    def _once(function: Callable[[], T]) -> T:
        from azure.core.exceptions import AzureError

        try:
            return function()
        except AzureError as error:
            raise ours(error) from error
        except (ValueError, UnicodeError) as error:
            if type(error).__module__ not in ("binascii",):
                raise
            raise AuthenticationFailed("AZURE_BATCH_KEY is not a key: it is no base64.") from error

    def pages(self, listing: Iterable[Any]) -> Iterator[list[Any]]:
        """The pages of an SDK's listing, each of them a call."""
        pages: Iterator[Iterable[Any]] = listing.by_page()  # type: ignore[attr-defined]
        end: Iterable[Any] = ()
        while True:
            page = self.call(next, pages, end)
            if page is end:
                return
            yield list(page)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """An operation that takes long and of which only the beginning is waited for.

        The SDK's ``begin_...`` methods start a thread that asks after the end every five seconds; we look at the
        thing itself when we need to know.
        """
        headers = {"content-type": "application/json; odata=minimalmetadata"} if body is not None else {}
        self.call(self._request, method, path, headers, body)

    def file(self, path: str, start: int, size: int) -> bytes:
        """Bytes of a file on a node.

        The SDK's methods stream it, and then cannot read what the service says when it refuses.
        """
        answer = self.call(self._request, "GET", path, {"ocp-range": f"bytes={start}-{start + size - 1}"}, None)
        return bytes(answer.content)

    def _request(self, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None) -> Any:
        from azure.core.rest import HttpRequest

        request = HttpRequest(method, f"/{path}", params={"api-version": API_VERSION}, headers=headers, json=body)
        response = self.sdk.send_request(request)
        response.raise_for_status()
        return response


def ours(error: AzureError) -> ProviderError:
    """An error of the SDK as one of ours, by the service's code and never by its text."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    if not isinstance(error, HttpResponseError):
        return Unavailable(f"Azure Batch did not answer: {_first_line(error)}")
    code, status = _code(error), error.status_code or 0
    kind = _KINDS.get(code) or _by_status(status)
    if kind is Unavailable and status == 0 and isinstance(error, ClientAuthenticationError):
        return AuthenticationFailed("Nobody is signed in to Azure, and AZURE_BATCH_KEY is not set.", remedy=SIGN_IN)
    message = f"Azure Batch: {code or status}: {_message(error)}"
    remedy = _REMEDIES.get(kind, "")
    if kind is Throttled:
        return Throttled(message, remedy=remedy, retry_after=_retry_after(error))
    return kind(message, remedy=remedy)


def _never_sent(error: ProviderError) -> bool:
    """Whether there was no connection by which the call could have gone out."""
    from azure.core.exceptions import ServiceRequestError

    return isinstance(error.__cause__, ServiceRequestError)


def code_of(error: BaseException) -> str:
    """The service's code behind one of our errors; empty where it did not answer."""
    from azure.core.exceptions import HttpResponseError

    cause = error.__cause__
    return _code(cause) if isinstance(cause, HttpResponseError) else ""


def _code(error: Any) -> str:
    code = getattr(getattr(error, "model", None), "code", None) or getattr(getattr(error, "error", None), "code", None)
    return str(code or "")


def _by_status(status: int) -> type[ProviderError]:
    if status in (401, 403):
        return AuthenticationFailed
    if status == 404:
        return NotFound
    if status == 429 or status == 503:
        return Throttled
    if status == 0 or status == 408 or status >= 500:
        return Unavailable
    return InvalidRequest


def _message(error: Any) -> str:
    model = getattr(error, "model", None)
    text = getattr(getattr(model, "message", None), "value", None)
    parts = [str(text).split("\n")[0] if text else _first_line(error)]
    for pair in getattr(model, "error_values", None) or ():
        # What follows its first sentence is the whole of what was signed.
        value = pair.value.partition(". ")[0] if pair.key == "AuthenticationErrorDetail" else pair.value
        parts.append(f"{pair.key}: {value}")
    return " ".join(parts)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _retry_after(error: Any) -> float | None:
    try:
        return float(error.response.headers["Retry-After"])
    except (AttributeError, KeyError, ValueError, TypeError):
        return None
