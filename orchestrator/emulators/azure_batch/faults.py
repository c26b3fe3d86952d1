"""Faults on demand: calls that are throttled, delayed, refused, lost, or answered with half a response.

Which call is hit is drawn from the rule's own seed, so that a run repeats. A fault is before the call's effect (it
never happened) or after it (it happened, and the client is not told), and a client has to survive both.
"""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import dataclass, field
from typing import Any

KINDS = ("throttle", "error", "drop", "break", "delay", "collection")
WHENS = ("before", "after")


@dataclass(slots=True)
class Fault:
    """A rule.

    Args:
        kind: `throttle` (429 or 503 with Retry-After), `error` (a 5xx), `drop` (no response at all), `break` (half
            a response), `delay`, or `collection` (single tasks of an added collection fail with `servererror`).
        fraction: of the matching calls (of the tasks, for `collection`) that are hit.
        seed: of the draws.
        when: `before` or `after` the effect.
        operations: names of operations (`create_task_collection`); empty for all.
        path: regular expression that the path must contain; None for any.
        status, code: of a throttle or an error; None for the usual.
        retry_after: seconds, in the header.
        seconds: of a delay (real seconds).
        skip: matching calls that pass first.
        times: hits, after which the rule is spent; None for no end.
    """

    id: int
    kind: str
    fraction: float = 1.0
    seed: int = 0
    when: str = "before"
    operations: tuple[str, ...] = ()
    path: str | None = None
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    seconds: float = 0.0
    skip: int = 0
    times: int | None = None
    hits: int = 0
    calls: int = 0
    _draw: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.when not in WHENS:
            raise ValueError(f"when must be before or after, not {self.when!r}")
        if not 0 <= self.fraction <= 1:
            raise ValueError("fraction must be between 0 and 1")
        self._draw = random.Random(self.seed)
        if self.kind in ("throttle", "collection"):
            self.when = "before"
        if self.kind == "break":
            self.when = "after"

    def matches(self, operation: str, path: str) -> bool:
        if self.operations and operation not in self.operations:
            return False
        return self.path is None or re.search(self.path, path) is not None

    def strikes(self) -> bool:
        """Draw for one matching call or task."""
        self.calls += 1
        if self.calls <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        # Drawn also where it is sure, so that a fraction can be changed without moving the other draws.
        hit = self._draw.random() < self.fraction
        self.hits += hit
        return hit

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "fraction": self.fraction,
            "seed": self.seed,
            "when": self.when,
            "operations": list(self.operations),
            "path": self.path,
            "status": self.status,
            "code": self.code,
            "retry_after": self.retry_after,
            "seconds": self.seconds,
            "skip": self.skip,
            "times": self.times,
            "hits": self.hits,
            "calls": self.calls,
        }


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, **properties: Any) -> Fault:
        """Add a rule.

        Raises:
            ValueError, TypeError: it makes no sense.
        """
        properties["operations"] = tuple(properties.get("operations") or ())
        if properties.get("path") is not None:
            try:
                re.compile(properties["path"])
            except re.error as problem:
                raise ValueError(f"path is no regular expression: {problem}") from problem
        fault = Fault(next(self._ids), **properties)
        self._rules.append(fault)
        return fault

    def remove(self, fault_id: int | None) -> None:
        """Take one rule back, or all of them."""
        self._rules = [rule for rule in self._rules if fault_id is not None and rule.id != fault_id]

    def striking(self, operation: str, path: str) -> list[Fault]:
        """The rules that hit this call."""
        return [
            rule
            for rule in self._rules
            if rule.kind != "collection" and rule.matches(operation, path) and rule.strikes()
        ]

    def strikes_task(self, path: str) -> bool:
        """Whether one task of a collection is to fail."""
        return any(
            rule.kind == "collection" and rule.matches("create_task_collection", path) and rule.strikes()
            for rule in self._rules
        )

    def json(self) -> list[dict[str, Any]]:
        return [rule.json() for rule in self._rules]
