from __future__ import annotations

import itertools
from collections.abc import Iterator

import boto3
import pytest
from azure.storage.blob import BlobServiceClient

from orchestrator.emulators.azurite import Azurite, find_azurite
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.moto import MotoServer

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with MotoServer() as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def s3_session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


@pytest.fixture
def bucket(s3_endpoint: str, s3_session: boto3.Session) -> str:
    name = f"bucket-{next(_numbers)}"
    s3_session.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    try:
        find_azurite()
    except ServerFailed as error:
        pytest.skip(str(error))
    with Azurite() as server:
        yield server


@pytest.fixture
def container(azurite: Azurite) -> str:
    name = f"container-{next(_numbers)}"
    BlobServiceClient.from_connection_string(azurite.connection_string).create_container(name)
    return name
