"""Calls that fail in passing are made again, and block nobody for long."""

from __future__ import annotations

import pytest

from orchestrator.engine.retry import ATTEMPTS, LONGEST_WAIT, retrying
from orchestrator.errors import InvalidRequest, ProviderError, Throttled, Unavailable


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def failing(*errors: ProviderError) -> tuple[list[ProviderError], Clock]:
    return list(errors), Clock()


def call(errors: list[ProviderError]) -> str:
    if errors:
        raise errors.pop(0)
    return "done"


def test_the_waits_grow() -> None:
    errors, clock = failing(Unavailable("1"), Unavailable("2"), Unavailable("3"))
    assert retrying(lambda: call(errors), clock) == "done"
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[0] < clock.slept[-1]


def test_a_provider_that_says_how_long_is_obeyed_but_nobody_is_blocked_for_an_hour() -> None:
    errors, clock = failing(Throttled("busy", retry_after=3.0), Throttled("busy", retry_after=3600.0))
    assert retrying(lambda: call(errors), clock) == "done"
    assert clock.slept == [3.0, LONGEST_WAIT]


def test_what_lasts_comes_back_to_the_caller() -> None:
    errors, clock = failing(*(Unavailable(str(number)) for number in range(100)))
    with pytest.raises(Unavailable):
        retrying(lambda: call(errors), clock)
    assert 100 - len(errors) == ATTEMPTS + 1


def test_what_asking_again_cannot_help_is_raised_at_once() -> None:
    errors, clock = failing(InvalidRequest("no"))
    with pytest.raises(InvalidRequest):
        retrying(lambda: call(errors), clock)
    assert clock.slept == []
