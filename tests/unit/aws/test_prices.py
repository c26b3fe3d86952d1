"""A spot machine is counted at what EC2 says that it costs, and where it says nothing at what it costs on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.providers import catalogue
from orchestrator.providers.aws import request as bodies
from orchestrator.providers.aws.prices import EVERY, PRODUCTS, SpotPrices
from orchestrator.providers.base import Machine
from tests.unit.aws.conftest import RUN, Body, Cloud, request

HISTORY, INSTANCES = "ec2.DescribeSpotPriceHistory", "ec2.DescribeInstances"
NAMESPACE = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
T4, L4 = "g4dn.xlarge", "g6.xlarge"
ON_DEMAND = 0.526
Prices = Sequence[tuple[str, str, float]]


def said(sending: Any, status: int, text: str) -> AWSResponse:
    return AWSResponse(sending.url, status, {"Content-Type": "text/xml"}, Body(text.encode()))  # type: ignore[arg-type]


def history(sending: Any, prices: Prices) -> AWSResponse:
    items = "".join(
        f"<item><instanceType>{size}</instanceType><productDescription>{PRODUCTS[0]}</productDescription>"
        f"<spotPrice>{price:.6f}</spotPrice><timestamp>2026-01-02T03:04:05Z</timestamp>"
        f"<availabilityZone>{zone}</availabilityZone></item>"
        for size, zone, price in prices
    )
    text = f"<spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken></nextToken>"
    return said(
        sending, 200, f"<DescribeSpotPriceHistoryResponse {NAMESPACE}>{text}</DescribeSpotPriceHistoryResponse>"
    )


def refused(sending: Any) -> AWSResponse:
    error = "<Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message></Error>"
    return said(sending, 403, f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>")


def telling(*prices: tuple[str, str, float]) -> Callable[[str, Any], AWSResponse | None]:
    return lambda name, sending: history(sending, prices) if name == HISTORY else None


def refusing(name: str, sending: Any) -> AWSResponse | None:
    return refused(sending) if name == HISTORY else None


def machine(size: str = T4, zone: str = "us-east-1a", *, spot: bool = True) -> dict[str, Any]:
    told: dict[str, Any] = {"InstanceType": size, "Placement": {"AvailabilityZone": zone}}
    return {**told, "InstanceLifecycle": "spot"} if spot else told


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def prices(cloud: Cloud, clock: Clock) -> SpotPrices:
    aws = cloud.connect()._aws
    aws._sleep = lambda seconds: None
    return SpotPrices(aws, clock)


def test_the_highest_price_of_the_last_hour_in_its_zone_is_a_machine_s(cloud: Cloud, prices: SpotPrices) -> None:
    cloud.wire.disturb = telling(
        (T4, "us-east-1a", 0.21), (T4, "us-east-1a", 0.24), (T4, "us-east-1a", 0.2), (T4, "us-east-1b", 0.3)
    )
    known = prices.of([machine()])
    assert bodies.price_of(machine(), known) == 0.24
    assert bodies.price_of(machine(zone="us-east-1b"), known) == 0.3
    assert bodies.price_of(machine(zone="us-east-1c"), known) == ON_DEMAND
    assert bodies.price_of(machine(spot=False), known) == ON_DEMAND


def test_one_question_says_which_sizes_and_since_when(cloud: Cloud, prices: SpotPrices) -> None:
    asked: list[dict[str, list[str]]] = []

    def disturb(name: str, sending: Any) -> AWSResponse | None:
        if name != HISTORY:
            return None
        asked.append(parse_qs(sending.body.decode() if isinstance(sending.body, bytes) else sending.body))
        return history(sending, [])

    cloud.wire.disturb = disturb
    prices.of([machine(L4), machine(T4), machine(T4, "us-east-1b"), machine("m6i.large", spot=False)])
    (one,) = asked
    assert [one["InstanceType.1"], one["InstanceType.2"]] == [[T4], [L4]]
    assert "InstanceType.3" not in one
    assert [one["ProductDescription.1"], one["ProductDescription.2"]] == [[word] for word in PRODUCTS]
    assert one["StartTime"] == ["2027-01-15T07:00:00Z"], "an hour before now"


def test_they_are_asked_for_once_in_ten_minutes_and_not_without_spot_machines(
    cloud: Cloud, prices: SpotPrices, clock: Clock
) -> None:
    cloud.wire.disturb = telling((T4, "us-east-1a", 0.2))
    assert prices.of([machine(spot=False)]) == {}
    assert cloud.wire.calls[HISTORY] == 0
    for _ in range(5):
        prices.of([machine(), machine(L4)])
        clock.now += EVERY / 5 - 1
    assert cloud.wire.calls[HISTORY] == 1
    clock.now += 10
    cloud.wire.disturb = telling((T4, "us-east-1a", 0.4))
    assert prices.of([machine()]) == {(T4, "us-east-1a"): 0.4}
    assert cloud.wire.calls[HISTORY] == 2


def test_after_a_refusal_nothing_is_known_any_more_and_nothing_is_asked_for_a_while(
    cloud: Cloud, prices: SpotPrices, clock: Clock
) -> None:
    cloud.wire.disturb = telling((T4, "us-east-1a", 0.2))
    prices.of([machine()])
    clock.now += EVERY
    cloud.wire.disturb = refusing
    for _ in range(3):
        assert bodies.price_of(machine(), prices.of([machine()])) == ON_DEMAND, (
            "what was true ten minutes ago may not be"
        )
    assert cloud.wire.calls[HISTORY] == 2


@pytest.mark.parametrize("status", [500, 503])
def test_a_service_that_fails_is_not_asked_again_at_once(cloud: Cloud, prices: SpotPrices, status: int) -> None:
    cloud.wire.disturb = lambda name, sending: said(sending, status, "<Response/>") if name == HISTORY else None
    assert prices.of([machine()]) == {}
    assert cloud.wire.calls[HISTORY] == 1


def rent(cloud: Cloud, number: int) -> list[str]:
    """Spot machines of the run, in one zone; their names."""
    made = cloud.client("ec2").run_instances(
        ImageId="ami-12c6146b",
        InstanceType=T4,
        MinCount=number,
        MaxCount=number,
        Placement={"AvailabilityZone": "us-east-1b"},
        InstanceMarketOptions={"MarketType": "spot"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": bodies.RUN, "Value": RUN}]}],
    )
    return [instance["InstanceId"] for instance in made["Instances"]]


def test_a_pool_s_rate_is_that_of_its_spot_machines_and_a_poll_makes_no_call_more(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request(spot=True, machine=Machine(gpus=1, gpu="T4")))
    rented = rent(cloud, 3)
    try:
        cloud.wire.disturb = telling((T4, "us-east-1b", 0.25))
        assert compute.pool_status(RUN).rate == pytest.approx(3 * 0.25)
        cloud.wire.calls.clear()
        status = compute.pool_status(RUN)
        assert (status.nodes, status.rate) == (3, pytest.approx(3 * 0.25))
        assert (cloud.wire.calls[INSTANCES], cloud.wire.calls[HISTORY]) == (1, 0)
        cloud.wire.disturb = refusing
        later = cloud.connect()
        assert later.pool_status(RUN).rate == pytest.approx(3 * ON_DEMAND), "a refusal ends nothing"
    finally:
        cloud.client("ec2").terminate_instances(InstanceIds=rented)


def test_a_price_of_one_s_own_needs_no_question(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request(spot=True, price=0.1, machine=Machine(gpus=1, gpu="T4")))
    rented = rent(cloud, 2)
    try:
        assert compute.pool_status(RUN).rate == pytest.approx(0.2)
        assert cloud.wire.calls[HISTORY] == 0
    finally:
        cloud.client("ec2").terminate_instances(InstanceIds=rented)


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_plan_is_bound_by_the_price_on_demand_and_tells_the_usual_one(cloud: Cloud, gpus: int) -> None:
    compute, need = cloud.connect(), Machine(gpus=gpus, gpu="T4" if gpus else None)
    full = compute.estimate(request(machine=need, tasks=2))
    spot = compute.estimate(request(machine=need, spot=True, tasks=2))
    assert (spot.rate, full.usual) == (full.rate, None)
    assert spot.usual is not None
    assert 0 < spot.usual < spot.rate
    if gpus:
        size = catalogue.find("aws", T4)
        assert size is not None
        assert (spot.rate, spot.usual) == (2 * ON_DEMAND, pytest.approx(2 * (size.spot or 0.0)))
    own = compute.estimate(request(machine=need, spot=True, price=0.1, tasks=2))
    assert (own.rate, own.usual) == (pytest.approx(0.2), None)


def test_a_plan_with_a_fallback_counts_both_environments(cloud: Cloud) -> None:
    compute, need = cloud.connect(), Machine(gpus=1, gpu="T4")
    assert compute.estimate(request(machine=need, spot=True, on_demand_fallback=True, tasks=100)).nodes == 4
    assert compute.estimate(request(machine=need, spot=True, on_demand_fallback=True, tasks=3)).nodes == 3
    assert compute.estimate(request(machine=need, spot=True, tasks=100)).nodes == 2
