"""The environment that a workload asks for, gathered from its files into one value: hashed, recorded and sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.model import Workload

# As pip reads them: a comment begins a line or follows a space, an option's value follows a space, "=" or, after the
# short name, nothing.
_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:--(?P<long>requirement|constraint)(?:\s+|=)|-(?P<short>[rc])\s*)(?P<file>\S.*)")
# A password in a URL, but for the name of a variable, which pip itself puts in: https://${USER}:${TOKEN}@host.
_PASSWORD = re.compile(r"://[^/\s:@]*:(?!\$\{[A-Z0-9_]+\}@)[^/\s@]+@")
_BESIDE = re.compile(r"(?:(?:-e|--editable)(?:\s+|=))?\.{1,2}(?:$|[/\[ ])|(?:--find-links(?:\s+|=)|-f\s*)(?!/|\w+:)")


def gathered(workload: Workload, base: Path) -> dict[str, str] | None:
    """The texts ``packages``, ``constraints`` and ``build_constraints``, and the interpreter ``python`` ("" is ours).

    None where no requirements are named.
    Files that a file includes (``-r``, ``-c``) stand in the texts themselves.  Raises :class:`UsageError` where a file
    cannot be read, includes itself, holds a password, or names a folder beside it, which would not be there where the
    trials run.
    """
    if workload.requirements is None:
        return None
    lines: dict[str, list[str]] = {"packages": [], "constraints": [], "build_constraints": []}
    for kind, key, named in (
        ("packages", "requirements", workload.requirements),
        ("build_constraints", "build_constraints", workload.build_constraints),
    ):
        if named is not None:
            for found, line in _read(base / named, kind, f"workload.{key}", ()):
                lines[found].append(line)
    texts = {kind: "".join(f"{line}\n" for line in found) for kind, found in lines.items()}
    return {**texts, "python": workload.python or ""}


def _read(path: Path, kind: str, key: str, within: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text()
        place = path.resolve()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{key}: {path} cannot be read: {error}.") from error
    if place in within:
        raise UsageError(f"{key}: {path} includes itself.")
    for line in text.replace("\\\n", " ").splitlines():
        line = _COMMENT.sub("", line).strip()
        if _PASSWORD.search(line):
            raise UsageError(
                f"{key}: {path} holds a password in a URL, and what it says is written down.",
                remedy="Write the name of a variable in its place, as pip reads it: https://${USER}:${TOKEN}@host.",
            )
        include = _INCLUDE.fullmatch(line)
        if include is not None and "://" not in include["file"]:
            constraint = (include["long"] or include["short"])[0] == "c"
            below = "constraints" if constraint and kind == "packages" else kind
            yield from _read(path.parent / include["file"], below, key, (*within, place))
        elif _BESIDE.match(line):
            raise UsageError(
                f"{key}: {path} names the folder '{line}', which is not there where the trials run: "
                "put it into workload.code, or install it from an archive."
            )
        elif line:
            yield kind, line
