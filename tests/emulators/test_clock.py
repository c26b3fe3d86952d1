from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.emulators.azure_batch.clock import Clock
from orchestrator.emulators.azure_batch.timefmt import (
    DAY,
    HOUR,
    SECOND,
    UNLIMITED_DURATION,
    duration,
    http_date,
    iso,
    parse_duration,
    parse_http_date,
    parse_iso,
)

START = parse_iso("2026-03-01T00:00:00Z")


def in_loop(check: Callable[[Clock], None]) -> None:
    async def run() -> None:
        check(Clock(START))

    asyncio.run(run())


def test_a_jump_fires_every_timer_on_the_way_at_its_own_time_and_in_order() -> None:
    def check(clock: Clock) -> None:
        fired: list[tuple[str, int]] = []

        def note(name: str) -> Callable[[], None]:
            return lambda: fired.append((name, round((clock.now() - START) / SECOND)))

        clock.after(20, note("b"))
        clock.after(10, note("a"))
        clock.after(10, lambda: clock.after(5, note("set on the way")) and None)
        clock.after(20, note("b, later set"))
        clock.after(100, note("not yet"))
        clock.after(15, note("cancelled")).cancel()
        clock.advance(50)
        assert fired == [("a", 10), ("set on the way", 15), ("b", 20), ("b, later set", 20)]
        assert clock.now() >= START + 50 * SECOND

    in_loop(check)


def test_time_never_goes_back() -> None:
    def check(clock: Clock) -> None:
        seen = [clock.now()]
        clock.after(5, lambda: seen.append(clock.now()))
        clock.advance(10)
        seen.append(clock.now())
        clock.at(START - HOUR, lambda: seen.append(clock.now()))
        clock.advance(0)
        seen.append(clock.now())
        assert seen == sorted(seen)
        assert len(seen) == 5
        with pytest.raises(ValueError, match="cannot go back"):
            clock.advance(-1)

    in_loop(check)


def test_timers_fire_by_themselves_as_time_goes_by() -> None:
    async def run() -> bool:
        clock = Clock(START)
        fired = asyncio.Event()
        clock.after(0.01, fired.set)
        clock.after(3600, lambda: pytest.fail("an hour has not gone by"))
        await asyncio.wait_for(fired.wait(), 10)
        return True

    assert asyncio.run(run())


@pytest.mark.parametrize("text", ["2026-03-01T00:00:00Z", "2026-03-01T01:00:00+01:00", "2026-03-01T00:00:00.0000000Z"])
def test_times_are_read_in_every_spelling_of_the_service(text: str) -> None:
    assert parse_iso(text) == START


def test_a_time_that_is_written_is_read_as_the_same() -> None:
    for moment in (START, START + 1, START + 123_456, START + 999_999):
        assert parse_iso(iso(moment)) == moment
    assert parse_http_date(http_date(START)) == START


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("PT5M", 300 * SECOND),
        ("P1D", DAY),
        ("P1DT2H3M4.5S", DAY + 2 * HOUR + 184_500_000),
        ("P7D", 7 * DAY),
        ("PT0S", 0),
        ("P1W", 7 * DAY),
        ("-PT1M", -60 * SECOND),
    ],
)
def test_durations_are_read(text: str, micros: int) -> None:
    assert parse_duration(text) == micros


@pytest.mark.parametrize("text", ["", "P", "PT", "5M", "P5", "P1DT", "PT5", "1:00:00"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 duration"):
        parse_duration(text)


def test_a_duration_that_is_written_is_read_as_the_same() -> None:
    for micros in (0, SECOND, 61 * SECOND, DAY, DAY + 1_500_000, 400 * DAY + 3 * HOUR):
        assert parse_duration(duration(micros)) == micros
    assert parse_duration(UNLIMITED_DURATION) > 10_000_000 * DAY
