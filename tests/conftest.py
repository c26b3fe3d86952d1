"""Options of the suite: ``--seed N`` replays one simulated run, ``--simulations N`` plays more of them."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="replay the simulated run of this seed")
    parser.addoption("--simulations", type=int, default=10_000, help="how many simulated runs to play")
    parser.addoption("--soak", action="store_true", help="run the long variants too")


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
