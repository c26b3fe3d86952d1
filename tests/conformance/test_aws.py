"""The AWS provider, through the real boto3, against moto's server with a real Docker engine behind it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.emulators.aws import emulated_aws
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.errors import MachineError
from orchestrator.providers.aws import connect
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from orchestrator.testing.conformance import SECRET, Bench, ProviderSuite, Story

# Where an image that was made once is kept for the next time.
IMAGES = Path(tempfile.gettempdir()) / "orchestrate-images"


@pytest.fixture(scope="module")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an engine that has the base image: the machine's own, else one that is started."""
    with ExitStack() as started:
        try:
            host = docker_engine.answering()
            if host is None:
                host = started.enter_context(docker_engine.DockerEngine(tmp_path_factory.mktemp("docker"))).host
            IMAGES.mkdir(exist_ok=True)
            docker_engine.base_image(host, IMAGES)
        except MachineError as missing:
            pytest.skip(f"AWS IS NOT TESTED HERE: {missing}")
        yield host


class TestAws(ProviderSuite):
    """Tasks as containers."""

    image = docker_engine.BASE_IMAGE
    patience = 120.0

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        home = Home(tmp_path_factory.mktemp("home"))
        try:
            with emulated_aws(docker_host=docker_host) as variables, environment(variables):
                store = open_store(variables["ORCHESTRATE_AWS_STORAGE"], home)
                yield Bench(lambda run: connect(home, run), store)
        except ServerFailed as missing:
            pytest.skip(f"AWS IS NOT TESTED HERE: {missing}")

    def test_a_secret_is_written_nowhere(self, story: Story) -> None:
        """As everywhere; but a run's parameters, of which one is this value here, are kept in lists of many tasks."""
        own = story.session.keys.trial(story.trial("secret"))
        lists = f"{story.session.keys.root}/batches/"
        seen = 0
        for item in story.session.store.list(story.session.keys.root):
            data = story.session.store.get(item.key)
            if item.key.startswith(lists):
                told = [json.loads(line) for line in data.splitlines() if SECRET.encode() in line]
                assert all(task["trial"] == story.trial("secret") for task in told)
                seen += len(told)
            elif not item.key.startswith(f"{own}/"):
                assert SECRET.encode() not in data, item.key
        assert seen == 1
        assert SECRET not in repr(story.request)
