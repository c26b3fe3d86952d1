"""Which of IAM's actions a run needs, and the policies that give them and no more.  Pure.

Source: the service authorization reference of each service, which says what an action can be limited to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.providers.aws.request import partition

Policy = dict[str, Any]

# What cannot be limited to single things, or only by tags that not all of its things have.
ANYWHERE = (
    "batch:CreateComputeEnvironment",
    "batch:CreateJobQueue",
    "batch:DeleteComputeEnvironment",
    "batch:DeleteJobQueue",
    "batch:DeregisterJobDefinition",
    "batch:DescribeComputeEnvironments",
    "batch:DescribeJobDefinitions",
    "batch:DescribeJobQueues",
    "batch:DescribeJobs",
    "batch:ListJobs",
    "batch:RegisterJobDefinition",
    "batch:SubmitJob",
    "batch:TagResource",
    "batch:TerminateJob",
    "batch:UpdateComputeEnvironment",
    "batch:UpdateJobQueue",
    "ec2:CreateLaunchTemplate",
    "ec2:CreateTags",
    "ec2:DeleteLaunchTemplate",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
    "sts:GetCallerIdentity",
)
BUCKET = ("s3:ListBucket", "s3:ListBucketMultipartUploads")
OBJECTS = ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject")
SECRETS = ("ssm:DeleteParameters", "ssm:PutParameter")
LOGS = ("logs:GetLogEvents",)
ROLES = ("iam:PassRole",)
EVENTS = ("sqs:DeleteMessage", "sqs:ReceiveMessage")
# With a role for secrets, ECS pulls the image and writes the container's own words by that one too.
STARTING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
)

# What an operation is called in IAM, where that is not its own name.
_NAMES = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "batch:TerminateJobs": "batch:TerminateJob",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}


def action(service: str, operation: str) -> str:
    """The action that allows an operation."""
    name = f"{service}:{operation}"
    return _NAMES.get(name, name)


def actions(policy: Policy) -> list[tuple[str, str]]:
    """Each action that the policy allows, with a thing that it allows it for."""
    return [(action, statement["Resource"][0]) for statement in policy["Statement"] for action in statement["Action"]]


def for_user(region: str, account: str, store: str, roles: Mapping[str, str | None], events: str | None) -> Policy:
    """What the credentials need that drive runs.

    ``store`` is ``s3://BUCKET/PREFIX``, ``roles`` are names or ARNs by what they are for, ``events`` the URL of the
    queue of SQS, where one is used.
    """
    bucket, inside = _places(region, store)
    arn = f"arn:{partition(region)}"
    passed = sorted(_role(role, f"{arn}:iam::{account}") for role in roles.values() if role)
    statements = [
        _allow(ANYWHERE, "*"),
        _allow(BUCKET, bucket),
        _allow(OBJECTS, inside),
        _allow(SECRETS, f"{arn}:ssm:*:{account}:parameter/orchestrate/*"),
        _allow(LOGS, f"{arn}:logs:*:{account}:log-group:/aws/batch/job:*"),
        _allow(ROLES, *(passed or [f"{arn}:iam::{account}:role/orchestrate-*"])),
    ]
    if events is not None:
        statements.append(_allow(EVENTS, f"{arn}:sqs:{region}:{account}:{events.rpartition('/')[2]}"))
    return _policy(*statements)


def for_tasks(region: str, store: str) -> Policy:
    """What the tasks' role needs.  Without ListBucket, S3 says of what does not exist that it is forbidden."""
    bucket, inside = _places(region, store)
    return _policy(_allow(("s3:ListBucket",), bucket), _allow(OBJECTS, inside))


def for_execution(region: str, account: str) -> Policy:
    """What the role needs that hands secrets to containers."""
    parameters = f"arn:{partition(region)}:ssm:*:{account}:parameter/orchestrate/*"
    return _policy(_allow(("ssm:GetParameters",), parameters), _allow(STARTING, "*"))


def trust(service: str) -> Policy:
    """Who may take a role."""
    principal = {"Service": service}
    return _policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def _role(role: str, account: str) -> str:
    """The role's ARN, by its name or ARN or by that of the profile of instances that is named like it."""
    return role.replace(":instance-profile/", ":role/") if role.startswith("arn:") else f"{account}:role/{role}"


def _places(region: str, store: str) -> tuple[str, str]:
    bucket, _, prefix = store.removeprefix("s3://").strip("/").partition("/")
    arn = f"arn:{partition(region)}:s3:::{bucket}"
    return arn, f"{arn}/{prefix}/*" if prefix else f"{arn}/*"


def _allow(actions_: tuple[str, ...], *things: str) -> Policy:
    return {"Effect": "Allow", "Action": list(actions_), "Resource": list(things)}


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
