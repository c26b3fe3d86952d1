"""``--set a.b=value``: one value of a spec, replaced from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.spec.problems import Problem, describe, shortened
from orchestrator.spec.source import Node, Place, Unreadable, read_yaml

_PRIVATE = {"env", "secrets", "storage", "inputs"}


def apply(root: Node, overrides: Sequence[str], problems: list[Problem]) -> Node:
    """The tree with every override in its place; what cannot be placed is added to ``problems``."""
    for override in overrides:
        label = _label(override)
        key, found, text = override.partition("=")
        path = [step.strip() for step in key.split(".")]
        if not found or not all(path):
            problems.append(Problem(label, None, None, "", "is no override", "write --set limits.parallel=4"))
            continue
        try:
            value, more = read_yaml(text, label, positions=False)
        except Unreadable as error:
            hint = "put the value in quotes, and these in quotes for your shell"
            problems.append(replace(error.problem, path=key, hint=hint))
            continue
        problems += more
        try:
            root = _entries_without(_put(root, path, value, []), path)
        except Unreadable as error:
            problems.append(error.problem)
    return root


def _label(override: str) -> str:
    key = override.partition("=")[0]
    # What is given here may be what nobody should read over a shoulder.
    private = not _PRIVATE.isdisjoint(key.split("."))
    shown = f"{key}=..." if private or len(override) > 60 else override
    return f"--set {shortened(shown, 80)}"


def _put(node: Node, path: list[str], value: Node, done: list[str]) -> Node:
    """A copy of the tree with ``value`` at ``path``; trees that aliases share stay as they are."""
    if not path:
        return value
    step, rest, here = path[0], path[1:], [*done, path[0]]
    if node.value is None:
        node = Node({}, value.place)
    if isinstance(node.value, list):
        if not step.isdecimal() or int(step) >= len(node.value):
            many = f"has the entries 0 to {len(node.value) - 1}" if node.value else "is empty"
            raise _misplaced(value.place, done, f"is a list and {many}; '{step}' is none of them")
        items = list(node.value)
        items[int(step)] = _put(items[int(step)], rest, value, here)
        return replace(node, value=items)
    if not isinstance(node.value, dict):
        raise _misplaced(value.place, done, f"is {describe(node.value)}, which has no '{step}'")
    old = node.value.get(step, Node(None, value.place))
    children = {**node.value, step: _put(old, rest, value, here)}
    keys = dict(node.keys)
    if not rest or step not in keys:
        keys[step] = value.place
    return replace(node, value=children, keys=keys)


def _misplaced(place: Place, path: list[str], message: str) -> Unreadable:
    return Unreadable(Problem(place.file, None, None, ".".join(path), message))


def _entries_without(root: Node, path: list[str]) -> Node:
    """The tree whose matrix entries no longer set ``path``: what is said on the command line holds for all."""
    matrix = root.at(("matrix",))
    if path[0] in ("matrix", "name") or matrix is None or not isinstance(matrix.value, list):
        return root
    entries = replace(matrix, value=[_without(entry, path) for entry in matrix.value])
    return replace(root, value={**root.value, "matrix": entries})


def _without(node: Node, path: list[str]) -> Node:
    if not isinstance(node.value, dict) or path[0] not in node.value:
        return node
    if len(path) == 1:
        return replace(node, value={key: child for key, child in node.value.items() if key != path[0]})
    return replace(node, value={**node.value, path[0]: _without(node.value[path[0]], path[1:])})
