"""YAML text to a tree in which every value knows its line and column.

Built from the parser's events, not by PyYAML's constructor: that keeps positions, finds duplicate keys, does
not recurse, bounds what aliases expand to, and reads numbers as YAML 1.2 does (``1e-4`` is a number,
``12:30`` and ``2024-01-01`` are texts).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import yaml

from orchestrator.spec.problems import Problem, describe, shortened

LARGEST_TEXT = 2**20
LARGEST_TREE = 100_000
DEEPEST = 40
LONGEST_NUMBER = 300
TOO_LONG: int = 10**LONGEST_NUMBER

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?[0-9][0-9_]*", re.ASCII)
_OTHER_BASE = re.compile(r"([-+]?)(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?", re.ASCII)
# JSON writes a character beyond the first 65,536 as two escapes, which YAML does not know.
_PAIR = re.compile(r"((?<!\\)(?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_NOT_FINITE = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_NULL = {"", "~", "null"}
_BOOL = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_CORE = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}

_RESOLVED = _CORE - {"tag:yaml.org,2002:str"}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; ``line`` and ``column`` count from 1, None where there is no text."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place.  ``value`` is a scalar, a list of nodes or a mapping of keys to nodes.

    ``keys`` are the places of a mapping's keys.  ``raw`` is what was written for a scalar without quotes.
    ``weight`` and ``height`` are the size and depth of the tree, aliases expanded.
    """

    value: Any
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)
    raw: str | None = None
    weight: int = 1
    height: int = 1

    def at(self, path: Sequence[str | int]) -> Node | None:
        """The node below this one, or None."""
        node = self
        for step in path:
            inside = node.value
            in_mapping = isinstance(inside, dict) and isinstance(step, str) and step in inside
            in_list = isinstance(inside, list) and isinstance(step, int) and 0 <= step < len(inside)
            if not (in_mapping or in_list):
                return None
            node = inside[step]
        return node

    def locate(self, path: Sequence[str | int], *, key: bool = False) -> Place:
        """The place of the value at ``path``, or of its nearest parent.

        With ``key``, and for lists, mappings and empty values, it is the place of the key.
        """
        for length in range(len(path), 0, -1):
            node = self.at(path[:length])
            if node is None:
                continue
            parent = self.at(path[: length - 1])
            own = path[length - 1]
            asked = key and length == len(path)
            wants_key = asked or isinstance(node.value, dict | list) or node.raw == ""
            if parent is not None and wants_key and isinstance(own, str) and own in parent.keys:
                return parent.keys[own]
            return node.place
        return self.place

    def plain(self) -> Any:
        """The value without places, as text, numbers, booleans, None, lists and dicts."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


class Unreadable(Exception):
    """The text is no YAML that can be a spec; ``problem`` says why and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_yaml(text: str, file: str, *, positions: bool = True) -> tuple[Node, list[Problem]]:
    """The tree of a text, and the mistakes that do not hinder reading on, such as a key given twice.

    With ``positions`` false the tree's places are ``file`` alone.  Raises Unreadable.
    """
    if len(text) > LARGEST_TEXT:
        size = f"has {len(text):,} characters; a spec has at most {LARGEST_TEXT:,}"
        raise Unreadable(Problem(file, None, None, "", size))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line, column = _line_and_column(text, error.start)
        raise Unreadable(Problem(file, line, column, "", "is not Unicode text")) from None
    builder = _Builder(file, text, positions)
    if _PAIR.search(text) and _is_json(text):
        text = _PAIR.sub(_character, text)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, error.position if isinstance(error.position, int) else 0)
        raise builder.unreadable(
            line,
            column,
            "holds a control character, which no YAML text can",
            "remove it, or is this a binary file?",
        ) from None
    except yaml.MarkedYAMLError as error:
        line, column = _faulty(text, error.problem_mark, error.context_mark)
        what = error.problem or error.context or "it cannot be read"
        raise builder.unreadable(line, column, f"is no valid YAML: {what}", _advice(text, line)) from None
    return builder.root or Node(None, builder.place(0, 0), raw=""), builder.problems


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _character(pair: re.Match[str]) -> str:
    """YAML's escape for the character that JSON writes as a pair of surrogates."""
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}"


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _faulty(text: str, problem: Any, context: Any) -> tuple[int, int]:
    """Line and column of a syntax error: what was left open rather than the end of the text, where it shows."""
    end = _line_and_column(text, len(text.rstrip()))
    if problem is None or (context is not None and (problem.line + 1, problem.column + 1) >= end):
        problem = context
    place = (problem.line + 1, problem.column + 1) if problem is not None else (1, 1)
    return min(place, end)


def _advice(text: str, line: int) -> str:
    """What may help, judged by the line itself."""
    lines = text.splitlines()
    there = [number for number in (line, line - 1) if 1 <= number <= len(lines)]
    for number in there:
        written = lines[number - 1]
        body = written.lstrip(" \t-")
        if "\t" in written[: len(written) - len(written.lstrip())]:
            return f"indent line {number} with spaces, not tabs"
        value = body.partition(": ")[2]
        if value.count(": ") and value[:1] not in tuple("'\"{[|>"):
            return f"put the text after the first ': ' of line {number} in quotes"
        if re.match(r"\{[A-Za-z_]\w*\}.*\S", value):
            return f"put the text of line {number} that begins with a brace in quotes"
        if value[:1] in tuple("*&!%@`"):
            return f"put the text of line {number} that begins with '{value[0]}' in quotes"
    return "look for a missing quote, bracket or space after ':' here or on the line before"


class _Merge(Enum):
    MERGE = "<<"


MERGE = _Merge.MERGE


class _Frame:
    """An open list or mapping."""

    __slots__ = ("anchor", "children", "height", "key", "keys", "mapping", "merges", "place", "weight")

    def __init__(self, place: Place, mapping: bool, anchor: str | None) -> None:
        self.place = place
        self.mapping = mapping
        self.anchor = anchor
        self.children: Any = {} if mapping else []
        self.keys: dict[str, Place] = {}
        # None until the key has come; the key itself is None where its value is to be dropped.
        self.key: tuple[str | _Merge | None, Place] | None = None
        self.merges: list[Node] = []
        self.weight = 1
        self.height = 1


class _Builder:
    def __init__(self, file: str, text: str, positions: bool) -> None:
        self.file = file
        self.text = text
        self.positions = positions
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node | None] = {}
        self.documents = 0

    def place(self, line: int, column: int) -> Place:
        return Place(self.file, line + 1, column + 1) if self.positions else Place(self.file)

    def place_of(self, event: Any) -> Place:
        return self.place(event.start_mark.line, event.start_mark.column)

    def unreadable(self, line: int, column: int, message: str, hint: str = "") -> Unreadable:
        place = self.place(line - 1, column - 1)
        return Unreadable(Problem(place.file, place.line, place.column, "", message, hint))

    def stop(self, place: Place, message: str, hint: str = "") -> Unreadable:
        return Unreadable(Problem(place.file, place.line, place.column, self.path(), message, hint))

    def note(self, place: Place, message: str, hint: str = "") -> None:
        self.problems.append(Problem(place.file, place.line, place.column, self.path(), message, hint))

    def path(self) -> str:
        steps = [
            (frame.key[0] if frame.key else None) if frame.mapping else str(len(frame.children)) for frame in self.stack
        ]
        return ".".join(shortened(step) for step in steps if isinstance(step, str) and step)

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                place = self.place_of(event)
                raise self.stop(place, "holds a second document", "a spec is one document: remove '---'")
            return
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            return
        place = self.place_of(event)
        if isinstance(event, yaml.ScalarEvent):
            self.check_tag(event.tag, place)
            if self.expects_key():
                self.open_key(event, place)
                return
            node = _scalar(event, place)
            if isinstance(node.value, int) and abs(node.value) >= TOO_LONG:
                raise self.stop(place, "is too long a number", "put it in quotes if it is a text")
            self.attach(node, event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self.take_alias(str(event.anchor), place)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.check_tag(event.tag, place)
            if self.expects_key():
                self.reject_key(place)
            if len(self.stack) >= DEEPEST:
                raise self.stop(place, f"is nested more than {DEEPEST} deep")
            if event.anchor:
                self.anchors[event.anchor] = None
            self.stack.append(_Frame(place, isinstance(event, yaml.MappingStartEvent), event.anchor))
        else:
            self.close()

    def check_tag(self, tag: str | None, place: Place) -> None:
        if tag and tag != "!" and tag not in _CORE:
            self.note(place, f"has the tag {shortened(tag)}", "tags are not supported: remove it")

    def expects_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].mapping and self.stack[-1].key is None

    def reject_key(self, place: Place) -> None:
        raise self.stop(place, "has a list or a mapping for a key", "a text that begins with { or [ needs quotes")

    def open_key(self, event: Any, place: Place) -> None:
        frame = self.stack[-1]
        key: str | None = event.value
        # In quotes `<<` is a key like any other.
        merges = key == "<<" and event.implicit[0]
        if not merges and key in frame.keys:
            first = frame.keys[event.value]
            where = f", first on line {first.line}" if first.line is not None else ""
            frame.key = (key, place)
            self.note(place, f"is given twice{where}", "remove one of them")
            key = None
        frame.key = (MERGE if merges else key, place)
        if event.anchor:
            self.anchors[event.anchor] = Node(event.value, place)

    def take_alias(self, name: str, place: Place) -> None:
        if self.expects_key():
            self.reject_key(place)
        if name not in self.anchors:
            raise self.stop(place, f"refers to the anchor '{shortened(name)}', which is not set before")
        node = self.anchors[name]
        if node is None:
            raise self.stop(place, f"refers to '{shortened(name)}' from inside itself")
        # The value is shared; the place is where it is used, its parts keep their own.
        self.attach(replace(node, place=place), None)

    def close(self) -> None:
        frame = self.stack.pop()
        if frame.mapping:
            for merged in frame.merges:
                for key, child in merged.value.items():
                    if key not in frame.children:
                        frame.children[key] = child
                        frame.keys[key] = merged.keys[key]
        node = Node(frame.children, frame.place, frame.keys, weight=frame.weight, height=frame.height)
        self.attach(node, frame.anchor)

    def attach(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.weight += node.weight
        frame.height = max(frame.height, node.height + 1)
        if frame.weight > LARGEST_TREE:
            raise self.stop(node.place, f"expands to more than {LARGEST_TREE:,} values by its aliases and lists")
        if frame.height + len(self.stack) > DEEPEST + 1:
            raise self.stop(node.place, f"is nested more than {DEEPEST} deep by its aliases")
        if not frame.mapping:
            frame.children.append(node)
            return
        assert frame.key is not None
        key, place = frame.key
        if key is MERGE:
            self.merge(frame, node)
        elif isinstance(key, str):
            frame.children[key] = node
            frame.keys[key] = place
        frame.key = None

    def merge(self, frame: _Frame, node: Node) -> None:
        sources = node.value if isinstance(node.value, list) else [node]
        for source in sources:
            if isinstance(source.value, dict):
                frame.merges.append(source)
            else:
                self.note(source.place, f"merges {describe(source.plain())}", "'<<' takes a mapping")


def _scalar(event: Any, place: Place) -> Node:
    text: str = event.value
    if event.tag in _RESOLVED:
        return Node(resolve(text), place)
    if event.style or event.tag:
        return Node(text, place)
    return Node(resolve(text), place, raw=text)


def resolve(text: str) -> Any:
    """The value of a scalar without quotes."""
    lowered = text.lower()
    if lowered in _NULL:
        return None
    if lowered in _BOOL:
        return _BOOL[lowered]
    if lowered in _NOT_FINITE:
        return float(_NOT_FINITE[lowered])
    if _INT.fullmatch(text):
        digits = text.replace("_", "")
        # Python does not convert thousands of digits; the caller refuses what is so long.
        return int(digits) if len(digits) <= LONGEST_NUMBER else TOO_LONG
    other = _OTHER_BASE.fullmatch(text)
    if other and len(text) <= LONGEST_NUMBER and other[2][2:].strip("_"):
        return int(other[1] + other[2].replace("_", ""), 0)
    if _FLOAT.fullmatch(text) and len(text) <= LONGEST_NUMBER:
        return float(text.replace("_", ""))
    return text
