"""Which files a folder's ignore files leave out, decided as git decides it.

Patterns mean what gitignore(5) says, and where that is vague, what git's own matcher does: a tree is walked
from its root, what matches last in the deepest ignore file wins, and nothing below an ignored folder is
looked at.  Names are bytes, as git sees them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_SPECIAL = b"*?[\\"

_CLASSES = {
    b"alnum": rb"0-9A-Za-z", b"alpha": rb"A-Za-z", b"blank": rb" \t", b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"!-~", b"lower": rb"a-z", b"print": rb" -~", b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t\n\r\f\v", b"upper": rb"A-Z", b"xdigit": rb"0-9A-Fa-f",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line.  A ``whole`` pattern is matched with the path below the ignore file, others with the name."""

    negative: bool
    folders_only: bool
    whole: bool
    literal: bytes
    rest: re.Pattern[bytes] | None

    def matches(self, path: bytes, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        subject = path if self.whole else path[path.rfind(b"/") + 1 :]
        if self.rest is None:
            return subject == self.literal
        return subject.startswith(self.literal) and self.rest.fullmatch(subject, len(self.literal)) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """The patterns of one ignore file in the folder ``base`` (empty for the root, else with a slash)."""

    base: bytes
    patterns: Sequence[Pattern]

    def decide(self, path: bytes, is_folder: bool) -> bool | None:
        """True: ignored; False: named by a negated pattern; None: no pattern matches."""
        below = path[len(self.base) :]
        for pattern in reversed(self.patterns):
            if pattern.matches(below, is_folder):
                return not pattern.negative
        return None


def parse(text: bytes, base: bytes = b"") -> Rules:
    """The rules in the bytes of an ignore file."""
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return Rules(base, tuple(p for line in lines if (p := _pattern(line.removesuffix(b"\r")))))


def decide(stack: Sequence[Rules], path: bytes, is_folder: bool) -> bool | None:
    """The same for all the ignore files that concern a path, those of the outer folders first."""
    for rules in reversed(stack):
        answer = rules.decide(path, is_folder)
        if answer is not None:
            return answer
    return None


def _pattern(line: bytes) -> Pattern | None:
    if line.startswith(b"#"):
        return None
    text = _without_trailing_spaces(line)
    negative = text.startswith(b"!")
    text = text.removeprefix(b"!")
    if not text:
        return None
    folders_only = text.endswith(b"/")
    text = text.removesuffix(b"/")
    whole = b"/" in text
    if whole:
        text = text.removeprefix(b"/")
    # git compares what stands before the first wildcard by itself; a "**" right after it counts as one that
    # begins the pattern.
    cut = next((i for i, byte in enumerate(text) if byte in _SPECIAL), len(text))
    literal, wild = text[:cut], text[cut:]
    return Pattern(negative, folders_only, whole, literal, _regex(wild, whole) if wild else None)


def _without_trailing_spaces(line: bytes) -> bytes:
    kept = line.rstrip(b" ")
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    return kept + b" " if backslashes % 2 and len(kept) < len(line) else kept


_NOTHING = re.compile(rb"(?!)")


@cache
def _regex(pattern: bytes, whole: bool) -> re.Pattern[bytes]:
    """git's wildmatch as a regular expression; one that matches nothing for a pattern that is broken."""
    any_but_slash = b"[^/]" if whole else b"."
    out = bytearray(b"(?s:")
    i = 0
    while i < len(pattern):
        char = pattern[i : i + 1]
        if char == b"*":
            stars = i
            while pattern[i : i + 1] == b"*":
                i += 1
            at_start = stars == 0 or pattern[stars - 1 : stars] == b"/"
            if whole and i - stars > 1 and at_start and pattern[i : i + 1] in (b"", b"/"):
                if pattern[i : i + 1] == b"/":
                    out += b"(?:.*/)?"
                    i += 1
                else:
                    out += b".*"
            else:
                out += any_but_slash + b"*"
        elif char == b"?":
            out += any_but_slash
            i += 1
        elif char == b"[":
            parsed = _bracket(pattern, i + 1, whole)
            if parsed is None:
                return _NOTHING
            text, i = parsed
            out += text
        elif char == b"\\":
            if i + 1 == len(pattern):
                return _NOTHING
            out += re.escape(pattern[i + 1 : i + 2])
            i += 2
        else:
            out += re.escape(char)
            i += 1
    return re.compile(bytes(out) + b")")


def _bracket(pattern: bytes, i: int, whole: bool) -> tuple[bytes, int] | None:
    """The expression of a ``[...]`` whose inside begins at ``i``, and its end; None where it never ends."""
    negated = pattern[i : i + 1] in (b"!", b"^")
    i += negated
    ranges: list[bytes] = []
    previous: int | None = None
    first = True
    while True:
        char = pattern[i : i + 1]
        if not char:
            return None
        if char == b"]" and not first:
            i += 1
            break
        first = False
        if char == b"[" and pattern[i + 1 : i + 2] == b":":
            end = pattern.find(b"]", i + 2)
            if end < 0:
                return None
            name = pattern[i + 2 : end - 1]
            if pattern[end - 1 : end] == b":" and end - 1 >= i + 2:
                if name not in _CLASSES:
                    return None
                ranges.append(_CLASSES[name])
                previous = None
                i = end + 1
                continue
        if char == b"-" and previous is not None and pattern[i + 1 : i + 2] not in (b"", b"]"):
            i += 1
            if pattern[i : i + 1] == b"\\":
                i += 1
                if i == len(pattern):
                    return None
            if previous <= pattern[i]:
                ranges.append(b"\\x%02x-\\x%02x" % (previous, pattern[i]))
            previous = None
            i += 1
            continue
        if char == b"\\":
            i += 1
            if i == len(pattern):
                return None
        previous = pattern[i]
        ranges.append(b"\\x%02x" % previous)
        i += 1
    inside = b"".join(ranges)
    if negated:
        return (b"[^/" if whole else b"[^") + inside + b"]", i
    return ((b"(?!/)" if whole else b"") + b"[" + inside + b"]" if inside else b"(?!)"), i
