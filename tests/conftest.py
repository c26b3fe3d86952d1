"""What all tests share: the options of the suite, and one Docker engine.

``--seed N`` replays one simulated run, ``--simulations N`` plays more of them, ``--soak`` runs the long variants, and
``--nothing-skipped`` fails where a part is missing on this machine that a test needs.
"""

from __future__ import annotations

import fcntl
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.errors import MachineError
from tests.environments import FOLDER, Environments

# Where an image that was made once is kept for the next time.
IMAGES = Path(tempfile.gettempdir()) / "orchestrate-images"

# The test that is the first to need an environment waits until pip has made it.
ENVIRONMENT_SECONDS = 1_800

# What may be missing all the same: the long variants, and gigabytes of CUDA.
MEANT = re.compile(
    r"the long variant|this provider('s tasks end with the client| begins no task after another)"
    r"|torch\S+ IS NOT TESTED HERE: pip finds only the build|the tests' own pip is older|gp needs torch"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="replay the simulated run of this seed")
    parser.addoption("--simulations", type=int, default=10_000, help="how many simulated runs to play")
    parser.addoption("--soak", action="store_true", help="run the long variants too")
    parser.addoption(
        "--nothing-skipped", action="store_true", help="fail where a test is skipped for want of something"
    )


@pytest.fixture
def simulation_seed(request: pytest.FixtureRequest) -> int | None:
    return request.config.getoption("--seed")


@pytest.fixture
def simulation_runs(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--simulations")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "environments" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(ENVIRONMENT_SECONDS))
    if not config.getoption("--soak"):
        long = pytest.mark.skip(reason="the long variant: --soak runs it")
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(long)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("--nothing-skipped") or hasattr(session.config, "workerinput"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = [str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ())]
    wanting = sorted({reason for reason in reasons if MEANT.match(reason) is None})
    if wanting and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line("NOT ALL OF IT WAS TESTED:", red=True)
        for reason in wanting:
            reporter.write_line(f"  {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def environments(pytestconfig: pytest.Config) -> Environments:
    return Environments(FOLDER, cuda=pytestconfig.getoption("--soak"))


@pytest.fixture(scope="session")
def engine_host() -> Iterator[str]:
    """The address of a Docker engine that has the base image: the machine's own, else one for all tests."""
    with ExitStack() as started:
        try:
            host = docker_engine.answering() or _own_engine(started)
            IMAGES.mkdir(exist_ok=True)
            docker_engine.base_image(host, IMAGES)
        except MachineError as missing:
            pytest.skip(f"CONTAINERS ARE NOT TESTED HERE: {missing}")
        yield host


def _own_engine(started: ExitStack) -> str:
    """One whose images stay for the next time, so that what is built again of the same recipe takes no minutes."""
    folder = Path(__file__).parents[1] / ".emulators" / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    lock = started.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        folder = Path(
            started.enter_context(tempfile.TemporaryDirectory(prefix="orchestrate-docker-", ignore_cleanup_errors=True))
        )
    engine = started.enter_context(docker_engine.DockerEngine(folder))
    client = started.enter_context(closing(docker_engine.connect(engine.host)))
    started.callback(client.images.prune)
    return engine.host
