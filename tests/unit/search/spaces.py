"""How the tests of the searches write a spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings

from orchestrator.search import Search
from orchestrator.spec import Spec

# No deadline: how fast this machine is at the moment is no property of the code.
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def sweep(parameters: dict[str, Any], **search: Any) -> Spec:
    return Spec.model_validate(
        {"name": "test", "workload": {"command": "true"}, "parameters": parameters, "search": search}
    )


def points(search: Search, limit: int = 10_000) -> Iterator[dict[str, Any]]:
    """Every point in order, to the end."""
    for trial in range(limit):
        point = search.ask(trial)
        if point is None:
            return
        yield dict(point)
    raise AssertionError(f"no end after {limit} points")
