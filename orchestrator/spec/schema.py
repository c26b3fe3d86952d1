"""The JSON Schema of a spec, for editors: every field with its description, every short spelling."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from orchestrator.spec.model import Search, Spec
from orchestrator.spec.parameters import KINDS
from orchestrator.spec.quantities import DURATION_PATTERN, spelled_duration
from orchestrator.spec.search_options import ALGORITHMS, OWN_ALGORITHM
from orchestrator.spec.stopping import RULES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SECTIONS = ("Workload", "Search", "Resources", "Pool", "Limits", "Retries")

_SHORT_PARAMETERS = [
    {"type": ["string", "number", "boolean", "null"], "description": "A fixed value."},
    {"type": "array", "minItems": 1, "description": "A choice: one of these values."},
]


class _InWrittenOrder(GenerateJsonSchema):
    """Keys in the order of the fields, and examples as they were written."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value


def json_schema() -> dict[str, Any]:
    """The schema of ``sweep.yaml``, JSON Schema draft 2020-12."""
    made = Spec.model_json_schema(by_alias=True, mode="validation", schema_generator=_InWrittenOrder)
    definitions: dict[str, Any] = made["$defs"]
    top: dict[str, Any] = made["properties"]
    parameter = {"$ref": "#/$defs/Parameter"}
    for definition in (made, *definitions.values()):
        _without_titles(definition)
        definition["properties"] = _with_parameters(definition.get("properties", {}), parameter)
    definitions["Parameter"] = {
        "description": "A value alone is fixed, a list is a choice, a mapping has the key of its kind.",
        "anyOf": [*_SHORT_PARAMETERS, *({"$ref": f"#/$defs/{kind.__name__}"} for kind in KINDS.values())],
    }
    top = made["properties"]
    _spellings(definitions)
    for name in _SECTIONS:
        _nothing_means_default(definitions[name])
    _nothing_means_default(made)
    top["matrix"] = {
        **_described(top["matrix"]),
        "anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/MatrixEntry"}}, {"type": "null"}],
    }
    definitions["MatrixEntry"] = _partial(top, definitions)
    return {
        "$schema": DIALECT,
        "title": "A sweep",
        "description": "What `orchestrate run` reads: one training program, its search space and its limits.",
        "type": "object",
        "additionalProperties": False,
        "required": made["required"],
        "properties": top,
        "$defs": definitions,
    }


def _without_titles(definition: dict[str, Any]) -> None:
    """Pydantic names every field again in a title, which editors show instead of the description."""
    definition.pop("title", None)
    for field in definition.get("properties", {}).values():
        field.pop("title", None)


def _with_parameters(schema: Any, parameter: dict[str, str]) -> Any:
    """The schema with the union of all kinds of parameters replaced by a reference to one definition."""
    if isinstance(schema, list):
        return [_with_parameters(item, parameter) for item in schema]
    if not isinstance(schema, dict):
        return schema
    union = schema.get("oneOf", schema.get("anyOf"))
    kinds = {f"#/$defs/{kind.__name__}" for kind in KINDS.values()}
    if isinstance(union, list) and {branch.get("$ref") for branch in union} == kinds:
        return parameter
    return {key: _with_parameters(value, parameter) for key, value in schema.items()}


def _spellings(definitions: dict[str, Any]) -> None:
    """What validators accept beside the type that they give."""
    work = definitions["Workload"]
    work["oneOf"] = [{"required": ["command"]}, {"required": ["notebook"]}]
    work["properties"]["env"]["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    for branch in work["properties"]["command"]["anyOf"]:
        if branch.get("type") == "array":
            branch.update(items={"type": ["string", "number"]}, minItems=1)
    # The common keys come before those of the base class.
    search = _led_by(definitions["Search"], Search.__annotations__)
    search["algorithm"] = {
        **_described(search["algorithm"]),
        "anyOf": [{"enum": list(ALGORITHMS)}, {"type": "string", "pattern": f"^{OWN_ALGORITHM.pattern}$"}],
    }
    for name in ("constraints", "warm_start"):
        search[name] = {**_described(search[name]), "anyOf": [_bare(search[name]), {"type": "string"}]}
    search["early_stopping"]["anyOf"].append({"enum": list(RULES)})
    retries = definitions["Limits"]["properties"]["retries"]
    definitions["Limits"]["properties"]["retries"] = {
        **_described(retries),
        "anyOf": [{"type": "integer", "minimum": 0}, {"$ref": "#/$defs/Retries"}],
    }
    for kind in KINDS.values():
        fields = definitions[kind.__name__]["properties"]
        fields["when"] = {**_described(fields["when"]), "type": ["object", "null"]}
    for rule in RULES.values():
        fields = _led_by(definitions[rule.__name__], ["rule"])
        fields["rule"]["description"] = "The name of the rule."
        definitions[rule.__name__]["required"] = sorted({*definitions[rule.__name__].get("required", []), "rule"})
    for definition in definitions.values():
        for field in definition.get("properties", {}).values():
            if any(branch.get("pattern") == DURATION_PATTERN for branch in field.get("anyOf", [])) and field.get(
                "default"
            ):
                field["default"] = spelled_duration(field["default"])


def _led_by(definition: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of a definition, which from now on begin with these."""
    fields = definition["properties"]
    definition["properties"] = {**{name: fields[name] for name in names if name in fields}, **fields}
    led: dict[str, Any] = definition["properties"]
    return led


def _nothing_means_default(definition: dict[str, Any]) -> None:
    """A key without a value, such as a section whose lines are all commented out, means the default."""
    for name, field in definition["properties"].items():
        if name not in definition.get("required", ()):
            definition["properties"][name] = _or_null(field)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    bare, null = _bare(schema), {"type": "null"}
    branches = bare["anyOf"] if list(bare) == ["anyOf"] else [bare]
    return {**_described(schema), "anyOf": branches if null in branches else [*branches, null]}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: schema[key] for key in ("description", "examples", "default") if key in schema}


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("description", "examples", "default")}


def _partial(top: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a spec of which anything may be missing, and which has no matrix of its own."""
    workload = deepcopy(definitions["Workload"])
    del workload["oneOf"]
    fields = {name: _or_null(deepcopy(field)) for name, field in top.items() if name != "matrix"}
    fields["workload"] = {**_described(top["workload"]), "anyOf": [workload, {"type": "null"}]}
    fields["name"]["description"] = "Added to the name of the sweep. Left out: the entry's number."
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "A partial spec, laid over the rest. null restores a default.",
        "properties": fields,
    }
