"""Who waits for whom, as a check of every pair would have it."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.emulators.azure_batch.dependencies import Dependencies
from orchestrator.emulators.azure_batch.task import Task


def task(*ids: str, ranges: tuple[tuple[int, int], ...] = ()) -> Task:
    given = {"taskIds": list(ids), "taskIdRanges": [{"start": start, "end": end} for start, end in ranges]}
    return cast(Task, SimpleNamespace(spec={"dependsOn": given}))


@pytest.mark.parametrize("seed", range(5))
def test_a_task_goes_on_with_the_last_that_it_waits_for_whatever_the_order(seed: int) -> None:
    draw = random.Random(seed)
    dependencies = Dependencies()
    satisfied: set[str] = set()
    waiting: list[tuple[Task, int]] = []

    def unmet(one: Task) -> int:
        wanted = one.spec["dependsOn"]
        numbers = {int(each) for each in satisfied if each.isdigit()}
        open_ids = {each.lower() for each in wanted["taskIds"]} - satisfied
        open_ranges = [
            each for each in wanted["taskIdRanges"] if not set(range(each["start"], each["end"] + 1)) <= numbers
        ]
        return len(open_ids) + len(open_ranges)

    def some_id() -> str:
        number = draw.randrange(12)
        return draw.choice([f"T{number}", f"t{number}", f"{number}", f"{number:03d}"])

    for _ in range(400):
        if draw.random() < 0.6:
            starts = [draw.randrange(12) for _ in range(draw.randrange(3))]
            one = task(
                *(some_id() for _ in range(draw.randrange(4))),
                ranges=tuple((start, draw.randrange(start, 12)) for start in starts),
            )
            expected = unmet(one)
            assert dependencies.add(one) == expected
            if expected:
                waiting.append((one, expected))
        else:
            done = some_id()
            satisfied.add(done.lower())
            advanced = dependencies.satisfy(done)
            for one, before in waiting:
                assert sum(each is one for each in advanced) == before - unmet(one)
            waiting = [(one, unmet(one)) for one, _ in waiting if unmet(one)]
    assert satisfied
    for number in range(12):
        for name in (f"t{number}", f"{number}", f"{number:03d}"):
            satisfied.add(name)
            dependencies.satisfy(name)
    assert dependencies.add(task("t1", "7", "007", ranges=((0, 11), (3, 3)))) == 0


def test_whoever_is_added_after_a_withdrawal_waits_again_and_the_others_do_not() -> None:
    dependencies = Dependencies()
    earlier, later = task("a", "z", ranges=((1, 3),)), task("a", "z", ranges=((1, 3),))
    for done in ("a", "3"):
        dependencies.satisfy(done)
    assert dependencies.add(earlier) == 2
    for gone in ("A", "3"):
        dependencies.withdraw(gone)
    assert dependencies.add(later) == 3
    advanced = [each for done in ("1", "2", "z") for each in dependencies.satisfy(done)]
    assert [sum(each is one for each in advanced) for one in (earlier, later)] == [2, 1]
    assert [dependencies.satisfy(done) for done in ("3", "a")] == [[later], [later]]


def test_a_number_is_satisfied_as_long_as_one_of_its_spellings_is() -> None:
    dependencies = Dependencies()
    for done in ("4", "004"):
        dependencies.satisfy(done)
    dependencies.withdraw("4")
    assert dependencies.add(task(ranges=((4, 4),))) == 0
    dependencies.withdraw("004")
    assert dependencies.add(task(ranges=((4, 4),))) == 1
