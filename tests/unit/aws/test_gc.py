"""``orchestrate gc`` finds what is ours in every region, and what uploads left in the bucket."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.emulators import aws
from orchestrator.emulators.emulated import environment
from orchestrator.engine.lock import hold
from orchestrator.engine.record import Record
from orchestrator.providers import connect
from orchestrator.storage.layout import Home
from tests.unit.aws.conftest import Cloud, request

STORE = f"s3://{aws.BUCKET}"


def begun(home: Home, run: str, *, ended: bool) -> None:
    """A run of this machine whose client died."""
    home.run(run).mkdir(parents=True)
    finished = time.time() if ended else None
    facts = {"provider": "aws", "store": STORE, "finished": finished, "run": run, "created": 0.0}
    Record.create(home.record(run), facts).close()


def found(capfd: pytest.CaptureFixture[str], *words: str) -> list[dict[str, str]]:
    capfd.readouterr()
    assert main(["gc", "--json", *words]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_things_are_given_back_in_every_region_that_was_used_or_is_named(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(home.path))
    begun(home, "here-1", ended=True)
    begun(home, "there-1", ended=True)
    connect("aws", home, "here-1").create_pool(request(name="here-1"))
    connect("aws", home, "there-1").create_pool(request(name="there-1", region="eu-west-1"))
    with environment({"AWS_DEFAULT_REGION": "ap-south-1", "AWS_REGION": "ap-south-1"}):
        stray = connect("aws", Home(tmp_path / "another machine's"), "stray-1")
        stray.create_pool(request(name="stray-1", lease_until=time.time() - 5))
    with environment({"AWS_DEFAULT_REGION": "us-west-2", "AWS_REGION": "us-west-2"}):
        assert {one["run"] for one in found(capfd, "--dry-run")} == {"here-1", "there-1"}
        named = found(capfd, "--region", "ap-south-1")
        assert {one["run"]: one["detail"] for one in named} == {
            "here-1": "aws us-east-1", "there-1": "aws eu-west-1", "stray-1": "aws ap-south-1",
        }  # fmt: skip
        assert found(capfd, "--region", "ap-south-1") == []


def test_what_an_abandoned_run_has_until_its_lease_is_over_is_named_and_left_alone(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(home.path))
    begun(home, "left-1", ended=False)
    begun(home, "driven-1", ended=False)
    connect("aws", home, "left-1").create_pool(request(name="left-1"))
    connect("aws", home, "driven-1").create_pool(request(name="driven-1"))
    connect("aws", Home(tmp_path / "another machine's"), "far-1").create_pool(request(name="far-1"))
    with hold(home.lock("driven-1"), "driven-1"):
        kept = found(capfd)
        assert {(one["run"], one["action"]) for one in kept} == {("left-1", "kept"), ("far-1", "kept")}
        assert main(["gc"]) == 0
    told = capfd.readouterr()
    assert told.err.count("orchestrate cancel left-1") == 1
    assert "far-1 is not of this machine" in told.err
    assert "Nothing was left behind" not in told.err
    assert "kept until 20" in told.out


def test_a_run_is_ended_where_its_pool_is_whatever_region_is_the_present_one(cloud: Cloud, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    begun(home, "there-1", ended=False)
    connect("aws", home, "there-1").create_pool(request(name="there-1", region="eu-west-1"))
    again = connect("aws", home, "there-1")
    for _ in range(9):
        again.delete_pool("there-1")
    assert list(again.owned()) == []


def test_uploads_that_were_broken_off_are_given_up(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(home.path))
    begun(home, "here-1", ended=True)
    s3 = cloud.client("s3")
    s3.create_multipart_upload(Bucket=aws.BUCKET, Key="blobs/aa/aa")  # moto says that each began in 2010
    (one,) = found(capfd, "--dry-run")
    assert (one["kind"], one["name"]) == ("half-sent object", f"{STORE}/blobs/aa/aa")
    assert s3.list_multipart_uploads(Bucket=aws.BUCKET)["Uploads"]
    assert len(found(capfd)) == 1
    assert not s3.list_multipart_uploads(Bucket=aws.BUCKET).get("Uploads")
