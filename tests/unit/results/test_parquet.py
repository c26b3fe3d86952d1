"""Results as Parquet."""

from __future__ import annotations

import io
import math

import pytest

pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which make test installs")

import pyarrow.parquet as pq

from orchestrator.results.fields import fields
from orchestrator.results.leaderboard import Trial
from orchestrator.results.parquet import to_parquet
from orchestrator.results.points import points

ROWS = [
    Trial(0, "succeeded", {"lr": 0.1, "n": 3, "opt": "adam", "on": True, "mix": 1, "l": [1, 2], "big": 2**70},
          {"acc": 0.9}, seconds=5.0),
    Trial(1, "failed", {"lr": 1, "n": None, "opt": "é\n", "on": False, "mix": "a", "l": [], "big": 1},
          {"acc": math.nan}, reason="exit code 1"),
]  # fmt: skip


def table(rows: list[Trial]) -> object:
    file = io.BytesIO()
    to_parquet(rows, fields(rows), file)
    return pq.read_table(io.BytesIO(file.getvalue()))


def test_every_column_has_the_type_of_its_values_and_every_value_comes_back() -> None:
    read = table(ROWS)
    types = {field.name: str(field.type) for field in read.schema}  # type: ignore[attr-defined]
    assert types == {
        "trial": "int64", "state": "string", "lr": "double", "n": "int64", "opt": "string", "on": "bool",
        "mix": "string", "l": "string", "big": "string", "acc": "double", "attempts": "int64", "seconds": "double",
        "reason": "string",
    }  # fmt: skip
    first, second = read.to_pylist()  # type: ignore[attr-defined]
    assert (first["lr"], first["n"], first["mix"], first["l"], first["big"]) == (0.1, 3, "1", "[1, 2]", str(2**70))
    assert (second["opt"], second["n"], second["mix"], second["seconds"]) == ("é\n", None, '"a"', None)
    assert math.isnan(second["acc"])


def test_points_and_no_rows_at_all_can_be_written() -> None:
    rows = points([Trial(n, "succeeded", {"s": n}, {"acc": n}) for n in range(2)], {"s": 2}, "acc")
    (row,) = table(rows).to_pylist()  # type: ignore[attr-defined, arg-type]
    assert (row["trials"], row["acc"], row["n"]) == ([0, 1], 0.5, 2)
    assert table([]).num_rows == 0  # type: ignore[attr-defined]
