"""The tasks of a job, found by id, by state, by time of last transition, and counted, each without a walk."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .errors import BatchFault
from .odata import Filter

if TYPE_CHECKING:
    from .task import Task
    from .timefmt import Micros


@dataclass(slots=True)
class Counts:
    """How many tasks are in which state; the slots beside them.

    Args:
        ready_instances: active ones whose dependencies are satisfied; a multi-instance task once an instance.
    """

    active: int = 0
    running: int = 0
    completed: int = 0
    succeeded: int = 0
    failed: int = 0
    active_slots: int = 0
    running_slots: int = 0
    completed_slots: int = 0
    succeeded_slots: int = 0
    failed_slots: int = 0
    ready_instances: int = 0

    def add(self, task: Task, sign: int) -> None:
        slots = sign * task.slots
        if task.state == "active":
            self.active += sign
            self.active_slots += slots
            if task.unmet == 0:
                self.ready_instances += sign * task.instances
        elif task.state in ("preparing", "running"):
            self.running += sign
            self.running_slots += slots
        else:
            self.completed += sign
            self.completed_slots += slots
            if task.failure is None:
                self.succeeded += sign
                self.succeeded_slots += slots
            else:
                self.failed += sign
                self.failed_slots += slots


class TaskIndex:
    """The tasks of one job."""

    def __init__(self) -> None:
        self._by_key: dict[str, Task] = {}
        self._keys: list[str] = []
        self._by_state: dict[str, dict[str, Task]] = {}
        # One entry a transition, in order of time; the last entry of a task is the one that counts.
        self._log_times: list[Micros] = []
        self._log_tasks: list[Task] = []
        self._log_marks: list[int] = []
        self._marks = 0
        self.counts = Counts()

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._by_key.values()))

    def get(self, task_id: str) -> Task | None:
        return self._by_key.get(task_id.lower())

    def find(self, task_id: str) -> Task:
        task = self._by_key.get(task_id.lower())
        if task is None:
            raise BatchFault("TaskNotFound")
        return task

    def add(self, task: Task) -> None:
        self._by_key[task.key] = task
        if not self._keys or task.key > self._keys[-1]:
            self._keys.append(task.key)
        else:
            bisect.insort(self._keys, task.key)
        self._enlist(task)

    def remove(self, task: Task) -> None:
        self._delist(task)
        del self._by_key[task.key]
        del self._keys[bisect.bisect_left(self._keys, task.key)]
        task.index_mark = -1

    def leaving_state(self, task: Task) -> None:
        """To be called before a task's state, failure or unmet dependencies change."""
        self._delist(task)

    def entered_state(self, task: Task) -> None:
        """To be called after."""
        self._enlist(task)

    def _enlist(self, task: Task) -> None:
        self.counts.add(task, 1)
        self._by_state.setdefault(task.state, {})[task.key] = task
        self._marks += 1
        task.index_mark = self._marks
        self._log_times.append(task.state_time)
        self._log_tasks.append(task)
        self._log_marks.append(self._marks)
        if len(self._log_times) > 64 and len(self._log_times) > 3 * len(self._by_key):
            self._compact()

    def _delist(self, task: Task) -> None:
        self.counts.add(task, -1)
        self._by_state[task.state].pop(task.key, None)

    def _compact(self) -> None:
        entries = [
            entry
            for entry in zip(self._log_times, self._log_tasks, self._log_marks, strict=True)
            if entry[1].index_mark == entry[2]
        ]
        self._log_times = [entry[0] for entry in entries]
        self._log_tasks = [entry[1] for entry in entries]
        self._log_marks = [entry[2] for entry in entries]

    def candidates(self, condition: Filter[Task] | None, after: str | None) -> Iterator[tuple[str, Task]]:
        """Tasks sorted by key, beginning after `after`: a superset of those that match, as small as can be."""
        chosen = self._by_bounds(condition)
        if chosen is None:
            start = 0 if after is None else bisect.bisect_right(self._keys, after)
            for key in self._keys[start:]:
                yield key, self._by_key[key]
            return
        for task in sorted(chosen, key=lambda one: one.key):
            if after is None or task.key > after:
                yield task.key, task

    def _by_bounds(self, condition: Filter[Task] | None) -> list[Task] | None:
        """The tasks that the narrowest of the filter's bounds leaves; None for all of them."""
        if condition is None:
            return None
        # Each way with the most that it can give; only the best of them is gone.
        ways: list[tuple[int, Callable[[], list[Task]]]] = []
        since: Micros | None = None
        for bound in condition.bounds():
            value = str(bound.value).lower()
            if bound.name == "id" and bound.operator == "eq":
                task = self._by_key.get(value)
                return [] if task is None else [task]
            if bound.name == "id" and bound.operator == "startswith":
                first, last = self._prefix_range(value)
                ways.append((last - first, partial(self._between, first, last)))
            if bound.name == "state" and bound.operator == "eq":
                found = self._by_state.get(value, {})
                ways.append((len(found), lambda found=found: list(found.values())))  # type: ignore[misc]
            if bound.name == "stateTransitionTime" and bound.operator in ("ge", "gt", "eq"):
                assert isinstance(bound.value, int)
                since = bound.value if since is None else max(since, bound.value)
        if since is not None:
            start = bisect.bisect_left(self._log_times, since)
            ways.append((len(self._log_times) - start, partial(self._changed_from, start)))
        return min(ways, key=lambda way: way[0])[1]() if ways else None

    def _prefix_range(self, prefix: str) -> tuple[int, int]:
        """Where the keys that begin with `prefix` lie among the sorted keys."""
        # Ids are of ASCII, so this comes after every id with the prefix.
        return bisect.bisect_left(self._keys, prefix), bisect.bisect_left(self._keys, prefix + "\x7f")

    def _between(self, first: int, last: int) -> list[Task]:
        return [self._by_key[key] for key in self._keys[first:last]]

    def _changed_from(self, start: int) -> list[Task]:
        return [
            task
            for task, mark in zip(self._log_tasks[start:], self._log_marks[start:], strict=True)
            if task.index_mark == mark
        ]
