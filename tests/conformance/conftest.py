from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.errors import MachineError

# Where an image that was made once is kept for the next time.
IMAGES = Path(tempfile.gettempdir()) / "orchestrate-images"


@pytest.fixture(scope="session")
def engine_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Docker engine that has the base image: the machine's own, else one that is started."""
    with ExitStack() as started:
        try:
            host = docker_engine.answering()
            if host is None:
                host = started.enter_context(docker_engine.DockerEngine(tmp_path_factory.mktemp("docker"))).host
            IMAGES.mkdir(exist_ok=True)
            docker_engine.base_image(host, IMAGES)
        except MachineError as missing:
            pytest.skip(f"CONTAINERS ARE NOT TESTED HERE: {missing}")
        yield host
