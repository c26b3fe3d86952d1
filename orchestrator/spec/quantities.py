"""The scalar fields of a spec: texts, numbers, sizes and durations, with their spellings and plain errors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from orchestrator.spec.problems import describe, did_you_mean, one_of, shortened, wrong

BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

# Below this a size is a forgotten unit (`memory: 16`), not a wish.
SMALLEST_SIZE = 10**6
LARGEST_SIZE = 2**60
# Longer than any cloud lets a machine live; every deadline stays inside what calendars can hold.
LONGEST = 3650 * SECONDS["d"]

_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)\s*([A-Za-z]+)", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,12})?(?:ms|s|m|h|d|w))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_BARE = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII)

SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?\s*([KMGTkmgt][Ii]?)?[Bb]$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+$"


def printable(value: str) -> str:
    """``value`` itself; an error for what no program can be given: NUL and half surrogate pairs."""
    if "\0" in value:
        raise wrong("holds a NUL character, which no command or variable can carry")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise wrong("holds half of a surrogate pair, which is no Unicode text") from None
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        hint = "put it in quotes" if isinstance(value, int | float | dict | list) else ""
        raise wrong(f"needs a text, not {describe(value)}", hint)
    if not value.strip():
        raise wrong("needs a text that is not empty")
    return printable(value)


def number(value: Any) -> float:
    """A finite number.  Texts such as ``1e-4``, which YAML 1.1 does not take for a number, are accepted."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= 400 else math.inf
        except ValueError:
            raise wrong(f"needs a number, not {describe(value)}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(f"needs a number, not {describe(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise wrong("needs a finite number")
    return found


def whole(value: Any) -> int:
    """An integer; ``4.0`` and ``"4"`` are taken for one, ``true`` is not."""
    exact = number(value)
    if exact != math.floor(exact):
        raise wrong(f"needs a whole number, not {describe(value)}")
    if abs(exact) > 2**63:
        raise wrong("is too large a number")
    return int(value) if isinstance(value, int | float) else int(exact)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(f"needs true or false, not {describe(value)}")
    return value


def number_within(low: float | None = None, high: float | None = None, *, above: bool = False) -> BeforeValidator:
    """A number of at least ``low`` (with ``above``: more than it) and at most ``high``."""
    return BeforeValidator(_within(number, low, high, above))


def whole_within(low: float | None = None, high: float | None = None) -> BeforeValidator:
    """A whole number of at least ``low`` and at most ``high``."""
    return BeforeValidator(_within(whole, low, high, False))


def _within(read: Callable[[Any], float], low: float | None, high: float | None, above: bool) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        found = read(value)
        if low is not None and (found <= low if above else found < low):
            raise wrong(f"must be {'above' if above else 'at least'} {low:g}, not {shortened(str(value))}")
        if high is not None and found > high:
            raise wrong(f"must be at most {high:g}, not {shortened(str(value))}")
        return found

    return check


def choice_of(names: Sequence[str]) -> BeforeValidator:
    """One of a few words; a near miss is answered with the right one."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in names:
            return value
        raise wrong(f"must be {one_of(names)}, not {describe(value)}", did_you_mean(value, names))

    return BeforeValidator(check, json_schema_input_type=Literal[tuple(names)])


def parse_size(value: Any) -> int:
    """Bytes from ``16GiB``, ``500MB``, ``1.5 TB`` or a number of bytes."""
    spelled = "write it like 16GiB or 500MB"
    if isinstance(value, str) and _BARE.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise wrong(f"needs a size, not {describe(value)}", spelled)
        unit = BYTES.get(match[2].lower())
        if unit is None:
            letter = match[2].upper()
            spelled = f"write {letter}iB or {letter}B" if letter in {"K", "M", "G", "T"} else spelled
            raise wrong(f"'{shortened(match[2])}' is no unit of size", spelled)
        size = round(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(f"needs a size, not {describe(value)}", spelled)
    else:
        size = math.floor(number(value))
    if size < SMALLEST_SIZE:
        raise wrong(f"is only {max(size, 0)} bytes" if size >= 0 else "is below zero", f"{spelled}; the least is 1MB")
    if size > LARGEST_SIZE:
        raise wrong("is more than any machine has")
    return size


def parse_duration(value: Any) -> float:
    """Seconds from ``90``, ``30s``, ``5m``, ``1h30m`` or ``2d``."""
    spelled = "write it like 90, 30s, 5m, 1h30m or 2d"
    if isinstance(value, str) and _BARE.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, str):
        joined = re.sub(r"\s+", "", value).lower()
        if len(joined) > 100 or _DURATION.fullmatch(joined) is None:
            raise wrong(f"needs a duration, not {describe(value)}", spelled)
        seconds = math.fsum(float(amount) * SECONDS[unit] for amount, unit in _DURATION_PART.findall(joined))
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(f"needs a duration, not {describe(value)}", spelled)
    else:
        seconds = number(value)
    if seconds < 0:
        raise wrong("is below zero")
    if seconds > LONGEST:
        raise wrong("is more than ten years")
    return seconds


def spelled_duration(seconds: float) -> str:
    """A spelling in whole units where there is one: ``24h``, ``90s``; days where they are more than one."""
    for unit, length in (("d", SECONDS["d"]), ("h", SECONDS["h"]), ("m", SECONDS["m"])):
        if (seconds >= 2 * length and seconds % length == 0) or (seconds == length and unit != "d"):
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds}s"


def _some_time(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise wrong("must be longer than nothing", "leave it out for no limit")
    return seconds


def _quantity(least: int, pattern: str, unit: str, examples: list[Any]) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": least, "description": unit},
                {"type": "string", "pattern": pattern},
            ],
            "examples": examples,
        }
    )


Text = Annotated[str, BeforeValidator(text)]
Flag = Annotated[bool, BeforeValidator(flag)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    _quantity(SMALLEST_SIZE, SIZE_PATTERN, "bytes", ["16GiB", "500MB", 2147483648]),
]
Duration = Annotated[
    float,
    BeforeValidator(_some_time),
    _quantity(0, DURATION_PATTERN, "seconds", ["30s", "5m", "1h30m", "2d", 90]),
]
DurationOrZero = Annotated[
    float,
    BeforeValidator(parse_duration),
    _quantity(0, DURATION_PATTERN, "seconds", ["10s", "1m", 0]),
]
