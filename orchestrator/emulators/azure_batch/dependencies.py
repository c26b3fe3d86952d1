"""Which tasks wait for which."""

from __future__ import annotations

import bisect
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Task

# Of the ids that one task depends on, each with a character to part it from the next: the reference says only that
# what is stored is somewhat longer than the ids.
MAX_STORED_LENGTH = 64000


class Dependencies:
    """The open dependencies of one job's tasks.

    A task waits for ids, and for ranges of ids that are whole numbers (leading zeros do not count: the first of `4`
    and `004` satisfies). What it waits for need not exist yet. A dependency that was satisfied once stays so for the
    tasks that were there.
    """

    def __init__(self) -> None:
        self._satisfied: set[str] = set()
        self._waiting: dict[str, list[Task]] = {}
        # How many ids of each number are satisfied, and the numbers of which any is, in order.
        self._spellings: Counter[int] = Counter()
        self._numbers: list[int] = []
        # Who waits for a range, by the highest number that it lacks and by its start: all with the same two wait for
        # the same from then on, whatever the ends of their ranges.
        self._ranges: dict[int, dict[int, list[Task]]] = {}

    def add(self, task: Task) -> int:
        """Take up a new task's dependencies; how many are not satisfied yet."""
        wanted = task.spec.get("dependsOn", {})
        unmet = 0
        for task_id in {task_id.lower() for task_id in wanted.get("taskIds", [])}:
            if task_id not in self._satisfied:
                self._waiting.setdefault(task_id, []).append(task)
                unmet += 1
        for each in wanted.get("taskIdRanges", []):
            unmet += self._wait_for_range(each["start"], each["end"], [task])
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
            self._spellings[number] += 1
            if self._spellings[number] == 1:
                bisect.insort(self._numbers, number)
            for start, tasks in self._ranges.pop(number, {}).items():
                if not self._wait_for_range(start, number, tasks):
                    advanced += tasks
        return advanced

    def withdraw(self, task_id: str) -> None:
        """Note that what is added from now on must wait for `task_id`: it is gone, or runs again."""
        key = task_id.lower()
        if key not in self._satisfied:
            return
        self._satisfied.remove(key)
        if key.isdigit():
            number = int(key)
            self._spellings[number] -= 1
            if self._spellings[number] == 0:
                del self._numbers[bisect.bisect_left(self._numbers, number)]

    def _wait_for_range(self, start: int, end: int, tasks: list[Task]) -> bool:
        """Let tasks wait for the highest number that is missing in a range; whether there is one."""
        missing = self._highest_missing(end)
        if missing < start:
            return False
        waiting = self._ranges.setdefault(missing, {})
        fewer, more = sorted((tasks, waiting.get(start, [])), key=len)
        waiting[start] = more
        more += fewer
        return True

    def _highest_missing(self, end: int) -> int:
        """The highest number up to `end` that is not satisfied."""
        numbers = self._numbers
        last = bisect.bisect_right(numbers, end) - 1
        if last < 0 or numbers[last] != end:
            return end
        first = bisect.bisect_left(range(last), True, key=lambda place: end - numbers[place] == last - place)
        return numbers[first] - 1
