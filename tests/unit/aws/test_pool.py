"""A pool is made and taken down in steps; whoever dies between two of them leaves nothing that the next cannot end."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.errors import InvalidRequest, Unavailable
from orchestrator.providers.aws import AwsCompute
from orchestrator.providers.aws import request as bodies
from orchestrator.providers.base import Machine, PoolState
from tests.unit.aws.conftest import RUN, Cloud, answer, request, take_down, tasks

FULL = {
    "spot": True,
    "on_demand_fallback": True,
    "machine": Machine(gpus=1, gpu="T4", disk=100 * 10**9),
    "secrets": {"TOKEN": "s3cret"},
}


class Died(BaseException):
    """The client, at this call."""


def die_at(cloud: Cloud, number: int) -> None:
    count = 0

    def disturb(name: str, sending: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Died

    cloud.wire.disturb = disturb


def live(cloud: Cloud) -> None:
    cloud.wire.disturb = lambda name, sending: None


def secrets(cloud: Cloud) -> list[str]:
    found = cloud.client("ssm").get_parameters_by_path(Path="/orchestrate", Recursive=True)
    return [one["Name"] for one in found["Parameters"]]


def test_everything_that_a_pool_is_made_of_carries_its_run_and_its_lease(cloud: Cloud) -> None:
    compute = cloud.connect()
    wanted = request(**FULL)
    compute.create_pool(wanted)
    assert compute.pool_status(RUN).state is PoolState.READY
    owned = list(compute.owned())
    assert sorted(thing.kind for thing in owned) == [
        "aws-definition", "aws-environment", "aws-environment", "aws-queue", "aws-template",
    ]  # fmt: skip
    assert {thing.run for thing in owned} == {RUN}
    assert all(wanted.lease_until <= (thing.lease_until or 0) <= wanted.lease_until + 1 for thing in owned)


def test_taking_it_down_leaves_nothing(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request(**FULL))
    list(compute.submit(RUN, tasks(5)))
    assert secrets(cloud) == [bodies.secret_name(RUN, "TOKEN")]
    take_down(compute)
    assert cloud.nothing_left()
    assert secrets(cloud) == []


def made_again(cloud: Cloud) -> AwsCompute:
    """By a client that wants the pool, and asks again while another one's is still being deleted."""
    compute = cloud.connect()
    for _ in range(10):
        try:
            compute.create_pool(request(**FULL))
            break
        except Unavailable:
            continue
    return compute


def test_a_client_that_dies_anywhere_while_taking_it_down_is_finished_by_another(cloud: Cloud) -> None:
    for number in range(1, 60):
        first = cloud.connect()
        first.create_pool(request(**FULL))
        list(first.submit(RUN, tasks(5)))
        die_at(cloud, number)
        try:
            take_down(first)
            finished = True
        except Died:
            finished = False
        live(cloud)
        second = cloud.connect()
        if number % 2:  # one that knows nothing of the end, and goes on with the run
            second = made_again(cloud)
            assert second.pool_status(RUN).state is PoolState.READY, number
        take_down(second)
        assert cloud.nothing_left(), number
        assert secrets(cloud) == [], number
        if finished:
            assert number > 8, "the client was killed at each of its calls"
            return
    pytest.fail("taking a pool down takes too many calls")


def test_a_client_that_dies_anywhere_while_making_it_is_taken_over_or_cleaned_up(cloud: Cloud) -> None:
    for number in range(1, 60):
        die_at(cloud, number)
        try:
            cloud.connect().create_pool(request(**FULL))
            finished = True
        except Died:
            finished = False
        live(cloud)
        second = cloud.connect()
        if number % 2:
            second.create_pool(request(**FULL))
            assert second.pool_status(RUN).state is PoolState.READY, number
            take_down(second)
        for thing in list(second.owned())[:1]:  # as `gc` finds it
            second.reclaim(thing)
        assert cloud.nothing_left(), number
        assert secrets(cloud) == [], number
        if finished:
            assert number > 8, "the client was killed at each of its calls"
            return
    pytest.fail("making a pool takes too many calls")


def test_a_client_that_dies_between_two_environments_is_taken_over_without_a_wait(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request(**FULL))
    take_down(compute)
    cloud.wire.calls.clear()
    compute.create_pool(request(**FULL))
    undisturbed = cloud.wire.batch_calls()
    take_down(compute)
    made: list[str] = []

    def die_at_the_second(name: str, sending: Any) -> None:
        if name == "batch.CreateComputeEnvironment":
            made.append(name)
            if len(made) == 2:
                raise Died

    cloud.wire.disturb = die_at_the_second
    with pytest.raises(Died):
        compute.create_pool(request(**FULL))
    live(cloud)
    cloud.wire.calls.clear()
    second = cloud.connect()
    second.create_pool(request(**FULL))
    assert second.pool_status(RUN).state is PoolState.READY
    assert cloud.wire.batch_calls() <= undisturbed + 2


def test_an_environment_that_is_refused_is_an_error_although_another_one_was_made(cloud: Cloud) -> None:
    made: list[str] = []

    def refuse_the_second(name: str, sending: Any) -> AWSResponse | None:
        if name == "batch.CreateComputeEnvironment":
            made.append(name)
            return answer(sending, 400, "ClientException") if len(made) == 2 else None
        return None

    cloud.wire.disturb = refuse_the_second
    with pytest.raises(InvalidRequest):
        cloud.connect().create_pool(request(**FULL))


def test_a_pool_is_made_and_taken_down_with_a_fifth_of_all_calls_failing(cloud: Cloud) -> None:
    for seed in range(5):
        compute = cloud.connect()
        compute._aws._sleep = lambda seconds: None
        cloud.wire.fail(0.2, seed)
        compute.create_pool(request(**FULL))
        assert compute.pool_status(RUN).state is PoolState.READY
        take_down(compute)
        live(cloud)
        assert cloud.nothing_left()


def test_the_queue_is_disabled_and_empty_before_it_is_deleted_and_an_environment_after_it(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    order: list[str] = []
    cloud.wire.disturb = lambda name, sending: order.append(name)  # type: ignore[func-returns-value]
    take_down(compute)
    changes = [name for name in order if not name.partition(".")[2].startswith(("Describe", "List"))]
    assert changes == [
        "batch.UpdateJobQueue",
        "batch.DeleteJobQueue",
        "batch.UpdateComputeEnvironment",
        "batch.DeleteComputeEnvironment",
        "batch.DeregisterJobDefinition",
    ]


def test_a_pool_that_somebody_else_made_is_not_touched(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    environment = cloud.client("batch").describe_compute_environments()["computeEnvironments"][0]
    cloud.client("batch").untag_resource(
        resourceArn=environment["computeEnvironmentArn"], tagKeys=list(environment["tags"])
    )
    with pytest.raises(InvalidRequest, match="did not make"):
        cloud.connect().create_pool(request())


def test_reclaiming_one_thing_of_a_run_reclaims_them_all(cloud: Cloud) -> None:
    cloud.connect().create_pool(request(**FULL))
    other = cloud.connect()
    other.reclaim(next(thing for thing in other.owned() if thing.kind == "aws-environment"))
    assert cloud.nothing_left()
