"""Points from a file: CSV with a header, or JSON Lines.  Read row by row, never as a whole."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pydantic_core import PydanticCustomError

from orchestrator.spec.kind import parameter_value
from orchestrator.spec.problems import all_of, describe, shortened

# Leading zeros make a text (a postcode, an identifier), not a number.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,300})", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Any] = {"": None, "null": None, "true": True, "false": False}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class TableError(ValueError):
    """The file cannot be used; the message names the row."""


def columns(path: Path) -> list[str]:
    """The names that every row gives a value.  Raises TableError, and OSError for a file that cannot be opened."""
    with _opened(path) as file:
        names, _ = _begin(path, file)
        return names


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every row as a mapping of names to values.

    In CSV an empty cell is null, and what is written like a number, ``true`` or ``false`` is one.  Raises TableError
    at the first row that does not fit the first.
    """
    with _opened(path) as file:
        _, following = _begin(path, file)
        yield from following


def _opened(path: Path) -> TextIO:
    return open(path, encoding="utf-8-sig", newline="")


def _begin(path: Path, file: TextIO) -> tuple[list[str], Iterator[dict[str, Any]]]:
    try:
        return _json_lines(path, file) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path, file)
    except UnicodeDecodeError:
        raise TableError(f"{path.name} is not UTF-8 text") from None


def _csv(path: Path, file: TextIO) -> tuple[list[str], Iterator[dict[str, Any]]]:
    reader = csv.reader(file, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise TableError(f"{path.name}:1 is no CSV: {error}") from None
    _check_names(path, names)

    def following() -> Iterator[dict[str, Any]]:
        try:
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise TableError(f"{path.name}:{reader.line_num} has {len(cells)} cells, the header {len(names)}")
                yield {name: _cell(text) for name, text in zip(names, cells, strict=True)}
        except csv.Error as error:
            raise TableError(f"{path.name}:{reader.line_num} is no CSV: {error}") from None
        except UnicodeDecodeError:
            raise TableError(f"{path.name} is not UTF-8 text after line {reader.line_num}") from None

    return names, following()


def _cell(written: str) -> Any:
    text = written.strip()
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and abs(float(text)) != float("inf"):
        return float(text)
    return written


def _json_lines(path: Path, file: TextIO) -> tuple[list[str], Iterator[dict[str, Any]]]:
    found = _objects(path, file)
    first = next(found, None)
    if first is None:
        raise TableError(f"{path.name} has no rows")
    names = list(first)
    _check_names(path, names)

    def following() -> Iterator[dict[str, Any]]:
        yield first
        for number, row in enumerate(found, start=2):
            if set(row) != set(names):
                raise TableError(f"row {number} of {path.name} has not the names of the first: {all_of(names)}")
            yield {name: row[name] for name in names}

    return names, following()


def _objects(path: Path, file: TextIO) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise TableError(f"{path.name}:{number} holds {describe(value)}, not a mapping")
            yield {name: parameter_value(item) for name, item in value.items()}
        except json.JSONDecodeError as error:
            raise TableError(f"{path.name}:{number} is no JSON: {error.msg}") from None
        except (PydanticCustomError, RecursionError) as error:
            raise TableError(f"{path.name}:{number} holds a value that {error}") from None


def _check_names(path: Path, names: list[str]) -> None:
    if not names or names == [""]:
        raise TableError(f"{path.name} has no header")
    for name in names:
        if _IDENTIFIER.fullmatch(name) is None:
            raise TableError(
                f"{path.name} names a column '{shortened(name)}'; only letters, digits and '_' are allowed"
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"{path.name} has two columns '{twice}'")
