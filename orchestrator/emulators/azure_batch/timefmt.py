"""Times as the service writes them.

Inside the emulator a time is an integer: microseconds since 1970 in UTC. An integer, because a client sends a
time that it was given back as a filter bound, and a rounded one would then miss its own record.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime

Micros = int

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What the service returns for a duration that was never set (its largest).
UNLIMITED_DURATION = "P10675199DT2H48M5.4775807S"

_DURATION = re.compile(
    r"P(?:(?P<years>\d+(?:\.\d+)?)Y)?(?:(?P<months>\d+(?:\.\d+)?)M)?(?:(?P<weeks>\d+(?:\.\d+)?)W)?"
    r"(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_UNIT_SECONDS = {
    "years": 365 * 86400,
    "months": 30 * 86400,
    "weeks": 7 * 86400,
    "days": 86400,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
}


def iso(moment: Micros) -> str:
    """RFC 3339 in UTC with microseconds, as in `2026-02-03T04:05:06.000007Z`."""
    second, micros = divmod(moment, SECOND)
    return f"{_iso_second(second)}.{micros:06d}Z"


@functools.lru_cache(maxsize=4096)
def _iso_second(second: int) -> str:
    # A page of a thousand tasks writes some seven thousand times, most of them of a few seconds.
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_iso(text: str) -> Micros:
    """Microseconds since 1970 of an RFC 3339 time.

    Raises:
        ValueError: it is no such time.
    """
    moment = datetime.fromisoformat(_cut_to_micros(text.strip()))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return of_datetime(moment)


def of_datetime(moment: datetime) -> Micros:
    """Microseconds since 1970 of an aware time."""
    delta = moment - _EPOCH
    return (delta.days * 86400 + delta.seconds) * SECOND + delta.microseconds


def to_datetime(moment: Micros) -> datetime:
    """The aware UTC time of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=moment)


def _cut_to_micros(text: str) -> str:
    # .NET writes seven digits of a second, which Python's parser takes; more than that it does not.
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def http_date(moment: Micros) -> str:
    """RFC 1123, whole seconds."""
    return formatdate(moment // SECOND, usegmt=True)


def parse_http_date(text: str) -> Micros:
    """Microseconds since 1970 of an RFC 1123 date.

    Raises:
        ValueError: it is no such date.
    """
    moment = parsedate_to_datetime(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return of_datetime(moment)


def parse_duration(text: str) -> Micros:
    """Microseconds of an ISO 8601 duration (a year counted as 365 days, a month as 30).

    Raises:
        ValueError: it is no such duration.
    """
    negative = text.startswith("-")
    body = text[1:] if negative else text
    found = _DURATION.fullmatch(body)
    if not found or body in ("P", "PT") or body.endswith("T"):
        raise ValueError(f"{text!r} is not an ISO 8601 duration")
    seconds = sum(
        float(amount) * _UNIT_SECONDS[unit] for unit, amount in found.groupdict().items() if amount is not None
    )
    return round((-seconds if negative else seconds) * SECOND)


def duration(length: Micros) -> str:
    """ISO 8601 duration in days, hours, minutes and seconds."""
    days, rest = divmod(length, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    text = "P" + (f"{days}D" if days else "")
    clock = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    if rest:
        seconds, micros = divmod(rest, SECOND)
        clock += f"{seconds}" + (f".{micros:06d}".rstrip("0") if micros else "") + "S"
    if clock:
        text += "T" + clock
    return text if len(text) > 1 else "PT0S"
