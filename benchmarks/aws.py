"""AWS Batch on moto, whose jobs end at once: calls and seconds to submit ten thousand trials, and calls of a poll.

The real boto3 clients speak HTTP to moto in this process, so its own work is in the seconds.  The limit beside them is
that of the service: one call a trial at the fifty a second that an account may make.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.core.models import default_user_config
from moto.server import ThreadedMotoServer

from benchmarks.report import Figure
from orchestrator.emulators import aws, moto_batch
from orchestrator.emulators.emulated import environment
from orchestrator.providers.aws import AwsCompute
from orchestrator.providers.aws.client import RATE
from orchestrator.providers.base import Machine, PoolRequest, PoolState, Task
from orchestrator.storage.layout import Home
from orchestrator.testing.conformance import job

TRIALS = 10_000
POLLS = 10


@contextmanager
def cloud() -> Iterator[None]:
    """Batch without containers, a bucket and roles, and the variables that lead there."""
    before = dict(default_user_config)
    default_user_config["batch"] = {"use_docker": False}  # type: ignore[typeddict-unknown-key]
    moto_batch.add_calls()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ORCHESTRATE_AWS_STORAGE": f"s3://{aws.BUCKET}",
        "ORCHESTRATE_AWS_INSTANCE_ROLE": aws.ROLE,
        "ORCHESTRATE_AWS_SERVICE_ROLE": aws.ROLE,
    }
    try:
        with environment(variables):
            aws.furnish(variables)
            yield
    finally:
        server.stop()
        default_user_config.clear()
        default_user_config.update(before)  # type: ignore[typeddict-item]


class Wire:
    """Counts what boto3 sends."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.session = boto3.Session()
        self.session.events.register("before-send", self._seen)

    def _seen(self, request: Any, event_name: str, **_: Any) -> None:
        self.calls[event_name.partition(".")[2]] += 1

    def batch(self) -> int:
        return sum(count for name, count in self.calls.items() if name.startswith("batch."))


def run() -> list[Figure]:
    with cloud(), tempfile.TemporaryDirectory() as folder:
        wire = Wire()
        compute = AwsCompute(Home(Path(folder)), wire.session)
        name = "bench-1"
        wanted = PoolRequest(
            name, job(name), Machine(), 100, 25, time.time() + 7200, idle_timeout=300.0, image="image:1"
        )
        tasks = [Task(f"t{n:06d}-a1", n, 1, {"lr": n / TRIALS, "hidden": 128}) for n in range(TRIALS)]
        start = time.perf_counter()
        compute.create_pool(wanted)
        acknowledged = sum(1 for _ in compute.submit(name, tasks))
        took = time.perf_counter() - start
        assert acknowledged == TRIALS
        calls = wire.batch()
        changes = compute.changes(name, None, 0.0)
        wire.calls.clear()
        for _ in range(POLLS):
            changes = compute.changes(name, changes.cursor, 0.0)
        polls = sum(wire.calls.values()) / POLLS
        while compute.pool_status(name).state is not PoolState.GONE:
            compute.delete_pool(name)
        compute.close()
    alone = TRIALS / RATE
    return [
        Figure("10,000 trials on AWS Batch, from nothing to submitted", calls, "calls to Batch", most=12),
        Figure(
            "10,000 trials on AWS Batch, from nothing to submitted", took, "s", note=f"({alone:.0f} s at one call each)"
        ),
        Figure(
            "a poll of 10,000 trials on AWS Batch", polls, "calls", most=2, note="(one more while any of them lives)"
        ),
    ]
