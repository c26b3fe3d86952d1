"""Where machines stand and who they are: as the settings say, else what the account has anyway."""

from __future__ import annotations

from orchestrator.errors import InvalidRequest
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.request import Place, partition
from orchestrator.providers.aws.settings import PREFIX, Settings
from orchestrator.providers.base import PoolRequest


def place(aws: Aws, settings: Settings, wanted: PoolRequest, store: str, runner: str) -> Place:
    """Raises InvalidRequest naming what is missing and the variable that gives it."""
    subnets, groups = find(aws, settings)
    emulated = settings.endpoint is not None
    if settings.s3_endpoint is not None and not emulated:
        raise InvalidRequest(
            f"Tasks on AWS sign for AWS's own S3, and AWS_ENDPOINT_URL_S3 names {settings.s3_endpoint}.",
            remedy="Unset it for runs with provider aws.",
        )
    if settings.job_role is None and not emulated:
        raise InvalidRequest(
            f"{PREFIX}JOB_ROLE is not set, so the tasks could not reach {store}.",
            remedy="`orchestrate doctor --provider aws --fix` makes a role that may read and write there.",
        )
    if settings.execution_role is None and wanted.secrets and not emulated:
        raise InvalidRequest(
            f"{PREFIX}EXECUTION_ROLE is not set, and this sweep has secrets.",
            remedy="`orchestrate doctor --provider aws --fix` makes a role that may do ssm:GetParameters.",
        )
    roles = (settings.job_role, settings.execution_role, settings.service_role)
    named = any(role is not None and not role.startswith("arn:") for role in roles)
    account = str(aws.call("sts", "get_caller_identity")["Account"]) if named or wanted.secrets else ""
    job, execution, service = (_arn(role, account, aws.region) for role in roles)
    return Place(
        subnets,
        groups,
        settings.instance_role,
        service,
        execution,
        job,
        aws.region,
        account,
        store,
        runner,
        settings.poll_seconds,
        settings.task_endpoint,
        _emulated_variables(aws, wanted) if emulated else None,
    )


def find(aws: Aws, settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Subnets and security groups.  Raises InvalidRequest where there are none."""
    subnets = settings.subnets or _default_subnets(aws)
    return subnets, settings.security_groups or _default_groups(aws, subnets)


def _arn(role: str | None, account: str, region: str) -> str | None:
    if role is None or role.startswith("arn:"):
        return role
    return f"arn:{partition(region)}:iam::{account}:role/{role}"


def _default_subnets(aws: Aws) -> tuple[str, ...]:
    default = [{"Name": "default-for-az", "Values": ["true"]}]
    found = tuple(subnet["SubnetId"] for subnet in aws.pages("ec2", "describe_subnets", "Subnets", Filters=default))
    if not found:
        raise InvalidRequest(
            f"The account has no default network in {aws.region}.",
            remedy=f"Set {PREFIX}SUBNETS to subnets from which S3 and ECS can be reached, or let `orchestrate doctor "
            "--provider aws --fix` make that network.",
        )
    return tuple(sorted(found))


def _default_groups(aws: Aws, subnets: tuple[str, ...]) -> tuple[str, ...]:
    networks = {subnet["VpcId"] for subnet in aws.pages("ec2", "describe_subnets", "Subnets", SubnetIds=list(subnets))}
    filters = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": sorted(networks)}]
    found = aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=filters)
    groups = tuple(sorted(group["GroupId"] for group in found))
    if not groups:
        raise InvalidRequest("The network has no default security group.", remedy=f"Set {PREFIX}SECURITY_GROUPS.")
    return groups


def _emulated_variables(aws: Aws, wanted: PoolRequest) -> dict[str, str]:
    """No emulator gives containers a role or resolves their secrets, so there both are plain variables."""
    keys = aws.credentials()
    return {"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1], **wanted.secrets}
