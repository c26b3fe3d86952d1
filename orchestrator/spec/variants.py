"""``matrix``: one sweep in several variants, each a partial spec laid over the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.spec.model import Spec

# Of these only one can be given, so setting one takes an inherited other away.
_ALTERNATIVES = {"command": "notebook", "notebook": "command"}

# Where null is a value, or a mistake to be named, and not the wish for the default.
_NULL_MATTERS = {("parameters",), ("matrix",), ("workload", "env"), ("workload", "metrics")}


def without_nulls(data: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """A key whose value is null is left out, so that its default holds."""
    return {
        key: without_nulls(value, (*path, key))
        if isinstance(value, dict) and (*path, key) not in _NULL_MATTERS
        else value
        for key, value in data.items()
        if value is not None
    }


def overlaid(base: Mapping[str, Any], entry: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The spec of one entry: mappings are merged, everything else is replaced, null restores the default.

    A parameter is replaced as a whole, because half of one kind and half of another is neither.  ``number``
    counts from 1; it names an entry that has no name of its own.
    """
    merged = _merged({key: value for key, value in base.items() if key != "matrix"}, entry)
    if "name" in base:
        own = entry.get("name")
        merged["name"] = f"{base['name']}-{number if own is None else own}"
    if isinstance(base.get("parameters"), Mapping) and isinstance(entry.get("parameters"), Mapping):
        merged["parameters"] = {**base["parameters"], **entry["parameters"]}
    if isinstance(entry.get("workload"), Mapping) and isinstance(merged.get("workload"), dict):
        for given, other in _ALTERNATIVES.items():
            if entry["workload"].get(given) is not None and other not in entry["workload"]:
                merged["workload"].pop(other, None)
    return without_nulls(merged)


def _merged(base: Any, over: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in over.items()}}


def expand(spec: Spec) -> list[Spec]:
    """The sweeps that a spec stands for: itself, or one for each entry of its matrix."""
    if spec.matrix is None:
        return [spec]
    base = spec.model_dump(mode="json", exclude_unset=True)
    return [Spec.model_validate(overlaid(base, entry, number)) for number, entry in enumerate(spec.matrix, start=1)]
