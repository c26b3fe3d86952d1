from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.search import make_search

from .spaces import points, quick, sweep


def test_the_last_parameter_of_a_grid_runs_fastest() -> None:
    search = make_search(sweep({"b": [1, 2], "a": {"range": [0.0, 0.3, 0.1]}, "c": "same"}))
    assert search.size == 6
    assert list(points(search)) == [
        {"b": 1, "a": 0.0, "c": "same"},
        {"b": 1, "a": 0.1, "c": "same"},
        {"b": 1, "a": 0.2, "c": "same"},
        {"b": 2, "a": 0.0, "c": "same"},
        {"b": 2, "a": 0.1, "c": "same"},
        {"b": 2, "a": 0.2, "c": "same"},
    ]


AXES = st.dictionaries(
    st.sampled_from("abcde"),
    st.lists(st.integers() | st.sampled_from(["", "a b", "é", None, 0.5]), min_size=1, max_size=4),
)


@quick
@given(AXES, st.none() | st.integers(1, 300))
def test_a_grid_is_the_product_of_its_axes_cut_at_trials(axes: dict[str, list[Any]], trials: int | None) -> None:
    search = make_search(sweep(dict(axes), algorithm="grid", **({"trials": trials} if trials else {})))
    expected = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    assert list(points(search)) == expected[:trials]
    assert search.size == len(expected[:trials])


def test_a_spec_without_parameters_is_one_trial() -> None:
    assert list(points(make_search(sweep({})))) == [{}]


def test_a_grid_is_not_adaptive_and_has_no_point_below_zero() -> None:
    search = make_search(sweep({"a": [1]}))
    assert not search.adaptive
    assert search.ask(-1) is None


def test_a_grid_of_a_billion_points_is_made_and_asked_in_constant_memory() -> None:
    spec = sweep({"a": {"range": [0, 1000]}, "b": {"linspace": [0, 1, 1000]}, "c": {"integer": [1, 1000]}})
    tracemalloc.start()
    try:
        search = make_search(spec)
        assert search.size == 10**9
        for trial in range(0, 10**9, 10**5):
            search.ask(trial)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert search.ask(10**9 - 1) == {"a": 999, "b": 1.0, "c": 1000}
    assert search.ask(10**9) is None


def test_one_axis_of_a_billion_values_is_not_listed() -> None:
    search = make_search(sweep({"a": {"range": [0, 10**9]}, "b": [0, 1]}))
    assert search.ask(2 * 10**9 - 1) == {"a": 10**9 - 1, "b": 1}


def test_a_grid_imports_no_numerical_library() -> None:
    program = (
        "import sys; from orchestrator.spec import Spec; from orchestrator.search import make_search;"
        "s = make_search(Spec.model_validate({'name': 'x', 'workload': {'command': 'true'},"
        " 'parameters': {'a': [1, 2]}}));"
        "assert s.ask(1) == {'a': 2};"
        "print([m for m in ('numpy', 'scipy', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_grid_over_a_distribution_is_refused_with_its_name_and_a_way_out() -> None:
    with pytest.raises(UsageError, match=r"grid cannot count the values of lr \(loguniform\).*random"):
        make_search(sweep({"lr": {"loguniform": [1e-4, 1]}, "n": [1]}, algorithm="grid"))
