"""What is wrong with a spec, and where: each mistake is a :class:`Problem`, all come in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import PydanticCustomError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake or doubt.

    ``file`` names the place as the user knows it: the file's path as it was given, ``--set KEY=VALUE`` or
    the name of a Python call.  ``line`` and ``column`` count from 1 and are None where there is no text.
    ``path`` is the dotted key (``parameters.lr``), empty for the file as a whole.
    """

    file: str
    line: int | None
    column: int | None
    path: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}"
            if self.column is not None:
                place += f":{self.column}"
        subject = f"{self.path}: " if self.path else ""
        doubt = "warning: " if self.severity == "warning" else ""
        hint = f"; {self.hint}" if self.hint else ""
        line = f"{place}: {doubt}{subject}{self.message}{hint}"
        return line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)


class SpecError(ValueError):
    """The spec cannot be used; ``problems`` holds every mistake, in the order of the text."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def wrong(message: str, hint: str = "", at: Sequence[str | int] = ()) -> PydanticCustomError:
    """An error for a pydantic validator to raise; ``at`` is the place below the validated value."""
    return PydanticCustomError("spec", "{message}", {"message": message, "hint": hint, "at": list(at)})


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known spelling that is nearest to a word, or None when none is near."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word)[:100].lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else None


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``did you mean 'uniform'?``, or nothing when no known spelling is near."""
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near is not None else ""


def one_of(names: Iterable[str]) -> str:
    """``a, b or c``."""
    return _joined(list(names), "or")


def all_of(names: Iterable[str]) -> str:
    """``a, b and c``."""
    return _joined(list(names), "and")


def _joined(words: list[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def describe(value: Any) -> str:
    """What a user wrote, in words and short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {shortened(repr(value))}"
    if isinstance(value, str):
        return f"the text '{shortened(value)}'" if value else "an empty text"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return f"a {type(value).__name__}"


def shortened(text: str, width: int = 40) -> str:
    """One printable line of at most ``width`` characters."""
    line = "".join(char if char.isprintable() else "?" for char in text[: width + 1])
    return line if len(line) <= width else line[: width - 1] + "…"
