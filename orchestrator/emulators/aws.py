"""AWS on this machine: moto's server, whose Batch runs containers on a Docker engine, with a bucket and roles in it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.emulators.moto import MotoServer

BUCKET = "orchestrate-emulated"
ROLE = "orchestrate-emulated"
# Where Docker runs in a machine of its own, containers reach this one by the name `host.docker.internal` alone.
LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def emulated_aws(folder: Path | None = None, *, docker_host: str | None = None) -> Iterator[Mapping[str, str]]:
    """Yields the variables that point boto3 and the AWS provider at it.

    ``folder`` is for its log.  Raises ServerFailed where the server cannot be started.
    """
    host = bridge(docker_host) if docker_host is not None and sys.platform == "linux" else LOOPBACK
    with MotoServer(folder, host=host, docker_host=docker_host, module="orchestrator.emulators.moto_batch") as moto:
        furnish(moto.environment)
        yield {
            **moto.environment,
            "AWS_REGION": moto.environment["AWS_DEFAULT_REGION"],
            "ORCHESTRATE_AWS_STORAGE": f"s3://{BUCKET}",
            "ORCHESTRATE_AWS_INSTANCE_ROLE": ROLE,
            "ORCHESTRATE_AWS_SERVICE_ROLE": ROLE,
        }


def bridge(docker_host: str) -> str:
    """An address of this machine that the engine's containers reach too: that of its bridge."""
    from orchestrator.emulators.docker_engine import connect

    with contextlib.closing(connect(docker_host)) as engine:
        configured = engine.networks.get("bridge").attrs["IPAM"]["Config"]
    return next((str(net["Gateway"]) for net in configured if "Gateway" in net), LOOPBACK)


def furnish(variables: Mapping[str, str]) -> None:
    """The bucket and the roles that an account has before its first run."""
    import boto3

    session = boto3.Session(
        variables["AWS_ACCESS_KEY_ID"],
        variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
    )

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"])

    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "batch.amazonaws.com"}}]}
    client("s3").create_bucket(Bucket=BUCKET)
    iam = client("iam")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
