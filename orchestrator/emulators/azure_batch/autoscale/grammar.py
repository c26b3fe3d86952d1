"""From a formula's text to its tree.

Source: "Create a formula to automatically scale compute nodes in a Batch pool" of the service's documentation.

    formula    := statement (';' statement)* [';']
    statement  := variable '=' expression | expression
    expression := or ['?' expression ':' expression]
    or         := and ('||' and)*              and := equality ('&&' equality)*
    equality   := order (('=='|'!=') order)*   order := sum (('<'|'<='|'>'|'>=') sum)*
    sum        := product (('+'|'-') product)* product := unary (('*'|'/') unary)*
    unary      := ('-'|'!') unary | postfix    postfix := primary ('.' name ['(' arguments ')'])*
    primary    := number | string | variable | name '(' arguments ')' | '(' expression ')'
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 8 * 1024
MAX_STATEMENTS = 100

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r'|(?P<string>"[^"\n]*"|\'[^\'\n]*\')'
    r"|(?P<name>[$]?[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark><=|>=|==|!=|&&|\|\||[-+*/<>=!?:;,.()])",
    re.DOTALL,
)


class FormulaSyntaxError(Exception):
    """The text is no formula; says where and why."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")


class FormulaTooLong(Exception):
    """More characters or statements than the service takes."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Choice:
    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class FunctionCall:
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """`owner.name`, or with arguments a method."""

    owner: Expression
    name: str
    arguments: tuple[Expression, ...] | None


Expression = Number | Text | Variable | Unary | Binary | Choice | FunctionCall | Member


@dataclass(frozen=True, slots=True)
class Statement:
    """`target = value`; without a target only the value's effect counts (as of `stop()`)."""

    target: str | None
    value: Expression
    line: int


def parse(text: str) -> tuple[Statement, ...]:
    """The statements of a formula.

    Raises:
        FormulaTooLong: over 8 KB or 100 statements.
        FormulaSyntaxError: it is no formula.
    """
    if len(text.encode()) > MAX_LENGTH:
        raise FormulaTooLong(f"the formula has more than {MAX_LENGTH} bytes")
    statements = _Parser(_tokens(text)).formula()
    if len(statements) > MAX_STATEMENTS:
        raise FormulaTooLong(f"the formula has more than {MAX_STATEMENTS} statements")
    return statements


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position, line, line_start = 0, 1, 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        column = position - line_start + 1
        if not found:
            raise FormulaSyntaxError(f"unexpected character {text[position]!r}", line, column)
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, found.group(), line, column))
        newlines = found.group().count("\n")
        if newlines:
            line += newlines
            line_start = position + found.group().rindex("\n") + 1
        position = found.end()
    tokens.append(Token("end", "", line, position - line_start + 1))
    return tokens


class _Parser:
    # From the loosest binding to the tightest.
    _LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="), ("+", "-"), ("*", "/"))
    _MAX_DEPTH = 40

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def formula(self) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        while self._now.kind != "end":
            if self._accept(";"):
                continue
            statements.append(self._statement())
            if self._now.kind != "end":
                self._expect(";")
        if not statements:
            raise self._wrong("the formula has no statement")
        return tuple(statements)

    @property
    def _now(self) -> Token:
        return self._tokens[self._position]

    def _wrong(self, reason: str, token: Token | None = None) -> FormulaSyntaxError:
        at = token or self._now
        return FormulaSyntaxError(reason, at.line, at.column)

    def _accept(self, *marks: str) -> str | None:
        token = self._now
        if token.kind == "mark" and token.text in marks:
            self._position += 1
            return token.text
        return None

    def _expect(self, mark: str) -> None:
        if not self._accept(mark):
            found = repr(self._now.text) if self._now.kind != "end" else "the end"
            raise self._wrong(f"expected {mark!r}, found {found}")

    def _statement(self) -> Statement:
        token = self._now
        following = self._tokens[self._position + 1] if token.kind == "name" else token
        if token.kind == "name" and following.kind == "mark" and following.text == "=":
            self._position += 2
            return Statement(token.text, self._expression(), token.line)
        return Statement(None, self._expression(), token.line)

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > self._MAX_DEPTH:
            raise self._wrong("the expression is nested too deeply")
        condition = self._binary(0)
        if self._accept("?"):
            then = self._expression()
            self._expect(":")
            condition = Choice(condition, then, self._expression())
        self._depth -= 1
        return condition

    def _binary(self, level: int) -> Expression:
        if level == len(self._LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while operator := self._accept(*self._LEVELS[level]):
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Expression:
        operators: list[str] = []
        while operator := self._accept("-", "!"):
            operators.append(operator)
        operand = self._postfix()
        for operator in reversed(operators):
            operand = Unary(operator, operand)
        return operand

    def _postfix(self) -> Expression:
        value = self._primary()
        while self._accept("."):
            name = self._now
            if name.kind != "name":
                raise self._wrong("expected a name after '.'")
            self._position += 1
            arguments = self._arguments() if self._accept("(") else None
            value = Member(value, name.text, arguments)
        return value

    def _arguments(self) -> tuple[Expression, ...]:
        arguments: list[Expression] = []
        if self._accept(")"):
            return ()
        while True:
            arguments.append(self._expression())
            if self._accept(")"):
                return tuple(arguments)
            self._expect(",")

    def _primary(self) -> Expression:
        token = self._now
        if token.kind == "end":
            raise self._wrong("the formula ends in the middle of an expression")
        self._position += 1
        if token.kind == "number":
            return Number(float(token.text))
        if token.kind == "string":
            return Text(token.text[1:-1])
        if token.kind == "name":
            if self._accept("("):
                return FunctionCall(token.text, self._arguments())
            return Variable(token.text)
        if token.text == "(":
            value = self._expression()
            self._expect(")")
            return value
        raise self._wrong(f"unexpected {token.text!r}", token)
