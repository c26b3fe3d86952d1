"""Which nodes can be had: core quotas, and allocations that were told to fail."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .protocol import Json
from .timefmt import Micros

if TYPE_CHECKING:
    from .account import Account
    from .pools import Pool

MESSAGES = {
    "AllocationFailed": "Desired number of dedicated nodes could not be allocated",
    "AllocationTimedOut": "Desired number of nodes could not be allocated within the resize timeout",
    "AccountCoreQuotaReached": "The specified account has reached core quota",
    "AccountLowPriorityCoreQuotaReached": "The specified account has reached low priority core quota",
    "AccountVMSeriesCoreQuotaReached": "The specified account has reached VM series core quota for "
    "the specified region",
    "AccountSpotCoreQuotaReached": "The specified account has reached spot core quota",
    "OverconstrainedAllocationRequest": "The requested size is not available under the given constraints",
    "UnsupportedVMSize": "The specified VM size is not available in this region",
    "ResizeStopped": "Resize of pool was stopped by the user",
}


@dataclass(slots=True)
class AllocationRule:
    """An order to let allocations fail.

    Args:
        code: the resize error's code.
        pool: only of this pool; None for all.
        kind: `dedicated`, `spot` or `both`.
        grant: nodes that are given all the same, at each attempt.
        times: attempts that fail; None for all until it is taken back.
        until: emulated time until which it holds.
    """

    id: int
    code: str
    message: str
    pool: str | None
    kind: str
    grant: int
    times: int | None
    until: Micros | None

    def holds(self, pool: Pool, dedicated: bool, now: Micros) -> bool:
        return (
            (self.pool is None or self.pool.lower() == pool.id.lower())
            and self.kind in ("both", "dedicated" if dedicated else "spot")
            and self.times != 0
            and (self.until is None or now < self.until)
        )


@dataclass
class Capacity:
    """What the account may have and can get."""

    account: Account
    rules: list[AllocationRule] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def fail(
        self,
        code: str,
        *,
        message: str | None = None,
        pool: str | None = None,
        kind: str = "both",
        grant: int = 0,
        times: int | None = None,
        until: Micros | None = None,
    ) -> AllocationRule:
        rule = AllocationRule(
            next(self._ids),
            code,
            message or MESSAGES.get(code, "The nodes could not be allocated"),
            pool,
            kind,
            grant,
            times,
            until,
        )
        self.rules.append(rule)
        return rule

    def grant(self, pool: Pool, wanted: int, *, dedicated: bool) -> tuple[int, list[Json]]:
        """How many of `wanted` more nodes a pool gets, and the resize errors about the others."""
        now = self.account.clock.now()
        granted, errors = wanted, []
        for rule in self.rules:
            if rule.holds(pool, dedicated, now):
                granted = min(granted, rule.grant)
                errors.append(resize_error(rule.code, rule.message))
                if rule.times is not None:
                    rule.times -= 1
        settings = self.account.settings
        quota = settings.dedicated_core_quota if dedicated else settings.spot_core_quota
        if quota is not None:
            affordable = max(0, quota - self._used_cores(dedicated)) // pool.cores
            if affordable < granted:
                granted = affordable
                code = "AccountCoreQuotaReached" if dedicated else "AccountLowPriorityCoreQuotaReached"
                errors.append(resize_error(code, MESSAGES[code]))
        return granted, errors

    def _used_cores(self, dedicated: bool) -> int:
        return sum(
            pool.cores * sum(node.dedicated == dedicated for node in pool.nodes.values())
            for pool in self.account.pools.values()
        )


def resize_error(code: str, message: str) -> Json:
    return {"code": code, "message": message, "values": [{"name": "Reason", "value": message}]}
