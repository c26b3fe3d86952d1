"""OData as the service uses it: `$filter`, `$select`, `$expand`, and pages of a sorted list.

A filter is parsed into a tree and evaluated on the resource; nothing is ever given to `eval`. Conditions are combined
by `and` and `or` alone, as in "OData filters in Batch" of the service's reference. The tree also says what an index can
answer (see `Filter.bounds`), so that a poll of the last changes does not walk every task.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from .errors import BatchFault, invalid_query
from .protocol import Call, Json
from .timefmt import parse_iso

MAX_PAGE = 1000

_T = TypeVar("_T")
Value = str | int | float | bool | None

_TOKEN = re.compile(
    r"\s*(?:(?P<time>[Dd]ate[Tt]ime'(?P<quoted>[^']*)')|(?P<text>'(?:[^']|'')*')"
    r"|(?P<bare>\d{4}-\d\d-\d\d[Tt][0-9:.]+(?:[Zz]|[+-]\d\d:\d\d)?)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_/]*)|(?P<mark>[(),]))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
ORDERED = frozenset(_COMPARE)
EQUAL = frozenset({"eq", "ne"})


@dataclass(frozen=True, slots=True)
class Property(Generic[_T]):
    """A property that a list may be filtered by.

    Args:
        kind: str, int, bool, or "time" (the value is then in microseconds).
        read: its value on a resource, None where it has none.
        operators: those that the service allows on it.
    """

    kind: str
    read: Callable[[_T], Value]
    operators: frozenset[str] = ORDERED
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    name: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Both:
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Either:
    left: Node
    right: Node


Node = Comparison | Both | Either


class Filter(Generic[_T]):
    """A parsed `$filter` over resources with the given properties.

    Raises:
        BatchFault: InvalidQueryParameterValue with what is wrong in it.
    """

    def __init__(self, text: str, properties: Mapping[str, Property[_T]]) -> None:
        self._properties = {name.lower(): (name, prop) for name, prop in properties.items()}
        self._text = text
        self._tokens = self._tokenize(text)
        self._position = 0
        self._tree = self._parse_or()
        if self._position != len(self._tokens):
            raise self._wrong(f"unexpected {self._tokens[self._position][1]!r}")
        self._test = self._compile(self._tree)

    def matches(self, resource: _T) -> bool:
        return self._test(resource)

    def bounds(self) -> list[Comparison]:
        """The comparisons that every match must fulfil."""
        found: list[Comparison] = []
        pending: list[Node] = [self._tree]
        while pending:
            node = pending.pop()
            if isinstance(node, Both):
                pending += [node.left, node.right]
            elif isinstance(node, Comparison):
                found.append(node)
        return found

    def _wrong(self, reason: str) -> BatchFault:
        return invalid_query("$filter", self._text, reason)

    def _tokenize(self, text: str) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if not found:
                raise self._wrong(f"cannot be read from {text[position:]!r} on")
            position = found.end()
            kind = found.lastgroup or ""
            if found.group("time") is not None:
                tokens.append(("time", found.group("quoted")))
            elif kind == "bare":
                tokens.append(("time", found.group("bare")))
            elif kind == "text":
                tokens.append(("text", found.group("text")[1:-1].replace("''", "'")))
            else:
                tokens.append((kind, found.group(kind)))
        if not tokens:
            raise self._wrong("is empty")
        return tokens

    def _peek_word(self) -> str:
        if self._position < len(self._tokens) and self._tokens[self._position][0] == "name":
            return self._tokens[self._position][1].lower()
        return ""

    def _take(self, what: str) -> tuple[str, str]:
        if self._position >= len(self._tokens):
            raise self._wrong(f"ends where {what} was expected")
        token = self._tokens[self._position]
        self._position += 1
        return token

    def _take_mark(self, mark: str) -> None:
        kind, text = self._take(repr(mark))
        if kind != "mark" or text != mark:
            raise self._wrong(f"expected {mark!r}, found {text!r}")

    def _parse_or(self) -> Node:
        node = self._parse_and()
        while self._peek_word() == "or":
            self._position += 1
            node = Either(node, self._parse_and())
        return node

    def _parse_and(self) -> Node:
        node = self._parse_one()
        while self._peek_word() == "and":
            self._position += 1
            node = Both(node, self._parse_one())
        return node

    def _parse_one(self) -> Node:
        kind, text = self._take("a condition")
        if kind == "mark" and text == "(":
            node = self._parse_or()
            self._take_mark(")")
            return node
        if kind != "name":
            raise self._wrong(f"expected a property, found {text!r}")
        if text.lower() == "startswith":
            self._take_mark("(")
            name, prop = self._property(self._take("a property")[1])
            self._take_mark(",")
            kind, prefix = self._take("a string")
            self._take_mark(")")
            if kind != "text" or not prop.prefix:
                raise self._wrong(f"startswith is not allowed on {name!r}")
            return Comparison(name, "startswith", prefix)
        name, prop = self._property(text)
        operator = self._take("an operator")[1].lower()
        if operator not in _COMPARE:
            raise self._wrong(f"{operator!r} is no operator")
        if operator not in prop.operators:
            raise self._wrong(f"{operator!r} is not allowed on {name!r}")
        return Comparison(name, operator, self._literal(name, prop))

    def _property(self, text: str) -> tuple[str, Property[_T]]:
        found = self._properties.get(text.lower())
        if found is None:
            known = ", ".join(name for name, _ in self._properties.values())
            raise self._wrong(f"{text!r} cannot be filtered by; these can: {known}")
        return found

    def _literal(self, name: str, prop: Property[_T]) -> Value:
        kind, text = self._take("a value")
        try:
            if prop.kind == "time" and kind in ("time", "text"):
                return parse_iso(text)
            if prop.kind == "int" and kind == "number":
                return int(text)
            if prop.kind == "bool" and kind == "name" and text.lower() in ("true", "false"):
                return text.lower() == "true"
            if prop.kind == "str" and kind == "text":
                return text
        except ValueError as problem:
            raise self._wrong(f"{text!r} is no value for {name!r}: {problem}") from problem
        raise self._wrong(f"{text!r} is no value for {name!r}, which is of type {prop.kind}")

    def _compile(self, node: Node) -> Callable[[_T], bool]:
        if isinstance(node, Both):
            left, right = self._compile(node.left), self._compile(node.right)
            return lambda resource: left(resource) and right(resource)
        if isinstance(node, Either):
            left, right = self._compile(node.left), self._compile(node.right)
            return lambda resource: left(resource) or right(resource)
        read = self._properties[node.name.lower()][1].read
        wanted = node.value
        if node.operator == "startswith":
            prefix = str(wanted)
            return lambda resource: str(read(resource) or "").startswith(prefix)
        if node.operator == "ne":
            return lambda resource: read(resource) != wanted
        compare = _COMPARE[node.operator]

        def test(resource: _T) -> bool:
            value = read(resource)
            return value is not None and compare(value, wanted)

        return test


def parse_filter(call: Call, properties: Mapping[str, Property[_T]]) -> Filter[_T] | None:
    """The call's `$filter`, None where it has none."""
    text = call.query.get("$filter")
    return None if text is None or not text.strip() else Filter(text, properties)


def selected(call: Call, known: Iterable[str]) -> frozenset[str] | None:
    """The property names of `$select`, None for all.

    Raises:
        BatchFault: one of them is unknown.
    """
    text = call.query.get("$select")
    if text is None or not text.strip():
        return None
    by_lower = {name.lower(): name for name in known}
    chosen = set()
    for raw in text.split(","):
        # `executionInfo/exitCode` selects within a property: the service then gives the whole property.
        name = raw.strip().partition("/")[0]
        if name.lower() not in by_lower:
            raise invalid_query("$select", text, f"there is no property {name!r}")
        chosen.add(by_lower[name.lower()])
    return frozenset(chosen)


def expands_stats(call: Call) -> bool:
    """Whether `$expand=stats` was asked for, the only expansion there is."""
    text = call.query.get("$expand")
    if text is None or not text.strip():
        return False
    names = {name.strip().lower() for name in text.split(",")}
    if names != {"stats"}:
        raise invalid_query("$expand", text, "only 'stats' can be expanded")
    return True


def project(resource: Json, names: frozenset[str] | None) -> Json:
    return resource if names is None else {name: value for name, value in resource.items() if name in names}


def page_size(call: Call) -> int:
    """`maxresults`, at most and by default 1000."""
    text = call.query.get("maxresults")
    if text is None:
        return MAX_PAGE
    if not text.isdigit() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid_query("maxresults", text, f"must be between 1 and {MAX_PAGE}")
    return int(text)


def continuation(call: Call) -> str | None:
    """The key that the previous page ended with.

    Raises:
        BatchFault: the token is not one of ours.
    """
    token = call.query.get("$skiptoken")
    if token is None:
        return None
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise invalid_query("$skiptoken", token, "is not a token of this service") from problem


def list_body(call: Call, collection: str, values: list[Json], last_key: str | None) -> Json:
    """The body of a list reply; `last_key` is the key of the last value where more follow."""
    body: Json = {"odata.metadata": f"{call.endpoint}/$metadata#{collection}", "value": values}
    if last_key is not None:
        token = base64.urlsafe_b64encode(last_key.encode()).decode().rstrip("=")
        query = urlencode({**call.query, "$skiptoken": token}, quote_via=quote)
        body["odata.nextLink"] = f"{call.endpoint}{call.raw_path}?{query}"
    return body


def one_page(
    call: Call,
    collection: str,
    items: Iterable[tuple[str, _T]],
    render: Callable[[_T], Json],
    condition: Filter[_T] | None = None,
) -> Json:
    """One page of `items`, which come sorted by their key, as a list body.

    Stops at the page's end, so a lazy `items` is read no further than needed.
    """
    after = continuation(call)
    size = page_size(call)
    values: list[Json] = []
    last = ""
    for key, item in items:
        if after is not None and key <= after:
            continue
        if condition is not None and not condition.matches(item):
            continue
        if len(values) == size:
            return list_body(call, collection, values, last)
        values.append(render(item))
        last = key
    return list_body(call, collection, values, None)
