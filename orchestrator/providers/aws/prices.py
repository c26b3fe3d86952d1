"""What spot machines cost now, as EC2 itself tells it: the table of sizes has but what they usually do.

A spending limit must not be passed, so what is not known is left out, and such a machine is counted at what it costs on
demand: without another wish, Batch never pays more for a spot machine (``bidPercentage``, which is 100 by default).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.errors import ProviderError
from orchestrator.providers.aws.client import Aws

# Seconds between two questions, which is how long an answer is believed.
EVERY = 600.0
# Seconds of history that are asked for, of which the highest price counts: a machine pays through an hour what was the
# price at its beginning.
HISTORY = 3600.0
# Linux in a network of one's own; which of the two names an account's prices have depends on its age.
PRODUCTS = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")

Prices = Mapping[tuple[str, str], float]


class SpotPrices:
    """By size and zone, in US$ an hour.  One question (mostly one call) in ten minutes; none without a spot machine.

    A refusal is an answer like others: nothing is known, and nothing is asked, until the next question's time.
    """

    def __init__(self, aws: Aws, now: Callable[[], float] = time.time) -> None:
        self._aws, self._now = aws, now
        self._asked: float | None = None
        self._known: dict[tuple[str, str], float] = {}

    def of(self, machines: Iterable[Mapping[str, Any]]) -> Prices:
        """For these machines, as ``describe_instances`` tells of them."""
        sizes = sorted({machine["InstanceType"] for machine in machines if machine.get("InstanceLifecycle") == "spot"})
        now = self._now()
        if sizes and (self._asked is None or not 0 <= now - self._asked < EVERY):
            self._asked = now
            try:
                self._known = self._ask(sizes, now)
            except ProviderError:
                self._known = {}
        return self._known

    def _ask(self, sizes: list[str], now: float) -> dict[tuple[str, str], float]:
        """In every zone of the region: where the next machine of these sizes will be is not known."""
        since = datetime.fromtimestamp(now - HISTORY, UTC)
        asked: dict[str, Any] = {"InstanceTypes": sizes, "ProductDescriptions": list(PRODUCTS), "StartTime": since}
        found: dict[tuple[str, str], float] = {}
        # Once: the next question is not far.
        for told in self._aws.pages("ec2", "describe_spot_price_history", "SpotPriceHistory", once=True, **asked):
            where = (told["InstanceType"], told["AvailabilityZone"])
            found[where] = max(float(told["SpotPrice"]), found.get(where, 0.0))
        return found
