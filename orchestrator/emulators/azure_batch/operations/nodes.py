"""Operations on compute nodes."""

from __future__ import annotations

import uuid

from ..account import Account
from ..blobs import TransferFailed
from ..errors import BatchFault, invalid_property
from ..nodes import Node
from ..odata import EQUAL, Property, Value, one_page, parse_filter, project, selected
from ..protocol import Call, Json, Reply, changed, check_conditions, json_reply, version_headers
from ..routing import operation
from ..timefmt import iso, parse_iso

_PROPERTIES = [
    "id",
    "url",
    "state",
    "schedulingState",
    "stateTransitionTime",
    "lastBootTime",
    "allocationTime",
    "ipAddress",
    "ipv6Address",
    "affinityId",
    "vmSize",
    "totalTasksRun",
    "runningTasksCount",
    "runningTaskSlotsCount",
    "totalTasksSucceeded",
    "recentTasks",
    "startTask",
    "startTaskInfo",
    "errors",
    "isDedicated",
    "endpointConfiguration",
    "nodeAgentInfo",
    "virtualMachineInfo",
]
_EXTENSION_PROPERTIES = ("provisioningState", "vmExtension", "instanceView")


def _start_info(name: str) -> Property[Node]:
    def read(node: Node) -> Value:
        value: Value = (node.start_info or {}).get(name)
        return value

    def read_time(node: Node) -> Value:
        text = (node.start_info or {}).get(name)
        return None if text is None else parse_iso(text)

    if name in ("startTime", "endTime"):
        return Property("time", read_time)
    return Property("int", read) if name == "exitCode" else Property("str", read, EQUAL)


_FILTERS: dict[str, Property[Node]] = {
    "state": Property("str", lambda node: node.state, EQUAL),
    "stateTransitionTime": Property("time", lambda node: node.state_time),
    "lastBootTime": Property("time", lambda node: node.booted),
    "allocationTime": Property("time", lambda node: node.allocated),
    **{f"startTaskInfo/{name}": _start_info(name) for name in ("state", "result", "exitCode", "startTime", "endTime")},
}


def _node(account: Account, call: Call) -> Node:
    node = account.find_pool(call.parameters["poolId"]).find_node(call.parameters["nodeId"])
    check_conditions(call, node)
    return node


@operation("GET", "/pools/{poolId}/nodes")
def list_nodes(account: Account, call: Call) -> Reply:
    pool = account.find_pool(call.parameters["poolId"])
    condition = parse_filter(call, _FILTERS)
    names = selected(call, _PROPERTIES)
    nodes = sorted(pool.nodes.items())
    return json_reply(one_page(call, "nodes", nodes, lambda node: project(node.json(), names), condition))


@operation("GET", "/pools/{poolId}/nodes/{nodeId}")
def get_node(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    metadata = {"odata.metadata": f"{call.endpoint}/$metadata#nodes/@Element"}
    return json_reply({**metadata, **project(node.json(), selected(call, _PROPERTIES))}, headers=version_headers(node))


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/reboot", "BatchNodeRebootOptions", body_optional=True)
def reboot_node(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    node.require("idle", "running")
    node.reboot(call.content.get("nodeRebootOption", "requeue"), reimage=False)
    return changed(node, node.url, 202)


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/reimage", "BatchNodeReimageOptions", body_optional=True)
def reimage_node(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    node.require("idle", "running")
    node.reboot(call.content.get("nodeReimageOption", "requeue"), reimage=True)
    return changed(node, node.url, 202)


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/start")
def start_node(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    node.require("deallocated")
    node.start()
    return changed(node, node.url, 202)


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/deallocate", "BatchNodeDeallocateOptions", body_optional=True)
def deallocate_node(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    node.require("idle", "running")
    node.deallocate(call.content.get("nodeDeallocateOption", "requeue"))
    return changed(node, node.url, 202)


@operation(
    "POST",
    "/pools/{poolId}/nodes/{nodeId}/disablescheduling",
    "BatchNodeDisableSchedulingOptions",
    body_optional=True,
)
def disable_node_scheduling(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    if node.scheduling == "disabled":
        raise BatchFault("NodeAlreadyInTargetSchedulingState")
    node.require("idle", "running")
    node.disable_scheduling(call.content.get("nodeDisableSchedulingOption", "requeue"))
    return changed(node, node.url)


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/enablescheduling")
def enable_node_scheduling(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    if node.scheduling == "enabled":
        raise BatchFault("NodeAlreadyInTargetSchedulingState")
    node.enable_scheduling()
    return changed(node, node.url)


@operation("GET", "/pools/{poolId}/nodes/{nodeId}/remoteloginsettings")
def get_node_remote_login_settings(account: Account, call: Call) -> Reply:
    """Where one would log in; nothing listens there."""
    node = _node(account, call)
    settings = {
        "remoteLoginIPAddress": node.ip,
        "remoteLoginPort": 50000,
        "ipv6RemoteLoginIPAddress": f"::ffff:{node.ip}",
        "ipv6RemoteLoginPort": 50000,
    }
    return json_reply(settings, headers=version_headers(node))


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/uploadbatchservicelogs", "UploadBatchServiceLogsOptions")
async def upload_node_logs(account: Account, call: Call) -> Reply:
    """Store the emulator's own log of the node, which is one file of its states."""
    node = _node(account, call)
    start = parse_iso(call.content["startTime"])
    end = parse_iso(call.content["endTime"]) if "endTime" in call.content else account.clock.now()
    lines = [f"{iso(moment)} {state}\n" for moment, state in node.log if start <= moment <= end]
    folder = f"{node.pool.id}/{node.id}/{uuid.uuid4()}"
    try:
        await account.blobs.put(call.content["containerUrl"], f"{folder}/agent-debug.log", "".join(lines).encode())
    except TransferFailed as problem:
        raise invalid_property("containerUrl", problem.info["code"], problem.info["message"]) from problem
    return json_reply({"virtualDirectoryName": folder, "numberOfFilesUploaded": 1}, headers=version_headers(node))


@operation("POST", "/pools/{poolId}/nodes/{nodeId}/users", "BatchNodeUserCreateOptions")
def create_node_user(account: Account, call: Call) -> Reply:
    """Remember a user; nobody can log in to an emulated node."""
    node = _node(account, call)
    node.require("idle", "running", "offline", "starttaskfailed", "waitingforstarttask")
    name = call.content["name"]
    if name.lower() in node.users:
        raise BatchFault("NodeUserExists")
    node.users[name.lower()] = {"name": name, "expiryTime": call.content.get("expiryTime")}
    return changed(node, f"{node.url}/users/{name}", 201)


@operation("DELETE", "/pools/{poolId}/nodes/{nodeId}/users/{userName}")
def delete_node_user(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    if node.users.pop(call.parameters["userName"].lower(), None) is None:
        raise BatchFault("NodeUserNotFound")
    return Reply(200)


@operation("PUT", "/pools/{poolId}/nodes/{nodeId}/users/{userName}", "BatchNodeUserReplaceOptions")
def replace_node_user(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    user = node.users.get(call.parameters["userName"].lower())
    if user is None:
        raise BatchFault("NodeUserNotFound")
    user["expiryTime"] = call.content.get("expiryTime")
    return changed(node, f"{node.url}/users/{user['name']}")


def _extensions(node: Node) -> list[Json]:
    """The pool's VM extensions, all of them in place; none is really run."""
    machine = node.pool.json().get("virtualMachineConfiguration", {})
    return [
        {
            "provisioningState": "Succeeded",
            "vmExtension": extension,
            "instanceView": {
                "name": extension["name"],
                "statuses": [
                    {
                        "code": "ProvisioningState/succeeded",
                        "displayStatus": "Provisioning succeeded",
                        "level": "Info",
                        "message": "",
                        "time": iso(node.booted),
                    }
                ],
            },
        }
        for extension in machine.get("extensions", [])
    ]


@operation("GET", "/pools/{poolId}/nodes/{nodeId}/extensions")
def list_node_extensions(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    names = selected(call, _EXTENSION_PROPERTIES)
    items = sorted((each["vmExtension"]["name"], each) for each in _extensions(node))
    return json_reply(one_page(call, "extensions", items, lambda each: project(each, names)))


@operation("GET", "/pools/{poolId}/nodes/{nodeId}/extensions/{extensionName}")
def get_node_extension(account: Account, call: Call) -> Reply:
    node = _node(account, call)
    for each in _extensions(node):
        if each["vmExtension"]["name"].lower() == call.parameters["extensionName"].lower():
            return json_reply(project(each, selected(call, _EXTENSION_PROPERTIES)), headers=version_headers(node))
    raise BatchFault("ResourceNotFound", "The node has no such extension.")
