"""Resizing: bringing a pool's nodes to their target numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .capacity import MESSAGES, resize_error
from .clock import Timer
from .errors import BatchFault, invalid_property
from .protocol import Json
from .timefmt import MINUTE, SECOND, Micros, duration, iso, parse_duration

if TYPE_CHECKING:
    from .nodes import Node
    from .pools import Pool

_DEFAULT_TIMEOUT = 15 * MINUTE
_LEAST_TIMEOUT = 5 * MINUTE

# Which nodes go first where a pool shrinks: those that do nothing, then those that do least.
_SHRINK_ORDER = (
    "preempted",
    "unusable",
    "starttaskfailed",
    "deallocated",
    "offline",
    "creating",
    "starting",
    "waitingforstarttask",
    "rebooting",
    "reimaging",
    "idle",
    "running",
)


class Allocation:
    """A pool's target numbers, and the way to them."""

    def __init__(self, pool: Pool, timeout: Micros) -> None:
        self._pool = pool
        self.state = "steady"
        self.state_time: Micros = pool.account.clock.now()
        self.timeout = timeout
        self.target_dedicated = 0
        self.target_low_priority = 0
        self.errors: list[Json] = []
        self._growing: Timer | None = None
        self._patience: Timer | None = None

    def require_steady(self) -> None:
        if self.state != "steady":
            raise BatchFault("PoolBeingResized", f"the pool's allocation state is {self.state}")

    def resize(self, dedicated: int, low_priority: int, option: str, timeout: Micros | None = None) -> None:
        """Set new targets and go for them."""
        self.target_dedicated = dedicated
        self.target_low_priority = low_priority
        if timeout is not None:
            self.timeout = timeout
        self.errors = []
        self._enter("resizing")
        for is_dedicated, target in ((True, dedicated), (False, low_priority)):
            present = self._present(is_dedicated)
            for node in self._first_to_go(present)[: max(0, len(present) - target)]:
                node.leave(option)
        if self._missing(True) > 0 or self._missing(False) > 0:
            wait = self._pool.account.settings.allocation
            if wait > 0:
                self._growing = self._pool.account.clock.after(wait, self._grow)
                self._patience = self._pool.account.clock.after(self.timeout / SECOND, self._give_up)
                return
            self._grow()
        self.check_done()

    def remove(self, nodes: list[Node], option: str, timeout: Micros | None = None) -> None:
        """Take these nodes out; the targets go down with them."""
        if timeout is not None:
            self.timeout = timeout
        self.errors = []
        for node in nodes:
            if node.dedicated:
                self.target_dedicated = max(0, self.target_dedicated - 1)
            else:
                self.target_low_priority = max(0, self.target_low_priority - 1)
        self._enter("resizing")
        for node in nodes:
            node.leave(option)
        self.check_done()

    def stop(self) -> None:
        """Leave it at what there is."""
        self._enter("stopping")
        self._cancel_growth()
        self.target_dedicated = len(self._present(True))
        self.target_low_priority = len(self._present(False))
        self.errors = [resize_error("ResizeStopped", MESSAGES["ResizeStopped"])]
        self.check_done()

    def drop_all(self) -> None:
        """The pool is deleted: everything goes."""
        self._cancel_growth()
        self.target_dedicated = self.target_low_priority = 0
        for node in list(self._pool.nodes.values()):
            node.leave("requeue")

    def check_done(self) -> None:
        """Steady again, where nothing more is on its way."""
        if self.state == "steady" or self._growing is not None:
            return
        if any(node.leaving for node in self._pool.nodes.values()):
            return
        self._enter("steady")

    def _cancel_growth(self) -> None:
        for timer in (self._growing, self._patience):
            if timer is not None:
                timer.cancel()
        self._growing = self._patience = None

    def _give_up(self) -> None:
        """The nodes have not come within the resize timeout."""
        self._cancel_growth()
        self.errors.append(resize_error("AllocationTimedOut", MESSAGES["AllocationTimedOut"]))
        self.check_done()

    def _present(self, dedicated: bool) -> list[Node]:
        return [node for node in self._pool.nodes.values() if node.dedicated == dedicated and not node.leaving]

    def _missing(self, dedicated: bool) -> int:
        target = self.target_dedicated if dedicated else self.target_low_priority
        return target - len(self._present(dedicated))

    def _first_to_go(self, nodes: list[Node]) -> list[Node]:
        order = {state: place for place, state in enumerate(_SHRINK_ORDER)}
        return sorted(nodes, key=lambda node: (order.get(node.state, 0), len(node.attempts), -node.number))

    def _grow(self) -> None:
        self._cancel_growth()
        if self._pool.state == "deleting":
            return
        for dedicated in (True, False):
            missing = self._missing(dedicated)
            if missing > 0:
                granted, errors = self._pool.account.capacity.grant(self._pool, missing, dedicated=dedicated)
                self.errors += errors
                for _ in range(granted):
                    self._pool.add_node(dedicated=dedicated)
        self.check_done()

    def _enter(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.state_time = self._pool.account.clock.now()

    def json(self) -> Json:
        found: Json = {
            "allocationState": self.state,
            "allocationStateTransitionTime": iso(self.state_time),
            "resizeTimeout": duration(self.timeout),
            "currentDedicatedNodes": sum(node.dedicated for node in self._pool.nodes.values()),
            "currentLowPriorityNodes": sum(not node.dedicated for node in self._pool.nodes.values()),
            "targetDedicatedNodes": self.target_dedicated,
            "targetLowPriorityNodes": self.target_low_priority,
        }
        if self.errors:
            found["resizeErrors"] = self.errors
        return found


def read_timeout(spec: Json) -> Micros:
    """`resizeTimeout`, 15 minutes by default.

    Raises:
        BatchFault: it is under five minutes.
    """
    text = spec.get("resizeTimeout")
    if text is None:
        return _DEFAULT_TIMEOUT
    timeout = parse_duration(text)
    if timeout < _LEAST_TIMEOUT:
        raise invalid_property("resizeTimeout", text, "must be at least 5 minutes")
    return timeout
