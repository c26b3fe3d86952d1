"""Whether an account is fit for runs: who we are, what is there, and each permission; nothing is made or changed.

Permissions are asked of IAM's own simulator.  Where that is not allowed, calls are tried that change nothing: lists,
EC2's dry runs, and changes of things that do not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.errors import AuthenticationFailed, InvalidRequest, NotFound, OrchestrateError, ProviderError
from orchestrator.providers.aws import account, network, permissions
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.settings import PREFIX, Settings
from orchestrator.providers.checks import Check

FIX = "`orchestrate doctor --provider aws --fix` finds or makes it, once for all runs."
POLICY = "`orchestrate doctor --provider aws --policy` prints what these credentials need."
# Actions of one call of the simulator.
SIMULATED = 100
_NONE = "orchestrate-doctor-none"
# Calls that an account answers to whoever may make them, and that change nothing.
_HARMLESS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("batch", "describe_compute_environments", {"maxResults": 1}),
    ("batch", "describe_job_queues", {"maxResults": 1}),
    ("batch", "describe_job_definitions", {"maxResults": 1}),
    ("batch", "describe_jobs", {"jobs": [_NONE]}),
    ("batch", "list_jobs", {"jobQueue": _NONE}),
    ("batch", "submit_job", {"jobName": _NONE, "jobQueue": _NONE, "jobDefinition": _NONE}),
    ("batch", "terminate_job", {"jobId": _NONE, "reason": _NONE}),
    ("batch", "update_job_queue", {"jobQueue": _NONE, "state": "DISABLED"}),
    ("batch", "update_compute_environment", {"computeEnvironment": _NONE, "state": "DISABLED"}),
    ("ec2", "describe_instances", {"MaxResults": 5}),
    ("ec2", "describe_launch_templates", {"MaxResults": 5}),
    ("ec2", "describe_security_groups", {"MaxResults": 5}),
    ("ec2", "describe_spot_price_history", {"MaxResults": 5}),
    ("ec2", "describe_subnets", {"MaxResults": 5}),
    (
        "ec2",
        "create_launch_template",
        {"LaunchTemplateName": _NONE, "LaunchTemplateData": {"InstanceType": "t3.micro"}, "DryRun": True},
    ),
    ("ssm", "delete_parameters", {"Names": [f"/orchestrate/{_NONE}/{_NONE}"]}),
    ("logs", "get_log_events", {"logGroupName": "/aws/batch/job", "logStreamName": _NONE}),
)


def checks(aws: Aws, settings: Settings) -> Iterator[Check]:
    """Each as it is known; the first that fails without which no other can be made is the last."""
    try:
        who = aws.call("sts", "get_caller_identity")
    except OrchestrateError as error:
        yield _failed("account", error)
        return
    yield Check("account", "ok", f"{who['Account']} in {aws.region}, as {who['Arn'].rpartition(':')[2]}")
    yield _storage(aws, settings)
    yield _network(aws, settings)
    yield from _roles(aws, settings)
    yield from _permissions(aws, settings, who)
    yield _events(aws, settings)


def _failed(name: str, error: OrchestrateError, remedy: str = "") -> Check:
    return Check(name, "fail", error.message, remedy or error.remedy or "Try again.")


def _storage(aws: Aws, settings: Settings) -> Check:
    try:
        url = settings.store_url()
        bucket, prefix = account.bucket_of(url)
        aws.call("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
        place = aws.call("s3", "head_bucket", Bucket=bucket).get("BucketRegion") or aws.region
    except NotFound as error:
        return _failed("storage", error, FIX)
    except AuthenticationFailed as error:
        return _failed("storage", error)
    except OrchestrateError as error:
        return _failed("storage", error, error.remedy)
    if place != aws.region:
        detail = f"{url} is in {place}, and the machines would be in {aws.region}"
        return Check("storage", "warn", detail, "Every byte between them costs: use a bucket in the same region.")
    return Check("storage", "ok", url)


def _network(aws: Aws, settings: Settings) -> Check:
    try:
        subnets, groups = network.find(aws, settings)
        found = aws.call("ec2", "describe_subnets", SubnetIds=list(subnets))["Subnets"]
    except ProviderError as error:
        fixable = isinstance(error, InvalidRequest) and not settings.subnets
        return _failed("network", error, FIX if fixable else "")
    zones = sorted({subnet["AvailabilityZone"] for subnet in found})
    return Check("network", "ok", f"{len(subnets)} subnets in {', '.join(zones)}; {len(groups)} security groups")


def _roles(aws: Aws, settings: Settings) -> Iterator[Check]:
    wanted = (
        ("instances", settings.instance_role, "INSTANCE_ROLE", "machines cannot join the cluster", True),
        ("tasks", settings.job_role, "JOB_ROLE", "tasks cannot reach the bucket", settings.endpoint is None),
        ("secrets", settings.execution_role, "EXECUTION_ROLE", "sweeps with secrets are refused", False),
    )
    for name, role, variable, without, needed in wanted:
        check = f"role of {name}"
        if role is None:
            detail = f"{PREFIX}{variable} is not set: {without}"
            yield Check(check, "fail" if needed else "ok", detail, FIX if needed else "")
            continue
        plain = role.rpartition("/")[2]
        try:
            if name == "instances":
                aws.call("iam", "get_instance_profile", InstanceProfileName=plain)
            else:
                aws.call("iam", "get_role", RoleName=plain)
        except NotFound:
            yield Check(check, "fail", f"there is no {plain}, so {without}", FIX)
        except ProviderError as error:
            detail = f"{plain}, which could not be looked at: {error.message}"
            yield Check(check, "warn", detail, error.remedy or POLICY)
        else:
            yield Check(check, "ok", plain)
    for service in account.LINKED if settings.service_role is None else account.LINKED[1:]:
        yield _linked(aws, service)


def _linked(aws: Aws, service: str) -> Check:
    """The service makes its role itself where the caller may, which the policy of those who run sweeps does not say."""
    check = f"role of {service.partition('.')[0]}"
    try:
        if account.linked(aws, service):
            return Check(check, "ok", f"the account has that of {service}")
        return Check(check, "fail", f"the account has none of {service}, so it gets no machines", FIX)
    except ProviderError as error:
        return Check(check, "warn", f"it could not be looked for: {error.message}", error.remedy or POLICY)


def _permissions(aws: Aws, settings: Settings, who: dict[str, Any]) -> Iterator[Check]:
    policy = account.user_policy(settings, aws.region, who["Account"])
    try:
        refused = _simulated(aws, account.principal(who["Arn"]), permissions.actions(policy))
        how = "as IAM's simulator says"
    except ProviderError:
        refused, how = _tried(aws), "tried; what makes things could only be asked with iam:SimulatePrincipalPolicy"
    if refused:
        yield Check("permissions", "fail", f"refused: {', '.join(refused)}", POLICY)
    else:
        yield Check("permissions", "ok", how)


def _simulated(aws: Aws, principal: str, wanted: list[tuple[str, str]]) -> list[str]:
    """The actions that are not allowed.  Raises ProviderError where the simulator cannot be asked."""
    refused: list[str] = []
    for thing in dict.fromkeys(thing for _, thing in wanted):
        some = [action for action, where in wanted if where == thing]
        for start in range(0, len(some), SIMULATED):
            asked: dict[str, Any] = {
                "ActionNames": some[start : start + SIMULATED],
                "ResourceArns": [thing],
                "MaxItems": SIMULATED,
            }
            answer = aws.call("iam", "simulate_principal_policy", once=True, PolicySourceArn=principal, **asked)
            told = answer["EvaluationResults"]
            refused += [one["EvalActionName"] for one in told if one["EvalDecision"] != "allowed"]
    return sorted(refused)


def _tried(aws: Aws) -> list[str]:
    refused = []
    for service, operation, arguments in _HARMLESS:
        try:
            aws.call(service, operation, **arguments)
        except AuthenticationFailed:
            name = aws.client(service).meta.method_to_api_mapping[operation]
            refused.append(permissions.action(service, name))
        except ProviderError:
            continue  # it was allowed, and there was nothing to do it to
    return refused


def _events(aws: Aws, settings: Settings) -> Check:
    if settings.events is None:
        return Check("events", "ok", f"not set up; progress is asked for by lists. {FIX}")
    try:
        # By what a run does: whoever else reads finds the message where it was.
        aws.call("sqs", "receive_message", QueueUrl=settings.events, MaxNumberOfMessages=1, VisibilityTimeout=0)
    except ProviderError as error:
        return _failed("events", error, FIX)
    return Check("events", "ok", settings.events)
