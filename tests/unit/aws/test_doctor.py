"""Whether an account is fit for runs is found out, said and mended; the policy that we print is enough and no more."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.cli.main import main
from orchestrator.emulators import aws as emulated
from orchestrator.providers.aws import account, doctor, permissions, settings
from orchestrator.providers.checks import Check
from orchestrator.storage.s3 import S3Store
from orchestrator.storage.transfer import SINGLE
from tests.unit.aws.conftest import RUN, Body, Cloud, answer, request, take_down, tasks
from tests.unit.aws.test_pool import FULL


def simulator(allowed: Callable[[str], bool]) -> Callable[[str, Any], AWSResponse | None]:
    """IAM's simulator, which the emulator lacks, as it lacks AWS's own policies."""

    def disturb(name: str, sending: Any) -> AWSResponse | None:
        if name == "iam.AttachRolePolicy":
            return AWSResponse(sending.url, 200, {}, Body(b"<AttachRolePolicyResponse/>"))  # type: ignore[arg-type]
        if name != "iam.SimulatePrincipalPolicy":
            return None
        sent = sending.body.decode() if isinstance(sending.body, bytes) else sending.body
        actions = [value[0] for key, value in parse_qs(sent).items() if key.startswith("ActionNames.member.")]
        told = "".join(
            f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>"
            f"{'allowed' if allowed(action) else 'implicitDeny'}</EvalDecision></member>"
            for action in actions
        )
        text = (
            '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
            f"<SimulatePrincipalPolicyResult><EvaluationResults>{told}</EvaluationResults>"
            "<IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        )
        return AWSResponse(sending.url, 200, {"Content-Type": "text/xml"}, Body(text.encode()))  # type: ignore[arg-type]

    return disturb


def checked(cloud: Cloud, **variables: str) -> dict[str, Check]:
    environ = {"AWS_ENDPOINT_URL": "https://batch.us-east-1.amazonaws.com", **variables}  # judged as AWS itself
    known = settings.load(cloud.home, environ)
    aws = cloud.connect()._aws
    aws._sleep = lambda seconds: None
    return {check.name: check for check in doctor.checks(aws, known)}


def test_an_account_with_nothing_is_told_what_it_lacks_and_how_to_get_it(cloud: Cloud) -> None:
    cloud.wire.disturb = simulator(lambda action: True)
    found = checked(cloud)
    failed = {name for name, check in found.items() if check.status == "fail"}
    assert failed == {"storage", "role of instances", "role of tasks", "role of batch", "role of spot"}
    assert all("--fix" in found[name].remedy for name in failed)
    assert found["account"].detail.startswith("123456789012 in us-east-1")
    assert found["permissions"].status == "ok"


def test_what_is_missing_is_made_once_and_then_nothing_is_missing(cloud: Cloud) -> None:
    cloud.wire.disturb = simulator(lambda action: True)
    aws = cloud.connect()._aws
    profile = cloud.home.path / "profiles.toml"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text('[azure]\nkey = "stays"\n\n[aws]\n# mine\nsecurity_groups = ""\n')
    environ = {"AWS_ENDPOINT_URL": "https://batch.us-east-1.amazonaws.com"}
    first = list(account.fix(aws, settings.load(cloud.home, environ), profile))
    assert [check.status for check in first] == ["ok"] * len(first)
    written = tomllib.loads(profile.read_text())
    assert written["azure"] == {"key": "stays"}
    assert set(written["aws"]) == {
        "security_groups",
        "storage",
        "instance_role",
        "job_role",
        "execution_role",
        "events",
    }
    assert {check.status for check in checked(cloud).values()} == {"ok"}
    told = (Path(__file__).parents[3] / "docs" / "aws.md").read_text()
    made = {permissions.action(*name.replace("eventbridge", "events").split(".")) for name in cloud.wire.calls}
    assert [action for action in made if action not in told] == [], "the page names what whoever fixes needs"
    before = profile.read_text()
    list(account.fix(aws, settings.load(cloud.home, environ), profile))
    assert profile.read_text() == before
    roles = [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]
    assert len(roles) == len(set(roles))


@pytest.mark.parametrize("before", [None, '[aws]\nstorage = "s3://mine/runs"\n', '[azure]\nkey = "stays"\n'])
def test_what_an_emulated_cloud_got_is_told_and_never_written_into_the_profile(
    cloud: Cloud, before: str | None
) -> None:
    cloud.wire.disturb = simulator(lambda action: True)
    profile = cloud.home.path / "profiles.toml"
    if before is not None:
        profile.parent.mkdir(parents=True, exist_ok=True)
        profile.write_text(before)
    environ = {"AWS_ENDPOINT_URL": cloud.endpoint}
    found = list(account.fix(cloud.connect()._aws, settings.load(cloud.home, environ), profile))
    assert (profile.read_text() if profile.exists() else None) == before
    told = dict(word.split("=", 1) for word in shlex.split(found[-1].detail) if word.startswith(settings.PREFIX))
    known = settings.load(cloud.home, {**environ, **told})
    assert (known.job_role, known.execution_role) == (account.TASKS, account.EXECUTION)
    assert (known.events or "").endswith(account.EVENTS)
    again = list(account.fix(cloud.connect()._aws, known, profile))
    assert "profile" not in {check.name for check in again}, "with these variables nothing is missing"


def test_a_region_without_a_network_gets_the_default_one(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        ec2.delete_vpc(VpcId=vpc["VpcId"])
    cloud.wire.disturb = simulator(lambda action: True)
    assert "--fix" in checked(cloud)["network"].remedy
    list(account.fix(cloud.connect()._aws, settings.load(cloud.home), cloud.home.path / "profiles.toml"))
    assert cloud.wire.calls["ec2.CreateDefaultVpc"] == 1


def test_a_refused_permission_is_named_by_the_simulator(cloud: Cloud) -> None:
    cloud.wire.disturb = simulator(lambda action: action not in ("batch:SubmitJob", "iam:PassRole"))
    found = checked(cloud)["permissions"]
    assert (found.status, found.detail) == ("fail", "refused: batch:SubmitJob, iam:PassRole")
    assert "--policy" in found.remedy


def test_a_refused_permission_is_named_where_the_simulator_is_refused_too(cloud: Cloud) -> None:
    def disturb(name: str, sending: Any) -> AWSResponse | None:
        if name in ("iam.SimulatePrincipalPolicy", "batch.SubmitJob"):
            return answer(sending, 403, "AccessDeniedException")
        return None

    cloud.wire.disturb = disturb
    before = cloud.jobs()
    found = checked(cloud)["permissions"]
    assert (found.status, found.detail) == ("fail", "refused: batch:SubmitJob")
    assert cloud.jobs() == before, "nothing was made by asking"
    assert cloud.nothing_left()


def test_the_role_of_a_session_is_what_is_asked_about() -> None:
    assert account.principal("arn:aws:sts::1:assumed-role/admin/me") == "arn:aws:iam::1:role/admin"
    assert account.principal("arn:aws:iam::1:user/team/me") == "arn:aws:iam::1:user/team/me"


def refuse_beyond(policy: permissions.Policy, refused: set[str]) -> Callable[[str, Any], AWSResponse | None]:
    """IAM, as far as actions go: whatever the policy does not name is refused, and noted."""
    allowed = {action for action, _ in permissions.actions(policy)}

    def disturb(name: str, sending: Any) -> AWSResponse | None:
        action = permissions.action(*name.replace("cloudwatch-", "").split("."))
        if action in allowed:
            return None
        refused.add(action)
        return answer(sending, 403, "AccessDenied")

    return disturb


def test_the_printed_policy_allows_every_call_of_a_run_and_nothing_that_no_run_needs(
    cloud: Cloud, tmp_path: Path
) -> None:
    user = permissions.for_user("us-east-1", "123456789012", f"s3://{emulated.BUCKET}", {}, None)
    refused: set[str] = set()
    cloud.wire.disturb = refuse_beyond(user, refused)
    cloud.store = S3Store(emulated.BUCKET, session=cloud.session)
    compute = cloud.connect()
    compute.create_pool(request(**FULL))
    compute.pool_status(RUN)
    list(compute.submit(RUN, tasks(3)))
    found = compute.changes(RUN, None, 0.0)
    compute.changes(RUN, found.cursor, 0.0)
    compute.cancel(RUN, ["t000000-a1"])
    compute.read_log(RUN, "t000000-a1", "stderr", 0, 10)
    list(compute.owned())
    large = tmp_path / "large"
    large.write_bytes(b"x" * (SINGLE + 1))
    cloud.store.put("large", large)
    cloud.store.fetch("large", large)
    cloud.store.grant("large", 60.0)
    for _, give_up in cloud.store.unfinished():
        give_up()
    cloud.store.delete_prefix("large")
    take_down(compute)
    assert refused == set()
    made = {permissions.action(*name.replace("cloudwatch-", "").split(".")) for name in cloud.wire.calls}
    indirect = {"ec2:CreateTags", "batch:TagResource", "iam:PassRole", "logs:GetLogEvents", "sts:GetCallerIdentity"}
    # Only called where the emulator does not end jobs at once, where an upload was broken off, and with spot machines.
    rare = {
        "batch:TerminateJob",
        "ec2:DescribeSpotPriceHistory",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    }
    assert {action for action, _ in permissions.actions(user)} - made - indirect <= rare


def test_the_page_shows_the_policy_that_is_printed() -> None:
    user = permissions.for_user("us-east-1", "1", "s3://bucket", {}, "https://sqs/1/orchestrate-events")
    page = (Path(__file__).parents[3] / "docs" / "aws.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    told = {
        action
        for one in shown["Statement"]
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    assert told == {action for action, _ in permissions.actions(user)}


def test_whoever_has_the_printed_policy_and_no_more_is_told_that_all_is_well(cloud: Cloud) -> None:
    cloud.wire.disturb = simulator(lambda action: True)
    environ = {"AWS_ENDPOINT_URL": "https://batch.us-east-1.amazonaws.com"}
    profile = cloud.home.path / "profiles.toml"
    list(account.fix(cloud.connect()._aws, settings.load(cloud.home, environ), profile))
    known = settings.load(cloud.home, environ)
    assert known.events is not None
    refused: set[str] = set()
    cloud.wire.disturb = refuse_beyond(account.user_policy(known, "us-east-1", "123456789012"), refused)
    found = checked(cloud)
    assert [check for check in found.values() if check.status == "fail"] == []
    assert {action.partition(":")[0] for action in refused} == {"iam"}, "roles are looked at, where that is allowed"


def test_the_roles_by_which_aws_rents_machines_are_made_where_the_account_lacks_them(cloud: Cloud) -> None:
    cloud.wire.disturb = simulator(lambda action: True)
    assert "--fix" in checked(cloud)["role of batch"].remedy
    profile = cloud.home.path / "profiles.toml"
    environ = {"AWS_ENDPOINT_URL": "https://batch.us-east-1.amazonaws.com"}
    for _ in range(2):
        list(account.fix(cloud.connect()._aws, settings.load(cloud.home, environ), profile))
    assert cloud.wire.calls["iam.CreateServiceLinkedRole"] == len(account.LINKED)
    assert checked(cloud)["role of batch"].status == "ok"


def test_a_profile_of_instances_stands_for_its_role() -> None:
    profile = "arn:aws:iam::1:instance-profile/team/machines"
    policy = permissions.for_user("eu-west-1", "1", "s3://bucket", {"instances": profile}, None)
    assert dict(permissions.actions(policy))["iam:PassRole"] == "arn:aws:iam::1:role/team/machines"


def test_a_role_that_hands_out_secrets_can_start_a_container_too() -> None:
    given = {action for action, _ in permissions.actions(permissions.for_execution("eu-west-1", "1"))}
    assert {"ssm:GetParameters", "ecr:BatchGetImage", "logs:PutLogEvents"} <= given


def test_a_policy_ends_at_the_run_s_own_things() -> None:
    policy = permissions.for_user("eu-west-1", "1", "s3://bucket/team", {"tasks": "tasks", "secrets": None}, None)
    where = dict(permissions.actions(policy))
    assert where["s3:PutObject"] == "arn:aws:s3:::bucket/team/*"
    assert where["iam:PassRole"] == "arn:aws:iam::1:role/tasks"
    assert fnmatchcase("arn:aws:ssm:eu-west-1:1:parameter/orchestrate/run/TOKEN", where["ssm:PutParameter"])
    assert "*" not in {thing for action, thing in where.items() if action.split(":")[0] in ("s3", "iam", "ssm")}


def test_the_command_prints_the_policy_and_the_checks(cloud: Cloud, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--provider", "aws", "--policy"]) == 0
    assert json.loads(capfd.readouterr().out)["Version"] == "2012-10-17"
    main(["doctor", "--provider", "aws", "--json"])
    names = [json.loads(line)["check"] for line in capfd.readouterr().out.splitlines()]
    assert names[-5:] == ["role of tasks", "role of secrets", "role of spot", "permissions", "events"]
    assert main(["doctor", "--fix"]) == 2
