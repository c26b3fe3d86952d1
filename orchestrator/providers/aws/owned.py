"""What of the account is ours, by its tags: queues, environments, definitions, launch templates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.request import LEASE, OWNER, RUN
from orchestrator.providers.base import Owned

QUEUE, ENVIRONMENT, DEFINITION, TEMPLATE = "aws-queue", "aws-environment", "aws-definition", "aws-template"


def everything(aws: Aws) -> Iterator[Owned]:
    """Of every run, in the region of this connection."""
    listings: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
        (QUEUE, "describe_job_queues", "jobQueues", "jobQueueName", {}),
        (ENVIRONMENT, "describe_compute_environments", "computeEnvironments", "computeEnvironmentName", {}),
        (DEFINITION, "describe_job_definitions", "jobDefinitions", "jobDefinitionName", {"status": "ACTIVE"}),
    )
    for kind, operation, key, name, arguments in listings:
        for thing in aws.pages("batch", operation, key, **arguments):
            if thing.get("status") not in ("DELETED", "DELETING"):
                yield from _ours(kind, thing[name], thing.get("tags") or {}, aws.region)
    filters = [{"Name": "tag-key", "Values": [OWNER]}]
    for thing in aws.pages("ec2", "describe_launch_templates", "LaunchTemplates", Filters=filters):
        tags = {tag["Key"]: tag["Value"] for tag in thing.get("Tags", ())}
        yield from _ours(TEMPLATE, thing["LaunchTemplateName"], tags, aws.region)


def _ours(kind: str, name: str, tags: dict[str, Any], region: str) -> Iterator[Owned]:
    if tags.get(OWNER) is not None:
        lease = tags.get(LEASE)
        yield Owned(kind, name, tags.get(RUN), float(lease) if lease else None, region)
