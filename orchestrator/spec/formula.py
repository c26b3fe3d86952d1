"""Formulas over parameters: ``lr * batch < 1`` as a constraint, ``2 ** depth`` as a derived value.

The text is parsed by :mod:`ast`, every node is checked against a list of what is allowed, and the tree becomes nested
functions once.  There is no ``eval``, no attribute and no call but of the functions named here, so a formula from a
stranger's spec can do nothing but compute.  Sizes are bounded too: no power or product can be made to fill the memory.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from orchestrator.spec.problems import did_you_mean, one_of, shortened

Values = Mapping[str, Any]
Term = Callable[[Values], Any]

MAX_LENGTH = 2000  # characters of a formula: beyond it Python's own parser can run out of stack
MAX_DEPTH = 50
MAX_BITS = 4096  # of an integer result
MAX_DIGITS = 400  # that can be rounded away or kept: no number here has more


def _round(value: Any, digits: Any = None) -> Any:
    # Python computes 10 ** digits for a whole number, however many those are.
    if isinstance(digits, int) and abs(digits) > MAX_DIGITS:
        raise ValueError(f"it rounds to {shortened(str(digits))} digits, which is beyond {MAX_DIGITS}")
    return round(value, digits)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": _round,
    "int": int,
    "float": float,
    "str": str,
    "len": len,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
}
CONSTANTS: dict[str, Any] = {"pi": math.pi, "true": True, "false": False, "null": None}


class FormulaError(ValueError):
    """The text is no formula, or the formula has no value at a point.  The message is a clause about the formula."""


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        _check_bits(base.bit_length() * exponent)
    try:
        result = base**exponent
    except OverflowError:
        raise OverflowError("the power is beyond the largest number") from None
    if isinstance(result, complex):
        raise ValueError("a negative number has no such power")
    return result


def _multiply(left: Any, right: Any) -> Any:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise TypeError("only numbers can be multiplied")
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        raise TypeError("only numbers have a remainder")
    return left % right


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise OverflowError(f"an integer of more than {MAX_BITS} bits")


def _and(left: Term, right: Term) -> Term:
    return lambda values: left(values) and right(values)


def _or(left: Term, right: Term) -> Term:
    return lambda values: left(values) or right(values)


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _modulo,
    ast.Pow: _power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
_OTHERS: dict[type[ast.AST], str] = {
    ast.Attribute: "a dot after a name",
    ast.Slice: "a slice",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "a formatted text",
    ast.Starred: "a star",
    ast.Dict: "a mapping",
}


class Formula:
    """A checked formula: numbers, texts, comparisons, ``and``/``or``/``not``, ``a if c else b``, ``x[0]``, lists after
    ``in``, and the functions of ``FUNCTIONS``.

    ``names`` are the parameters that it reads.  Raises FormulaError for a text that is more than that.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.shown = shortened(text)
        if len(text) > MAX_LENGTH:
            raise FormulaError(f"is {len(text)} characters long; a formula has at most {MAX_LENGTH}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's doubts about style would reach the terminal
                tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deep"
            raise FormulaError(f"'{shortened(text)}' is no formula: {reason}") from None
        names: set[str] = set()
        self._term = self._build(tree.body, names, 0)
        self.names = frozenset(names)

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    def __call__(self, values: Values) -> Any:
        """The value of the formula at this point.

        Raises FormulaError where it has none: a division by zero, a text where a number is needed.
        """
        try:
            return self._term(values)
        except (ArithmeticError, TypeError, ValueError, LookupError) as error:
            reason = f"no value {error}" if isinstance(error, KeyError) else str(error)
            raise FormulaError(f"'{self.shown}' has no value{self.at(values)}: {reason}") from None

    def at(self, values: Values) -> str:
        """`` at x = 1, y = 2``: what the formula reads of this point; empty where it reads nothing."""
        point = ", ".join(f"{name} = {values[name]!r}" for name in sorted(self.names) if name in values)
        return f" at {point}" if point else ""

    def _build(self, node: ast.expr, names: set[str], depth: int) -> Term:
        if depth > MAX_DEPTH:
            raise FormulaError(f"'{self.shown}' is nested more than {MAX_DEPTH} deep")

        def build(child: ast.expr) -> Term:
            return self._build(child, names, depth + 1)

        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as constant):
                return lambda values: constant
            case ast.Name(id=name) if name in CONSTANTS:
                constant = CONSTANTS[name]
                return lambda values: constant
            case ast.Name(id=name):
                names.add(name)
                return operator.itemgetter(name)
            case ast.BinOp(op=op) if type(op) in _BINARY:
                binary, left, right = _BINARY[type(op)], build(node.left), build(node.right)
                return lambda values: binary(left(values), right(values))
            case ast.UnaryOp(op=op) if type(op) in _UNARY:
                unary, operand = _UNARY[type(op)], build(node.operand)
                return lambda values: unary(operand(values))
            case ast.BoolOp(op=op):
                return reduce(_and if isinstance(op, ast.And) else _or, [build(part) for part in node.values])
            case ast.IfExp():
                test, then, other = build(node.test), build(node.body), build(node.orelse)
                return lambda values: then(values) if test(values) else other(values)
            case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
                return self._compare(node, build)
            case ast.Subscript() if not isinstance(node.slice, ast.Slice):
                whole, index = build(node.value), build(node.slice)
                return lambda values: whole(values)[index(values)]
            case ast.List() | ast.Tuple() | ast.Set():
                items = [build(item) for item in node.elts]
                return lambda values: [item(values) for item in items]
            case ast.Call(func=ast.Name(id=name)) if not node.keywords:
                function = self._function(name)
                arguments = [build(argument) for argument in node.args]
                return lambda values: function(*(argument(values) for argument in arguments))
        what = _OTHERS.get(type(node), f"'{shortened(ast.unparse(node))}'")
        raise FormulaError(f"'{self.shown}' holds {what}, which no formula can")

    def _function(self, name: str) -> Callable[..., Any]:
        if name not in FUNCTIONS:
            hint = did_you_mean(name, FUNCTIONS) or f"the functions are {one_of(sorted(FUNCTIONS))}"
            raise FormulaError(f"'{self.shown}' calls '{name}', which is no function here: {hint}")
        return FUNCTIONS[name]

    def _compare(self, node: ast.Compare, build: Callable[[ast.expr], Term]) -> Term:
        first = build(node.left)
        if len(node.ops) == 1:
            only, last = _COMPARE[type(node.ops[0])], build(node.comparators[0])
            return lambda values: only(first(values), last(values))
        rest = [(_COMPARE[type(op)], build(other)) for op, other in zip(node.ops, node.comparators, strict=True)]

        def compare(values: Values) -> bool:
            left = first(values)
            for holds, other in rest:
                right = other(values)
                if not holds(left, right):
                    return False
                left = right
            return True

        return compare
