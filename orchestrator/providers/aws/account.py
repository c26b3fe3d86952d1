"""What an account needs once for all runs: found where it is there, else made, and written into the profile.

Everything has a fixed name, so that to do it again finds what the first time made.  An emulated cloud is gone tomorrow,
and the profile may be that of an account which stays: of such a cloud nothing is written.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import InvalidRequest, MachineError, NotFound
from orchestrator.providers.aws import network, permissions
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.request import OWNER, partition
from orchestrator.providers.aws.settings import PREFIX, Settings
from orchestrator.providers.checks import Check

INSTANCES, TASKS, EXECUTION = "orchestrate-instances", "orchestrate-tasks", "orchestrate-execution"
EVENTS = "orchestrate-events"
# Services that rent machines by a role of their own, which an account has after its first use of them.
LINKED = ("batch.amazonaws.com", "spot.amazonaws.com")
# Seconds that an event is kept for a client that is away.
RETENTION = 86_400


def bucket_of(url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
    return bucket, prefix


def principal(arn: str) -> str:
    """The user or role whose policies count, of the one who calls: a session's role, without its path."""
    found = re.fullmatch(r"(arn:[^:]+):sts::(\d+):assumed-role/([^/]+)/.+", arn)
    return f"{found[1]}:iam::{found[2]}:role/{found[3]}" if found else arn


def user_policy(settings: Settings, region: str, number: str) -> permissions.Policy:
    """What the credentials need that drive runs in this account."""
    roles = {
        "instances": settings.instance_role,
        "tasks": settings.job_role or TASKS,
        "secrets": settings.execution_role or EXECUTION,
        "service": settings.service_role,
    }
    store = settings.storage or "s3://BUCKET"
    return permissions.for_user(region, number, store, roles, settings.events)


def fix(aws: Aws, settings: Settings, profile: Path) -> Iterator[Check]:
    """Make what is missing; yields what was done.  Raises ProviderError where something is refused."""
    number = str(aws.call("sts", "get_caller_identity")["Account"])
    values: dict[str, str] = {}
    if settings.storage is None:
        values["storage"] = f"s3://orchestrate-{number}-{aws.region}"
    store = settings.storage or values["storage"]
    yield _bucket(aws, bucket_of(store)[0])
    yield _network(aws, settings)
    for service in LINKED if settings.service_role is None else LINKED[1:]:
        if not linked(aws, service):
            aws.call("iam", "create_service_linked_role", AWSServiceName=service)
            yield Check("role of AWS", "ok", f"that of {service} made")
    if not _has(aws, "get_instance_profile", InstanceProfileName=settings.instance_role.rpartition("/")[2]):
        managed = f"arn:{partition(aws.region)}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
        made = _role(aws, INSTANCES, "ec2.amazonaws.com")
        aws.call("iam", "attach_role_policy", RoleName=INSTANCES, PolicyArn=managed)
        if not _has(aws, "get_instance_profile", InstanceProfileName=INSTANCES):
            aws.call("iam", "create_instance_profile", InstanceProfileName=INSTANCES)
            aws.call("iam", "add_role_to_instance_profile", InstanceProfileName=INSTANCES, RoleName=INSTANCES)
        values["instance_role"] = INSTANCES
        yield Check("role of instances", "ok", f"{INSTANCES} {made}")
    if settings.job_role is None:
        made = _role(aws, TASKS, "ecs-tasks.amazonaws.com", permissions.for_tasks(aws.region, store))
        values["job_role"] = TASKS
        yield Check("role of tasks", "ok", f"{TASKS} {made}")
    if settings.execution_role is None:
        policy = permissions.for_execution(aws.region, number)
        made = _role(aws, EXECUTION, "ecs-tasks.amazonaws.com", policy)
        values["execution_role"] = EXECUTION
        yield Check("role of secrets", "ok", f"{EXECUTION} {made}")
    if settings.events is None:
        values["events"] = _events(aws, number)
        yield Check("events", "ok", values["events"])
    if values and settings.endpoint is not None:
        variables = " ".join(f"{PREFIX}{name.upper()}={shlex.quote(value)}" for name, value in values.items())
        yield Check(
            "profile", "ok", f"left as it is, since this cloud is an emulated one; to use all that: {variables}"
        )
    elif values:
        _write(profile, values)
        yield Check("profile", "ok", f"{', '.join(values)} written to {profile}")


def _bucket(aws: Aws, name: str) -> Check:
    try:
        aws.call("s3", "head_bucket", Bucket=name)
        return Check("storage", "ok", f"{name} is there")
    except NotFound:
        pass
    place: dict[str, Any] = (
        {} if aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    )
    aws.call("s3", "create_bucket", Bucket=name, **place)
    rule = {
        "ID": "orchestrate",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    aws.call("s3", "put_bucket_lifecycle_configuration", Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    return Check("storage", "ok", f"{name} made")


def _network(aws: Aws, settings: Settings) -> Check:
    try:
        subnets, _ = network.find(aws, settings)
    except InvalidRequest:
        if settings.subnets:
            raise
        aws.call("ec2", "create_default_vpc")
        return Check("network", "ok", "the region's default network made")
    return Check("network", "ok", f"{len(subnets)} subnets are there")


def _has(aws: Aws, operation: str, **arguments: Any) -> bool:
    try:
        aws.call("iam", operation, **arguments)
    except NotFound:
        return False
    return True


def linked(aws: Aws, service: str) -> bool:
    """Whether the account has the role that this service acts by."""
    return bool(aws.call("iam", "list_roles", PathPrefix=f"/aws-service-role/{service}/")["Roles"])


def _role(aws: Aws, name: str, service: str, policy: permissions.Policy | None = None) -> str:
    made = "is there"
    if not _has(aws, "get_role", RoleName=name):
        body = json.dumps(permissions.trust(service))
        aws.call(
            "iam", "create_role", RoleName=name, AssumeRolePolicyDocument=body, Tags=[{"Key": OWNER, "Value": "1"}]
        )
        made = "made"
    if policy is not None:
        aws.call("iam", "put_role_policy", RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    return made


def _events(aws: Aws, number: str) -> str:
    """A queue that is told of every task of ours that failed; its URL."""
    arn = f"arn:{partition(aws.region)}"
    queue, rule = f"{arn}:sqs:{aws.region}:{number}:{EVENTS}", f"{arn}:events:{aws.region}:{number}:rule/{EVENTS}"
    allowed: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    attributes = {"MessageRetentionPeriod": str(RETENTION), "VisibilityTimeout": "5", "Policy": policy}
    url = str(aws.call("sqs", "create_queue", QueueName=EVENTS, Attributes=attributes, tags={OWNER: "1"})["QueueUrl"])
    pattern = {
        "source": ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        "detail": {
            "status": ["FAILED"],
            "jobQueue": [{"prefix": f"{arn}:batch:{aws.region}:{number}:job-queue/orchestrate-"}],
        },
    }
    aws.call("events", "put_rule", Name=EVENTS, EventPattern=json.dumps(pattern), Tags=[{"Key": OWNER, "Value": "1"}])
    aws.call("events", "put_targets", Rule=EVENTS, Targets=[{"Id": EVENTS, "Arn": queue}])
    return url


def _write(profile: Path, values: dict[str, str]) -> None:
    """Add lines to the table [aws], which is made where it is missing; the rest of the file stays as it is."""
    try:
        text = profile.read_text("utf-8") if profile.exists() else ""
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
        head = re.search(r"^\[aws\][^\n]*(?:\n|\Z)", text, re.MULTILINE)
        if head is None:
            text = f"{text.rstrip()}\n\n[aws]\n{lines}".lstrip()
        else:
            text = f"{text[: head.end()].rstrip()}\n{lines}{text[head.end() :]}"
        profile.parent.mkdir(parents=True, exist_ok=True)
        part = profile.with_name(f"{profile.name}.part")
        part.write_text(text, "utf-8")
        os.replace(part, profile)
    except OSError as error:
        raise MachineError(f"The profile file {profile} cannot be written: {error.strerror}.") from error
