"""The Azure provider, through the real SDKs, against our Azure Batch emulator and Azurite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azurite import Azurite, find_azurite
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.providers.azure import connect, default_store
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from orchestrator.testing.conformance import Bench, ProviderSuite


def bench(isolation: str, folder: Path) -> Iterator[Bench]:
    try:
        find_azurite()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    home = Home(folder)
    with Azurite() as storage, AzureBatchEmulator(isolation=isolation, boot_seconds=0.1) as batch:
        variables = {
            "AZURE_BATCH_ENDPOINT": batch.endpoint,
            "AZURE_BATCH_ACCOUNT": batch.account,
            "AZURE_BATCH_KEY": batch.key,
            "AZURE_STORAGE_ACCOUNT": storage.account,
            "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
        }
        with environment(variables):
            yield Bench(lambda run: connect(home, run), open_store(default_store(home), home))


class TestAzureProcesses(ProviderSuite):
    """Tasks as processes of this machine."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        yield from bench("process", tmp_path_factory.mktemp("home"))


class TestAzureContainers(ProviderSuite):
    """Tasks as containers, with nothing in the image but python3."""

    image = docker_engine.BASE_IMAGE

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        with environment({"DOCKER_HOST": engine_host}):
            yield from bench("docker", tmp_path_factory.mktemp("home"))
