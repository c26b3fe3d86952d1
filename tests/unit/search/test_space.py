"""What follows from the free parameters: ties, conditions, derived values, repetitions, constraints."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.search import make_search

from .spaces import points, quick, sweep

CONDITIONAL: dict[str, Any] = {
    "optimizer": ["sgd", "adam", "rmsprop"],
    "momentum": {"choice": [0.0, 0.9], "when": {"optimizer": ["sgd", "rmsprop"]}},
    "nesterov": {"choice": [True, False], "when": {"optimizer": "sgd", "momentum": 0.9}, "otherwise": False},
}


def test_a_grid_has_each_combination_of_active_parameters_once() -> None:
    search = make_search(sweep(CONDITIONAL))
    found = [tuple(point.values()) for point in points(search)]
    assert found == [
        ("sgd", 0.0, False),
        ("sgd", 0.9, True),
        ("sgd", 0.9, False),
        ("adam", None, False),
        ("rmsprop", 0.0, False),
        ("rmsprop", 0.9, False),
    ]
    assert search.size == 6


def test_a_drawn_parameter_whose_condition_fails_has_its_other_value() -> None:
    search = make_search(sweep(CONDITIONAL, algorithm="random", trials=300))
    found = list(points(search))
    assert {point["momentum"] for point in found if point["optimizer"] == "adam"} == {None}
    assert {point["momentum"] for point in found if point["optimizer"] == "sgd"} == {0.0, 0.9}
    assert {point["nesterov"] for point in found if point["momentum"] != 0.9} == {False}


def test_a_condition_tells_true_from_one() -> None:
    space = {"flag": [True, 1], "extra": {"fixed": "on", "when": {"flag": True}, "otherwise": "off"}}
    assert [point["extra"] for point in points(make_search(sweep(space)))] == ["on", "off"]


def test_tied_values_come_from_one_row() -> None:
    rows = {
        "batch": {"choice": [32, 16, 8], "tied": "model"},
        "model": {"choice": ["s", "m", "l"], "weights": [1, 1, 2]},
        "lr": [0.1, 0.2],
    }
    pairs = {("s", 32), ("m", 16), ("l", 8)}
    assert {(p["model"], p["batch"]) for p in points(make_search(sweep(rows)))} == pairs
    assert len(list(points(make_search(sweep(rows))))) == 6
    drawn = points(make_search(sweep(rows, algorithm="random", trials=200)))
    assert {(p["model"], p["batch"]) for p in drawn} == pairs


def test_derived_values_are_computed_in_whatever_order_they_need_and_shown_in_the_spec_s() -> None:
    space = {
        "rate": {"derived": "base * scale"},
        "scale": {"derived": "batch / 32"},
        "batch": [32, 64],
        "base": 0.1,
        "last": {"derived": "sizes[-1]"},
        "sizes": {"choice": [[1, 2]]},
    }
    found = list(points(make_search(sweep(space))))
    assert [point["rate"] for point in found] == [0.1, 0.2]
    assert [point["last"] for point in found] == [2, 2]
    assert list(found[0]) == list(space)


def test_a_derived_value_that_cannot_be_computed_is_an_error_that_names_it() -> None:
    with pytest.raises(UsageError, match=r"parameters\.x: '1 / \(n - 1\)' has no value at n = 1: division by zero"):
        make_search(sweep({"n": [0, 1], "x": {"derived": "1 / (n - 1)"}}))


@pytest.mark.parametrize("formula", ["n * 1e308", "[n, n * 1e308 - n * 1e308]", "2 ** (150 * n)"])
def test_a_derived_value_that_json_cannot_hold_is_an_error_that_names_it(formula: str) -> None:
    with pytest.raises(UsageError, match=r"parameters\.x: the value of '.*' at n = 10 (must be finite|is too large)"):
        list(points(make_search(sweep({"n": [0, 10], "x": {"derived": formula}}))))


@pytest.mark.parametrize(
    "search",
    [{}, {"algorithm": "zip"}, {"algorithm": "random"}, {"algorithm": "tpe", "trials": 5, "metric": "m"}],
    ids=["grid", "zip", "random", "tpe"],
)
def test_a_formula_without_a_value_is_found_before_the_first_trial(search: dict[str, Any]) -> None:
    space = {"n": {"range": [0, 500]}, "x": {"derived": "1 / (n - n // 2 * 2 - n % 2)"}}
    with pytest.raises(UsageError, match=r"parameters\.x: .* division by zero"):
        make_search(sweep(space, **search))


def test_each_point_is_repeated_with_the_repetition_running_fastest() -> None:
    space = {"seed": {"repeat": 3}, "lr": [0.1, 0.2], "fold": {"derived": "seed * 10"}}
    found = [tuple(point.values()) for point in points(make_search(sweep(space)))]
    assert found == [(s, lr, s * 10) for lr in (0.1, 0.2) for s in range(3)]
    drawn = list(points(make_search(sweep({"seed": {"repeat": 3}, "lr": {"uniform": [0, 1]}}, trials=7))))
    assert [point["seed"] for point in drawn] == [0, 1, 2, 0, 1, 2, 0]
    assert len({point["lr"] for point in drawn}) == 3


STAGED = {"part": {"stages": ["a", "b"]}, "lr": [0.1, 0.2]}


def test_each_point_has_all_its_stages_one_after_the_other() -> None:
    found = [tuple(point.values()) for point in points(make_search(sweep(STAGED)))]
    assert found == [("a", 0.1), ("b", 0.1), ("a", 0.2), ("b", 0.2)]
    drawn = list(points(make_search(sweep({"part": {"stages": [1, 2, 3]}, "lr": {"uniform": [0, 1]}}, trials=6))))
    assert [point["part"] for point in drawn] == [1, 2, 3, 1, 2, 3]
    assert [point["lr"] for point in drawn] == [drawn[0]["lr"]] * 3 + [drawn[3]["lr"]] * 3


def test_only_what_is_searched_must_be_the_same_in_all_trials_of_a_point() -> None:
    space = {
        "fold": {"repeat": 2},
        "x": {"uniform": [0, 1]},
        "log": {"fixed": "full", "when": {"fold": 0}, "otherwise": "none"},
        "y": {"derived": "x + fold", "when": {"fold": 1}},
    }
    found = list(points(make_search(sweep(space, trials=4))))
    assert [(point["log"], point["y"] is None) for point in found] == [("full", True), ("none", False)] * 2


@quick
@given(st.integers(0, 30), st.integers(1, 4), st.none() | st.integers(1, 40))
def test_a_constrained_grid_is_the_grid_without_the_points_that_fail(
    bound: int, repeats: int, trials: int | None
) -> None:
    space = {"a": {"integer": [0, 4]}, "b": {"integer": [0, 5]}, "seed": {"repeat": repeats}}
    expected = [
        {"a": a, "b": b, "seed": s}
        for a, b in itertools.product(range(5), range(6))
        if a * b >= bound
        for s in range(repeats)
    ]
    options = {"constraints": [f"a * b >= {bound}"], **({"trials": trials} if trials else {})}
    if not expected:
        with pytest.raises(UsageError, match="no point"):
            make_search(sweep(space, **options))
        return
    search = make_search(sweep(space, **options))
    assert list(points(search)) == expected[:trials]
    assert search.size == len(expected[:trials])


def test_a_constrained_grid_answers_in_any_order() -> None:
    search = make_search(sweep({"a": {"integer": [0, 50]}}, constraints=["a % 7 == 3"]))
    assert search.ask(5) == {"a": 38}
    assert search.ask(1) == {"a": 10}
    assert search.ask(7) is None
    assert search.ask(0) == {"a": 3}


def test_a_constraint_changes_only_the_random_points_that_it_refuses() -> None:
    space = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}
    free = list(points(make_search(sweep(space, trials=300))))
    bound = list(points(make_search(sweep(space, trials=300, constraints=["x + y < 1.2"]))))
    assert all(point["x"] + point["y"] < 1.2 for point in bound)
    kept = [n for n, point in enumerate(free) if point["x"] + point["y"] < 1.2]
    assert 0 < len(kept) < 300
    assert [bound[n] for n in kept] == [free[n] for n in kept]


def test_a_constrained_grid_of_a_million_points_streams_in_constant_memory() -> None:
    spec = sweep(
        {"a": {"range": [0, 1000]}, "b": {"range": [0, 1000]}},
        constraints=["(a + b) % 100 == 99 and a % 2 == 0"],
    )
    tracemalloc.start()
    try:
        search = make_search(spec)
        assert search.size is None
        found = [search.ask(trial) for trial in (0, 1, 100, 200)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [{"a": 0, "b": 99}, {"a": 0, "b": 199}, {"a": 20, "b": 79}, {"a": 40, "b": 59}]
    assert peak < 2_000_000


@pytest.mark.parametrize("algorithm", ["random", "sobol"])
def test_constraints_that_nothing_satisfies_end_the_search_before_it_starts(algorithm: str) -> None:
    with pytest.raises(UsageError, match=r"search\.constraints: .*Loosen one"):
        make_search(sweep({"x": {"choice": [1, 2]}, "y": [3, 4]}, algorithm=algorithm, trials=5, constraints=["x > y"]))


@pytest.mark.parametrize(
    ("space", "search", "message"),
    [
        ({"a": [1], "b": {"fixed": 1, "when": {"aa": 1}}}, {}, r"b\.when\.aa: there is no parameter 'aa'.*'a'"),
        ({"a": ["x"], "b": {"fixed": 1, "when": {"a": "y"}}}, {}, r"'a' never has the value 'y'"),
        ({"a": {"fixed": 1, "otherwise": 2}}, {}, "nothing without 'when'"),
        ({"a": {"derived": "b"}, "b": {"derived": "a"}}, {}, "depends on itself: a -> b -> a"),
        ({"a": {"derived": "a"}}, {}, "depends on itself"),
        ({"a": {"derived": "bb"}, "b": [1]}, {}, "unknown parameter 'bb'"),
        ({"a": {"choice": [1], "tied": "c"}, "b": [1]}, {}, "there is no parameter 'c'"),
        ({"a": {"choice": [1], "tied": "b"}, "b": {"integer": [1, 2]}}, {}, "'b' is no choice"),
        ({"a": {"choice": [1], "tied": "b"}, "b": [1, 2]}, {}, "1 values, but 'b' has 2"),
        ({"a": [1]}, {"constraints": ["c < 1"]}, r"constraints\.0: 'c < 1' reads an unknown parameter 'c'"),
        ({"a": [1]}, {"grids": [{"b": [1]}]}, "'b' is none of the parameters"),
        ({"a": [1]}, {"algorithm": "list"}, "needs its points"),
        ({"a": [1]}, {"algorithm": "files"}, "folder: is missing"),
        ({"a": [1]}, {"points": [{"b": 1}]}, "does nothing for grid"),
        ({"a": [1]}, {"algorithm": "list", "points": [{"a": 1}]}, "given by the points"),
        ({"a": [1]}, {"algorithm": "list", "points": [{"b": 1}, {"c": 1}]}, "names of the first"),
        ({"a": [1, 2]}, {"algorithm": "halton"}, "trials: is missing"),
        ({"a": [1, 2]}, {"algorithm": "tpe", "trials": 5}, "metric: is missing"),
        ({"a": [1]}, {"algorithm": "tpe", "trials": 5, "metric": "m"}, "nothing to search"),
        ({"a": {"uniform": [0, 1]}}, {"algorithm": "cmaes", "trials": 5, "metric": "m"}, "two parameters"),
        (
            {"a": {"repeat": 2}, "b": [1]},
            {"constraints": ["a < b"]},
            "reads 'a', which differs between the trials of a point",
        ),
        ({"a": {"repeat": 2, "when": {"b": 1}}, "b": [1]}, {}, "cannot stand on a repetition"),
        ({"a": {"repeat": 2}, "b": {"choice": [1, 2], "when": {"a": 1}}}, {}, "'a' differs between the trials"),
        (
            {"a": {"repeat": 2}, "d": {"derived": "a"}, "e": {"derived": "d + 1"}, "b": [1]},
            {"constraints": ["b < e"]},
            "reads 'e', which differs between the trials of a point",
        ),
        (STAGED, {"trials": 5}, "trials: would leave a point without all its 2 stages.*rite 4"),
        (STAGED, {"trials": 1}, "rite 2"),
        ({**STAGED, "seed": {"repeat": 2}}, {}, r"seed: cannot stand beside the stages of 'part'.*seed: \[0, 1, 2\]"),
        ({**STAGED, "more": {"stages": [1, 2]}}, {}, "more: cannot stand beside the stages of 'part'"),
        (STAGED, {"algorithm": "tpe", "trials": 4, "metric": "m"}, "part: cannot be trained by tpe"),
        (STAGED, {"algorithm": "mine:sampler", "trials": 4}, "part: cannot be trained by mine:sampler"),
        (STAGED, {"metric": "m", "early_stopping": {"rule": "median"}}, "early_stopping: would compare"),
        (STAGED, {"constraints": ["part == 'a'"]}, "reads 'part', which differs"),
        ({"part": {"stages": [1, 2], "when": {"lr": 0.1}}, "lr": [0.1]}, {}, "cannot stand on a stage"),
        (STAGED, {"grids": [{"part": {"stages": [1, 2, 3]}}]}, "cannot change how many trials a point gets"),
    ],
)
def test_a_contradiction_is_one_clear_error_before_anything_starts(
    space: dict[str, Any], search: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_search(sweep(space, **search))
