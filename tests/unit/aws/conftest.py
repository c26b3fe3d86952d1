"""moto's server in this process, with real HTTP before it; its Batch says of every job at once that it succeeded."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from moto.core.models import default_user_config
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from orchestrator.emulators import aws, moto_batch
from orchestrator.emulators.emulated import environment
from orchestrator.providers.aws import AwsCompute
from orchestrator.providers.base import Machine, PoolRequest, PoolState, Task
from orchestrator.storage.layout import Home
from orchestrator.storage.s3 import S3Store
from orchestrator.testing.conformance import job

RUN = "sweep-1"


class Body:
    """What botocore reads a made-up answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._data


def answer(request: Any, status: int, code: str) -> AWSResponse:
    headers = {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
    return AWSResponse(request.url, status, headers, Body(b'{"message": "made up"}'))


def told(sending: Any, document: dict[str, Any]) -> AWSResponse:
    """An answer of a service that speaks JSON."""
    headers = {"Content-Type": "application/json"}
    return AWSResponse(sending.url, 200, headers, Body(json.dumps(document).encode()))


class Wire:
    """What passes between boto3 and the server: counted, and disturbed below boto3 where a test wants it."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.disturb: Callable[[str, Any], AWSResponse | None] = lambda name, request: None

    def seen(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        name = event_name.partition(".")[2]
        self.calls[name] += 1
        return self.disturb(name, request)

    def batch_calls(self) -> int:
        return sum(count for name, count in self.calls.items() if name.startswith("batch."))

    def fail(self, share: float, seed: int) -> None:
        """So large a share of all calls is throttled, fails, or is done and its answer lost."""
        chance = random.Random(seed)

        def disturb(name: str, request: Any) -> AWSResponse | None:
            if chance.random() >= share:
                return None
            return chance.choice((self.throttle, self.break_, self.lose))(request)

        self.disturb = lambda name, request: disturb(name, request)

    @staticmethod
    def throttle(request: Any) -> AWSResponse:
        return answer(request, 429, "TooManyRequestsException")

    @staticmethod
    def break_(request: Any) -> AWSResponse:
        return answer(request, 500, "ServerException")

    @staticmethod
    def lose(request: Any) -> AWSResponse:
        URLLib3Session().send(request)
        raise ReadTimeoutError(endpoint_url=request.url)


class Cloud:
    """The emulated account, and connections to it over one wire."""

    def __init__(self, home: Home, endpoint: str) -> None:
        self.home, self.endpoint = home, endpoint
        self.wire = Wire()
        self.store = S3Store(aws.BUCKET)
        self.session = boto3.Session()
        self.session.events.register("before-send", self.wire.seen)
        self._clients: dict[str, Any] = {}
        self._open: list[AwsCompute] = []

    def connect(self) -> AwsCompute:
        """Another one, that knows nothing of those before; what is slow to make, the clients, they share."""
        compute = AwsCompute(self.home, self.session)
        compute._opened = self.store
        compute._aws._clients = self._clients
        self._open.append(compute)
        return compute

    def client(self, service: str) -> Any:
        """One that is not on the wire."""
        return boto3.client(service)

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that the server knows, without the children of arrays."""
        found = self.client("batch").describe_jobs(jobs=[])["jobs"]
        return [one for one in found if ":" not in one["jobId"]]

    def nothing_left(self) -> bool:
        return list(self.connect().owned()) == []

    def close(self) -> None:
        for compute in self._open:
            compute.close()


def request(**changes: Any) -> PoolRequest:
    wanted: dict[str, Any] = {
        "name": RUN,
        "job": job(RUN),
        "machine": Machine(),
        "slots": 4,
        "max_nodes": 2,
        "lease_until": time.time() + 3600,
        "idle_timeout": 300.0,
        "image": "image:1",
    }
    return PoolRequest(**{**wanted, **changes})


def tasks(number: int, attempt: int = 1) -> list[Task]:
    return [Task(f"t{trial:06d}-a{attempt}", trial, attempt, {"x": trial}) for trial in range(number)]


def take_down(compute: AwsCompute) -> None:
    for _ in range(20):
        compute.delete_pool(RUN)
        if compute.pool_status(RUN).state is PoolState.GONE:
            return
    pytest.fail(f"the pool is not gone: {compute.pool_status(RUN)}")


@pytest.fixture(scope="session")
def server() -> Iterator[ThreadedMotoServer]:
    before = dict(default_user_config)
    default_user_config["batch"] = {"use_docker": False}  # type: ignore[typeddict-unknown-key]
    moto_batch.add_calls()
    started = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    yield started
    started.stop()
    default_user_config.clear()
    default_user_config.update(before)  # type: ignore[typeddict-item]


@pytest.fixture
def cloud(server: ThreadedMotoServer, tmp_path: Path) -> Iterator[Cloud]:
    moto_api_backend.reset()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "ORCHESTRATE_AWS_STORAGE": f"s3://{aws.BUCKET}",
        "ORCHESTRATE_AWS_INSTANCE_ROLE": aws.ROLE,
        "ORCHESTRATE_AWS_SERVICE_ROLE": aws.ROLE,
    }
    with environment(variables):
        aws.furnish(variables)
        opened = Cloud(Home(tmp_path), variables["AWS_ENDPOINT_URL"])
        yield opened
        opened.close()
