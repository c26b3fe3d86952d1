"""Which tasks wait for which."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Task

MAX_STORED_LENGTH = 64000


@dataclass(slots=True)
class _Range:
    start: int
    end: int
    missing: int
    task: Task


class Dependencies:
    """The open dependencies of one job's tasks.

    A task waits for ids, and for ranges of ids that are whole numbers (leading zeros do not count). What it waits for
    need not exist yet.
    """

    def __init__(self) -> None:
        self._satisfied: set[str] = set()
        self._satisfied_numbers: list[int] = []
        self._waiting: dict[str, list[Task]] = {}
        self._ranges: list[_Range] = []

    def add(self, task: Task) -> int:
        """Take up a new task's dependencies; how many are not satisfied yet."""
        wanted = task.spec.get("dependsOn", {})
        unmet = 0
        for task_id in {task_id.lower() for task_id in wanted.get("taskIds", [])}:
            if task_id not in self._satisfied:
                self._waiting.setdefault(task_id, []).append(task)
                unmet += 1
        for each in wanted.get("taskIdRanges", []):
            missing = each["end"] - each["start"] + 1 - self._count_satisfied(each["start"], each["end"])
            if missing > 0:
                self._ranges.append(_Range(each["start"], each["end"], missing, task))
                unmet += 1
        return unmet

    def satisfy(self, task_id: str) -> list[Task]:
        """Note that what depends on `task_id` may go on; the tasks for which that was one dependency, each as often."""
        key = task_id.lower()
        if key in self._satisfied:
            return []
        self._satisfied.add(key)
        advanced = self._waiting.pop(key, [])
        if key.isdigit():
            advanced = advanced + self._satisfy_number(int(key))
        return advanced

    def _satisfy_number(self, number: int) -> list[Task]:
        place = bisect.bisect_left(self._satisfied_numbers, number)
        if place < len(self._satisfied_numbers) and self._satisfied_numbers[place] == number:
            return []  # `4` and `004` are one; the first of them has satisfied it.
        self._satisfied_numbers.insert(place, number)
        advanced = []
        still_open = []
        for each in self._ranges:
            if each.start <= number <= each.end:
                each.missing -= 1
            if each.missing == 0:
                advanced.append(each.task)
            else:
                still_open.append(each)
        self._ranges = still_open
        return advanced

    def _count_satisfied(self, start: int, end: int) -> int:
        numbers = self._satisfied_numbers
        return bisect.bisect_right(numbers, end) - bisect.bisect_left(numbers, start)
