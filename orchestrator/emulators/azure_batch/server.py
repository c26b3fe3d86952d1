"""From an HTTP request to an operation and back: faults, signature, version, body, conditions, errors."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from . import operations as _registered  # noqa: F401  (registers the routes)
from .account import Account
from .bodies import validated
from .calls import Calls
from .control import Control
from .errors import BatchFault, new_request_id
from .faults import Fault
from .httpserver import Drop, HttpRequest
from .protocol import Call, Json, Reply, json_reply
from .routing import Route, find, perform
from .sharedkey import check_signature
from .timefmt import http_date

_log = logging.getLogger(__name__)

API_VERSION = "2025-06-01"
_CONTROL = "_control"
_RETRY_AFTER_SECONDS = 1.0


class BatchServer:
    """Answers requests for one account."""

    def __init__(self, account: Account, calls: Calls) -> None:
        self._account = account
        self._calls = calls
        self._control = Control(account, calls)

    async def answer(self, request: HttpRequest) -> Reply | Drop:
        """Answer one request; never raises."""
        parts = urlsplit(request.target)
        segments = [unquote(segment) for segment in parts.path.split("/") if segment]
        host = request.headers.get("host")
        call = Call(
            method=request.method,
            raw_path=parts.path,
            segments=segments,
            query=_query(parts.query),
            headers=request.headers,
            body=request.body,
            endpoint=f"http://{host}" if host else self._account.endpoint,
        )
        try:
            if segments[:1] == [_CONTROL]:
                return await self._control.answer(call)
            return await self._answer_batch(call, parts.query)
        except Exception:
            _log.exception("%s %s", request.method, parts.path)
            return self._finish(call, self._refusal(call, BatchFault("InternalError"), new_request_id()), None)

    async def _answer_batch(self, call: Call, raw_query: str) -> Reply | Drop:
        request_id = new_request_id()
        try:
            route = find(call)
        except BatchFault as fault:
            self._calls.note("unknown", str(fault.status))
            return self._finish(call, self._refusal(call, fault, request_id), request_id)
        struck = self._account.faults.striking(route.name, call.raw_path)
        cut: Drop | None = None
        try:
            cut = await self._fail([fault for fault in struck if fault.when == "before"], None)
            if cut is None:
                reply = await self._perform(route, call, raw_query)
                cut = await self._fail([fault for fault in struck if fault.when == "after"], reply)
        except BatchFault as fault:
            reply = self._refusal(call, fault, request_id)
        if cut is None:
            self._calls.note(route.name, str(reply.status))
            return self._finish(call, reply, request_id)
        self._calls.note(route.name, "dropped" if cut.reply is None else "broken")
        if cut.reply is not None:
            self._finish(call, cut.reply, request_id)
        return cut

    async def _fail(self, faults: list[Fault], reply: Reply | None) -> Drop | None:
        """Let faults befall a call, before its effect (no reply yet) or after.

        Raises:
            BatchFault: it is answered with an error.
        """
        for fault in faults:
            if fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.kind == "drop":
                return Drop()
            elif fault.kind == "break" and reply is not None:
                return Drop(reply, 0.5)
            elif fault.kind == "throttle":
                raise _throttled(fault)
            elif fault.kind == "error":
                raise BatchFault(fault.code or "InternalError", "as ordered", status=fault.status)
        return None

    async def _perform(self, route: Route, call: Call, raw_query: str) -> Reply:
        settings = self._account.settings
        check_signature(settings.account, settings.key, call.method, call.raw_path, raw_query, call.headers)
        version = call.query.get("api-version")
        if version is None:
            raise BatchFault("MissingRequiredQueryParameter", values={"QueryParameterName": "api-version"})
        if version != API_VERSION:
            raise BatchFault("UnsupportedRequestVersion", f"the emulator speaks {API_VERSION}, not {version}")
        if route.body is not None:
            call.content = _read_body(route, call)
        return await perform(route, self._account, call)

    def _refusal(self, call: Call, fault: BatchFault, request_id: str) -> Reply:
        if fault.status == 304:
            return Reply(304, headers=fault.headers)
        metadata = f"{call.endpoint}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
        body = {"odata.metadata": metadata, **fault.body(request_id, self._account.clock.now())}
        return json_reply(body, fault.status, fault.headers)

    def _finish(self, call: Call, reply: Reply, request_id: str | None) -> Reply:
        reply.headers["request-id"] = request_id or new_request_id()
        reply.headers["Date"] = http_date(self._account.clock.now())
        reply.headers["DataServiceVersion"] = "3.0"
        reply.headers["Server"] = "Microsoft-HTTPAPI/2.0"
        given = call.headers.get("client-request-id")
        if given is not None and call.headers.get("return-client-request-id", "").lower() == "true":
            reply.headers["client-request-id"] = given
        return reply


def _query(raw: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        found.setdefault(name, value)
    return found


def _throttled(fault: Fault) -> BatchFault:
    status = fault.status or 503
    code = fault.code or ("TooManyRequests" if status == 429 else "ServerBusy")
    seconds = _RETRY_AFTER_SECONDS if fault.retry_after is None else fault.retry_after
    return BatchFault(code, "as ordered", status=status, headers={"Retry-After": f"{seconds:g}"})


def _read_body(route: Route, call: Call) -> Json:
    if not call.body.strip():
        if route.body_optional:
            return {}
        raise BatchFault("InvalidRequestBody", "the body is empty")
    content_type = call.headers.get("content-type", "")
    if not content_type.lower().startswith("application/json"):
        raise BatchFault("InvalidHeaderValue", values={"HeaderName": "Content-Type", "HeaderValue": content_type})
    try:
        content: Any = json.loads(call.body)
    except ValueError as problem:
        raise BatchFault("InvalidRequestBody", f"not JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise BatchFault("InvalidRequestBody", "not an object")
    if route.body == "raw":
        return content
    assert route.body is not None
    return validated(route.body, content)
