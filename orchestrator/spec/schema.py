"""The JSON Schema of a spec, for editors: every field with its description, every short spelling."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from orchestrator.spec.model import Spec
from orchestrator.spec.quantities import DURATION_PATTERN, spelled_duration

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SHORT_SPELLINGS = [
    {
        "type": ["string", "number", "boolean", "null"],
        "description": "A fixed value.",
    },
    {
        "type": "array",
        "minItems": 1,
        "description": "A choice: one of these values.",
    },
]


def json_schema() -> dict[str, Any]:
    """The schema of ``sweep.yaml``, JSON Schema draft 2020-12."""
    schema = Spec.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Any] = schema["$defs"]
    properties = schema["properties"]
    _short_spellings(properties)
    _one_of_command_and_notebook(definitions["Workload"])
    _numbers_as_text(definitions["Workload"]["properties"])
    _retries_as_number(definitions["Limits"]["properties"])
    _nothing_means_default(properties)
    _durations_with_units(definitions)
    for definition in definitions.values():
        _without_titles(definition)
    _without_titles(schema)
    properties["matrix"] = {
        **_described(properties["matrix"]),
        "type": "array",
        "minItems": 1,
        "items": {"$ref": "#/$defs/MatrixEntry"},
    }
    definitions["MatrixEntry"] = _partial(properties, definitions)
    schema.pop("description", None)
    return {
        "$schema": SCHEMA_DIALECT,
        "title": "A sweep",
        "description": "What `orchestrate run` reads: one training program, its search space and its limits.",
        **schema,
    }


def _short_spellings(properties: dict[str, Any]) -> None:
    parameters = properties["parameters"]
    kinds = parameters["additionalProperties"]
    parameters["additionalProperties"] = {
        "anyOf": [*_SHORT_SPELLINGS, *kinds.get("oneOf", kinds.get("anyOf", []))],
    }


def _one_of_command_and_notebook(workload: dict[str, Any]) -> None:
    workload["oneOf"] = [{"required": ["command"]}, {"required": ["notebook"]}]


def _numbers_as_text(workload: dict[str, Any]) -> None:
    """A value of env, or a word of a command, may be written as the number that it looks like."""
    workload["env"]["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    for branch in workload["command"]["anyOf"]:
        if branch.get("type") == "array":
            branch["items"] = {"type": ["string", "number"]}
            branch["minItems"] = 1


def _retries_as_number(limits: dict[str, Any]) -> None:
    retries = limits["retries"]
    limits["retries"] = {
        **_described(retries),
        "anyOf": [{"type": "integer", "minimum": 0}, {"$ref": "#/$defs/Retries"}],
    }


def _nothing_means_default(properties: dict[str, Any]) -> None:
    """A section whose lines are all commented out is null, and means its defaults."""
    for name in ("parameters", "search", "resources", "pool", "limits"):
        properties[name] = _or_null(properties[name])


def _durations_with_units(definitions: dict[str, Any]) -> None:
    for definition in definitions.values():
        for field in definition.get("properties", {}).values():
            branches = field.get("anyOf", [])
            if "default" in field and any(one.get("pattern") == DURATION_PATTERN for one in branches):
                field["default"] = spelled_duration(field["default"]) if field["default"] else field["default"]


def _partial(properties: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a spec of which anything may be missing."""
    entry = deepcopy({name: value for name, value in properties.items() if name != "matrix"})
    partial = deepcopy(definitions["Workload"])
    partial.pop("oneOf")
    partial["properties"] = {name: _or_null(value) for name, value in partial["properties"].items()}
    entry["workload"] = {"description": entry["workload"]["description"], **partial}
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "A partial spec, laid over the rest. null restores a default.",
        "properties": {name: _or_null(value) for name, value in entry.items()},
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in schema.items() if key not in ("description", "examples", "default")}
    return {**_described(schema), "anyOf": [rest, {"type": "null"}]}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: schema[key] for key in ("description", "examples") if key in schema}


def _without_titles(definition: dict[str, Any]) -> None:
    """Pydantic names every field again in a title, which editors show instead of the description."""
    definition.pop("title", None)
    for field in definition.get("properties", {}).values():
        field.pop("title", None)
