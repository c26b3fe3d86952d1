from __future__ import annotations

import json
import math
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orchestrator.spec.kind import Distribution, Kind
from orchestrator.spec.parameters import KINDS, Parameter

READ: TypeAdapter[Any] = TypeAdapter(Parameter)


def read(value: Any) -> Kind:
    kind = READ.validate_python(value)
    assert isinstance(kind, Kind)
    return kind


def values(value: Any) -> list[Any]:
    kind = read(value)
    assert kind.size is not None
    return [kind.value_at(index) for index in range(kind.size)]


@pytest.mark.parametrize(
    ("written", "kind", "size"),
    [
        (5, "fixed", 1),
        ("adam", "fixed", 1),
        (None, "fixed", 1),
        (True, "fixed", 1),
        ({"fixed": [1, 2]}, "fixed", 1),
        ([64, 128], "choice", 2),
        ({"choice": [64, "a", None, 0.5, [1]]}, "choice", 5),
        ({"range": [0, 10, 2]}, "range", 5),
        ({"range": [0, 3]}, "range", 3),
        ({"linspace": [0, 1, 5]}, "linspace", 5),
        ({"integer": [1, 8]}, "integer", 8),
        ({"uniform": [0, 1]}, "uniform", None),
        ({"loguniform": [1e-4, "1e-1"]}, "loguniform", None),
        ({"normal": [0, 1]}, "normal", None),
    ],
)
def test_every_spelling_is_its_kind(written: Any, kind: str, size: int | None) -> None:
    found = read(written)
    assert found.kind == kind
    assert found.size == size
    assert found.finite == (size is not None)


def test_values_come_in_the_order_of_the_spec() -> None:
    assert values({"range": [0, 10, 3]}) == [0, 3, 6, 9]
    assert values({"range": [5, 0, -2]}) == [5, 3, 1]
    assert values({"integer": [-1, 1]}) == [-1, 0, 1]
    assert values({"linspace": [0, 1, 5]}) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert values(["b", "a"]) == ["b", "a"]
    assert values("x") == ["x"]


def test_floats_of_a_range_are_the_decimals_that_a_person_expects() -> None:
    assert values({"range": [0.1, 0.5, 0.1]}) == [0.1, 0.2, 0.3, 0.4]
    assert values({"range": [0, 1, 0.1]}) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert values({"linspace": [0, 1, 11]})[3] == 0.3
    assert values({"range": [1, 0, -0.25]}) == [1.0, 0.75, 0.5, 0.25]


def test_a_step_that_is_rounded_itself_gives_no_extra_value_at_the_stop() -> None:
    assert len(values({"range": [0, 1, 1 / 3]})) == 3


def test_whole_numbers_of_a_range_stay_whole() -> None:
    assert all(isinstance(value, int) for value in values({"range": [0, 10, 2]}))
    assert all(isinstance(value, float) for value in values({"range": [0, 10, 2.5]}))


steps = st.integers(-50, 50).filter(bool)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), steps)
def test_a_range_of_integers_is_pythons(start: int, stop: int, step: int) -> None:
    expected = list(range(start, stop, step))
    if not expected:
        with pytest.raises(ValidationError):
            read({"range": [start, stop, step]})
    else:
        assert values({"range": [start, stop, step]}) == expected


@given(st.integers(-500, 500), st.integers(1, 300), st.integers(1, 50), st.integers(0, 4))
def test_a_range_of_decimals_is_exact(start: int, count: int, step: int, digits: int) -> None:
    unit = Decimal(1).scaleb(-digits)
    low, width = start * unit, step * unit
    stop = low + count * width
    found = values({"range": [float(low), float(stop), float(width)]})
    assert found == [float(low + number * width) for number in range(count)]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 100))
def test_a_linspace_has_both_ends_and_even_steps(first: float, last: float, count: int) -> None:
    if first == last:
        return
    found = values({"linspace": [first, last, count]})
    assert (len(found), found[0], found[-1]) == (count, first, last)
    step = (last - first) / (count - 1)
    assert all(
        math.isclose(value, first + number * step, rel_tol=1e-9, abs_tol=1e-9) for number, value in enumerate(found)
    )


def test_a_range_of_a_million_billion_values_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        kind = read({"range": [0, 10**15, 1]})
        assert kind.size == 10**15
        assert kind.value_at(10**15 - 1) == 10**15 - 1
        assert read({"integer": [0, 10**15]}).value_at(10**15) == 10**15
        assert read({"range": [0.0, 1.0, 1e-12]}).value_at(10**12 - 1) == 0.999999999999
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_value_beyond_the_last_is_an_index_error() -> None:
    for written in (5, [1, 2], {"range": [0, 3]}, {"integer": [1, 8]}):
        kind = read(written)
        for index in (-1, kind.size):
            with pytest.raises(IndexError):
                kind.value_at(index)


def test_a_distribution_has_no_value_at() -> None:
    with pytest.raises(TypeError):
        read({"uniform": [0, 1]}).value_at(0)


WRONG: list[tuple[Any, str]] = [
    ({"uniform": [1, 0]}, "reversed"),
    ({"uniform": [1, 1]}, "same bound"),
    ({"uniform": [0]}, "needs [low, high]"),
    ({"uniform": [0, 1, 2]}, "needs [low, high]"),
    ({"uniform": 3}, "needs [low, high]"),
    ({"uniform": [0, float("inf")]}, "finite"),
    ({"uniform": [float("nan"), 1]}, "finite"),
    ({"uniform": [False, True]}, "needs a number"),
    ({"uniform": ["a", "b"]}, "needs a number"),
    ({"loguniform": [0, 1]}, "above 0"),
    ({"loguniform": [-1, 1]}, "above 0"),
    ({"normal": [0, 0]}, "above 0"),
    ({"normal": [0, -1]}, "above 0"),
    ({"integer": [8, 1]}, "reversed"),
    ({"integer": [0.5, 1]}, "whole number"),
    ({"range": [0, 10, 0]}, "step of 0"),
    ({"range": [0, 0]}, "empty"),
    ({"range": [0, 10, -1]}, "empty"),
    ({"range": [0, 1e300, 1e-300]}, "too many"),
    ({"range": [True, 5]}, "needs a number"),
    ({"range": [10**308 * 9, -(10**308) * 9]}, "finite"),
    ({"linspace": [0, 1, 0]}, "count"),
    ({"linspace": [1, 1, 3]}, "all 1"),
    ({"linspace": [0, 1, 2.5]}, "whole"),
    ([], "at least one value"),
    ({"choice": []}, "at least one value"),
    ({"choice": "abc"}, "list of values"),
    ([float("nan")], "finite"),
    ({"choice": [{"a": [float("inf")]}]}, "finite"),
    (float("inf"), "finite"),
    ("a\0b", "NUL"),
    ({}, "empty mapping"),
    ({"loguniformm": [1, 2]}, "did you mean 'loguniform'?"),
    ({"values": [1, 2]}, "unknown kind"),
    ({"choice": [1], "uniform": [0, 1]}, "mixes choice and uniform"),
]


@pytest.mark.parametrize(("written", "says"), WRONG, ids=[str(written)[:40] for written, _ in WRONG])
def test_what_is_no_parameter_is_refused_in_plain_words(written: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(written)
    said = [error["ctx"]["message"] + " " + error["ctx"]["hint"] for error in caught.value.errors()]
    assert any(says in one for one in said), said


@pytest.mark.parametrize("key", KINDS)
def test_every_kind_reads_its_own_example_and_what_it_writes(key: str) -> None:
    field = KINDS[key].model_fields[key]
    assert field.examples
    needed = {
        name: other.examples[0]
        for name, other in KINDS[key].model_fields.items()
        if other.is_required() and name != key and other.examples
    }
    for example in field.examples:
        kind = read({key: example, **needed})
        assert kind.kind == key
        written = kind.model_dump(mode="json", exclude_unset=True)
        assert read(json.loads(json.dumps(written))) == kind
        assert kind.finite == (not isinstance(kind, Distribution)) or kind.size is None


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        read(5).fixed = 6  # type: ignore[attr-defined]
