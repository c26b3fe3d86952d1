"""Where results go and in which form: a terminal, standard output or a file; a table, CSV, JSON Lines or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from orchestrator.cli.terminal import say
from orchestrator.errors import MachineError, UsageError
from orchestrator.results.export import to_csv, to_json, to_record
from orchestrator.results.fields import Field, fields
from orchestrator.results.leaderboard import Trial
from orchestrator.results.words import count

FORMATS = ("table", "csv", "jsonl", "parquet")
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Target:
    """``json`` asks for one object where there are several runs; ``file`` is None for standard output."""

    format: str
    json: bool = False
    file: Path | None = None


def target(wanted: str | None, as_csv: bool, as_json: bool, file: Path | None) -> Target:
    """What the options say together.  Raises click's UsageError where they say different things."""
    asked = {name for name in (wanted, "csv" if as_csv else None, "jsonl" if as_json else None) if name is not None}
    if len(asked) > 1:
        raise click.UsageError("--csv, --json and --format name different formats.")
    if file is None:
        return Target(asked.pop() if asked else "table", as_json)
    known = _SUFFIXES.get(file.suffix.lower())
    if known is None and not asked:
        raise click.UsageError(f"--to {file}: the name ends in none of {', '.join(_SUFFIXES)}; --format names one.")
    chosen = asked.pop() if asked else str(known)
    if chosen == "table":
        raise click.UsageError("--to writes csv, jsonl or parquet; a table can be redirected.")
    return Target(chosen, as_json, file)


def write(into: Target, rows: Sequence[Trial], columns: Sequence[Field] | None) -> None:
    """All rows in the wanted form.  Raises UsageError and MachineError."""
    if into.format == "parquet":
        _parquet(into, rows, columns)
        return
    if into.file is None:
        _text(into.format, rows, columns, sys.stdout)
        return
    try:
        with into.file.open("w", encoding="utf-8", newline="") as file:
            _text(into.format, rows, columns, file)
    except OSError as error:
        raise _unwritable(into.file, error) from error
    _wrote(into.file, rows)


def _text(form: str, rows: Sequence[Trial], columns: Sequence[Field] | None, file: TextIO) -> None:
    if form == "csv":
        to_csv(rows, file, columns)
        return
    for row in rows:
        record = to_record(row) if columns is None else {column.name: column.of(row) for column in columns}
        file.write(f"{to_json(record)}\n")


def _parquet(into: Target, rows: Sequence[Trial], columns: Sequence[Field] | None) -> None:
    try:
        from orchestrator.results.parquet import to_parquet
    except ImportError as error:
        if error.name is None or not error.name.startswith("pyarrow"):
            raise
        raise UsageError("Parquet needs pyarrow.", remedy="pip install 'orchestrator[parquet]'") from None
    shown = fields(rows) if columns is None else columns
    if into.file is None:
        if sys.stdout.isatty():
            raise UsageError("Parquet is not for a terminal.", remedy="Name a file: --to results.parquet.")
        to_parquet(rows, shown, sys.stdout.buffer)
        return
    try:
        with into.file.open("wb") as file:
            to_parquet(rows, shown, file)
    except OSError as error:
        raise _unwritable(into.file, error) from error
    _wrote(into.file, rows)


def _wrote(file: Path, rows: Sequence[Trial]) -> None:
    say(f"Wrote {count(len(rows), 'row')} to {file}.")


def _unwritable(file: Path, error: OSError) -> MachineError:
    return MachineError(f"{file} cannot be written: {error.strerror or error}.")
