"""The dead-man switch: the formula by which the service itself sizes a pool, whoever is still alive.  Pure.

The language is described in Microsoft's "Create a formula to automatically scale compute nodes in a Batch pool".  The
service evaluates a pool's formula at its creation and then every EVALUATION seconds, five minutes being the shortest
it takes; samples are taken every 30 seconds and arrive about a minute late.  So a pool whose client was killed costs
at most the idle time and one evaluation more, and nothing after its lease.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

# Seconds between two evaluations; the service's minimum.
EVALUATION = 300
# How long a new pool keeps the nodes that it was made for, in seconds: past its first evaluation, before its second.
YOUNG = EVALUATION - 60
# Seconds of samples that the present need is taken from.
RECENT = 180


def formula(
    *,
    created: float,
    lease_until: float,
    idle_timeout: float,
    slots_per_node: int,
    first_nodes: int,
    max_nodes: int,
    spot: bool,
    on_demand_fallback: bool,
    together: int = 1,
) -> str:
    """The text of the formula.

    Times are Unix seconds, ``idle_timeout`` seconds.  A new pool gets ``first_nodes`` at once, since its tasks are only
    about to be added.  Then it follows the pending tasks, queued and running, counted in slots; it keeps one node
    while there was work within the idle time, and none after that or after the lease.  With ``on_demand_fallback``
    dedicated nodes stand in for as many spot nodes as are preempted.

    Where a task takes several nodes ``together`` (and nodes have one slot), nodes come and stay in that number.

    Each choice stands alone in its statement, as in all examples of the service's: whether it takes others is not told.

    A target that stays the same starts no resize, even where the last one failed for want of machines.  So a pool that
    has fewer nodes than its target is asked for what it has, and by the next evaluation for all again.
    """
    idle = max(math.ceil(idle_timeout), 60)
    main, other = ("LowPriority", "Dedicated") if spot else ("Dedicated", "LowPriority")
    lines = [
        f'alive = time() < time("{_stamp(lease_until)}");',
        f'young = time() < time("{_stamp(created + YOUNG)}");',
        f"idle = {idle} * TimeInterval_Second;",
        f"recent = {RECENT} * TimeInterval_Second;",
        f"coming = young ? {first_nodes * slots_per_node} : 0;",
        f"busy = {_highest('idle', together)} : 0;",
        "worked = max(coming, busy);",
        f"now = {_highest('recent', together)} : worked;",
        "pending = max(coming, now);",
        f"wanted = (pending + {slots_per_node - 1}) / {slots_per_node};",
        f"kept = worked > 0 ? {together} : 0;",
        # A number of nodes is cut to a whole one by the service, so what is short of one is none.
        f"nodes = alive ? min({max_nodes}, max(wanted, kept)) : 0;",
    ]
    lines += [
        f"asked = $Target{main}Nodes > nodes - 1 && $Target{main}Nodes <= nodes;",
        f"short = asked && $Current{main}Nodes < $Target{main}Nodes;",
        f"$Target{main}Nodes = short ? $Current{main}Nodes : nodes;",
    ]
    if spot and on_demand_fallback:
        lines += [
            "gone = $PreemptedNodeCount.GetSamplePercent(recent) > 0 ? max($PreemptedNodeCount.GetSample(recent)) : 0;",
            f"$Target{other}Nodes = min(nodes, gone);",
        ]
    else:
        lines.append(f"$Target{other}Nodes = 0;")
    lines.append("$NodeDeallocationOption = taskcompletion;")
    return "\n".join(lines) + "\n"


def _highest(span: str, together: int) -> str:
    """The most slots that pending tasks wanted in the samples of a time, where there are any."""
    if together == 1:
        return f"$PendingTasks.GetSamplePercent({span}) > 0 ? max($PendingTasks.GetSample({span}))"
    # A task of several nodes counts as that many while it is active, and as one while it runs.  One that began within
    # the time is seen in both: a pool that shrinks may do so an evaluation later, and none is too small.
    return (
        f"$ActiveTasks.GetSamplePercent({span}) > 0 && $RunningTasks.GetSamplePercent({span}) > 0"
        f" ? max($ActiveTasks.GetSample({span})) + {together} * max($RunningTasks.GetSample({span}))"
    )


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
