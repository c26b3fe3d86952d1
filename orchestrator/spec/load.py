"""Reading a spec: from a file, a text or Python data to the typed spec and what is doubtful about it.

Every mistake that can be found is found in one go and raised in one SpecError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any

from orchestrator.spec import checks, overrides, relations
from orchestrator.spec.model import Spec
from orchestrator.spec.paths import resolved
from orchestrator.spec.problems import Problem, SpecError, describe, did_you_mean, shortened
from orchestrator.spec.python_data import tree_of
from orchestrator.spec.source import LARGEST_TEXT, Node, Place, Unreadable, read_yaml
from orchestrator.spec.validate import Finding, Path, typed
from orchestrator.spec.variants import overlaid, without_nulls

# Characters of a message or a hint.
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec that can be used.

    ``specs`` are the sweeps that it stands for: one for each entry of ``matrix``, else ``spec`` alone.  ``source``
    is the text as it was read, empty for Python data.  Relative paths start from the folder ``base``.
    """

    spec: Spec
    specs: tuple[Spec, ...]
    warnings: tuple[Problem, ...]
    source: str
    base: Folder

    def resolve(self, path: str) -> Folder:
        """A path of the spec, on this machine."""
        return resolved(self.base, path)


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Loaded:
    """Read a spec from a file.  ``overrides`` are texts such as ``limits.parallel=4``.

    Raises SpecError, also for a file that cannot be read.
    """
    name = os.fspath(path)
    return parse(_text(name), name, overrides, base=Folder(name).absolute().parent)


def parse(text: str, filename: str = "<text>", overrides: Sequence[str] = (), *, base: Folder | None = None) -> Loaded:
    """Read a spec from a text; ``filename`` is what errors call it.

    Without ``base`` no file that the spec names is looked for.  Raises SpecError.
    """
    problems: list[Problem] = []
    try:
        root, found = read_yaml(text, filename)
    except Unreadable as error:
        raise SpecError([error.problem]) from None
    problems += found
    if root.value is None:
        problem = "has no spec in it: it is empty" if not text.strip() else "has no spec in it"
        raise SpecError([Problem(filename, 1, 1, "", problem, "'orchestrate init' writes one to start from")])
    return _loaded(root, overrides, problems, text, base)


def from_dict(
    data: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    base: str | os.PathLike[str] | None = None,
    label: str = "spec",
) -> Loaded:
    """Read a spec from Python data of the same names; ``label`` is what errors call it.

    Relative paths start from ``base``, by default the current folder.  Raises SpecError.
    """
    try:
        root = tree_of(data, label)
    except Unreadable as error:
        raise SpecError([error.problem]) from None
    return _loaded(root, overrides, [], "", Folder(base or ".").absolute())


def changed(data: Mapping[str, Any], overrides: Sequence[str], label: str) -> Spec:
    """A recorded spec with overrides; no file that it names is looked for.  Raises SpecError."""
    try:
        root = tree_of(data, label)
    except Unreadable as error:
        raise SpecError([error.problem]) from None
    return _loaded(root, overrides, [], "", None).spec


def _text(name: str) -> str:
    path = Folder(name)
    try:
        with open(path, "rb") as file:
            raw = file.read(4 * LARGEST_TEXT + 1)
    except FileNotFoundError:
        raise _no_file(name, "does not exist", _similar(path)) from None
    except IsADirectoryError:
        inside = sorted(entry.name for entry in path.glob("*.y*ml"))
        hint = f"did you mean {path / inside[0]}?" if inside else "give the file itself"
        raise _no_file(name, "is a folder", hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _no_file(shortened(name, 200), f"cannot be read: {reason}", "") from None
    if len(raw) > 4 * LARGEST_TEXT:
        raise _no_file(name, f"is larger than {LARGEST_TEXT:,} characters", "this is no spec")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        problem = Problem(name, line, column, "", "is not UTF-8 text", "save it as UTF-8, or is it a binary file?")
        raise SpecError([problem]) from None
    return text


def _no_file(name: str, message: str, hint: str) -> SpecError:
    return SpecError([Problem(name, None, None, "", message, hint)])


def _similar(path: Folder) -> str:
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    return did_you_mean(path.name, [name for name in names if name.endswith((".yaml", ".yml"))])


def _loaded(root: Node, changes: Sequence[str], problems: list[Problem], source: str, base: Folder | None) -> Loaded:
    if isinstance(root.value, dict):
        root = overrides.apply(root, changes, problems)
    if not isinstance(root.value, dict):
        place = root.place
        message = f"needs a mapping of keys such as 'name' and 'workload', not {describe(root.plain())}"
        raise SpecError([*problems, Problem(place.file, place.line, place.column, "", message)])
    data = _as_written(root)
    problems += _problems(root, checks.traps(root))
    spec, specs = _variants(root, data, base, problems)
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0))
    errors = [problem for problem in ordered if problem.severity == "error"]
    if errors or spec is None:
        raise SpecError(ordered)
    return Loaded(spec, tuple(specs), tuple(ordered), source, base or Folder.cwd())


def _variants(
    root: Node, data: dict[str, Any], base: Folder | None, problems: list[Problem]
) -> tuple[Spec | None, list[Spec]]:
    """The spec, and the sweeps that it stands for; what is wrong with any of them goes into ``problems``."""
    matrix = data.get("matrix")
    if matrix is None:
        spec, found = typed(without_nulls(data))
        found += relations.findings(spec) if spec is not None else ()
        problems += _problems(root, [*found, *checks.findings(without_nulls(data), base)])
        return spec, [spec] if spec else []
    # The rest alone need not say what runs: the entries may.
    whole, found = typed({"workload": {}, **without_nulls(data)})
    if not isinstance(matrix, list) or not matrix or not all(isinstance(entry, dict) for entry in matrix):
        if matrix == []:
            found.append(Finding(("matrix",), "is empty", "remove it, or add an entry"))
        problems += _problems(root, found)
        return None, []
    problems += _problems(root, found)
    specs: list[Spec] = []
    names: dict[str, int] = {}
    for number, entry in enumerate(matrix, start=1):
        merged = overlaid(data, entry, number)
        spec, found = typed(merged)
        found += relations.findings(spec) if spec is not None else ()
        if "matrix" in entry:
            found.append(Finding(("matrix",), "cannot stand inside an entry of matrix", on_key=True))
        first = names.setdefault(str(merged.get("name")), number)
        if first != number:
            found.append(Finding(("name",), f"is the name of entry {first} too", "give each entry its own"))
        problems += _problems(root, [*found, *checks.findings(merged, base)], ("matrix", number - 1))
        if spec is not None:
            specs.append(spec)
    return whole, specs


def _as_written(root: Node) -> dict[str, Any]:
    """The plain data, with texts kept as they were written where only a text is meant: ``1.10`` stays ``1.10``."""
    data: dict[str, Any] = root.plain()
    for node, plain in _specs_in(root, data):
        if "name" in plain:
            plain["name"] = _raw(node.value["name"], plain["name"])
        work, into = node.at(("workload",)), plain.get("workload")
        if work is None or not isinstance(into, dict):
            continue
        for key in ("env", "command"):
            written = work.at((key,))
            if written is not None and isinstance(written.value, dict):
                into[key] = {name: _raw(child, into[key][name]) for name, child in written.value.items()}
            elif written is not None and isinstance(written.value, list):
                into[key] = [_raw(child, item) for child, item in zip(written.value, into[key], strict=True)]
    return data


def _specs_in(root: Node, data: dict[str, Any]) -> Iterator[tuple[Node, dict[str, Any]]]:
    yield root, data
    matrix = root.at(("matrix",))
    if matrix is not None and isinstance(matrix.value, list):
        for node, plain in zip(matrix.value, data["matrix"], strict=True):
            if isinstance(plain, dict):
                yield node, plain


def _raw(node: Node, value: Any) -> Any:
    return node.raw if node.raw is not None and value is not None else value


def _problems(root: Node, findings: Iterable[Finding], entry: Path = ()) -> list[Problem]:
    return [_problem(root, finding, entry) for finding in findings]


def _problem(root: Node, finding: Finding, entry: Path) -> Problem:
    at = finding.path if finding.at is None else finding.at
    place = _place(root, at, entry, finding.on_key)
    path = ".".join(shortened(str(step)) for step in finding.path)
    # What users wrote stands in messages; whatever it is, a problem stays one line that can be read.
    message, hint = shortened(finding.message, LONGEST), shortened(finding.hint, LONGEST)
    return Problem(place.file, place.line, place.column, path, message, hint, finding.severity)


def _place(root: Node, at: Path, entry: Path, on_key: bool) -> Place:
    """Where a value of an entry was written: in the entry, else in the rest; for neither, what is nearest."""
    for length in range(len(at), 0, -1):
        if entry and root.at((*entry, *at[:length])) is not None:
            return root.locate((*entry, *at[:length]), key=on_key and length == len(at))
        if root.at(at[:length]) is not None:
            return root.locate(at[:length], key=on_key and length == len(at))
    return root.locate(entry) if entry else root.place
