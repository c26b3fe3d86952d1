"""From plain data to the typed spec, with pydantic's findings in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.spec.model import Input, Limits, Pool, Resources, Retries, Search, Spec, Workload
from orchestrator.spec.parameters import KINDS
from orchestrator.spec.problems import Severity, all_of, describe, did_you_mean, nearest, shortened
from orchestrator.spec.stopping import RULES

Path = tuple[str | int, ...]

SECTIONS: dict[str, type[BaseModel]] = {
    "workload": Workload,
    "search": Search,
    "resources": Resources,
    "pool": Pool,
    "limits": Limits,
}
_MODELS: dict[Path, type[BaseModel]] = {
    (): Spec,
    **{(name,): model for name, model in SECTIONS.items()},
    ("workload", "inputs"): Input,
    ("limits", "retries"): Retries,
}
_UNIONS: dict[Path, Mapping[str, type[BaseModel]]] = {
    ("parameters", "*"): KINDS,
    ("search", "grids", "*", "*"): KINDS,
    ("search", "early_stopping"): RULES,
}
_TOP = "the top level"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before its place is looked up.  ``at`` is where to point, ``path`` what to call it."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = "error"
    at: Path | None = None
    on_key: bool = False


def typed(data: Mapping[str, Any]) -> tuple[Spec | None, list[Finding]]:
    """The spec, or everything that is wrong with it."""
    try:
        return Spec.model_validate(data), []
    except ValidationError as error:
        # The inputs of the errors are not shown as they are: they may be long, or not for every eye.
        # A default that follows from another field cannot be made where that one is wrong: no mistake of its own.
        own = (item for item in error.errors(include_url=False) if item["type"] != "default_factory_not_called")
        return None, [_finding(dict(item)) for item in own]


def _without_tag(path: Path) -> tuple[Path, type[BaseModel] | None]:
    """The path as the user wrote it, and which model of a union it led into: pydantic puts that into the path."""
    for above, models in _UNIONS.items():
        here = path[: len(above)]
        if len(path) > len(here) == len(above) and all(
            step in ("*", own) for step, own in zip(above, here, strict=True)
        ):
            model = models.get(str(path[len(above)]))
            if model is not None:
                return here + path[len(above) + 1 :], model
    return path, None


def _finding(error: Mapping[str, Any]) -> Finding:
    path, chosen = _without_tag(tuple(error["loc"]))
    kind, given = error["type"], error["input"]
    on_key = bool(path) and path[-1] == "[key]"
    if on_key:
        path = path[:-1]
        return Finding(path[:-1], error["ctx"]["message"], error["ctx"]["hint"], at=path, on_key=True)
    if kind == "spec":
        at = path + tuple(error["ctx"]["at"])
        return Finding(path, error["ctx"]["message"], error["ctx"]["hint"], at=at, on_key=at != path)
    if kind == "extra_forbidden":
        parent, key = path[:-1], path[-1]
        message = f"unknown key '{shortened(str(key))}'"
        return Finding(parent, message, _where_it_belongs(chosen or _model_at(parent), str(key)), at=path, on_key=True)
    if kind == "missing":
        return Finding(path, "is missing", _example(path))
    if kind == "list_type":
        written = describe(given)
        hint = f"write [{shortened(given)}]" if isinstance(given, str) and given else "write [one, two]"
        return Finding(path, f"needs a list, not {written}", hint)
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return Finding(path, f"needs a mapping, not {describe(given)}", "write 'key: value' lines below it")
    return Finding(path, f"cannot be {describe(given)}")


def _model_at(path: Path) -> type[BaseModel] | None:
    """The model of the mapping at this path; None where the keys are the user's own."""
    steps = tuple(step for step in path if isinstance(step, str))
    return _MODELS.get(steps)


def _fields(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _where_it_belongs(model: type[BaseModel] | None, key: str) -> str:
    here = _fields(model)
    models: dict[str, type[BaseModel]] = {_TOP: Spec, **SECTIONS}
    elsewhere = {name: place for place, other in models.items() for name in _fields(other) if name not in here}
    if key in elsewhere:
        place = elsewhere[key]
        return f"it belongs on {place}" if place == _TOP else f"it belongs under '{place}'"
    if nearest(key, here) is not None:
        return did_you_mean(key, here)
    near = nearest(key, elsewhere)
    if near is not None:
        place = elsewhere[near]
        return f"did you mean '{near}' {'on' if place == _TOP else 'under'} {place}?"
    return f"the keys here are {all_of(here)}" if here else "remove it"


def _example(path: Path) -> str:
    if path == ("workload",):
        return "add workload: {command: python train.py}"
    model = _model_at(path[:-1])
    fields = model.model_fields if model else {}
    for name, field in fields.items():
        if path[-1] in (name, field.alias) and field.examples:
            return f"add {path[-1]}: {field.examples[0]}"
    return f"add {path[-1]}"
