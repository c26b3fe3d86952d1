"""What the parameters and the search say about each other: names that must exist, values that can occur, cycles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any

from orchestrator.spec.arrangements import Derived, Numbered, Repeat, Stages
from orchestrator.spec.finite import Choice
from orchestrator.spec.formula import Formula
from orchestrator.spec.kind import Kind
from orchestrator.spec.model import Search, Spec
from orchestrator.spec.problems import all_of, did_you_mean, shortened
from orchestrator.spec.search_options import ADAPTIVE, FILE_NAMES, OPTUNAS, QUASI_RANDOM, is_own
from orchestrator.spec.validate import Finding, Path

# A condition on a parameter with more values than this is taken at its word.
LISTED = 10_000


def findings(spec: Spec) -> Iterator[Finding]:
    """Everything that is wrong between the parameters, and between them and the search."""
    names = brought_names(spec)
    others = frozenset(names or ())
    yield from parameter_findings(spec.parameters, others, names is None, ("parameters",))
    yield from chain(_constraints(spec, others, names is None), _grids(spec), _search(spec))


def brought_names(spec: Spec) -> tuple[str, ...] | None:
    """The names that each point has beside the parameters; None where only the search itself knows them."""
    search, algorithm = spec.search, spec.algorithm
    if algorithm == "files":
        return FILE_NAMES
    if algorithm == "list" and search.points:
        return tuple(search.points[0])
    return None if algorithm == "list" or is_own(algorithm) else ()


def parameter_findings(
    parameters: Mapping[str, Kind], others: frozenset[str], open_names: bool, base: Path
) -> Iterator[Finding]:
    """What is wrong between parameters.  ``others`` are further names that have values; with ``open_names`` any has."""
    known = {*parameters, *others}
    numbered = _numbered(parameters)
    for name, kind in parameters.items():
        path = (*base, name)
        yield from _conditions(parameters, kind, path, known, open_names)
        for other in kind.when or ():
            if other in numbered and kind.axis and kind.size != 1 and not isinstance(kind, Numbered):
                message = f"'{other}' differs between the trials of a point, which share what is searched"
                yield Finding((*path, "when", other), message, "a fixed or derived value may depend on it", on_key=True)
        if isinstance(kind, Choice) and kind.tied is not None:
            yield from _tie(parameters, kind, kind.tied, path)
        if isinstance(kind, Derived):
            for read in sorted(kind.formula.names - known):
                if not open_names:
                    yield Finding(
                        (*path, "derived"), f"reads an unknown parameter '{shortened(read)}'", did_you_mean(read, known)
                    )
        if name in others:
            yield Finding(path, "is given by the points of the search too", "remove it here", on_key=True)
    try:
        TopologicalSorter({name: kind.reads & set(parameters) for name, kind in parameters.items()}).prepare()
    except CycleError as error:
        around = list(reversed(error.args[1]))
        yield Finding((*base, around[0]), f"depends on itself: {' -> '.join(around)}", on_key=True)


def _numbered(parameters: Mapping[str, Kind]) -> set[str]:
    """The repetitions or stages, and what is computed from them: they differ between the trials of one point."""
    found = {name for name, kind in parameters.items() if isinstance(kind, Numbered)}
    while more := {
        name
        for name, kind in parameters.items()
        if name not in found and isinstance(kind, Derived) and not found.isdisjoint(kind.reads)
    }:
        found |= more
    return found


def _conditions(
    parameters: Mapping[str, Kind], kind: Kind, path: Path, known: set[str], open_names: bool
) -> Iterator[Finding]:
    if kind.when is None:
        if "otherwise" in kind.model_fields_set:
            yield Finding((*path, "otherwise"), "does nothing without 'when'", on_key=True)
        return
    if isinstance(kind, Numbered):
        yield Finding((*path, "when"), f"cannot stand on a {kind.noun}: every point has as many", on_key=True)
    for other, wanted in kind.when.items():
        at = (*path, "when", other)
        if other not in known:
            if not open_names:
                yield Finding(
                    at, f"there is no parameter '{shortened(other)}'", did_you_mean(other, known), on_key=True
                )
            continue
        source = parameters.get(other)
        if source is None or isinstance(source, Derived) or source.size is None or source.size > LISTED:
            continue
        values = [source.value_at(index) for index in range(source.size)]
        values += [source.otherwise] if source.when is not None else []
        for value in wanted:
            if not any(same(value, one) for one in values):
                near = did_you_mean(value, [one for one in values if isinstance(one, str)])
                yield Finding(at, f"'{other}' never has the value {_shown(value)}", near)


def _tie(parameters: Mapping[str, Kind], kind: Choice, other: str, path: Path) -> Iterator[Finding]:
    at = (*path, "tied")
    source = parameters.get(other)
    if source is None:
        yield Finding(at, f"there is no parameter '{shortened(other)}'", did_you_mean(other, parameters))
    elif not isinstance(source, Choice):
        yield Finding(at, f"'{other}' is no choice", "only choices can be tied")
    elif source.tied is not None and source is not kind:
        yield Finding(at, f"'{other}' is itself tied to '{source.tied}'", f"write tied: {source.tied}")
    elif source.when != kind.when:
        yield Finding(at, f"needs the same condition as '{other}'", "give both the same 'when'")
    elif source.size != kind.size:
        yield Finding(at, f"has {kind.size} values, but '{other}' has {source.size}", "make them equally long")


def _constraints(spec: Spec, others: frozenset[str], open_names: bool) -> Iterator[Finding]:
    known = {*spec.parameters, *others}
    numbered = _numbered(spec.parameters)
    for place, text in enumerate(spec.search.constraints):
        for read in sorted(Formula(text).names - known):
            if not open_names:
                message = f"'{shortened(text)}' reads an unknown parameter '{shortened(read)}'"
                yield Finding(("search", "constraints", place), message, did_you_mean(read, known))
        for read in sorted(Formula(text).names & numbered):
            message = f"'{shortened(text)}' reads '{read}', which differs between the trials of a point"
            yield Finding(("search", "constraints", place), message, "constraints are about points")


def _grids(spec: Spec) -> Iterator[Finding]:
    for place, own in enumerate(spec.search.grids):
        path: Path = ("search", "grids", place)
        for name, kind in own.items():
            if name not in spec.parameters:
                near = did_you_mean(name, spec.parameters) or "declare it there with its value for the other grids"
                yield Finding((*path, name), f"'{name}' is none of the parameters", near, on_key=True)
            elif isinstance(kind, Numbered) or isinstance(spec.parameters[name], Numbered):
                message = "cannot change how many trials a point gets"
                yield Finding((*path, name), message, "every point has as many", on_key=True)
        yield from parameter_findings({**spec.parameters, **own}, frozenset(), False, path)


def _search(spec: Spec) -> Iterator[Finding]:
    search, algorithm = spec.search, spec.algorithm
    adaptive, own = algorithm in ADAPTIVE, is_own(algorithm)
    for key, fits, where in (
        ("grids", algorithm == "grid", "grid"),
        ("points", algorithm == "list", "list"),
        ("file", algorithm == "list", "list"),
        ("folder", algorithm == "files", "files"),
        ("match", algorithm == "files", "files"),
        ("options", adaptive or own, "an adaptive one or your own"),
        ("goals", algorithm in OPTUNAS or own, "tpe, gp, nsga2 or your own"),
        ("warm_start", algorithm in OPTUNAS or own, "tpe, gp, cmaes, nsga2 or your own"),
    ):
        if key in search.model_fields_set and not fits:
            yield Finding(("search", key), f"does nothing for {algorithm}", f"it is for {where}", on_key=True)
    if algorithm == "list" and bool(search.points) == (search.file is not None):
        hint = "add points: or file: points.csv" if search.file is None else "keep one of points and file"
        yield Finding(("search",), f"a list needs {'its points' if search.file is None else 'one source'}", hint)
    if algorithm == "files" and search.folder is None:
        yield Finding(("search", "folder"), "is missing", "add folder: ./data")
    for place, point in enumerate(search.points[1:], start=1):
        if set(point) != set(search.points[0]):
            message = f"has not the names of the first point: {all_of(search.points[0])}"
            yield Finding(("search", "points", place), message)
    if (adaptive or algorithm in QUASI_RANDOM) and search.trials is None:
        yield Finding(("search", "trials"), f"is missing: {algorithm} has no end of its own", "add trials: 50")
    if algorithm == "latin_hypercube" and search.constraints:
        message = "would leave holes in a Latin hypercube"
        yield Finding(("search", "constraints"), message, "use sobol", on_key=True)
    if algorithm == "pbt":
        yield from _population(spec)
    yield from _stages(spec, adaptive or own)
    yield from _metrics(search, adaptive)
    yield from _dimensions(spec)


def _population(spec: Spec) -> Iterator[Finding]:
    if spec.workload.checkpoint is None:
        message = "is missing: in pbt each trial goes on from the checkpoint of another"
        yield Finding(
            ("workload", "checkpoint"), message, "add checkpoint: FOLDER, and let the program load and save there"
        )
    if spec.search.early_stopping is not None:
        message = "does nothing for pbt, which replaces the worst by itself"
        yield Finding(("search", "early_stopping"), message, "remove it", on_key=True)
    for name, kind in spec.parameters.items():
        if isinstance(kind, Repeat):
            yield Finding(
                ("parameters", name), "cannot be repeated by pbt: its trials go on from each other", on_key=True
            )


def _stages(spec: Spec, learns: bool) -> Iterator[Finding]:
    numbered = {name: kind for name, kind in spec.parameters.items() if isinstance(kind, Numbered)}
    name = next((name for name, kind in numbered.items() if isinstance(kind, Stages)), None)
    if name is None:
        return
    path: Path = ("parameters", name)
    for other in [other for other in numbered if other != name]:
        again = isinstance(numbered[other], Repeat)
        hint = f"search over it: {other}: [0, 1, 2]" if again else f"let it be fixed, with when: {{{name}: ...}}"
        yield Finding(("parameters", other), f"cannot stand beside the stages of '{name}'", hint, on_key=True)
    if learns:
        message = f"cannot be trained by {spec.algorithm}, which asks for what it has learnt from single trials"
        yield Finding(path, message, "use grid, random or another search that does not learn", on_key=True)
    if spec.search.early_stopping is not None:
        message = "would compare trials of different stages"
        yield Finding(("search", "early_stopping"), message, "remove it, or the stages", on_key=True)
    if spec.search.trials is not None and spec.search.trials % spec.stages:
        fewer = spec.search.trials // spec.stages * spec.stages
        message = f"would leave a point without all its {spec.stages} stages"
        yield Finding(("search", "trials"), message, f"write {fewer or spec.stages}")
    if spec.workload.checkpoint is None and spec.stages > 1:
        message = "hand nothing on: there is no workload.checkpoint"
        yield Finding(path, message, "add checkpoint: FOLDER to the workload", "warning", on_key=True)


def _metrics(search: Search, adaptive: bool) -> Iterator[Finding]:
    if search.metric is None:
        for key, needs in (
            ("algorithm", adaptive),
            ("target", search.target is not None),
            ("patience", search.patience is not None),
            ("early_stopping", search.early_stopping is not None),
        ):
            if needs:
                yield Finding(("search", "metric"), f"is missing: search.{key} needs it", "add metric: NAME")
                break
    elif search.goals and search.goals.get(search.metric) != search.goal:
        first = next(iter(search.goals.items()))
        yield Finding(
            ("search", "metric"), "and goal must be one of goals", f"leave them out: they are {first[0]} and {first[1]}"
        )
    if len(search.goals) > 1:
        if search.algorithm == "cmaes":
            hint = "use nsga2, tpe or gp"
            yield Finding(("search", "goals"), "cmaes knows one goal only", hint, on_key=True)
        if search.early_stopping is not None:
            message = "cannot compare trials by several goals"
            yield Finding(("search", "early_stopping"), message, "remove it or all goals but one", on_key=True)


def _dimensions(spec: Spec) -> Iterator[Finding]:
    if spec.algorithm not in (*ADAPTIVE, *QUASI_RANDOM):
        return
    free = {name: kind for name, kind in spec.parameters.items() if kind.axis and not isinstance(kind, Numbered)}
    moving = {name: kind for name, kind in free.items() if kind.size != 1}
    if not moving:
        yield Finding(("search", "algorithm"), f"{spec.algorithm} has nothing to search: every parameter is fixed")
    elif spec.algorithm == "cmaes":
        steady = [n for n, kind in moving.items() if not isinstance(kind, Choice) and kind.when is None]
        if len(steady) < 2:
            message = "cmaes needs two parameters that are numbers and have no condition"
            yield Finding(("search", "algorithm"), message, "use tpe")


def same(left: Any, right: Any) -> bool:
    """Equal, and not one a boolean and the other a number: ``true`` is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _shown(value: Any) -> str:
    return f"'{shortened(value)}'" if isinstance(value, str) else shortened(json.dumps(value))
