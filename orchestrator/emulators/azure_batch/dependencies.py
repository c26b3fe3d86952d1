"""Which tasks wait for which."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Task

# Of the ids that one task depends on, each with a character to part it from the next: the reference says only that
# what is stored is somewhat longer than the ids.
MAX_STORED_LENGTH = 64000


@dataclass(slots=True)
class _Range:
    """A range of which not all numbers are satisfied.

    Args:
        missing: the highest of those that are not. Tasks tend to complete in the order of their ids, so this is
            looked at seldom.
    """

    start: int
    end: int
    missing: int
    tasks: list[Task] = field(default_factory=list)


class Dependencies:
    """The open dependencies of one job's tasks.

    A task waits for ids, and for ranges of ids that are whole numbers (leading zeros do not count: the first of `4`
    and `004` satisfies). What it waits for need not exist yet. A dependency that was satisfied once stays so for the
    tasks that were there.
    """

    def __init__(self) -> None:
        self._satisfied: set[str] = set()
        self._satisfied_numbers: Counter[int] = Counter()
        self._waiting: dict[str, list[Task]] = {}
        self._ranges_by_missing: dict[int, list[_Range]] = {}
        # Those that a further task may wait for as well.
        self._shared: dict[tuple[int, int], _Range] = {}

    def add(self, task: Task) -> int:
        """Take up a new task's dependencies; how many are not satisfied yet."""
        wanted = task.spec.get("dependsOn", {})
        unmet = 0
        for task_id in {task_id.lower() for task_id in wanted.get("taskIds", [])}:
            if task_id not in self._satisfied:
                self._waiting.setdefault(task_id, []).append(task)
                unmet += 1
        for each in wanted.get("taskIdRanges", []):
            unmet += self._wait_for_range(each["start"], each["end"], task)
        return unmet

    def satisfy(self, task_id: str) -> list[Task]:
        """Note that what depends on `task_id` may go on; the tasks for which that was one dependency, each as often."""
        key = task_id.lower()
        if key in self._satisfied:
            return []
        self._satisfied.add(key)
        advanced = self._waiting.pop(key, [])
        if key.isdigit():
            number = int(key)
            self._satisfied_numbers[number] += 1
            for each in self._ranges_by_missing.pop(number, []):
                if not self._is_open(each):
                    advanced += each.tasks
        return advanced

    def withdraw(self, task_id: str) -> None:
        """Note that what is added from now on must wait for `task_id`: it is gone, or runs again."""
        key = task_id.lower()
        if key not in self._satisfied:
            return
        self._satisfied.remove(key)
        if key.isdigit():
            self._satisfied_numbers[int(key)] -= 1
            # An open range may be past this number.
            self._shared.clear()

    def _wait_for_range(self, start: int, end: int, task: Task) -> bool:
        """Whether the range is not satisfied yet."""
        wanted = self._shared.get((start, end))
        if wanted is None:
            wanted = _Range(start, end, end)
            if not self._is_open(wanted):
                return False
            self._shared[start, end] = wanted
        wanted.tasks.append(task)
        return True

    def _is_open(self, wanted: _Range) -> bool:
        """Line a range up with the next number that is missing in it, if there is one."""
        while wanted.missing >= wanted.start and self._satisfied_numbers[wanted.missing] > 0:
            wanted.missing -= 1
        if wanted.missing < wanted.start:
            if self._shared.get((wanted.start, wanted.end)) is wanted:
                del self._shared[wanted.start, wanted.end]
            return False
        self._ranges_by_missing.setdefault(wanted.missing, []).append(wanted)
        return True
