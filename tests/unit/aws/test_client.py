"""Errors in our words, calls that are repeated, and calls that are not."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from orchestrator.providers.aws.client import RATE, TRIES, Limiter, ours
from tests.unit.aws.conftest import Cloud


def refusal(code: str, status: int = 400) -> ClientError:
    told = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "SubmitJob")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 403, AuthenticationFailed),
        ("ExpiredToken", 400, AuthenticationFailed),
        ("TooManyRequestsException", 429, Throttled),
        ("ThrottlingException", 400, Throttled),
        ("ServerException", 500, Unavailable),
        ("SomethingNew", 503, Unavailable),
        ("ClientException", 400, InvalidRequest),
        ("NoSuchBucket", 404, NotFound),
        ("VcpuLimitExceeded", 400, QuotaExceeded),
    ],
)
def test_a_code_of_the_service_is_one_error_of_ours(code: str, status: int, kind: type[ProviderError]) -> None:
    error = ours(refusal(code, status), "batch")
    assert type(error) is kind
    assert code in error.message


def test_a_refused_action_is_named() -> None:
    assert "batch:SubmitJob" in ours(refusal("AccessDeniedException", 403), "batch").remedy


@pytest.mark.parametrize("error", [NoCredentialsError(), NoRegionError()])
def test_what_is_missing_is_said(error: Exception) -> None:
    told = ours(error, "batch")
    assert type(told) is AuthenticationFailed
    assert "AWS_" in told.remedy


def test_a_service_that_does_not_answer_may_later() -> None:
    assert type(ours(EndpointConnectionError(endpoint_url="http://x"), "batch")) is Unavailable


def test_calls_are_fifty_a_second_for_all_threads_together() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    limiter = Limiter(lambda: now[0], sleep)
    for _ in range(101):
        limiter.wait()
    assert now[0] == pytest.approx(100 / RATE)


def test_throttling_halves_the_rate_and_answers_bring_it_back() -> None:
    limiter = Limiter()
    for _ in range(20):
        limiter.throttled()
    assert limiter.rate == 1.0
    for _ in range(200):
        limiter.answered()
    assert limiter.rate == RATE


def test_a_call_that_fails_in_passing_is_repeated_and_in_the_end_raised(cloud: Cloud) -> None:
    aws = cloud.connect()._aws
    waits: list[float] = []
    aws._sleep = waits.append
    cloud.wire.disturb = lambda name, request: cloud.wire.throttle(request)
    with pytest.raises(Throttled):
        aws.call("batch", "describe_job_queues")
    assert cloud.wire.calls["batch.DescribeJobQueues"] == TRIES
    assert waits


def test_a_call_that_must_not_be_made_twice_is_made_once_where_nobody_knows_what_became_of_it(cloud: Cloud) -> None:
    aws = cloud.connect()._aws
    aws._sleep = lambda seconds: None
    cloud.wire.disturb = lambda name, request: cloud.wire.lose(request)
    with pytest.raises(Unavailable):
        aws.call("batch", "describe_job_queues", once=True)
    assert cloud.wire.calls["batch.DescribeJobQueues"] == 1
