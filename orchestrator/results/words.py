"""Numbers, times, money and other people's text in the form that a person reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

# How much of a long value a table shows, in columns of the terminal.
LONGEST_VALUE = 32
# Numbers of so many decimals are too far apart in size to be written below each other.
MOST_DECIMALS = 6


def number(value: float) -> str:
    """Five significant digits: enough to tell trials apart."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return repr(value)
    return f"{value:.5g}"


def numbers(values: Sequence[float | None]) -> list[str]:
    """A column of numbers with their points below each other; empty where there is none."""
    texts = ["" if value is None else number(value) for value in values]
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    if decimals > MOST_DECIMALS or any(mark in text for text in texts for mark in "en"):
        return texts
    return [
        text if value is None or isinstance(value, int) else f"{value:.{decimals}f}"
        for text, value in zip(texts, values, strict=True)
    ]


def duration(seconds: float) -> str:
    """``0.4s``, ``12s``, ``3m 05s``, ``2h 07m``, ``4d 06h``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    hours = minutes // 60
    return f"{hours // 24}d {hours % 24:02d}h"


def money(dollars: float) -> str:
    """US$, with as many digits as a small sum needs."""
    return f"${dollars:.2f}" if dollars == 0 or dollars >= 0.01 else f"${dollars:.4f}"


def count(amount: int, noun: str, plural: str = "") -> str:
    """``1 trial``, ``1,200 trials``."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def value(given: Any) -> str:
    """A parameter's value on one line: text as it is, anything else as JSON, floats rounded."""
    if isinstance(given, str):
        return printable(given) if given else "''"
    if isinstance(given, float):
        return number(given)
    return printable(json.dumps(given, ensure_ascii=False))


def pairs(values: Mapping[str, Any]) -> str:
    """``lr=0.01 width=64``."""
    return " ".join(f"{name}={shortened(value(given))}" for name, given in values.items())


def printable(text: str) -> str:
    """One line in which no character can move the cursor or change a colour."""
    if text.isprintable():
        return text
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(
        char if char.isprintable() else named.get(char) or char.encode("unicode_escape", "replace").decode("ascii")
        for char in text
    )


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return cell_len(text)


def shortened(text: str, columns: int = LONGEST_VALUE) -> str:
    """At most so many columns wide, with an ellipsis where something was cut."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, max(0, columns - 1)).rstrip() + "…"
