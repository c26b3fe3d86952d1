"""Where runs are to be; above all, what is taken for an emulator, whose tasks get the caller's own keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers.aws import network, settings
from orchestrator.storage.layout import Home
from tests.unit.aws.conftest import Cloud, request

AWS = (
    "https://batch.us-east-1.amazonaws.com",
    "https://batch-fips.us-east-1.amazonaws.com",
    "https://batch.us-east-1.api.aws",
    "https://batch.cn-north-1.amazonaws.com.cn",
    "https://vpce-0123-4567.batch.us-east-1.vpce.amazonaws.com",
    "https://aws.proxy.example.com",
)
EMULATORS = ("http://127.0.0.1:5000", "http://172.17.0.1:5000/", "http://moto.example.com")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BATCH"])
@pytest.mark.parametrize("url", [*AWS, *EMULATORS])
def test_what_may_lead_to_aws_is_never_taken_for_an_emulator(tmp_path: Path, variable: str, url: str) -> None:
    known = settings.load(Home(tmp_path), {variable: url})
    assert known.endpoint == (url.rstrip("/") if url in EMULATORS else None)


def test_tasks_reach_an_emulator_s_store_by_a_name_that_means_it_in_a_container(tmp_path: Path) -> None:
    emulated = {"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}
    assert settings.load(Home(tmp_path), emulated).task_endpoint == "http://host.docker.internal:5000"
    other = {**emulated, "AWS_ENDPOINT_URL_S3": "http://10.0.0.1:9000"}
    assert settings.load(Home(tmp_path), other).task_endpoint == "http://10.0.0.1:9000"
    assert settings.load(Home(tmp_path), {}).task_endpoint is None


def test_a_store_that_tasks_on_aws_could_not_sign_for_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    known = settings.load(cloud.home, {"AWS_ENDPOINT_URL_S3": "https://minio.example.com"})
    with pytest.raises(InvalidRequest, match=r"minio\.example\.com"):
        network.place(cloud.connect()._aws, known, request(), "s3://bucket", "runner")
    own = settings.load(cloud.home, {"AWS_ENDPOINT_URL_S3": "https://s3.dualstack.eu-west-1.amazonaws.com"})
    assert own.s3_endpoint is None
