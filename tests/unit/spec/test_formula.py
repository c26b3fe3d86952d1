from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.spec.formula import CONSTANTS, FUNCTIONS, Formula, FormulaError

POINT: dict[str, Any] = {
    "lr": 0.01,
    "batch": 32,
    "optimizer": "sgd",
    "sizes": [64, 128],
    "row": {"depth": 3},
    "none": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr * batch < 1", True),
        ("1 < batch <= 32 and not optimizer == 'adam'", True),
        ("optimizer in ['adam', 'lamb'] or lr >= 0.1", False),
        ("2 ** row['depth']", 8),
        ("sizes[0] + sizes[-1]", 192),
        ("max(sizes) // 3 % 5", 2),
        ("batch if optimizer == 'sgd' else 0", 32),
        ("-round(lr * 1000) + len(sizes)", -8),
        ("none == null and true", True),
        ("floor(log2(batch)) + ceil(sqrt(2))", 7),
        ("'net-' + str(batch)", "net-32"),
        (" 1e-3 ", 0.001),
    ],
)
def test_a_formula_has_the_value_that_python_gives_it(text: str, value: Any) -> None:
    assert Formula(text)(POINT) == value


def test_a_formula_names_the_parameters_that_it_reads() -> None:
    assert Formula("max(lr, 2) * batch + pi").names == {"lr", "batch"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lr <",
        "lr; batch",
        "lr = 1",
        "(lr := 2)",
        "().__class__",
        "lr.real",
        "'{0.__class__}'.format(lr)",
        "__import__('os')",
        "open('/etc/passwd')",
        "eval('1')",
        "(lambda: 1)()",
        "[x for x in sizes]",
        "{'a': 1}",
        "f'{lr}'",
        "min(*sizes)",
        "round(lr, ndigits=1)",
        "sizes[0:1]",
        "1 << 99999",
        "~1",
        "lr is none",
        "await lr",
        "b'x'",
        "1j",
        "...",
        "max",
        "-" * 60 + "1",
        "(" * 300 + "1" + ")" * 300,
        "1+" * 1500 + "1",
    ],
)
def test_what_is_more_than_a_formula_is_refused(text: str) -> None:
    if text == "max":  # a name like any other, which no parameter carries
        with pytest.raises(FormulaError):
            Formula(text)(POINT)
        return
    with pytest.raises(FormulaError):
        Formula(text)


@pytest.mark.parametrize(
    "text",
    [
        "1 / (batch - 32)",
        "lr + optimizer",
        "optimizer < 1",
        "unknown",
        "sizes[7]",
        "row['width']",
        "log(0)",
        "(-8) ** 0.5",
        "9 ** 9 ** 9",
        "2.0 ** 5000",
        "round(batch, -1000000000)",
        "round(10 ** 300, -10 ** 9)",
        "10 ** 2000 * 10 ** 2000",
        "optimizer * 1000000000",
        "'%1000000000d' % 1",
        "exp(10000)",
        "int('x')",
        "none > 1",
        "batch(1)",
    ],
)
def test_a_formula_without_a_value_says_so_and_ends_soon(text: str) -> None:
    with pytest.raises(FormulaError, match=r".+"):
        Formula(text)(POINT)


def test_an_error_names_the_formula_and_the_point() -> None:
    with pytest.raises(FormulaError, match=r"'1 / batch' has no value at batch = 0: division by zero"):
        Formula("1 / batch")({"batch": 0})


def test_a_misspelt_function_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(FormulaError, match=r"did you mean 'sqrt'"):
        Formula("sqr(2)")


WORDS = [*POINT, *FUNCTIONS, *CONSTANTS, *"+-*/%()[],<>=.:'0123456789~@&|^{}\\", "**", "//", " if ", " else ", " and "]


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
def test_no_text_whatever_ends_in_anything_but_a_value_or_a_formula_error(text: str) -> None:
    with contextlib.suppress(FormulaError):
        Formula(text)(POINT)
