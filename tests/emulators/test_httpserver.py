from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orchestrator.emulators.azure_batch.httpserver import Drop, HttpRequest, HttpServer
from orchestrator.emulators.azure_batch.protocol import FileSlice, Reply

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def converse(answer: Callable[[HttpRequest], Reply | Drop], talk: Talk) -> None:
    async def run() -> None:
        async def handler(request: HttpRequest) -> Reply | Drop:
            return answer(request)

        server = HttpServer(handler)
        port = await server.start(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.wait_for(talk(reader, writer), 10)
        finally:
            writer.close()
            await server.stop()

    asyncio.run(run())


def echo(request: HttpRequest) -> Reply:
    return Reply(200, request.method.encode() + b" " + request.body)


async def read_reply(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = int(length[0].split(b":")[1]) if length else 0
    return head.split(b"\r\n")[0], await reader.readexactly(size)


def test_one_connection_serves_many_requests_even_sent_ahead() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\none" + b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\ntwo"
        )
        assert await read_reply(reader) == (b"HTTP/1.1 200 OK", b"POST one")
        assert await read_reply(reader) == (b"HTTP/1.1 200 OK", b"POST two")

    converse(echo, talk)


def test_a_body_in_chunks_is_put_together() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\n\r\n")
        assert (await read_reply(reader))[1] == b"PUT abcdefgh"

    converse(echo, talk)


def test_a_client_that_asks_before_it_sends_is_told_to_go_on() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await read_reply(reader))[1] == b"POST hi"

    converse(echo, talk)


def test_a_head_has_a_length_and_no_body_and_204_neither() -> None:
    def answer(request: HttpRequest) -> Reply:
        return Reply(200, b"four") if request.method == "HEAD" else Reply(204)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HEAD / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert b"Content-Length: 4" in await reader.readuntil(b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert b"content-length" not in head.lower()

    converse(answer, talk)


def test_a_part_of_a_file_is_sent(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await read_reply(reader))[1] == b"345"
        assert await reader.read() == b""

    converse(lambda _: Reply(200, FileSlice(tmp_path / "f", 3, 3)), talk)


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_reply(reader)

    converse(lambda _: Reply(200, FileSlice(tmp_path / "f", 0, 100)), talk)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / SPDY/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(request_bytes: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request_bytes)
        assert (await reader.read(12)) == b"HTTP/1.1 400"

    converse(echo, talk)


@pytest.mark.parametrize(("fraction", "received"), [(0.5, b"01234"), (0.0, b"")])
def test_a_response_can_be_cut_off_in_its_middle(fraction: float, received: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 10" in head
        body = b""
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            while True:
                body += await reader.readexactly(1)
        assert body == received

    converse(lambda _: Drop(Reply(200, b"0123456789"), fraction), talk)


def test_a_connection_can_be_cut_off_without_any_response() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)

    converse(lambda _: Drop(), talk)
