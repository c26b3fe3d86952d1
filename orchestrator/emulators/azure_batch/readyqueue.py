"""A job's tasks that are ready to run, in order."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Task

# What two tasks must have in common to be alike to the scheduler: slots, and instances where there are several.
Shape = tuple[int, int]


class ReadyQueue:
    """Ready tasks, first come first served among those of one shape.

    One line for each shape, so that a task too large for the nodes that are free does not hold up the others, nor
    is passed over again and again. A task that has meanwhile gone another way is skipped when its turn comes.
    """

    def __init__(self) -> None:
        self._lines: dict[Shape, deque[tuple[int, Task]]] = {}
        self._later = itertools.count(1)
        self._sooner = itertools.count(-1, -1)

    def push(self, task: Task, *, first: bool = False) -> None:
        """Line a task up; `first` before all others, for one that had its turn already."""
        line = self._lines.setdefault((task.slots, task.instances if task.is_multi_instance else 0), deque())
        if first:
            line.appendleft((next(self._sooner), task))
        else:
            line.append((next(self._later), task))

    def heads(self) -> list[tuple[Shape, Task]]:
        """The first task of each line, in the order in which they came."""
        found: list[tuple[int, Shape, Task]] = []
        for shape in list(self._lines):
            line = self._lines[shape]
            while line and not _ready(line[0][1]):
                line.popleft()
            if line:
                found.append((line[0][0], shape, line[0][1]))
            else:
                del self._lines[shape]
        found.sort(key=lambda entry: entry[0])
        return [(shape, task) for _, shape, task in found]

    def pop(self, shape: Shape) -> None:
        """Take the first task of a line."""
        self._lines[shape].popleft()


def _ready(task: Task) -> bool:
    return task.state == "active" and task.unmet == 0 and task.job.index.get(task.id) is task
