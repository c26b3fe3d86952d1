from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.spec import from_dict, parse
from orchestrator.spec.reference import reference
from orchestrator.spec.schema import json_schema
from orchestrator.spec.source import read_yaml
from tests.unit.spec.mutations import DESIGN, ROOT, originals

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def complaints(data: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data)]


def test_the_schema_is_a_schema_and_json() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("text", originals())
def test_every_real_spec_is_valid_for_an_editor_too(text: str) -> None:
    root, problems = read_yaml(text, "s.yaml")
    assert not problems
    assert complaints(root.plain()) == []


BASE: dict[str, Any] = {"name": "a", "workload": {"command": "x"}}


@pytest.mark.parametrize(
    "more",
    [
        {"limits": {"parallel": "x"}},
        {"limits": {"paralel": 1}},
        {"limits": {"timeout": "5x"}},
        {"limits": {"retries": {"exit": 1}}},
        {"search": {"goal": "max"}},
        {"search": {"algorithm": "radnom"}},
        {"resources": {"memory": "16G"}},
        {"parameters": {"a": {"loguniformm": [1, 2]}}},
        {"parameters": {"a": []}},
        {"parameters": {"a": {"uniform": [1]}}},
        {"workload": {}},
        {"workload": {"command": "x", "notebook": "y"}},
        {"workload": {"command": "x", "isolation": "proces"}},
        {"name": "a b"},
        {"wrokload": {}},
        {"matrix": [{"wrokload": {}}]},
    ],
)
def test_an_editor_marks_the_common_mistakes(more: dict[str, Any]) -> None:
    assert complaints({**BASE, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"limits": {"retries": 2}},
        {"limits": {"retries": {"exit_code": 1}, "timeout": 90, "grace": 0, "max_failures": "20%"}},
        {"limits": None, "pool": None},
        {"parameters": {"a": 1, "b": "x", "c": None, "d": True, "e": [1, "x", None], "f": {"range": [0, 1, 0.1]}}},
        {"workload": {"command": ["a", 1, 1.5], "env": {"A": 1, "B": True}}},
        {"resources": {"memory": "1.5 GiB", "disk": 2**31}},
        {"matrix": [{"name": "x", "workload": {"image": "y"}, "resources": {"gpu": None}}, {"limits": None}]},
    ],
)
def test_what_is_accepted_is_valid_for_an_editor(more: dict[str, Any]) -> None:
    data = {**BASE, **more}
    from_dict(data)
    assert complaints(data) == []


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for owner, definition in (("", SCHEMA), *SCHEMA["$defs"].items()):
        for name, field in definition.get("properties", {}).items():
            yield f"{owner}.{name}", field


@pytest.mark.parametrize(("name", "field"), list(fields()), ids=[name for name, _ in fields()])
def test_every_field_is_described_and_its_examples_are_valid(name: str, field: dict[str, Any]) -> None:
    references = [one.get("$ref", "") for one in [field, *field.get("anyOf", [])]]
    referred = [SCHEMA["$defs"][one.rsplit("/", 1)[1]] for one in references if one]
    assert field.get("description") or any(one.get("description") for one in referred)
    own = jsonschema.Draft202012Validator({**field, "$defs": SCHEMA["$defs"]})
    for example in [*field.get("examples", []), *([field["default"]] if "default" in field else [])]:
        assert [error.message for error in own.iter_errors(example)] == []


def test_a_field_with_a_unit_names_it() -> None:
    described = {name: str(field.get("description")) for name, field in fields()}
    for name in ("Limits.timeout", "Limits.run_timeout", "Limits.grace", "Pool.lease", "Pool.idle_timeout"):
        assert "seconds" in described[name]
    for name in ("Resources.memory", "Resources.disk", "Resources.shm"):
        assert "bytes" in described[name]
    for name in ("Pool.price", "Limits.max_cost"):
        assert "US$" in described[name]


def test_the_reference_in_the_docs_is_up_to_date() -> None:
    page = Path(ROOT / "docs/spec.md").read_text(encoding="utf-8")
    again = "python -m orchestrator.spec.reference docs/spec.md"
    assert page == reference(), f"write it anew: {again}"


def test_the_reference_names_every_key() -> None:
    page = reference()
    for name, _ in fields():
        owner, _, key = name.partition(".")
        if owner != "MatrixEntry":
            assert f"`{key}`" in page or f"{{{key}: " in page, name


def test_the_specs_in_the_reference_are_valid() -> None:
    page = reference()
    blocks = [block.split("```", 1)[0] for block in page.split("```yaml\n")[1:]]
    assert blocks
    for block in blocks:
        assert len(parse(DESIGN + block, "s.yaml").specs) >= 1
