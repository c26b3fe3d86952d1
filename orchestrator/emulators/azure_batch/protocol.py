"""A request and a response, without any network: what the operations are written against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .errors import BatchFault
from .timefmt import SECOND, Micros, http_date, parse_http_date

Json = dict[str, Any]

JSON_TYPE = "application/json;odata=minimalmetadata"


@dataclass(slots=True)
class Call:
    """One request.

    Args:
        method: HTTP verb.
        raw_path: the path as it was sent, still quoted: the signature is over this.
        segments: the path's parts, unquoted.
        query: first value of each query parameter.
        headers: names in lower case.
        body: as sent.
        endpoint: `http://host:port` that the client used.
    """

    method: str
    raw_path: str
    segments: list[str]
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    endpoint: str
    parameters: dict[str, str] = field(default_factory=dict)
    content: Json = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """A boolean query parameter, false where absent."""
        return self.query.get(name, "false").strip().lower() == "true"


@dataclass(slots=True)
class FileSlice:
    """A part of a file, sent as a body."""

    path: Path
    start: int
    length: int


@dataclass(slots=True)
class Reply:
    """One response; `body` of a HEAD is not sent, its length is."""

    status: int
    body: bytes | FileSlice = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    @property
    def content_length(self) -> int:
        if self.length is not None:
            return self.length
        return self.body.length if isinstance(self.body, FileSlice) else len(self.body)


class Versioned(Protocol):
    """Anything with an ETag and a time of last change."""

    @property
    def etag(self) -> str: ...

    @property
    def modified(self) -> Micros: ...


def json_reply(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return Reply(status, text, {"Content-Type": JSON_TYPE, **(headers or {})})


def version_headers(thing: Versioned) -> dict[str, str]:
    return {"ETag": f'"{thing.etag}"', "Last-Modified": http_date(thing.modified)}


def changed(thing: Versioned, url: str, status: int = 200) -> Reply:
    """The reply to a write: no body, the thing's new version and address."""
    return Reply(status, headers={**version_headers(thing), "DataServiceId": url})


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/").strip("\"'") for tag in header.split(",")]


def check_conditions(call: Call, thing: Versioned) -> None:
    """Hold `thing` against the call's conditional headers.

    Raises:
        BatchFault: ConditionNotMet, 304 on a read and 412 on a write; or a header that is no date.
    """
    headers = call.headers
    reading = call.method in ("GET", "HEAD")
    match = headers.get("if-match")
    if match is not None and match.strip() != "*" and thing.etag not in _tags(match):
        raise BatchFault("ConditionNotMet", status=412)
    none_match = headers.get("if-none-match")
    if none_match is not None and (none_match.strip() == "*" or thing.etag in _tags(none_match)):
        raise BatchFault("ConditionNotMet", status=304 if reading else 412)
    whole_second = thing.modified // SECOND * SECOND
    since = _date(headers, "if-unmodified-since")
    if since is not None and whole_second > since:
        raise BatchFault("ConditionNotMet", status=412)
    since = _date(headers, "if-modified-since")
    if since is not None and none_match is None and whole_second <= since:
        raise BatchFault("ConditionNotMet", status=304 if reading else 412)


def _date(headers: Mapping[str, str], name: str) -> Micros | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return parse_http_date(text)
    except (ValueError, TypeError) as problem:
        raise BatchFault(
            "InvalidHeaderValue", "not an RFC 1123 date", values={"HeaderName": name, "HeaderValue": text}
        ) from problem
