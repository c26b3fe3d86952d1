"""Where the run's machines and files are to be: from the environment, else from a profile file, never from a spec.

Credentials, region and endpoints are boto3's own business: ``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL`` and
so on.  What only we need has names that begin with ``ORCHESTRATE_AWS_``, or stands in lower case without that in the
table ``[aws]`` of ``profiles.toml`` in ``$ORCHESTRATE_HOME``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.errors import InvalidRequest
from orchestrator.storage import profile
from orchestrator.storage.layout import Home

# Seconds between two looks: at the service, and at an emulator, which costs nothing to ask.
POLL, EMULATED_POLL = 5.0, 0.3

PREFIX = "ORCHESTRATE_AWS_"
# What an AWS account calls it where the console has made one.
DEFAULT_INSTANCE_ROLE = "ecsInstanceRole"

_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """Roles are names or ARNs.  ``endpoint`` is that of an emulator, None for AWS itself; ``events`` the URL of a queue
    of SQS that is told of failed tasks; ``s3_endpoint`` that of a service which is not AWS's own S3."""

    storage: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    instance_role: str = DEFAULT_INSTANCE_ROLE
    service_role: str | None = None
    execution_role: str | None = None
    job_role: str | None = None
    endpoint: str | None = None
    events: str | None = None
    s3_endpoint: str | None = None

    @property
    def poll_seconds(self) -> float:
        return EMULATED_POLL if self.endpoint else POLL

    @property
    def task_endpoint(self) -> str | None:
        """The emulator's store as the tasks' containers reach it: this machine's loopback is not theirs."""
        if self.endpoint is None:
            return None
        endpoint = self.s3_endpoint or self.endpoint
        parts = urlsplit(endpoint)
        if parts.hostname not in _LOOPBACK:
            return endpoint
        return f"{parts.scheme}://host.docker.internal:{parts.port}"

    def store_url(self) -> str:
        """Where runs are kept.  Raises InvalidRequest naming the variable where it is not set."""
        if self.storage is None:
            raise InvalidRequest(
                f"{PREFIX}STORAGE is not set, so there is no place for code, logs and results.",
                remedy="Set it to a bucket of yours, such as s3://BUCKET/orchestrate, or let `orchestrate doctor "
                "--provider aws --fix` make one.",
            )
        if not self.storage.startswith("s3://"):
            raise InvalidRequest(f"Tasks on AWS cannot reach {self.storage}.", remedy="Use an s3:// store.")
        return self.storage


def load(home: Home, environ: Mapping[str, str] | None = None) -> Settings:
    """Raises UsageError for a wrong profile file."""
    values = profile.table(home, "aws", PREFIX)
    known = os.environ if environ is None else environ
    values.update({name: value for name, value in known.items() if value})

    def text(name: str) -> str | None:
        return values.get(PREFIX + name)

    def several(name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in (text(name) or "").split(",") if part.strip())

    return Settings(
        text("STORAGE"),
        several("SUBNETS"),
        several("SECURITY_GROUPS"),
        text("INSTANCE_ROLE") or DEFAULT_INSTANCE_ROLE,
        text("SERVICE_ROLE"),
        text("EXECUTION_ROLE"),
        text("JOB_ROLE"),
        _emulator(values.get("AWS_ENDPOINT_URL_BATCH") or values.get("AWS_ENDPOINT_URL")),
        text("EVENTS"),
        _other_than_aws(values.get("AWS_ENDPOINT_URL_S3")),
    )


def _emulator(endpoint: str | None) -> str | None:
    """An emulator's tasks get the caller's keys as variables, so what may lead to AWS must not be taken for one.

    AWS Batch speaks TLS alone, through whatever proxy; emulators on one's own machine do not.
    """
    return _other_than_aws(endpoint) if urlsplit(endpoint or "").scheme == "http" else None


def _other_than_aws(endpoint: str | None) -> str | None:
    host = urlsplit(endpoint or "").hostname or ""
    return None if not host or host.endswith(_OF_AWS) else (endpoint or "").rstrip("/")
