"""CSV and JSON of trials."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results.export import strict, to_csv, to_json, to_record
from orchestrator.results.leaderboard import Trial

TRIAL = Trial(3, "succeeded", {"lr": 0.1, "layers": [1, 2]}, {"acc": 0.9}, 2, 1.5, ("/store/model.keras",), "")


def rows(*trials: Trial) -> list[dict[str, str]]:
    text = io.StringIO()
    to_csv(trials, text)
    return list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))


def test_a_record_has_the_keys_that_scripts_depend_on() -> None:
    assert to_record(TRIAL) == {
        "trial": 3,
        "state": "succeeded",
        "params": {"lr": 0.1, "layers": [1, 2]},
        "metrics": {"acc": 0.9},
        "attempts": 2,
        "seconds": 1.5,
        "outputs": ["/store/model.keras"],
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_json_is_strict_and_one_line_whatever_the_values(value: Any) -> None:
    text = to_json({"value": value})
    assert "\n" not in text

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(text, parse_constant=refuse) == {"value": strict(value)}


def test_numbers_that_json_does_not_know_are_null() -> None:
    assert strict({"a": math.nan, "b": [math.inf, -math.inf, 0.0]}) == {"a": None, "b": [None, None, 0.0]}


def test_csv_has_a_column_a_parameter_and_metric_and_empty_fields_for_what_is_not_there() -> None:
    failed = Trial(4, "failed", {"lr": 0.2}, {}, 1, None, (), "exit code 1")
    first, second = rows(TRIAL, failed)
    assert first == {
        "trial": "3",
        "state": "succeeded",
        "lr": "0.1",
        "layers": "[1, 2]",
        "acc": "0.9",
        "attempts": "2",
        "seconds": "1.5",
        "reason": "",
    }
    assert (second["layers"], second["acc"], second["seconds"], second["reason"]) == ("", "", "", "exit code 1")


def test_names_that_two_columns_would_have_are_told_apart() -> None:
    (row,) = rows(Trial(0, "succeeded", {"loss": "mse", "state": "on"}, {"loss": 0.5}))
    assert (row["loss"], row["metric.loss"], row["param.state"], row["state"]) == ("mse", "0.5", "on", "succeeded")


def test_numbers_that_are_not_finite_stay_readable_in_csv() -> None:
    (row,) = rows(Trial(0, "succeeded", {}, {"a": math.nan, "b": -math.inf}))
    assert math.isnan(float(row["a"]))
    assert float(row["b"]) == -math.inf


texts = st.text(st.characters(exclude_characters="\r\0", exclude_categories=("Cs",)))


@given(st.lists(texts, min_size=1, max_size=4))
def test_any_text_comes_back_from_csv_as_it_was(values: list[str]) -> None:
    trials = [Trial(number, "succeeded", {"text": value}) for number, value in enumerate(values)]
    assert [row["text"] for row in rows(*trials)] == values
