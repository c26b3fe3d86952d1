"""Operations of the account: images, node counts, applications."""

from __future__ import annotations

from ..account import Account
from ..errors import BatchFault
from ..images import supported_images
from ..odata import EQUAL, Property, one_page, parse_filter
from ..pools import Pool
from ..protocol import Call, Json, Reply, json_reply
from ..routing import operation

_IMAGE_FILTERS: dict[str, Property[Json]] = {
    "osType": Property("str", lambda image: image["osType"], EQUAL),
    "verificationType": Property("str", lambda image: image["verificationType"], EQUAL),
    "nodeAgentSKUId": Property("str", lambda image: image["nodeAgentSKUId"], EQUAL),
}
_COUNT_FILTERS: dict[str, Property[Pool]] = {"poolId": Property("str", lambda pool: pool.id, frozenset({"eq"}))}
# The counts' names where they differ from the states'.
_COUNT_NAMES = {
    "starttaskfailed": "startTaskFailed",
    "leavingpool": "leavingPool",
    "waitingforstarttask": "waitingForStartTask",
    "upgradingos": "upgradingOS",
}
_STATES = [
    "creating",
    "idle",
    "offline",
    "preempted",
    "rebooting",
    "reimaging",
    "running",
    "starting",
    "starttaskfailed",
    "leavingpool",
    "unknown",
    "unusable",
    "waitingforstarttask",
    "deallocated",
    "deallocating",
    "upgradingos",
]


@operation("GET", "/supportedimages")
def list_supported_images(account: Account, call: Call) -> Reply:
    condition = parse_filter(call, _IMAGE_FILTERS)
    images = ((f"{number:04d}", image) for number, image in enumerate(supported_images()))
    return json_reply(one_page(call, "supportedimages", images, lambda image: image, condition))


@operation("GET", "/nodecounts")
def list_pool_node_counts(account: Account, call: Call) -> Reply:
    condition = parse_filter(call, _COUNT_FILTERS)
    pools = sorted(account.pools.items())
    return json_reply(one_page(call, "poolnodecounts", pools, _node_counts, condition))


def _node_counts(pool: Pool) -> Json:
    counts: dict[bool, dict[str, int]] = {
        kind: {_COUNT_NAMES.get(state, state): 0 for state in _STATES} for kind in (True, False)
    }
    for node in pool.nodes.values():
        counts[node.dedicated][_COUNT_NAMES.get(node.state, node.state)] += 1
    return {
        "poolId": pool.id,
        "dedicated": {**counts[True], "total": sum(counts[True].values())},
        "lowPriority": {**counts[False], "total": sum(counts[False].values())},
    }


@operation("GET", "/applications")
def list_applications(account: Account, call: Call) -> Reply:
    return json_reply(one_page(call, "applications", list[tuple[str, Json]](), lambda each: each))


@operation("GET", "/applications/{applicationId}")
def get_application(account: Account, call: Call) -> Reply:
    raise BatchFault("ApplicationNotFound")
