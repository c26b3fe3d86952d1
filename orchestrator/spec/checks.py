"""What no single field shows: placeholders, contradictions, files that are not there, and doubts.

Every check looks at plain data that may be wrong in any other way, so that one mistake does not hide another.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path as Folder
from typing import Any

from orchestrator.spec.kind import Distribution
from orchestrator.spec.model import BUILTIN_NAMES
from orchestrator.spec.parameters import KINDS
from orchestrator.spec.paths import is_local, resolved
from orchestrator.spec.problems import all_of, did_you_mean, shortened
from orchestrator.spec.search_options import FILE_NAMES, is_own
from orchestrator.spec.source import Node
from orchestrator.spec.table import columns
from orchestrator.spec.template import compile, faults_in, names_in
from orchestrator.spec.validate import Finding, Path

Data = Mapping[str, Any]

_SECRET = re.compile(
    r"(?:^|_)(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)(?:_|$)", re.I
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TRAPS = {"yes", "no", "on", "off"}
# Providers that rent nothing, so that nothing is taken away.
_OWN_MACHINES = ("local", "slurm")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+", re.ASCII)


def findings(data: Data, base: Folder | None) -> Iterator[Finding]:
    """Everything that is wrong or doubtful.  Without ``base`` no file is looked for."""
    yield from chain(
        _what_runs(data),
        _placeholders(data, base),
        _secrets(data),
        _search(data),
        _machines(data),
        _inputs(data),
        _repeated_values(data),
        _files(data, base) if base is not None else (),
    )


def _section(data: Data, name: str) -> Data:
    section = data.get(name)
    return section if isinstance(section, Mapping) else {}


def _items(data: Data, name: str) -> list[Any]:
    items = data.get(name)
    return items if isinstance(items, list) else []


def _what_runs(data: Data) -> Iterator[Finding]:
    workload = data.get("workload")
    if not isinstance(workload, Mapping):
        return
    command, notebook = "command" in workload, "notebook" in workload
    if command and notebook:
        yield Finding(("workload", "notebook"), "cannot stand beside 'command'", "keep one of them", on_key=True)
    if not command and not notebook:
        yield Finding(("workload",), "has nothing to run", "add command: python train.py")
    if workload.get("isolation") == "docker" and "image" not in workload:
        yield Finding(("workload", "isolation"), "needs an image", "add image: python:3.12 to the workload")
    provider = data.get("provider", "local")
    if "requirements" in workload and "image" not in workload and provider != "local":
        message = f"is installed on this machine only; on {provider} the packages come with an image"
        yield Finding(("workload", "requirements"), message, "add an image that has them", on_key=True)
    for key in ("build_constraints", "python"):
        if key in workload and "requirements" not in workload:
            hint = "add requirements: requirements.txt to the workload"
            yield Finding(("workload", key), "means nothing without requirements", hint, on_key=True)


def _texts(workload: Data) -> Iterator[tuple[Path, str, bool]]:
    """Every text that may hold placeholders, and whether the shell reads it."""
    command = workload.get("command")
    if isinstance(command, str):
        yield ("workload", "command"), command, True
    for place, word in enumerate(_items(workload, "command")):
        if isinstance(word, str):
            yield ("workload", "command", place), word, False
    for name, value in _section(workload, "env").items():
        if isinstance(value, str):
            yield ("workload", "env", name), value, False
    for place, item in enumerate(_items(workload, "inputs")):
        for key in ("from", "to"):
            if isinstance(item, Mapping) and isinstance(item.get(key), str):
                yield ("workload", "inputs", place, key), item[key], False
    for place, pattern in enumerate(_items(workload, "outputs")):
        if isinstance(pattern, str):
            yield ("workload", "outputs", place), pattern, False


def _placeholders(data: Data, base: Folder | None) -> Iterator[Finding]:
    workload, parameters = _section(data, "workload"), _section(data, "parameters")
    brought = _brought_names(_section(data, "search"), base)
    known = [*parameters, *(brought or ()), *BUILTIN_NAMES]
    named: set[str] = set()
    for path, text, shell in _texts(workload):
        used = names_in(text, shell=shell)
        named.update(used)
        for name in used:
            if name not in known and brought is not None:
                yield Finding(path, f"unknown placeholder {{{shortened(name)}}}", _known_names(name, list(parameters)))
        if shell:
            for fault in faults_in(text):
                if not fault.name or fault.name in known:
                    yield Finding(path, fault.message, fault.hint)
    command = workload.get("command")
    if isinstance(command, str | list) and "notebook" not in workload:
        named |= _read_by_others(data)
        yield from _unnamed(parameters, named, list(_texts(workload)))


def _brought_names(search: Data, base: Folder | None) -> list[str] | None:
    """The names that the points of the search have beside the parameters; None where they cannot be known here."""
    algorithm, file = search.get("algorithm"), search.get("file")
    if algorithm == "files":
        return list(FILE_NAMES)
    if algorithm == "list" and isinstance(file, str):
        try:
            return columns(resolved(base, file)) if base is not None else None
        except (OSError, ValueError):
            return None
    if algorithm == "list":
        return [name for point in _items(search, "points") if isinstance(point, Mapping) for name in point]
    return None if isinstance(algorithm, str) and is_own(algorithm) else []


def _read_by_others(data: Data) -> set[str]:
    """The parameters that conditions, formulas and ties name."""
    words: list[Any] = [*_items(_section(data, "search"), "constraints")]
    for value in _section(data, "parameters").values():
        if isinstance(value, Mapping):
            words += [value.get("derived"), value.get("tied"), *_section(value, "when")]
    return {name for word in words if isinstance(word, str) for name in _WORD.findall(word)}


def _known_names(name: str, parameters: list[str]) -> str:
    near = did_you_mean(name, [*parameters, *BUILTIN_NAMES])
    literal = f"write \\{{{name}}} if the braces are meant as they stand"
    if near:
        return near
    if not parameters or len(parameters) > 12:
        return literal
    return f"the parameters are {all_of(parameters)}; {literal}"


def _unnamed(parameters: Data, named: set[str], texts: list[tuple[Path, str, bool]]) -> Iterator[Finding]:
    """A parameter that nothing names is most often a forgotten or misspelled placeholder."""
    written = "\n".join(text for _, text, _ in texts)
    if "ORCHESTRATE_PARAMS" in written:
        return
    for name in parameters:
        path = ("parameters", name)
        if name in named or not isinstance(name, str) or f"PARAM_{name}" in written:
            continue
        if any(shell and _shell_variable(name).search(text) for _, text, shell in texts):
            message = f"the command has ${name}, which is a variable of the shell and not this parameter"
            yield Finding(path, message, f"write {{{name}}} or $PARAM_{name}", "warning", on_key=True)
        else:
            hint = f"programs can read it from $PARAM_{name} or the JSON file $ORCHESTRATE_PARAMS"
            yield Finding(path, f"nothing names {{{name}}}", hint, "warning", on_key=True)


def _shell_variable(name: str) -> re.Pattern[str]:
    return re.compile(rf"\$(?:{re.escape(name)}\b|\{{{re.escape(name)}\b)")


def _secrets(data: Data) -> Iterator[Finding]:
    workload = _section(data, "workload")
    env, seen = _section(workload, "env"), set()
    for place, name in enumerate(_items(workload, "secrets")):
        if not isinstance(name, str):
            continue
        path = ("workload", "secrets", place)
        if name in env:
            yield Finding(path, f"'{shortened(name)}' is also in workload.env", "remove it there")
        if name in seen:
            yield Finding(path, f"'{shortened(name)}' is named twice", "remove one of them")
        seen.add(name)
    for name, value in env.items():
        if isinstance(name, str) and isinstance(value, str) and value and _SECRET.search(name):
            hint = f"move the name to workload.secrets: [{name}] and export the value before you run"
            message = "looks like a secret, and values of env are written down"
            yield Finding(("workload", "env", name), message, hint, "warning", on_key=True)


def _search(data: Data) -> Iterator[Finding]:
    search, parameters = _section(data, "search"), _section(data, "parameters")
    endless = [name for name, value in parameters.items() if _is_distribution(value)]
    algorithm = search.get("algorithm", "random" if endless else "grid")
    if algorithm == "grid":
        for name in endless:
            message = "is a distribution, which a grid cannot list"
            hint = "use choice, range, linspace or integer, or search.algorithm: random"
            yield Finding(("parameters", name), message, hint)
    if algorithm == "random" and "trials" not in search:
        why = (
            "random search has no end of its own"
            if "algorithm" in search
            else (f"{all_of(endless)} can take endlessly many values")
        )
        yield Finding(("search", "trials"), f"is missing: {why}", "add search: {trials: 20}")
    metric, patterns = search.get("metric"), _section(_section(data, "workload"), "metrics")
    if isinstance(metric, str) and metric not in patterns:
        near = did_you_mean(metric, [name for name in patterns if isinstance(name, str)])
        if near:
            message = f"'{shortened(metric)}' is none of workload.metrics"
            yield Finding(("search", "metric"), message, near, "warning")


def _is_distribution(value: Any) -> bool:
    kind = next((key for key in value if key in KINDS), None) if isinstance(value, Mapping) else None
    return kind is not None and issubclass(KINDS[kind], Distribution)


def _machines(data: Data) -> Iterator[Finding]:
    resources, pool = _section(data, "resources"), _section(data, "pool")
    if resources.get("gpu") and resources.get("gpus") in (0, "0"):
        yield Finding(("resources", "gpus"), "is 0 although a kind of GPU is given", "remove gpu or gpus")
    if pool.get("spot") is not True:
        for key in ("on_demand_fallback", "spot_without_checkpoint"):
            if pool.get(key) is True:
                yield Finding(("pool", key), "does nothing without spot", "add spot: true", "warning", on_key=True)
    elif (
        data.get("provider", "local") not in _OWN_MACHINES
        and not _section(data, "workload").get("checkpoint")
        and pool.get("spot_without_checkpoint") is not True
    ):
        message = "takes machines away at any time, and a trial without a checkpoint then begins from nothing"
        hint = "name the folder of its checkpoints in workload.checkpoint, or add spot_without_checkpoint: true"
        yield Finding(("pool", "spot"), message, hint, on_key=True)


def _inputs(data: Data) -> Iterator[Finding]:
    taken: dict[str, int] = {}
    for place, item in enumerate(_items(_section(data, "workload"), "inputs")):
        target = item.get("to") if isinstance(item, Mapping) else None
        if not isinstance(target, str):
            continue
        own = os.path.normpath(target)
        if own in taken:
            message = f"'{shortened(target)}' is the place of input {taken[own] + 1} too"
            yield Finding(("workload", "inputs", place, "to"), message, "give each input its own place")
        taken.setdefault(own, place)


def _repeated_values(data: Data) -> Iterator[Finding]:
    for name, value in _section(data, "parameters").items():
        listed = value.get("choice") if isinstance(value, Mapping) else value
        if not isinstance(listed, list):
            continue
        seen = set()
        for place, item in enumerate(listed):
            text = json.dumps(item, sort_keys=True)
            if text in seen:
                path: Path = ("parameters", name)
                at = (*path, "choice", place) if isinstance(value, Mapping) else (*path, place)
                message = f"lists {shortened(text)} twice"
                yield Finding(path, message, "a grid would run it twice", "warning", at=at)
            seen.add(text)


def _files(data: Data, base: Folder) -> Iterator[Finding]:
    workload = _section(data, "workload")
    code = workload.get("code")
    if isinstance(code, str) and code.strip():
        folder = resolved(base, code)
        yield from _absent(("workload", "code"), code, folder)
        if os.path.exists(folder) and not os.path.isdir(folder):
            hint = "give the folder that holds it"
            yield Finding(("workload", "code"), f"'{shortened(code, 80)}' is no folder", hint)
        notebook = workload.get("notebook")
        if isinstance(notebook, str) and os.path.isdir(folder) and is_local(notebook):
            yield from _absent(("workload", "notebook"), notebook, folder / notebook)
    for key in ("requirements", "build_constraints"):
        wanted = workload.get(key)
        if isinstance(wanted, str) and wanted.strip():
            yield from _absent(("workload", key), wanted, resolved(base, wanted))
    for key in ("file", "folder"):
        place_of_points = _section(data, "search").get(key)
        if isinstance(place_of_points, str) and place_of_points.strip() and is_local(place_of_points):
            yield from _absent(("search", key), place_of_points, resolved(base, place_of_points))
    for place, item in enumerate(_items(workload, "inputs")):
        source = item.get("from") if isinstance(item, Mapping) else None
        if isinstance(source, str) and source.strip() and "://" not in source:
            same = _without_names(source)
            yield from _absent(("workload", "inputs", place, "from"), same, resolved(base, same))


def _without_names(text: str) -> str:
    """A path as far as it is the same for every trial: the folder above its first placeholder, or all of it."""
    parts = compile(text).parts
    first = parts[0] if isinstance(parts[0], str) else ""
    return first if len(parts) == 1 and first else os.path.dirname(first) or "."


def _absent(path: Path, written: str, place: Folder) -> Iterator[Finding]:
    # os.path answers False where the system refuses the path altogether: too long, a NUL in it, no permission.
    if os.path.exists(place):
        return
    names = os.listdir(place.parent) if os.path.isdir(place.parent) and os.access(place.parent, os.R_OK) else []
    hint = did_you_mean(place.name, names) or "paths are relative to the spec's file"
    yield Finding(path, f"'{shortened(written, 80)}' does not exist", hint)


def traps(root: Node) -> Iterator[Finding]:
    """Values that YAML reads otherwise than most people do, where a program would see the difference."""
    places: list[tuple[Path, Node]] = [((), root)]
    matrix = root.at(("matrix",))
    if matrix is not None and isinstance(matrix.value, list):
        places += [(("matrix", number), entry) for number, entry in enumerate(matrix.value)]
    for path, spec in places:
        parameters = spec.at(("parameters",))
        if parameters is None or not isinstance(parameters.value, dict):
            continue
        for name, node in parameters.value.items():
            yield from _misread((*path, "parameters", name), node)


def _misread(path: Path, node: Node) -> Iterator[Finding]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from _misread((*path, key), child)
    elif isinstance(node.value, list):
        for place, child in enumerate(node.value):
            yield from _misread((*path, place), child)
    elif node.raw == "" and len(path) in (2, 4):
        yield Finding(path, "has no value", "write null if it is meant to be empty")
    elif node.raw is not None:
        quoted = f"put it in quotes if the text '{shortened(node.raw)}' is meant"
        if node.raw.lower() in _TRAPS:
            yield Finding(path, f"{node.raw} is read as {json.dumps(node.value)}", quoted, "warning")
        elif _LEADING_ZERO.fullmatch(node.raw):
            yield Finding(path, f"{shortened(node.raw)} is read as the number {node.value}", quoted, "warning")
        elif node.raw == "None":
            yield Finding(path, "None is read as the text 'None'", "write null for no value", "warning")
