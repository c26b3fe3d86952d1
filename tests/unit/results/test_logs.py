"""Logs as bytes."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results.logs import Prefixed, Tail, stored
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.local import LocalStore


def test_a_tail_gives_every_byte_once_as_the_file_grows(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    path = tmp_path / RunKeys("r").log(0, 1, "stdout")
    tail = Tail(stored(store, "r", 0, 1, "stdout"))
    assert list(tail.read()) == []
    path.parent.mkdir(parents=True)
    written = b""
    for piece in (b"one\n", b"\xff\x00\r", b"", b"x" * 3_000_000):
        with path.open("ab") as file:
            file.write(piece)
        written += b"".join(tail.read())
    assert written == path.read_bytes()
    assert list(tail.read()) == []


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_lines_are_marked_and_whole_however_the_bytes_come_in(pieces: list[bytes]) -> None:
    prefixed = Prefixed(b"[7] ")
    out = b"".join(prefixed.take(piece) for piece in pieces) + prefixed.end()
    whole = b"".join(pieces)
    lines = whole.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    assert out == b"".join(b"[7] " + line + b"\n" for line in lines)


def test_a_line_without_an_end_is_not_held_back_for_ever() -> None:
    prefixed = Prefixed(b"> ", longest=10)
    assert prefixed.take(b"x" * 25) == b"> " + b"x" * 10 + b"\n> " + b"x" * 10 + b"\n"
    assert prefixed.end() == b"> xxxxx\n"
