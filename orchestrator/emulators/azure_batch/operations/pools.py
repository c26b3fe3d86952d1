"""Operations on pools."""

from __future__ import annotations

from ..account import Account
from ..allocation import read_timeout
from ..errors import BatchFault, invalid_property, invalid_query
from ..nodes import Node
from ..odata import EQUAL, Property, expands_stats, one_page, parse_filter, project, selected
from ..pools import Pool, check_applications, check_machine, check_metadata
from ..protocol import Call, Json, Reply, changed, check_conditions, json_reply, version_headers
from ..routing import operation
from ..timefmt import iso, parse_iso

_MAX_REMOVED = 100

_PROPERTIES = [
    "id",
    "displayName",
    "url",
    "eTag",
    "lastModified",
    "creationTime",
    "state",
    "stateTransitionTime",
    "allocationState",
    "allocationStateTransitionTime",
    "vmSize",
    "virtualMachineConfiguration",
    "resizeTimeout",
    "resizeErrors",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
    "targetDedicatedNodes",
    "targetLowPriorityNodes",
    "enableAutoScale",
    "autoScaleFormula",
    "autoScaleEvaluationInterval",
    "autoScaleRun",
    "enableInterNodeCommunication",
    "networkConfiguration",
    "startTask",
    "applicationPackageReferences",
    "taskSlotsPerNode",
    "taskSchedulingPolicy",
    "userAccounts",
    "metadata",
    "stats",
    "mountConfiguration",
    "identity",
    "upgradePolicy",
]

_FILTERS: dict[str, Property[Pool]] = {
    "id": Property("str", lambda pool: pool.id, prefix=True),
    "state": Property("str", lambda pool: pool.state, EQUAL),
    "stateTransitionTime": Property("time", lambda pool: pool.state_time),
    "allocationState": Property("str", lambda pool: pool.allocation.state, EQUAL),
    "allocationStateTransitionTime": Property("time", lambda pool: pool.allocation.state_time),
    "creationTime": Property("time", lambda pool: pool.created),
    "lastModified": Property("time", lambda pool: pool.modified),
    "enableAutoScale": Property("bool", lambda pool: pool.autoscaling.enabled, EQUAL),
    "vmSize": Property("str", lambda pool: pool.spec["vmSize"].lower(), EQUAL),
    "enableInterNodeCommunication": Property(
        "bool", lambda pool: bool(pool.spec.get("enableInterNodeCommunication", False)), EQUAL
    ),
}
_USAGE_FILTERS: dict[str, Property[Pool]] = {"poolId": Property("str", lambda pool: pool.id, prefix=True)}


def _pool(account: Account, call: Call) -> Pool:
    pool = account.find_pool(call.parameters["poolId"])
    check_conditions(call, pool)
    return pool


def _active_pool(account: Account, call: Call) -> Pool:
    pool = _pool(account, call)
    pool.require_active()
    return pool


@operation("POST", "/pools", "BatchPoolCreateOptions")
def create_pool(account: Account, call: Call) -> Reply:
    pool = account.add_pool(call.content)
    return changed(pool, pool.url, 201)


@operation("GET", "/pools")
def list_pools(account: Account, call: Call) -> Reply:
    condition = parse_filter(call, _FILTERS)
    names = selected(call, _PROPERTIES)
    stats = expands_stats(call)
    pools = sorted(account.pools.items())
    return json_reply(one_page(call, "pools", pools, lambda pool: project(pool.json(stats=stats), names), condition))


@operation("GET", "/pools/{poolId}")
def get_pool(account: Account, call: Call) -> Reply:
    pool = _pool(account, call)
    body = project(pool.json(stats=expands_stats(call)), selected(call, _PROPERTIES))
    metadata = {"odata.metadata": f"{call.endpoint}/$metadata#pools/@Element"}
    return json_reply({**metadata, **body}, headers=version_headers(pool))


@operation("HEAD", "/pools/{poolId}")
def pool_exists(account: Account, call: Call) -> Reply:
    return Reply(200, headers=version_headers(_pool(account, call)))


@operation("DELETE", "/pools/{poolId}")
def delete_pool(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    pool.delete()
    return Reply(202)


@operation("PATCH", "/pools/{poolId}", "BatchPoolUpdateOptions")
def update_pool(account: Account, call: Call) -> Reply:
    """Replace the properties that are given."""
    pool = _active_pool(account, call)
    only_without_nodes = {
        "vmSize",
        "virtualMachineConfiguration",
        "taskSlotsPerNode",
        "enableInterNodeCommunication",
        "networkConfiguration",
        "mountConfiguration",
        "userAccounts",
    }
    forbidden = sorted(only_without_nodes & call.content.keys())
    if pool.nodes and forbidden:
        raise invalid_property(forbidden[0], call.content[forbidden[0]], "cannot be changed while there are nodes")
    spec = {**pool.spec, **call.content}
    check_machine(spec)
    pool.change(spec)
    return changed(pool, pool.url)


@operation("POST", "/pools/{poolId}/updateproperties", "BatchPoolReplaceOptions")
def replace_pool_properties(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    check_metadata(call.content)
    check_applications(call.content)
    spec = {name: value for name, value in pool.spec.items() if name not in ("startTask", "metadata")}
    pool.change({**spec, **call.content})
    return changed(pool, pool.url, 204)


@operation("POST", "/pools/{poolId}/disableautoscale")
def disable_pool_auto_scale(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    pool.autoscaling.disable()
    pool.touch()
    return changed(pool, pool.url)


@operation("POST", "/pools/{poolId}/enableautoscale", "BatchPoolEnableAutoScaleOptions")
def enable_pool_auto_scale(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    pool.allocation.require_steady()
    pool.autoscaling.enable(call.content)
    pool.touch()
    return changed(pool, pool.url)


@operation("POST", "/pools/{poolId}/evaluateautoscale", "BatchPoolEvaluateAutoScaleOptions")
def evaluate_pool_auto_scale(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    if not pool.autoscaling.enabled:
        raise BatchFault("OperationInvalidForCurrentState", "automatic scaling is not enabled on the pool")
    run = pool.autoscaling.evaluate(call.content["autoScaleFormula"])
    return json_reply(run, headers={**version_headers(pool), "DataServiceId": pool.url})


@operation("POST", "/pools/{poolId}/resize", "BatchPoolResizeOptions")
def resize_pool(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    if pool.autoscaling.enabled:
        raise BatchFault("OperationInvalidForCurrentState", "automatic scaling is enabled on the pool")
    pool.allocation.require_steady()
    targets = {name: call.content.get(name) for name in ("targetDedicatedNodes", "targetLowPriorityNodes")}
    if not any(target is not None for target in targets.values()):
        raise BatchFault("MissingRequiredProperty", values={"PropertyName": "targetDedicatedNodes"})
    for name, target in targets.items():
        if target is not None and target < 0:
            raise invalid_property(name, target, "must not be negative")
    dedicated, low_priority = targets["targetDedicatedNodes"], targets["targetLowPriorityNodes"]
    timeout = read_timeout(call.content) if "resizeTimeout" in call.content else None
    pool.touch()
    pool.allocation.resize(
        pool.allocation.target_dedicated if dedicated is None else dedicated,
        pool.allocation.target_low_priority if low_priority is None else low_priority,
        call.content.get("nodeDeallocationOption", "requeue"),
        timeout,
    )
    return changed(pool, pool.url, 202)


@operation("POST", "/pools/{poolId}/stopresize")
def stop_pool_resize(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    if pool.allocation.state != "resizing":
        raise BatchFault("OperationInvalidForCurrentState", "the pool is not being resized")
    pool.touch()
    pool.allocation.stop()
    return changed(pool, pool.url, 202)


@operation("POST", "/pools/{poolId}/removenodes", "BatchNodeRemoveOptions")
def remove_nodes(account: Account, call: Call) -> Reply:
    pool = _active_pool(account, call)
    pool.allocation.require_steady()
    wanted: list[str] = call.content["nodeList"]
    if not 1 <= len(wanted) <= _MAX_REMOVED:
        raise invalid_property("nodeList", len(wanted), f"must have 1 to {_MAX_REMOVED} nodes")
    nodes: list[Node] = [pool.find_node(node_id) for node_id in dict.fromkeys(wanted)]
    timeout = read_timeout(call.content) if "resizeTimeout" in call.content else None
    pool.touch()
    pool.allocation.remove(nodes, call.content.get("nodeDeallocationOption", "requeue"), timeout)
    return changed(pool, pool.url, 202)


@operation("GET", "/poolusagemetrics")
def list_pool_usage_metrics(account: Account, call: Call) -> Reply:
    """One interval a pool, from its making until now: nothing is aggregated here by the half hour."""
    condition = parse_filter(call, _USAGE_FILTERS)
    for name in ("startTime", "endtime"):
        if name in call.query:
            try:
                parse_iso(call.query[name])
            except ValueError as problem:
                raise invalid_query(name, call.query[name], str(problem)) from problem
    now = account.clock.now()

    def usage(pool: Pool) -> Json:
        return {
            "poolId": pool.id,
            "startTime": iso(pool.created),
            "endTime": iso(now),
            "vmSize": pool.spec["vmSize"].lower(),
            "totalCoreHours": pool.core_hours(),
        }

    return json_reply(one_page(call, "poolusagemetrics", sorted(account.pools.items()), usage, condition))
