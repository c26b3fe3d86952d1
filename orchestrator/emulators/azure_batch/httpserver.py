"""A small HTTP/1.1 server: enough for REST clients on loopback, quick to start, and able to break a response.

The standard library's asyncio only: no dependency, 50 ms to import, and a transport in hand that can be cut off in
the middle of a body, which is what fault injection needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from .protocol import FileSlice, Reply

_log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
_FILE_CHUNK = 256 * 1024


@dataclass(slots=True)
class HttpRequest:
    """A request as it came from the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Drop:
    """Instead of a response: cut the connection, after `sent_fraction` of the given reply (None: of nothing)."""

    reply: Reply | None = None
    sent_fraction: float = 0.0


Handler = Callable[[HttpRequest], Awaitable["Reply | Drop"]]


class _BadRequest(Exception):
    """What the peer sent is not HTTP."""


class HttpServer:
    """Listens on 127.0.0.1 and hands each request to one handler.

    Args:
        handler: answers a request; must not raise.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int) -> int:
        """Bind (0: any free port) and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=MAX_HEAD_BYTES, backlog=512)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._one_exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # The client went away; there is nobody to tell.
        except asyncio.CancelledError:
            writer.transport.abort()
        except _BadRequest as problem:
            with contextlib.suppress(ConnectionError):
                await _send(writer, Reply(400, str(problem).encode(), {"Content-Type": "text/plain"}), "GET", False)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one_exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read_request(reader, writer)
        if request is None:
            return False
        keep = request.headers.get("connection", "").lower() != "close"
        answer = await self._handler(request)
        if isinstance(answer, Drop):
            await _cut(writer, answer)
            return False
        await _send(writer, answer, request.method, keep)
        return keep


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> HttpRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial.strip():
            raise
        return None
    except asyncio.LimitOverrunError as problem:
        raise _BadRequest("the request's head is too long") from problem
    lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = lines[0].split(" ")
    except ValueError as problem:
        raise _BadRequest("the request line is not METHOD TARGET VERSION") from problem
    if not version.startswith("HTTP/1."):
        raise _BadRequest("only HTTP/1.x is spoken here")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if line:
            name, colon, value = line.partition(":")
            if not colon:
                raise _BadRequest("a header line has no colon")
            headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return HttpRequest(method, target, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts: list[bytes] = []
        total = 0
        while True:
            size_text = (await reader.readline()).split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError as problem:
                raise _BadRequest("a chunk has no size") from problem
            total += size
            if total > MAX_BODY_BYTES:
                raise _BadRequest("the body is too long")
            chunk = await reader.readexactly(size + 2)
            if size == 0:
                return b"".join(parts)
            parts.append(chunk[:-2])
    length_text = headers.get("content-length", "0")
    if not length_text.isdigit() or int(length_text) > MAX_BODY_BYTES:
        raise _BadRequest("Content-Length is not a sensible number")
    return await reader.readexactly(int(length_text))


def _head(reply: Reply, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.status not in (204, 304):
        lines.append(f"Content-Length: {reply.content_length}")
    lines.append(f"Connection: {'keep-alive' if keep else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


async def _send(writer: asyncio.StreamWriter, reply: Reply, method: str, keep: bool) -> None:
    head = _head(reply, keep)
    bodiless = method == "HEAD" or reply.status in (204, 304)
    if isinstance(reply.body, FileSlice):
        writer.write(head)
        if not bodiless:
            await _send_file(writer, reply.body)
    else:
        writer.write(head if bodiless else head + reply.body)
    await writer.drain()


async def _send_file(writer: asyncio.StreamWriter, part: FileSlice) -> None:
    left = part.length
    with part.path.open("rb") as file:
        file.seek(part.start)
        while left > 0:
            chunk = file.read(min(_FILE_CHUNK, left))
            if not chunk:
                # The file was cut short after its length was promised: only a broken connection tells it.
                writer.transport.abort()
                raise ConnectionAbortedError(f"{part.path} became shorter while it was sent")
            left -= len(chunk)
            writer.write(chunk)
            await writer.drain()


async def _cut(writer: asyncio.StreamWriter, drop: Drop) -> None:
    if drop.reply is not None:
        body = drop.reply.body if isinstance(drop.reply.body, bytes) else b""
        writer.write(_head(drop.reply, False) + body[: int(len(body) * drop.sent_fraction)])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        # Give the kernel the bytes before the reset, or the client would see none of them.
        await asyncio.sleep(0.01)
    writer.transport.abort()
