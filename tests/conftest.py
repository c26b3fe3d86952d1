"""What all tests share: the options of the suite, and one Docker engine.

``--seed N`` replays one simulated run, ``--simulations N`` plays more of them, ``--soak`` runs the long variants, and
``--nothing-skipped`` fails where a part is missing on this machine that a test needs.
"""

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

# Skips that are no want of anything: the first words of their reasons.
MEANT = ("the long variant", "this provider's tasks end with the client", "needs a training framework")


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
    if not config.getoption("--soak"):
        long = pytest.mark.skip(reason="the long variant: --soak runs it")
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(long)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("--nothing-skipped"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = [str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ())]
    wanting = sorted({reason for reason in reasons if not reason.startswith(MEANT)})
    if wanting and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line("NOT ALL OF IT WAS TESTED:", red=True)
        for reason in wanting:
            reporter.write_line(f"  {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def engine_host() -> Iterator[str]:
    """The address of a Docker engine that has the base image: the machine's own, else one for all tests."""
    with ExitStack() as started:
        try:
            host = docker_engine.answering()
            if host is None:
                # Not in pytest's folders, of which several are kept: the images take gigabytes.
                folder = started.enter_context(
                    tempfile.TemporaryDirectory(prefix="orchestrate-docker-", ignore_cleanup_errors=True)
                )
                host = started.enter_context(docker_engine.DockerEngine(Path(folder))).host
            IMAGES.mkdir(exist_ok=True)
            docker_engine.base_image(host, IMAGES)
        except MachineError as missing:
            pytest.skip(f"CONTAINERS ARE NOT TESTED HERE: {missing}")
        yield host
