"""Client of the control API; standard library only, so that a test imports nothing heavy."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from .protocol import Json

_TIMEOUT_SECONDS = 60.0


class ControlError(Exception):
    """The emulator refused an order; says why."""


class Control:
    """Drives an emulator from outside: takes nodes away, lets calls fail, moves the clock.

    Args:
        endpoint: the emulator's endpoint.
        key: the account's key.
    """

    def __init__(self, endpoint: str, key: str) -> None:
        self._address = urlsplit(endpoint).netloc
        self._key = key

    def preempt(self, node: str, *, restore_after: float | None = None) -> None:
        """Take a spot node's machine away: its tasks go back into the queue, its files are gone.

        Args:
            restore_after: emulated seconds until the service gets a new machine for it; None for never
                (see `restore`).
        """
        self._order("preempt", node=node, restore_after=restore_after)

    def restore(self, node: str) -> None:
        """Give a preempted node a machine again."""
        self._order("restore", node=node)

    def make_unusable(
        self, node: str, *, code: str | None = None, message: str | None = None, requeue: bool = True
    ) -> None:
        """Let the service lose a node.

        Args:
            code, message: of the node's error.
            requeue: put its tasks back at once; otherwise they seem to run on until the node is dealt with.
        """
        self._order("make_unusable", node=node, code=code, message=message, requeue=requeue)

    def fail_allocation(
        self,
        code: str = "AllocationFailed",
        *,
        message: str | None = None,
        pool: str | None = None,
        kind: str = "both",
        grant: int = 0,
        times: int | None = None,
        seconds: float | None = None,
    ) -> int:
        """Let resizes fail.

        Args:
            code: of the resize error: `AllocationFailed` and `AllocationTimedOut` pass; `AccountCoreQuotaReached`,
                `AccountLowPriorityCoreQuotaReached` and `AccountVMSeriesCoreQuotaReached` last.
            pool: only of this one.
            kind: `dedicated`, `spot` or `both`.
            grant: nodes that are given all the same.
            times: resizes that fail; None for all.
            seconds: emulated time for which it holds; None for ever.

        Returns:
            The rule's number, for `allow_allocation`.
        """
        answer = self._order(
            "fail_allocation",
            code=code,
            message=message,
            pool=pool,
            kind=kind,
            grant=grant,
            times=times,
            seconds=seconds,
        )
        number: int = answer["id"]
        return number

    def allow_allocation(self, rule: int | None = None) -> None:
        """Take one `fail_allocation` back, or all."""
        self._order("allow_allocation", id=rule)

    def throttle(
        self, fraction: float = 1.0, *, seed: int = 0, status: int = 503, retry_after: float = 1.0, **where: Any
    ) -> int:
        """Answer a fraction of the calls with 429 or 503 and `Retry-After` (seconds). See `fault` for `where`."""
        return self.fault("throttle", fraction=fraction, seed=seed, status=status, retry_after=retry_after, **where)

    def error(
        self,
        fraction: float = 1.0,
        *,
        seed: int = 0,
        when: str = "before",
        status: int = 500,
        code: str = "InternalError",
        **where: Any,
    ) -> int:
        """Answer a fraction of the calls with an error, before or after their effect. See `fault`."""
        return self.fault("error", fraction=fraction, seed=seed, when=when, status=status, code=code, **where)

    def drop(self, fraction: float = 1.0, *, seed: int = 0, when: str = "before", **where: Any) -> int:
        """Cut the connection of a fraction of the calls, before or after their effect. See `fault`."""
        return self.fault("drop", fraction=fraction, seed=seed, when=when, **where)

    def break_responses(self, fraction: float = 1.0, *, seed: int = 0, **where: Any) -> int:
        """Send half of the response of a fraction of the calls, after their effect. See `fault`."""
        return self.fault("break", fraction=fraction, seed=seed, **where)

    def delay(self, seconds: float, fraction: float = 1.0, *, seed: int = 0, when: str = "before", **where: Any) -> int:
        """Let a fraction of the calls wait for real seconds, before or after their effect. See `fault`."""
        return self.fault("delay", seconds=seconds, fraction=fraction, seed=seed, when=when, **where)

    def fail_tasks_in_collections(self, fraction: float = 1.0, *, seed: int = 0, **where: Any) -> int:
        """Refuse a fraction of the tasks of added collections with `servererror`. See `fault`."""
        return self.fault("collection", fraction=fraction, seed=seed, **where)

    def fault(
        self,
        kind: str,
        *,
        operations: Sequence[str] = (),
        path: str | None = None,
        skip: int = 0,
        times: int | None = None,
        **more: Any,
    ) -> int:
        """Add a rule by which calls fail.

        Args:
            kind: see `faults.KINDS`.
            operations: names of operations as in the Python SDK (`create_task_collection`, `delete_pool`).
            path: regular expression that the path must contain.
            skip: matching calls that pass first.
            times: hits after which the rule is spent.

        Returns:
            The rule's number, for `clear_faults`.
        """
        answer = self._order("fault", kind=kind, operations=list(operations), path=path, skip=skip, times=times, **more)
        number: int = answer["id"]
        return number

    def faults(self) -> list[Json]:
        """The rules in force, with their hits."""
        found: list[Json] = self._get("faults")["faults"]
        return found

    def clear_faults(self, rule: int | None = None) -> None:
        """Take one rule back, or all."""
        self._order("clear_faults", id=rule)

    def advance(self, seconds: float) -> str:
        """Move the emulated time forward; every timer on the way fires in order. Returns the new time."""
        time: str = self._order("advance", seconds=seconds)["time"]
        return time

    def calls(self) -> Json:
        """`{"total", "operations": {name: {answer: count}}}` of all calls since the start or the last reset."""
        return self._get("calls")

    def reset_calls(self) -> None:
        self._order("reset_calls")

    def state(self) -> Json:
        """`{"time", "pools", "jobs", "schedules"}`: what there is, at a glance."""
        return self._get("state")

    def nodes(self, pool: str | None = None, state: str | None = None) -> list[str]:
        """Ids of the nodes of a pool (of all), perhaps only those in a state."""
        return [
            node_id
            for pool_id, found in self.state()["pools"].items()
            if pool is None or pool.lower() == pool_id.lower()
            for node_id, node in found["nodes"].items()
            if state is None or node["state"] == state
        ]

    def _get(self, name: str) -> Json:
        return self._ask("GET", name, None)

    def _order(self, name: str, **content: Any) -> Json:
        given = {key: value for key, value in content.items() if value is not None}
        return self._ask("POST", name, given)

    def _ask(self, method: str, name: str, content: Json | None) -> Json:
        link = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)
        try:
            body = None if content is None else json.dumps(content)
            link.request(method, f"/_control/{name}", body, {"x-emulator-key": self._key})
            response = link.getresponse()
            answer: Json = json.loads(response.read())
        finally:
            link.close()
        if response.status != 200:
            raise ControlError(answer["error"])
        return answer
