"""Results as Parquet, with a type a column.  Only this module imports pyarrow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.results.fields import Field
from orchestrator.results.leaderboard import Trial


def to_parquet(rows: Sequence[Trial], columns: Sequence[Field], file: IO[bytes]) -> None:
    """One row group with all rows.  Numbers that are not finite stay what they are; what a row lacks is null.

    Metrics are doubles.  A parameter is a boolean, an integer of 64 bits, a double or a text where all its values are;
    a mixture of these, a list or a mapping is JSON in a text.
    """
    table = pa.table({column.name: _array([column.of(row) for row in rows], column) for column in columns})
    pq.write_table(table, file)


def _array(values: Sequence[Any], column: Field) -> Any:
    if column.source in ("metric", "sd"):
        return pa.array(values, pa.float64())
    if column.key == "trials" and column.source == "own":
        return pa.array(values, pa.list_(pa.int64()))
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in present):
        return pa.array(values, pa.int64())
    if float in kinds and kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if kinds <= {str}:
        # An empty column of ours has the type that it has elsewhere.
        return pa.array(values, pa.float64() if not kinds and column.key == "seconds" else pa.string())
    return pa.array([None if value is None else json.dumps(value, ensure_ascii=False) for value in values], pa.string())
