"""The index answers as a walk over all tasks would, whatever happened before."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.emulators.azure_batch.clock import Clock
from orchestrator.emulators.azure_batch.jobs import Job
from orchestrator.emulators.azure_batch.odata import Filter
from orchestrator.emulators.azure_batch.operations.tasks import _FILTERS
from orchestrator.emulators.azure_batch.task import Task
from orchestrator.emulators.azure_batch.taskindex import TaskIndex
from orchestrator.emulators.azure_batch.timefmt import iso
from orchestrator.emulators.azure_batch.tracked import Versions


@pytest.mark.parametrize("seed", range(5))
def test_every_query_gives_what_a_walk_gives(seed: int) -> None:
    asyncio.run(_play(random.Random(seed)))


async def _play(draw: random.Random) -> None:
    clock = Clock(1_700_000_000_000_000)
    index = TaskIndex()
    job = cast(Job, SimpleNamespace(clock=clock, versions=Versions(), index=index, constraints={}))
    tasks: dict[str, Task] = {}
    times: list[int] = [clock.now()]
    for step in range(1500):
        action = draw.random()
        if action < 0.4 or not tasks:
            task = Task(job, {"id": f"T{draw.randrange(10_000):04d}", "requiredSlots": draw.randrange(1, 4)})
            if task.key not in tasks:
                tasks[task.key] = task
                index.add(task)
        elif action < 0.9:
            task = draw.choice(list(tasks.values()))
            index.leaving_state(task)
            task.failure = {"code": "x"} if draw.random() < 0.3 else None
            task.enter(draw.choice(["active", "preparing", "running", "completed"]))
            index.entered_state(task)
            times.append(task.state_time)
        else:
            index.remove(tasks.pop(draw.choice(list(tasks))))
        clock.advance(draw.random())
        if step % 50 == 0:
            _compare(index, tasks, draw.choice(times), draw)
    assert len(index) == len(tasks)


def _compare(index: TaskIndex, tasks: dict[str, Task], moment: int, draw: random.Random) -> None:
    prefix = f"T{draw.randrange(100):02d}"
    one = draw.choice(list(tasks.values())).id if tasks else "none"
    for text in (
        None,
        "state eq 'completed'",
        f"stateTransitionTime ge {iso(moment)}",
        f"stateTransitionTime gt {iso(moment)} and state eq 'running'",
        f"startswith(id,'{prefix}')",
        f"id eq '{one}'",
        f"state eq 'active' or stateTransitionTime lt {iso(moment)}",
        f"state eq 'active' and (stateTransitionTime ge {iso(moment)} or startswith(id,'{prefix}'))",
    ):
        condition: Filter[Task] | None = None if text is None else Filter(text, _FILTERS)
        after = draw.choice([None, prefix.lower()])
        expected = [
            key
            for key, task in sorted(tasks.items())
            if (after is None or key > after) and (condition is None or condition.matches(task))
        ]
        found = [
            key for key, task in index.candidates(condition, after) if condition is None or condition.matches(task)
        ]
        assert found == expected, text
    _check_counts(index, list(tasks.values()))


def _check_counts(index: TaskIndex, tasks: list[Task]) -> None:
    groups: dict[str, list[Task]] = {
        "active": [task for task in tasks if task.state == "active"],
        "running": [task for task in tasks if task.state in ("preparing", "running")],
        "completed": [task for task in tasks if task.state == "completed"],
        "succeeded": [task for task in tasks if task.succeeded],
        "failed": [task for task in tasks if task.state == "completed" and not task.succeeded],
    }
    counts: Any = index.counts
    for name, members in groups.items():
        assert getattr(counts, name) == len(members)
        assert getattr(counts, f"{name}_slots") == sum(task.slots for task in members)
    assert counts.ready_instances == len(groups["active"])
