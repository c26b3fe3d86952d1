"""The reference of the spec, as Markdown, made from its JSON Schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.spec.parameters import KINDS
from orchestrator.spec.schema import json_schema
from orchestrator.spec.source import resolve

_SECTIONS = ("workload", "search", "resources", "pool", "limits")

_INTRODUCTION = """# The spec

A sweep is described by one YAML file. `orchestrate schema` prints its JSON Schema, with which editors complete and
check it; this page is made from that schema. Every key has a default but those marked as required. Paths are
relative to the file. `--set a.b=VALUE` on the command line sets one key, here `b` of `a`, for one run; VALUE is
YAML.

Every mistake is answered with its file, line and column, and nothing is started.
"""

_SPELLINGS = """## Spellings

- **Sizes** are bytes, or have a unit: `16GiB`, `500MB`, `1.5TiB`. `GiB` is 1024³ bytes, `GB` is 1000³.
- **Durations** are seconds, or have units: `90`, `30s`, `5m`, `1h30m`, `2d`, `500ms`.
- **Numbers** may be written as `1e-4`, with or without a point.
- An empty value (`limits:` with nothing below it) means the defaults.
- In `env` and in a command that is a list, values without quotes are taken as they are written: `1.10` is the text
  `1.10`. In `parameters`, `yes`, `no`, `on` and `off` are true and false, as YAML has it, with a warning; put a text
  that looks like that in quotes.
"""

_PLACEHOLDERS = """## Placeholders

`{name}` in `command`, `env`, `inputs` and `outputs` stands for the value of a parameter, or for one of

| name | value |
|---|---|
| `{run}` | the run's id |
| `{trial}` | the trial's number, from 0 |
| `{attempt}` | the attempt's number |

Texts are inserted as they are, other values as JSON: `0.001`, `true`, `null`, `[64, 64]`.

In a command that is one text each value is inserted as one quoted word of the shell, so that no value can become part
of the command. That is why a placeholder cannot stand inside quotes, comments, here-documents, `${...}`, backquotes or
arithmetic: `--name {name}`, not `--name "{name}"`. In a text that goes on, end the quotes before it:
`'{"lr": '{lr}'}'`. A command that is a list is started without a shell, and values are inserted as they are.

Only a name in single braces is a placeholder. All other braces stay what they are: `${HOME}`, `{"a": 1}`, `{1..3}`,
`{{name}}`, `awk '{print $1}'`. For a literal `{name}` write `\\{name}`.

A placeholder that is no parameter is an error. A parameter that nothing names is a warning: a program finds all
parameters in the variables `PARAM_<name>` and in the JSON file that `ORCHESTRATE_PARAMS` names.
"""

_PARAMETERS = """## parameters

The search space: a name for each parameter, and its values. Names are letters, digits and `_`.

| spelling | values |
|---|---|
| `lr: 0.1` | fixed: a text, number, true, false or null |
| `hidden: [64, 128]` | a choice |
| `hidden: {choice: [64, 128]}` | the same |
| `layers: {fixed: [64, 64]}` | fixed, where the value is itself a list or a mapping |
"""

_MATRIX = """## matrix

A list of partial specs. The sweep is run once for each of them, laid over the rest of the file: mappings are merged
key by key, everything else is replaced, `null` restores a default, and a parameter is replaced as a whole. An entry's
`name` is added to the sweep's: `glyphs` and `torch` make `glyphs-torch`; without one it is the entry's number. A
key that is set by `--set` holds for all entries.

```yaml
matrix:
  - name: tensorflow
    workload: {code: ./tensorflow, image: "orchestrator/tensorflow:2.21"}
  - name: torch
    workload: {code: ./torch, image: "orchestrator/pytorch:2.13"}
    parameters: {lr: 0.01}
```
"""


def reference() -> str:
    """The page, as it lies in ``docs/spec.md``."""
    schema = json_schema()
    definitions = schema["$defs"]
    top = {
        name: {**field, "description": f"{_about(field, definitions)} See [below](#{name})."}
        if name in (*_SECTIONS, "parameters", "matrix")
        else field
        for name, field in schema["properties"].items()
    }
    parts = [_INTRODUCTION, "## The top level\n\n" + _table(top, schema["required"])]
    for name in _SECTIONS:
        parts += _section(f"## {name}", definitions[name.capitalize()], definitions, name)
    parts += [_PARAMETERS + "\n".join(_kinds(definitions)) + "\n", _MATRIX, _PLACEHOLDERS, _SPELLINGS]
    return "\n".join(parts)


def _section(title: str, definition: dict[str, Any], definitions: dict[str, Any], path: str) -> Iterator[str]:
    """A definition and, below it, those that its fields refer to."""
    fields = definition["properties"]
    description = str(definition["description"]).replace("``", "`").replace(".  ", ". ")
    yield f"{title}\n\n{description}\n\n" + _table(fields, definition.get("required", []))
    for name, field in fields.items():
        for inner in _referred(field):
            if inner in definitions and inner != "Parameter":
                rule = definitions[inner]["properties"].get("rule", {}).get("const")
                below = f"### {path}.{name}" + (f": {rule}" if rule else "")
                yield from _section(below, definitions[inner], definitions, f"{path}.{name}")


def _referred(field: dict[str, Any]) -> list[str]:
    """The names of the definitions that a field may have for its value or for its items."""
    branches = [field, field.get("items", {}), *field.get("anyOf", []), *field.get("oneOf", [])]
    for branch in field.get("anyOf", []):
        branches += [branch.get("items", {}), *branch.get("oneOf", []), *branch.get("anyOf", [])]
    return list(dict.fromkeys(one["$ref"].rsplit("/", 1)[1] for one in branches if "$ref" in one))


def _about(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    own = field.get("description") or definitions[_referred(field)[0]]["description"]
    return str(own).split("\n\n")[0]


def _table(fields: dict[str, Any], required: list[str]) -> str:
    lines = ["| key | default | what | example |", "|---|---|---|---|"]
    for name, field in fields.items():
        lines.append(
            f"| `{name}` | {_default(name, field, required)} | {_cell(field.get('description', ''))} "
            f"| {_example(field)} |"
        )
    return "\n".join(lines) + "\n"


def _default(name: str, field: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    default = field.get("default")
    return "" if default in (None, [], {}) else f"`{_yaml(default)}`"


def _example(field: dict[str, Any]) -> str:
    examples = field.get("examples") or _nested_examples(field)
    return f"`{_cell(_yaml(examples[0]))}`" if examples else ""


def _nested_examples(field: dict[str, Any]) -> list[Any]:
    for branch in field.get("anyOf", []):
        if branch.get("examples"):
            return list(branch["examples"])
    return []


def _kinds(definitions: dict[str, Any]) -> Iterator[str]:
    """One line for each further spelling; below, the keys that a kind has beside its own."""
    by_key = {key: definitions[kind.__name__] for key, kind in KINDS.items()}
    for key, definition in by_key.items():
        field = definition["properties"][key]
        if key not in ("fixed", "choice"):
            example = _yaml({key: field["examples"][0]})
            yield f"| `{_cell(example)}` | {_cell(field['description'])} |"
    shared: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for key, definition in by_key.items():
        for name, field in definition["properties"].items():
            if name != key:
                shared.setdefault(f"{name}: {field.get('description', '')}", (field, []))[1].append(key)
    if shared:
        yield "\nFurther keys of these mappings:\n"
        yield "| key | of | what | example |\n|---|---|---|---|"
    for title, (field, kinds) in shared.items():
        name = title.split(":", 1)[0]
        of = "every kind" if len(kinds) == len(by_key) else ", ".join(f"`{kind}`" for kind in kinds)
        yield f"| `{name}` | {of} | {_cell(field.get('description', ''))} | {_example(field)} |"


def _yaml(value: Any) -> str:
    """A value in YAML's flow style, as a person would write it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        special = not value or value[0] in "*&!%@`'\"{[|>#" or any(mark in value for mark in (": ", " #", ", "))
        return json.dumps(value) if special or not isinstance(resolve(value), str) else value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    # `make docs` writes the page anew.
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
