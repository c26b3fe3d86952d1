"""Counts of the calls that were made, so that a client's thrift can be tested."""

from __future__ import annotations

from collections import Counter


class Calls:
    """How often each operation was called, and how it was answered."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str]] = Counter()

    def note(self, operation: str, answer: str) -> None:
        """`answer` is a status code, or `dropped` or `broken`."""
        self._answers[operation, answer] += 1

    def reset(self) -> None:
        self._answers.clear()

    def json(self) -> dict[str, object]:
        operations: dict[str, dict[str, int]] = {}
        for (operation, answer), count in sorted(self._answers.items()):
            operations.setdefault(operation, {})[answer] = count
        return {"total": sum(self._answers.values()), "operations": operations}
