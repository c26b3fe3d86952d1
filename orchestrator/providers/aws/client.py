"""Calls to AWS: boto3's clients, one limiter for those to Batch, errors in our words, and repetition.

Every call but ``SubmitJob`` is idempotent here, so one that failed in passing is simply repeated, a few times with
growing waits, and later by the engine.  botocore's own repetition is off: it would hide calls from the limiter, and
repeat a submission whose answer was lost.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from orchestrator.providers.aws import permissions

# Calls to Batch a second: SubmitJob's limit of an account (Service Quotas of AWS Batch), applied to all of them.
RATE, LEAST_RATE = 50.0, 1.0
# Tries of one call, the first wait between two and the longest, in seconds.
TRIES = 8
FIRST_WAIT, LONGEST_WAIT = 0.1, 8.0

_KINDS: dict[str, type[ProviderError]] = {
    **dict.fromkeys(
        (
            "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
            "IncompleteSignature", "InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken",
            "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnauthorizedOperation",
            "UnrecognizedClientException",
        ),
        AuthenticationFailed,
    ),
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded", "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
            "SlowDown", "Throttling", "ThrottledException", "ThrottlingException", "TooManyRequestsException",
            "TooManyUpdates",
        ),
        Throttled,
    ),
    **dict.fromkeys(
        ("LimitExceeded", "LimitExceededException", "ParameterLimitExceeded", "VcpuLimitExceeded"), QuotaExceeded
    ),
    **dict.fromkeys(
        (
            "InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound", "NoSuchBucket",
            "NoSuchEntity", "NoSuchKey", "NotFoundException", "ParameterNotFound", "ResourceNotFoundException",
        ),
        NotFound,
    ),
    **dict.fromkeys(("InternalError", "InternalFailure", "ServerException", "ServiceUnavailable"), Unavailable),
}  # fmt: skip
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"})


class Limiter:
    """So many calls a second for all threads; half as many after each that was throttled, and slowly more again."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.rate = RATE
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        with self._lock:
            now = self._clock()
            at = max(self._next, now)
            self._next = at + 1 / self.rate
        if at > now:
            self._sleep(at - now)

    def throttled(self) -> None:
        with self._lock:
            self.rate = max(self.rate / 2, LEAST_RATE)

    def answered(self) -> None:
        with self._lock:
            self.rate = min(self.rate + 0.5, RATE)


class Aws:
    """One account and region.  Nothing is contacted before the first call.  Safe for threads.

    ``session`` is a ``boto3.Session`` and ``wanted_region`` a region's name; None: as boto3 is configured.
    """

    def __init__(
        self,
        session: Any = None,
        wanted_region: str | None = None,
        *,
        sleep: Callable[[float], object] = time.sleep,
        seed: int | None = None,
    ) -> None:
        self._wanted_region = wanted_region
        self._sleep = sleep
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._session = session
        self._clients: dict[str, Any] = {}
        self.limiter = Limiter(sleep=sleep)

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    @property
    def region(self) -> str:
        return str(self.client("batch").meta.region_name)

    def move(self, region: str) -> None:
        """From now on, this region."""
        with self._lock:
            if self._wanted_region != region:
                self._wanted_region = region
                self._clients = {}

    def _make(self, service: str) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60, s3={"addressing_style": "auto"}
        )
        try:
            if self._session is None:
                self._session = boto3.Session()
            client = self._session.client(service, region_name=self._wanted_region, config=config)
            if service == "s3" and "amazonaws.com" not in client.meta.endpoint_url:
                path_style = Config(s3={"addressing_style": "path"})
                where = self._wanted_region
                client = self._session.client(service, region_name=where, config=config.merge(path_style))
        except BotoCoreError as error:
            raise ours(error) from error
        return client

    def credentials(self) -> tuple[str, str]:
        """The keys that calls are signed with, for an emulator's tasks."""
        self.client("batch")
        keys = self._session.get_credentials()
        if keys is None:
            raise AuthenticationFailed("There are no AWS credentials.", remedy="Set AWS_ACCESS_KEY_ID and the secret.")
        return str(keys.access_key), str(keys.secret_key)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def call(self, service: str, operation: str, /, *, once: bool = False, **arguments: Any) -> Any:
        """An operation by its name in boto3.  Raises our errors and no others.

        ``once``: it is not repeated when nobody knows whether it took effect.
        """
        wait = FIRST_WAIT
        for left in reversed(range(TRIES)):
            try:
                return self._once(service, operation, arguments)
            except ProviderError as error:
                again = isinstance(error, Throttled) or (error.retryable and not once)
                if left == 0 or not again:
                    raise
                self._sleep(wait * self._random.uniform(0.5, 1.5))
                wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("the last try either returns or raises")

    def _once(self, service: str, operation: str, arguments: dict[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        client = self.client(service)
        limited = service == "batch"
        if limited:
            self.limiter.wait()
        try:
            answer = getattr(client, operation)(**arguments)
        except (ClientError, BotoCoreError) as error:
            problem = ours(error, service)
            if limited and isinstance(problem, Throttled):
                self.limiter.throttled()
            raise problem from error
        except ResponseParserError as error:  # a proxy's page, say
            raise Unavailable(f"AWS {service} sent an answer that is none of its own.") from error
        if limited:
            self.limiter.answered()
        return answer

    def pages(self, service: str, operation: str, key: str, /, **arguments: Any) -> Iterator[Any]:
        """What all pages of a listing hold under ``key``; each page is a call."""
        token = {"ec2": "NextToken"}.get(service, "nextToken")
        while True:
            page = self.call(service, operation, **arguments)
            yield from page.get(key, ())
            if not page.get(token):
                return
            arguments[token] = page[token]


def ours(error: Exception, service: str = "") -> ProviderError:
    """An error of botocore as one of ours, by the service's code and never by its text."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _refusal(error, service)
    if isinstance(error, (boto.NoRegionError, boto.ProfileNotFound)):
        return AuthenticationFailed(f"{error}.".replace("..", "."), remedy="Set AWS_REGION and AWS_PROFILE.")
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)):
        return AuthenticationFailed(
            f"There are no usable AWS credentials: {error}.",
            remedy="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in (aws sso login).",
        )
    if isinstance(error, (boto.SSOError, boto.TokenRetrievalError)):
        return AuthenticationFailed(f"The sign-in has ended: {error}.", remedy="aws sso login")
    if isinstance(error, (boto.ParamValidationError, boto.UnknownServiceError, boto.InvalidRegionError)):
        return InvalidRequest(f"AWS {service}: {error}")
    return Unavailable(f"AWS {service} did not answer: {error}", remedy="Check the network.")


def _refusal(error: Any, service: str) -> ProviderError:
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = f"AWS {service} {error.operation_name}: {code}: {told.get('Message', '')}".strip()
    kind = kind_of(code, status)
    if kind is AuthenticationFailed:
        if code in _REFUSED or status == 403:
            action = permissions.action(service, error.operation_name)
            return kind(message, remedy=f"Allow {action} to these credentials.")
        return kind(message, remedy="Check AWS_PROFILE or the keys, and whether they have expired (aws sso login).")
    if kind is QuotaExceeded:
        return kind(message, remedy="Delete what is not needed (`orchestrate gc`), or ask for more in Service Quotas.")
    return kind(message)


def kind_of(code: str, status: int = 500) -> type[ProviderError]:
    """Which of our errors a code of the service is; one that is not known goes by the status of HTTP."""
    return _KINDS.get(code) or _by_status(status)


def _by_status(status: int) -> type[ProviderError]:
    if status in (401, 403):
        return AuthenticationFailed
    if status == 404:
        return NotFound
    if status == 429:
        return Throttled
    return Unavailable if status >= 500 else InvalidRequest
