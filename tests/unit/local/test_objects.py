"""Inputs that lie in object stores, on this machine: brought by the driver with the user's own credentials."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.emulators.azurite import Azurite, find_azurite
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.errors import InvalidRequest, MachineError
from orchestrator.providers.base import Cause, Machine, PoolRequest
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from tests.unit.local.conftest import Pool, job

BUCKET = "s3://speech"
READ = "if [ -d in ]; then cat in/*; else cat in; fi"


def source(url: str) -> list[dict[str, object]]:
    return [{"from": [f"{url}/", {"name": "x"}], "to": ["in"]}]


def test_a_trial_has_the_object_or_the_folder_that_its_parameters_name(s3: dict[str, str], pool: Pool) -> None:
    pool.start(READ, inputs=source(BUCKET))
    pool.submit("german", "french.txt", "german/", "dutch", "../x")
    pool.until_ended(5)
    assert [pool.text("stdout.txt", trial) for trial in range(3)] == [
        "german/one.txt\ngerman/two.txt\n",
        "french.txt\n",
        "german/one.txt\ngerman/two.txt\n",
    ]
    assert [pool.how(trial).cause for trial in range(5)] == [None, None, None, Cause.COMMAND, Cause.COMMAND]
    assert "There is no object and no folder s3://speech/dutch" in pool.how(3).reason


def test_what_is_the_same_for_all_trials_is_brought_once(s3: dict[str, str], pool: Pool, home: Home) -> None:
    pool.start(READ, inputs=[{"from": [f"{BUCKET}/french.txt"], "to": ["in"]}])
    pool.submit(*range(20))
    pool.until_ended(20)
    assert {pool.text("stdout.txt", trial) for trial in range(20)} == {"french.txt\n"}
    assert len([path for path in home.objects.rglob("*") if path.is_file() and path.suffix != ".lock"]) == 1


def test_the_credentials_are_not_among_what_a_trial_is_told(s3: dict[str, str], pool: Pool) -> None:
    with environment({**s3, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}):
        pool.start("env; cat $ORCHESTRATE_PARAMS", inputs=source(BUCKET))
    with environment({**s3, "AWS_SECRET_ACCESS_KEY": "only-for-the-driver"}):
        assert pool.one("french.txt")["cause"] is None
    assert "only-for-the-driver" not in pool.text("stdout.txt")


def test_a_trial_that_is_cancelled_before_its_input_is_here_never_starts(s3: dict[str, str], pool: Pool) -> None:
    pool.start(READ, inputs=source(BUCKET), slots=1)
    names = pool.submit(*["german"] * 50)
    pool.compute.cancel("run-1", names[1:])
    pool.until_ended(50)
    assert pool.how(0).cause is None
    assert pool.how(49).cause is Cause.CANCELLED


def test_blobs_are_brought_as_well(pool: Pool) -> None:
    try:
        find_azurite()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    with Azurite() as storage:
        known = {"AZURE_STORAGE_ACCOUNT": storage.account, "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string}
        with environment(known):
            url = f"az://{storage.account}/speech"
            store = open_store(url, pool.home)
            store.ensure()  # type: ignore[attr-defined]
            store.put("german/one.txt", b"eins")
            pool.start(READ, inputs=source(url))
            assert pool.one("german")["cause"] is None
    assert pool.text("stdout.txt") == "eins"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("s3://b{x}/key", "does not name a bucket"),
        ("https://example.org/{x}", "cannot fetch"),
        ("gs://bucket/{x}", "cannot fetch"),
    ],
)
def test_what_cannot_be_brought_is_refused_before_anything_is_begun(pool: Pool, first: str, said: str) -> None:
    before, _, after = first.partition("{x}")
    document = job("run-1", "true", inputs=[{"from": [before, {"name": "x"}, after], "to": ["in"]}])
    with pytest.raises(InvalidRequest, match=said):
        pool.compute.estimate(PoolRequest("run-1", document, Machine(), 1, None, 0.0, 0.0, tasks=1))


def test_a_package_that_is_missing_is_named(pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "orchestrator.storage.s3", raising=False)
    document = job("run-1", "true", inputs=source(BUCKET))
    with pytest.raises(MachineError, match=r"pip install 'orchestrator\[aws\]'"):
        pool.compute.estimate(PoolRequest("run-1", document, Machine(), 1, None, 0.0, 0.0, tasks=1))
