"""Python values to the tree that YAML gives, so that both ways into a spec meet the same checks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from orchestrator.spec.problems import Problem
from orchestrator.spec.source import DEEPEST, LARGEST_TREE, Node, Place, Unreadable


def tree_of(data: Any, label: str) -> Node:
    """The tree of a mapping of mappings, lists and scalars; ``label`` is the place of everything in it.

    Beside plain values it takes tuples, ranges, paths, time spans, numpy's numbers and arrays, and the models of
    this package.  Raises Unreadable for anything else.
    """
    return _Reader(Place(label)).node(data, ())


class _Reader:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.count = 0

    def node(self, value: Any, path: tuple[str, ...]) -> Node:
        self.count += 1
        if self.count > LARGEST_TREE:
            raise self.refuse(path, f"holds more than {LARGEST_TREE:,} values")
        if len(path) > DEEPEST:
            raise self.refuse(path[:5], f"is nested more than {DEEPEST} deep, or holds itself")
        value = self.plain(value, path)
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise self.refuse(path, f"has the key {key!r}, which is no text")
            children = {str(key): self.node(child, (*path, key)) for key, child in value.items()}
            return Node(children, self.place, dict.fromkeys(children, self.place))
        if isinstance(value, list | tuple):
            return Node([self.node(child, (*path, str(n))) for n, child in enumerate(value)], self.place)
        return Node(value, self.place)

    def plain(self, value: Any, path: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, bool | Mapping | list | tuple):
            return value
        # Subclasses (numpy's float64, enumerations) become the plain type.
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json", exclude_unset=True)
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, range):
            return {"range": [value.start, value.stop, value.step]}
        to_list = getattr(value, "tolist", None)
        if callable(to_list) and not isinstance(value, type):
            return self.plain(to_list(), path)
        raise self.refuse(path, f"cannot be a {type(value).__name__}")

    def refuse(self, path: tuple[str, ...], message: str) -> Unreadable:
        return Unreadable(Problem(self.place.file, None, None, ".".join(path), message))
