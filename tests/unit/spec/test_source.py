from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.spec.source import DEEPEST, LARGEST_TEXT, Unreadable, read_yaml, resolve


def data(text: str) -> Any:
    root, problems = read_yaml(text, "f.yaml")
    assert not problems
    return root.plain()


def refused(text: str) -> str:
    with pytest.raises(Unreadable) as caught:
        read_yaml(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 0.0001),
        ("1e4", 10000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1_000", 1000),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("0b101", 5),
        ("+3", 3),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("e5", "e5"),
        ("1e", "1e"),
        ("٣", "٣"),
        ("-", "-"),
        ("=", "="),
    ],
)
def test_scalars_are_read_as_people_mean_them(written: str, value: Any) -> None:
    found = resolve(written)
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_nan_have_their_own_spelling() -> None:
    assert resolve(".inf") == math.inf
    assert resolve("-.INF") == -math.inf
    assert math.isnan(resolve(".NaN"))


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_what_yaml_writes_is_what_is_read(value: Any) -> None:
    assert data(yaml.safe_dump({"a": value}))["a"] == value


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), plain, min_size=1), st.booleans())
def test_any_data_survives_being_written_and_read(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, default_style='"', allow_unicode=False)
    assert data(text) == value


def test_every_value_knows_its_line_and_column() -> None:
    root, _ = read_yaml("a: 1\nb:\n  - x\n  - {c: [2, 3]}\n", "f.yaml")

    def at(*path: Any, key: bool = False) -> tuple[int | None, int | None]:
        place = root.locate(path, key=key)
        return place.line, place.column

    assert at("a") == (1, 4)
    assert at("a", key=True) == (1, 1)
    assert at("b") == (2, 1)
    assert at("b", 0) == (3, 5)
    assert at("b", 1, "c") == (4, 6)
    assert at("b", 1, "c", 1) == (4, 13)
    assert at("b", 1, "missing") == (4, 5)
    assert at("missing") == (1, 1)


def test_aliases_and_merges_are_followed() -> None:
    assert data("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\nd: {<<: [*x, {r: 4}]}") == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 2},
        "c": {"p": 1, "q": 3},
        "d": {"p": 1, "q": 2, "r": 4},
    }
    assert data("'<<': 1") == {"<<": 1}


def test_a_key_that_is_given_twice_is_a_problem_with_both_places() -> None:
    root, problems = read_yaml("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f.yaml")
    assert root.plain() == {"a": 1, "b": {"c": 1}}
    assert [str(one) for one in problems] == [
        "f.yaml:2:11: b.c: is given twice, first on line 2; remove one of them",
        "f.yaml:3:1: a: is given twice, first on line 1; remove one of them",
    ]


def test_tags_of_the_core_are_obeyed_and_others_are_problems() -> None:
    assert data("a: !!str 5\nb: ! 5") == {"a": "5", "b": "5"}
    _, problems = read_yaml("a: !!python/object/apply:os.system [ls]", "f.yaml")
    assert len(problems) == 1
    assert "tags are not supported" in str(problems[0])


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "expands to more than"),
        (CHAIN, "nested more than"),
        ("[" * 100_000, "nest"),  # newer parsers say it themselves
        ("a: " * 2, "no valid YAML"),
        ("{a: " * (DEEPEST + 5), "nested more than"),
        ("a: &a [*a]", "inside itself"),
        ("a: *b", "not set before"),
        ("--- a\n--- b", "second document"),
        ("a:\n\t- b", "spaces, not tabs"),
        ("\ta: b", "spaces, not tabs"),
        ("a: b: c", "in quotes"),
        ("a: {x} y", "in quotes"),
        ("a: %x", "in quotes"),
        ("a: @x", "in quotes"),
        ("[a]: b", "for a key"),
        ("? {a: b}\n: c", "for a key"),
        ("a: '", "f.yaml:1:4:"),
        ("a: [1,\nb: 2", "f.yaml:1:4:"),
        ("a: x\x01", "f.yaml:1:5:"),
        ("a: 1\nb: \ud800", "f.yaml:2:4:"),
        ("n: " + "9" * 5000, "too long a number"),
        ("#" * (LARGEST_TEXT + 1), "characters"),
        ("%YAML 9.9\n--- a", "no valid YAML"),
    ],
    ids=lambda text: text[:20] if isinstance(text, str) else "",
)
def test_what_cannot_be_read_is_one_clear_problem(text: str, says: str) -> None:
    started = time.process_time()
    said = refused(text)
    assert says in said
    assert "\n" not in said
    # Not a bound on speed: what is refused here would otherwise take hours.
    assert time.process_time() - started < 20


def test_a_byte_order_mark_and_windows_line_ends_are_no_trouble() -> None:
    assert data("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_positions_can_be_left_out() -> None:
    root, _ = read_yaml("{a: 1}", "--set x", positions=False)
    assert root.locate(("a",)).line is None
    assert root.locate(("a",)).file == "--set x"


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=4))
def test_json_that_writes_every_character_in_ascii_is_read_as_json(texts: list[str]) -> None:
    given_ = {"a": texts, "b": "".join(texts), "😀\\": "\\ud83d\\ude00"}
    assert data(json.dumps(given_)) == given_


def test_half_a_surrogate_pair_is_refused_in_json_too() -> None:
    assert "f.yaml:1:" in refused('{"a": "\\ud83d"}')
    assert "f.yaml:1:" in refused('{"a": "\\ud83d\\ude00", "b": "\\ude00"}')
