"""Inputs whose paths hold parameters: what of a folder is uploaded, and what of it a trial then gets."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.runner import runner
from orchestrator.spec import template
from orchestrator.storage import inputs, job_inputs, sources
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data of mine"
    for name in ("run1.csv", "run2.csv", "run2.txt", "german/one.txt", "german/deep/two.txt", "french/one.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "german" / "tool").write_text("#!/bin/sh\n")
    (root / "german" / "tool").chmod(0o755)
    return root


def job(*paths: str) -> dict[str, Any]:
    return {"inputs": [{"from": template.compile(path).to_json(), "to": ["in"]} for path in paths]}


def uploaded(store: LocalStore, path: str) -> list[str]:
    (item,) = job_inputs.upload(store, "r", job(path), None)["inputs"]
    return [file.path for file in inputs.load(store, sources.manifest_key(item["from"])).files]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("run{n}.csv", ["run1.csv", "run2.csv"]),
        ("run{n}", ["run1.csv", "run2.csv", "run2.txt"]),
        ("{language}/one.txt", ["french/one.txt", "german/one.txt"]),
        ("{language}//./one.txt", ["french/one.txt", "german/one.txt"]),
        ("g{language}", ["german/deep/two.txt", "german/one.txt", "german/tool"]),
        ("{language}/deep/", ["german/deep/two.txt"]),
        ("german/{path}", ["deep/two.txt", "one.txt", "tool"]),
        ("{a}/{b}/{c}", ["german/deep/two.txt"]),
    ],
)
def test_what_a_template_can_mean_is_uploaded_and_nothing_else(
    store: LocalStore, data: Path, path: str, found: list[str]
) -> None:
    assert uploaded(store, f"{data}/{path}") == found


def test_what_no_name_can_begin_is_not_even_looked_into(store: LocalStore, data: Path) -> None:
    (data / "loop").symlink_to(data)  # would be refused
    (data / "gone").symlink_to("/no/such/file")
    os.mkfifo(data / "german.pipe")
    assert uploaded(store, f"{data}/run{{n}}.csv") == ["run1.csv", "run2.csv"]
    (data / "loop").unlink()
    assert uploaded(store, f"{data}/{{name}}.csv") == ["run1.csv", "run2.csv"], "of the others only folders matter"


@pytest.mark.parametrize(
    ("path", "params", "brought"),
    [
        ("run{n}.csv", {"n": 2}, "run2.csv"),
        ("{language}", {"language": "german"}, {"one.txt", "deep/two.txt", "tool"}),
        ("{language}/", {"language": "german"}, {"one.txt", "deep/two.txt", "tool"}),
        ("{path}", {"path": "german//./deep/two.txt"}, "german/deep/two.txt"),
        ("g{rest}/deep", {"rest": "erman"}, {"two.txt"}),
    ],
)
def test_a_trial_gets_what_its_parameters_name(
    store: LocalStore, data: Path, tmp_path: Path, path: str, params: dict[str, Any], brought: str | set[str]
) -> None:
    (item,) = job_inputs.upload(store, "r", job(f"{data}/{path}"), None)["inputs"]
    shutil.rmtree(data)
    target = tmp_path / "in"
    runner.FileTransport(str(store.root)).bring(runner.render(item["from"], params), str(target))
    if isinstance(brought, str):
        assert target.read_text() == brought
    else:
        assert {str(found.relative_to(target)) for found in target.rglob("*") if found.is_file()} == brought
        assert all(os.access(found, os.X_OK) for found in target.glob("tool"))


@pytest.mark.parametrize("value", ["dutch", "german/one", "../data of mine/german", "german/../french", "one.txt"])
def test_what_is_not_there_fails_the_trial_with_one_sentence_and_leaves_nothing(
    store: LocalStore, data: Path, tmp_path: Path, value: str
) -> None:
    (item,) = job_inputs.upload(store, "r", job(f"{data}/{{x}}"), None)["inputs"]
    with pytest.raises(runner.Failure) as failure:
        runner.FileTransport(str(store.root)).bring(runner.render(item["from"], {"x": value}), str(tmp_path / "in"))
    assert failure.value.cause == runner.COMMAND
    assert value in failure.value.reason
    assert not (tmp_path / "in").exists()


def test_a_run_that_goes_on_where_its_inputs_are_not_has_them_in_the_store(store: LocalStore, data: Path) -> None:
    document = job(f"{data}/run{{n}}.csv", f"{data}/german")
    first = job_inputs.upload(store, "r", document, None)
    store.put(RunKeys("r").job, json.dumps(first).encode())
    shutil.rmtree(data)
    data.mkdir()  # another folder of that name
    assert job_inputs.upload(store, "r", document, None) == first
    with pytest.raises(InvalidRequest, match="whatever its parameters are"):
        job_inputs.upload(store, "another", document, None)


def test_what_is_no_path_of_this_machine_is_left_as_it_is(store: LocalStore) -> None:
    document = job("https://a/{x}.csv", "s3://bucket/{x}", f"blobs/aa/{'a' * 64}/{{x}}")
    assert job_inputs.upload(store, "r", document, None) == document
    assert list(store.list("")) == []


SCHEMES = {"s3": "", "az": "Copy it."}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([{"name": "path"}], "begins with a parameter"),
        (["/", {"name": "x"}], "begins with a parameter"),
        (["~", {"name": "user"}, "/x"], "begins with a parameter"),
        (["/data/", {"name": "x"}, "/../y"], "goes up again"),
        (["az://a/b"], "Copy it"),
        (["s3://", {"name": "bucket"}], "does not name a bucket"),
        (["s3://data-", {"name": "x"}, "/key"], "does not name a bucket"),
        (["s3:///key"], "does not name a bucket"),
        (["gs://a/", {"name": "x"}], r"Known are paths of this machine and https://, s3://"),
    ],
)
def test_what_cannot_be_brought_to_tasks_elsewhere_is_refused(source: sources.Source, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        sources.check({"inputs": [{"from": source, "to": ["in"]}]}, "far", SCHEMES)


@pytest.mark.parametrize(
    "path", ["/data", "/data/../x/{y}", "https://a/{x}", "s3://b/{x}", "blobs/aa/dd/{x}", "/a/{x}..b"]
)
def test_what_can_be_brought_is_not(path: str) -> None:
    sources.check(job(path), "far", SCHEMES)
