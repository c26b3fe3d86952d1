"""The local provider with each task in a container, as every other provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.emulators.emulated import environment
from orchestrator.providers.local import connect
from orchestrator.storage.layout import Home
from orchestrator.storage.local import LocalStore
from orchestrator.testing.conformance import Bench, ProviderSuite


class TestLocalDocker(ProviderSuite):
    """Tasks as containers."""

    image = docker_engine.BASE_IMAGE
    isolation = "docker"

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        home = Home(tmp_path_factory.mktemp("home"))
        with environment({"DOCKER_HOST": engine_host}):
            yield Bench(lambda run: connect(home, run), LocalStore(home.store))
