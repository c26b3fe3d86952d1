"""Whether an account is fit for runs is found out, said and mended; the policy that we print is enough and no more."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.cli.main import main
from orchestrator.emulators import aws as emulated
from orchestrator.providers.aws import account, doctor, permissions, settings
from orchestrator.providers.checks import Check
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
    assert failed == {"storage", "role of instances", "role of tasks"}
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
    before = profile.read_text()
    list(account.fix(aws, settings.load(cloud.home, environ), profile))
    assert profile.read_text() == before
    roles = [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]
    assert len(roles) == len(set(roles))


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


def test_the_printed_policy_allows_every_call_of_a_run_and_nothing_that_no_run_needs(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request(**FULL))
    compute.pool_status(RUN)
    list(compute.submit(RUN, tasks(3)))
    found = compute.changes(RUN, None, 0.0)
    compute.changes(RUN, found.cursor, 0.0)
    compute.cancel(RUN, ["t000000-a1"])
    compute.read_log(RUN, "t000000-a1", "stderr", 0, 10)
    list(compute.owned())
    take_down(compute)
    made = {permissions.action(*name.replace("cloudwatch-", "").split(".")) for name in cloud.wire.calls}
    # Those of the object store, which has a client of its own, and what no call of ours is but another one needs.
    made |= {*permissions.OBJECTS, *permissions.BUCKET}
    indirect = {"ec2:CreateTags", "batch:TagResource", "iam:PassRole", "logs:GetLogEvents", "sts:GetCallerIdentity"}
    user = permissions.for_user("us-east-1", "123456789012", f"s3://{emulated.BUCKET}", {}, None)
    allowed = {action for action, _ in permissions.actions(user)}
    assert made <= allowed
    # Only called where the emulator does not end jobs at once.
    assert allowed - made - indirect <= {"batch:TerminateJob"}


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
    assert names[-4:] == ["role of tasks", "role of secrets", "permissions", "events"]
    assert main(["doctor", "--fix"]) == 2
