"""Every kind of parameter: what is drawn, what its quantiles are, and how arrangements are counted."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from orchestrator.search import make_search
from orchestrator.search.quantile import coordinate, quantile, share_below
from orchestrator.spec.kind import Kind
from orchestrator.spec.parameters import KINDS, Parameter

from .spaces import points, quick, sweep

READ: TypeAdapter[Kind] = TypeAdapter(Parameter)

# Each distribution, beside what scipy calls it.
DISTRIBUTIONS: list[tuple[dict[str, Any], Any]] = [
    ({"uniform": [-2.0, 3.0]}, stats.uniform(-2, 5)),
    ({"loguniform": [1e-5, 10.0]}, stats.loguniform(1e-5, 10)),
    ({"normal": [3.0, 0.5]}, stats.norm(3, 0.5)),
    ({"lognormal": [-1.0, 0.7]}, stats.lognorm(0.7, scale=math.exp(-1))),
    ({"truncated_normal": [0.0, 1.0, 0.5, 2.0]}, stats.truncnorm(0.5, 2)),
    ({"truncated_normal": [1.0, 2.0, -1.0, 0.0]}, stats.truncnorm(-1, -0.5, 1, 2)),
    ({"triangular": [0.0, 0.2, 1.0]}, stats.triang(0.2)),
    ({"triangular": [1.0, 1.0, 3.0]}, stats.triang(0.0, 1, 2)),
    ({"beta": [2.0, 5.0]}, stats.beta(2, 5)),
    ({"gamma": [2.0, 0.5]}, stats.gamma(2, scale=0.5)),
    ({"weibull": [1.5, 10.0]}, stats.weibull_min(1.5, scale=10)),
    ({"exponential": 0.1}, stats.expon(scale=0.1)),
    ({"pareto": [3.0, 2.0]}, stats.lomax(3, scale=2)),
]
NAMES = [f"{next(iter(written))}-{number}" for number, (written, _) in enumerate(DISTRIBUTIONS)]


def drawn(parameter: Any, count: int = 3000, seed: int = 2) -> list[Any]:
    search = make_search(sweep({"x": parameter}, algorithm="random", trials=count, seed=seed))
    return [point["x"] for point in points(search)]


def test_every_distribution_is_tested_here() -> None:
    tested = {next(iter(written)) for written, _ in DISTRIBUTIONS}
    assert tested == {name for name, kind in KINDS.items() if not kind.countable}


@pytest.mark.parametrize(("written", "known"), DISTRIBUTIONS, ids=NAMES)
def test_a_distribution_is_the_one_that_it_is_called(written: dict[str, Any], known: Any) -> None:
    values = drawn(written)
    assert {type(value) for value in values} == {float}
    assert stats.kstest(values, known.cdf).pvalue > 0.001


@pytest.mark.parametrize(("written", "known"), DISTRIBUTIONS, ids=NAMES)
def test_the_quantiles_are_the_inverse_of_the_distribution_function(written: dict[str, Any], known: Any) -> None:
    kind: Any = READ.validate_python(written)
    for share in (1e-9, 0.001, 0.1, 0.5, 0.77, 0.999):
        value = quantile(kind, share)
        assert value == pytest.approx(float(known.ppf(share)), rel=1e-6, abs=1e-9)
        assert share_below(kind, value) == pytest.approx(share, rel=1e-6, abs=1e-12)


# Arguments as far out as they may be.
EXTREME: list[dict[str, Any]] = [
    *(
        {name: [shape, scale]}
        for name in ("pareto", "weibull", "gamma")
        for shape in (0.1, 1e6)
        for scale in (1e-300, 1e100)
    ),
    *({"beta": [alpha, beta]} for alpha in (1e-3, 1e6) for beta in (1e-3, 1e6)),
    {"lognormal": [-700, 1]},
    {"lognormal": [0, 69]},
    {"normal": [1e308, 1e306]},
    {"truncated_normal": [0, 1, 29.9, 1e300]},
    {"triangular": [-5e149, 0, 5e149]},
    {"triangular": [0, 0, 1e-149]},
    {"uniform": [-8e307, 8e307]},
    {"loguniform": [5e-324, 1e308]},
    {"pareto": [0.1, 1e100], "step": 1e-10},
]


@pytest.mark.parametrize("written", [*(written for written, _ in DISTRIBUTIONS), *EXTREME], ids=str)
def test_at_the_ends_of_the_probability_a_value_is_still_finite_and_inside(written: dict[str, Any]) -> None:
    kind: Any = READ.validate_python(written)
    for share in (0.0, 2.0**-60, 1 - 2.0**-53, 1.0):
        value = coordinate(kind, share)
        assert math.isfinite(value)
        assert kind.low <= value <= kind.high


def test_far_tails_of_a_truncated_normal_keep_their_digits() -> None:
    kind: Any = READ.validate_python({"truncated_normal": [0.0, 1.0, 12.0, 13.0]})
    values = [quantile(kind, share) for share in (0.1, 0.5, 0.9)]
    assert values == pytest.approx(stats.truncnorm(12, 13).ppf([0.1, 0.5, 0.9]).tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ({"loguniform": [0.05, 1.0], "step": 0.1}, [0.1 * n for n in range(1, 11)]),
        ({"truncated_normal": [0.0, 1.0, -0.6, 0.6], "step": 0.25}, [-0.5, -0.25, 0.0, 0.25, 0.5]),
        ({"uniform": [0.1, 0.5], "step": 0.2}, [0.1, 0.3, 0.5]),
        ({"integer": [10, 20], "step": 5}, [10, 15, 20]),
    ],
)
def test_a_step_leaves_only_its_multiples(written: dict[str, Any], values: list[float]) -> None:
    found = sorted(set(drawn(written, 600)))
    assert found == pytest.approx(values, rel=1e-15)
    assert all(str(value) == f"{value:.10g}" or isinstance(value, float) for value in found)


def test_multiples_of_a_decimal_step_are_the_decimal_numbers() -> None:
    assert set(drawn({"uniform": [0, 1], "step": 0.1}, 400)) == {n / 10 for n in range(11)}
    assert set(drawn({"normal": [0, 0.1], "step": 0.1}, 400)) <= {n / 10 for n in range(-9, 10)}


def test_a_uniform_with_a_step_can_stand_in_a_grid() -> None:
    assert [p["x"] for p in points(make_search(sweep({"x": {"uniform": [0, 1], "step": 0.25}})))] == [
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
    ]


def test_weights_say_how_often_a_value_is_drawn_and_zero_means_never() -> None:
    found = drawn({"choice": ["a", "b", "c"], "weights": [6, 0, 2]})
    counts = [found.count(name) for name in "abc"]
    assert counts[1] == 0
    assert stats.chisquare([counts[0], counts[2]], [2250, 750]).pvalue > 0.01
    kind = READ.validate_python({"choice": ["a", "b", "c"], "weights": [6, 2, 0]})
    assert [coordinate(kind, share) for share in (0.0, 0.74, 0.76, 1.0)] == [0, 0, 1, 1]


def test_every_power_of_two_of_a_log_integer_is_equally_likely() -> None:
    found = np.array(drawn({"loginteger": [1, 1023]}))
    assert found.min() >= 1
    assert found.max() <= 1023
    # From 0.5 to 1023.5: eleven octaves, cut where a whole number is rounded.
    edges = np.array([0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 127.5, 255.5, 511.5, 1023.5])
    shares = np.diff(np.log(edges)) / math.log(1023.5 / 0.5)
    counts, _ = np.histogram(found, edges)
    assert stats.chisquare(counts, shares * len(found)).pvalue > 0.01


VALUES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True)


@quick
@given(VALUES, st.integers(1, 4), st.booleans())
def test_combinations_are_those_of_itertools_in_their_order(values: list[str], length: int, again: bool) -> None:
    if length > len(values) and not again:
        with pytest.raises(ValidationError, match="at most"):
            READ.validate_python({"combinations": values, "length": length})
        return
    kind = READ.validate_python({"combinations": values, "length": length, "replacement": again})
    known = itertools.combinations_with_replacement if again else itertools.combinations
    assert kind.size is not None
    assert [tuple(kind.value_at(i)) for i in range(kind.size)] == list(known(values, length))


@quick
@given(VALUES, st.none() | st.integers(1, 4))
def test_permutations_are_those_of_itertools_in_their_order(values: list[str], length: int | None) -> None:
    if (length or 0) > len(values):
        return
    kind = READ.validate_python({"permutations": values, **({"length": length} if length else {})})
    assert kind.size is not None
    assert [tuple(kind.value_at(i)) for i in range(kind.size)] == list(itertools.permutations(values, length))


def test_the_last_of_a_trillion_combinations_is_found_without_the_others() -> None:
    kind = READ.validate_python({"combinations": list(range(100)), "length": 8})
    assert kind.size == math.comb(100, 8)
    assert kind.value_at(kind.size - 1) == list(range(92, 100))


def test_arguments_can_be_given_by_name() -> None:
    for by_name, in_order in (
        ({"normal": {"mean": 1, "deviation": 2}}, {"normal": [1, 2]}),
        ({"range": {"start": 0, "stop": 4}}, {"range": [0, 4]}),
        ({"gamma": {"shape": 2}}, {"gamma": [2, 1]}),
        ({"exponential": {"scale": 3}}, {"exponential": 3}),
        ({"pareto": 3}, {"pareto": [3.0, 1.0]}),
    ):
        assert READ.validate_python(by_name) == READ.validate_python(in_order)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"normal": {"mean": 1, "deviatoin": 2}}, "knows no 'deviatoin'"),
        ({"normal": {"deviation": 2}}, "needs mean"),
        ({"triangular": [0, 2, 1]}, "mode"),
        ({"beta": [0, 1]}, "alpha and beta"),
        ({"gamma": [1, 0]}, "scale"),
        ({"truncated_normal": [0, 1, 40, 41]}, "30 standard deviations"),
        ({"truncated_normal": [0, 1, 0, 1e-9]}, "millionth"),
        ({"normal": [0, 1e308]}, "largest number"),
        ({"lognormal": [0, 100]}, "largest number"),
        ({"triangular": [-1e200, 0, 1e200]}, "beyond what can be computed"),
        ({"pareto": [0.01, 1]}, "shape from 0.1"),
        ({"uniform": [0, 1], "step": 0}, "above 0"),
        ({"loguniform": [0.1, 0.2], "step": 5}, "no multiple"),
        ({"choice": [1, 2], "weights": [1]}, "needs 2 numbers"),
        ({"choice": [1, 2], "weights": [0, 0]}, "above 0"),
        ({"loginteger": [0, 5]}, "1 or more"),
        ({"permutations": list(range(40))}, "too many"),
        ({"derived": "a b"}, "no formula"),
        ({"repeat": 0}, "at least 1"),
        ({"uniform": [0, 1], "when": "x"}, "needs a mapping"),
    ],
)
def test_a_mistake_in_a_kind_is_refused_in_plain_words(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        READ.validate_python(written)
