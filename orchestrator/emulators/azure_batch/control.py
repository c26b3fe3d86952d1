"""The control API: what a test does to the service behind the client's back.

`POST /_control/ORDER` with a JSON object; `GET /_control/state`, `/_control/calls`, `/_control/faults`. Every request
carries the account's key in the header `x-emulator-key`: ordinary calls need a signature, so these are no back door.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from .account import Account
from .calls import Calls
from .capacity import AllocationRule
from .errors import BatchFault
from .nodes import Node
from .pools import Pool
from .protocol import Call, Json, Reply, json_reply
from .timefmt import SECOND, iso, parse_iso

Order = Callable[[Json], Json]


class _Refused(Exception):
    """An order that cannot be carried out."""


class Control:
    """Carries out orders."""

    def __init__(self, account: Account, calls: Calls) -> None:
        self._account = account
        self._calls = calls
        self._orders: dict[tuple[str, str], Order] = {
            ("GET", "state"): self._state,
            ("GET", "calls"): lambda _: self._calls.json(),
            ("GET", "faults"): lambda _: {"faults": self._account.faults.json()},
            ("POST", "reset_calls"): self._reset_calls,
            ("POST", "preempt"): self._preempt,
            ("POST", "restore"): self._restore,
            ("POST", "make_unusable"): self._make_unusable,
            ("POST", "fail_allocation"): self._fail_allocation,
            ("POST", "allow_allocation"): self._allow_allocation,
            ("POST", "fault"): self._fault,
            ("POST", "clear_faults"): self._clear_faults,
            ("POST", "advance"): self._advance,
        }

    async def answer(self, call: Call) -> Reply:
        given = call.headers.get("x-emulator-key", "")
        if not hmac.compare_digest(given.encode(), self._account.settings.key.encode()):
            return json_reply({"error": "the header x-emulator-key must carry the account's key"}, 403)
        order = self._orders.get((call.method, "/".join(call.segments[1:])))
        if order is None:
            known = sorted(f"{method} /_control/{name}" for method, name in self._orders)
            return json_reply({"error": "no such order; these are: " + ", ".join(known)}, 404)
        try:
            content = json.loads(call.body) if call.body.strip() else {}
            if not isinstance(content, dict):
                raise _Refused("the body must be a JSON object")
            return json_reply(order(content))
        except BatchFault as problem:
            return json_reply({"error": str(problem)}, 404)
        except (_Refused, ValueError, TypeError, KeyError) as problem:
            return json_reply({"error": f"{type(problem).__name__.lstrip('_')}: {problem}"}, 400)

    def _node(self, content: Json) -> Node:
        node_id = content["node"]
        for pool in self._account.pools.values():
            if node_id in pool.nodes:
                return pool.nodes[node_id]
        raise BatchFault("NodeNotFound", f"there is no node {node_id!r}")

    def _state(self, _: Json) -> Json:
        account = self._account
        return {
            "time": iso(account.clock.now()),
            "pools": {pool.id: _pool_state(pool) for pool in account.pools.values()},
            "jobs": {job.id: {"state": job.state, "tasks": len(job.index)} for job in account.jobs.values()},
            "schedules": {schedule.id: schedule.state for schedule in account.schedules.values()},
        }

    def _reset_calls(self, _: Json) -> Json:
        self._calls.reset()
        return {}

    def _preempt(self, content: Json) -> Json:
        node = self._node(content)
        if node.dedicated:
            raise _Refused("only spot nodes are preempted; make_unusable takes any")
        if node.state in ("preempted", "leavingpool"):
            raise _Refused(f"the node is {node.state}")
        seconds = content.get("restore_after")
        node.preempt(None if seconds is None else float(seconds))
        return {}

    def _restore(self, content: Json) -> Json:
        node = self._node(content)
        if node.state != "preempted":
            raise _Refused(f"the node is {node.state}, not preempted")
        node.restore()
        return {}

    def _make_unusable(self, content: Json) -> Json:
        node = self._node(content)
        code = content.get("code", "NodeUnusable")
        message = content.get("message", "The node stopped answering")
        node.make_unusable(
            [{"code": code, "message": message, "errorDetails": []}], requeue=content.get("requeue", True)
        )
        return {}

    def _fail_allocation(self, content: Json) -> Json:
        seconds = content.pop("seconds", None)
        until = None
        if seconds is not None:
            until = self._account.clock.now() + round(float(seconds) * SECOND)
        kind = content.get("kind", "both")
        if kind not in ("both", "dedicated", "spot"):
            raise _Refused("kind must be both, dedicated or spot")
        rule: AllocationRule = self._account.capacity.fail(**content, until=until)
        return {"id": rule.id}

    def _allow_allocation(self, content: Json) -> Json:
        rule_id = content.get("id")
        rules = self._account.capacity.rules
        rules[:] = [rule for rule in rules if rule_id is not None and rule.id != rule_id]
        return {}

    def _fault(self, content: Json) -> Json:
        known = {
            name: content.pop(name)
            for name in list(content)
            if name
            in (
                [
                    "kind",
                    "fraction",
                    "seed",
                    "when",
                    "operations",
                    "path",
                    "status",
                    "code",
                    "retry_after",
                    "seconds",
                    "skip",
                    "times",
                ]
            )
        }
        if content:
            raise _Refused(f"unknown: {', '.join(sorted(content))}")
        if known.get("code") is not None:
            BatchFault(known["code"])  # Raises KeyError where there is no such code.
        return self._account.faults.add(**known).json()

    def _clear_faults(self, content: Json) -> Json:
        self._account.faults.remove(content.get("id"))
        return {}

    def _advance(self, content: Json) -> Json:
        clock = self._account.clock
        if "to" in content:
            seconds = (parse_iso(content["to"]) - clock.now()) / SECOND
        else:
            seconds = float(content["seconds"])
        return {"time": iso(clock.advance(seconds))}


def _pool_state(pool: Pool) -> dict[str, Any]:
    return {
        "state": pool.state,
        "allocation": pool.allocation.state,
        "nodes": {
            node.id: {
                "state": node.state,
                "dedicated": node.dedicated,
                "tasks": [f"{each.task.job.id}/{each.task.id}" for each in node.attempts],
            }
            for node in pool.nodes.values()
        },
    }
