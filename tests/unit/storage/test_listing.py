"""One trial for each file of a folder in an object store."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from azure.storage.blob import BlobServiceClient

from orchestrator.emulators.azurite import Azurite
from orchestrator.engine import session
from orchestrator.errors import UsageError
from orchestrator.search import Search
from orchestrator.spec import Spec
from orchestrator.storage.layout import Home

FILES = ("texts/a.txt", "texts/deep/b c.txt", "texts/.hidden.txt", "texts/c.md", "texts-not/d.txt")


def over(folder: str, home: Path) -> Search:
    search = {"algorithm": "files", "folder": folder, "match": "*.txt"}
    spec = Spec.model_validate({"name": "files", "workload": {"command": "cat {name}"}, "search": search})
    return session.plan(spec, home, Home(home)).search


def check(root: str, home: Path) -> None:
    search = over(f"{root}/texts", home)
    found = [search.ask(trial) for trial in range(3)]
    assert found[0] == {"url": f"{root}/texts/a.txt", "path": "a.txt", "name": "a.txt", "stem": "a"}
    assert found[1] == {
        "url": f"{root}/texts/deep/b c.txt",
        "path": "deep/b c.txt",
        "name": "b c.txt",
        "stem": "b c",
    }
    assert found[2] is None
    assert search.size is None
    with pytest.raises(UsageError, match="no file below"):
        over(f"{root}/nothing", home)


def test_a_folder_of_s3_gives_a_trial_a_file(
    s3_endpoint: str, s3_session: boto3.Session, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3_session.client("s3", endpoint_url=s3_endpoint)
    for name in FILES:
        client.put_object(Bucket=bucket, Key=name, Body=b"text")
    for name, value in (("AWS_ENDPOINT_URL", s3_endpoint), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    check(f"s3://{bucket}", tmp_path)


def test_a_folder_of_blobs_gives_a_trial_a_file(
    azurite: Azurite, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = BlobServiceClient.from_connection_string(azurite.connection_string)
    for name in FILES:
        client.get_blob_client(container, name).upload_blob(b"text")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    check(f"az://{client.account_name}/{container}", tmp_path)
