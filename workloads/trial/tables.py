"""CSV files with a line of column names: their rows, or one sentence where a file is not what it should be."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .errors import BadInput


def read_rows(path: str | Path, needed: Sequence[str], *, errors: str = "strict") -> Iterator[tuple[str, dict]]:
    """Each row's place (`FILE:LINE`) and its values by column, of which the `needed` ones are there.

    A value is None where its row is cut short. `errors` says what becomes of bytes that are no UTF-8.
    """
    if not Path(path).is_file():
        raise BadInput(f"{path}: there is no such file")
    with open(path, newline="", encoding="utf-8-sig", errors=errors) as file:
        rows = csv.DictReader(file)
        try:
            there = rows.fieldnames or ["none"]
            missing = [name for name in needed if name not in there]
            if missing:
                raise BadInput(f"{path}: no column {', '.join(missing)}; there are {', '.join(there)[:200]}")
            for row in rows:
                yield f"{path}:{rows.line_num}", row
        except UnicodeDecodeError as error:
            raise BadInput(f"{path}: no text in UTF-8 ({error})") from error
        except csv.Error as error:
            raise BadInput(f"{path}:{rows.line_num + 1}: no row of a CSV file ({error})") from error


def numbers(where: str, row: Mapping[str, str | None], columns: Sequence[str]) -> list[float]:
    """The row's values in the columns, which must be finite numbers."""
    values = [row[name] for name in columns]
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise BadInput(f"{where}: {', '.join(columns)} must be finite numbers, not {', '.join(map(repr, values))}")
    return found
