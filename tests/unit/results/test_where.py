"""Which rows and which columns of the results are wanted."""

from __future__ import annotations

import math

import pytest

from orchestrator.errors import UsageError
from orchestrator.results.fields import chosen, fields
from orchestrator.results.leaderboard import Trial
from orchestrator.results.points import points
from orchestrator.results.where import where

ROWS = [
    Trial(0, "succeeded", {"lr": 0.1, "opt": "adam", "loss": "mse"}, {"acc": 0.9, "val/loss": 0.3}, seconds=5.0),
    Trial(1, "failed", {"lr": 0.2, "opt": "sgd", "loss": "mae"}, {}, reason="exit code 1"),
    Trial(2, "pruned", {"lr": 0.3, "opt": "sgd", "loss": "mse"}, {"acc": math.nan, "val/loss": 0.1}, attempts=2),
    Trial(3, "succeeded", {"lr": 0.4, "opt": None, "loss": "mse"}, {"acc": 0.5, "loss": 2.0}),
]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("lr < 0.25", [0, 1]),
        ("lr < 0.35 and state == succeeded", [0]),
        ("state in [failed, pruned]", [1, 2]),
        ("opt == sgd", [1, 2]),
        ("opt == 'sgd' and lr > 0.25", [2]),
        ("opt == null", [3]),
        ("acc > 0.4", [0, 3]),
        ("not acc > 0.6", [1, 2, 3]),
        ("acc > 0.6 or state == failed", [0, 1]),
        ("acc - 0.1 > 0.6 or trial == 3", [0, 3]),
        ("sqrt(acc) > 0.8", [0]),
        ("metrics['val/loss'] < 0.2", [2]),
        ("params['lr'] >= 0.3", [2, 3]),
        ("attempts > 1", [2]),
        ("seconds < 10", [0]),
        ("reason != ''", [1]),
        ("loss == 2.0", [3]),  # a metric goes before a parameter of its name
        ("params['loss'] == 'mae'", [1]),
        ("true", [0, 1, 2, 3]),
    ],
)
def test_a_formula_keeps_the_rows_for_which_it_holds(text: str, kept: list[int]) -> None:
    assert [row.trial for row in where(ROWS, text)] == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lrr < 1", "lrr"),
        ("state == prund", "prund"),
        ("lr <", "no formula"),
        ("lr < 'a'", "no value"),
        ("__import__('os')", "__import__"),
        ("lr.real > 0", "dot"),
    ],
)
def test_a_mistake_in_a_formula_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        where(ROWS, text)


def test_columns_come_in_the_order_of_asking_with_patterns_and_full_names() -> None:
    known = fields(ROWS)
    assert [field.name for field in chosen(known, "lr, trial,acc")] == ["lr", "trial", "acc"]
    assert [field.name for field in chosen(known, "param.lr,metric.acc")] == ["lr", "acc"]
    assert [field.name for field in chosen(known, "*loss*")] == ["loss", "val/loss", "metric.loss"]
    assert [field.key for field in chosen(known, "lr,lr")] == ["lr"]
    with pytest.raises(UsageError, match="lrs") as caught:
        chosen(known, "trial,lrs")
    assert "lr" in (caught.value.remedy or "")
    with pytest.raises(UsageError):
        chosen(known, " , ")


def test_the_columns_of_points_are_their_means_deviations_and_numbers() -> None:
    rows = points([Trial(n, "succeeded", {"lr": 1, "s": n % 2}, {"acc": n}) for n in range(4)], {"s": 2}, "acc")
    names = [field.name for field in fields(rows)]
    assert names == ["point", "state", "lr", "acc", "acc_sd", "n", "trials", "seconds"]
    values = {field.name: field.of(rows[1]) for field in fields(rows)}
    assert (values["point"], values["trials"], values["acc"], values["n"]) == (1, [2, 3], 2.5, 2)
    assert [row.trial for row in where(rows, "acc_sd > 0.5 and acc > 1")] == [1]
