"""The runner's way to Blob storage, against a server that loses answers, refuses and fills up."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import random
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from orchestrator.runner import runner

ATTEMPT = "runs/r/trials/000001/1"


class Blobs:
    """Blobs in memory, with the service's rules for those that are appended to."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.blocks: dict[str, int] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.lose = 0.0  # share of answers that are lost after their effect
        self.most_blocks = 50_000
        self.random = random.Random(3)

    def put(self, name: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes) -> tuple[int, str]:
        if query.get("comp") == ["appendblock"]:
            if name not in self.content:
                return 404, "BlobNotFound"
            wanted = headers.get("x-ms-blob-condition-appendpos")
            if wanted is not None and int(wanted) != len(self.content[name]):
                return 412, "AppendPositionConditionNotMet"
            if self.blocks[name] >= self.most_blocks:
                return 409, "BlockCountExceedsLimit"
            self.content[name] += body
            self.blocks[name] += 1
            return 201, ""
        if headers.get("if-none-match") == "*" and name in self.content:
            return 409, "BlobAlreadyExists"
        self.content[name], self.blocks[name] = body, 0
        return 201, ""


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


@pytest.fixture
def url(blobs: Blobs) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(
                *blobs.put(self.name, self.query, {name.lower(): value for name, value in self.headers.items()}, body)
            )

        def do_GET(self) -> None:
            tag = f'"{hashlib.sha256(blobs.content.get(self.name, b"")).hexdigest()}"'
            if self.name not in blobs.content:
                self.answer(404, "BlobNotFound")
            elif self.headers.get("If-None-Match") == tag:
                self.answer(304, "", tag=tag)
            else:
                self.answer(200, "", blobs.content[self.name], tag)

        def do_HEAD(self) -> None:
            self.answer(200 if self.name in blobs.content else 404, "")

        def do_DELETE(self) -> None:
            self.answer(202 if blobs.content.pop(self.name, None) is not None else 404, "")

        @property
        def name(self) -> str:
            return unquote(urlsplit(self.path).path).removeprefix("/box/")

        @property
        def query(self) -> dict[str, list[str]]:
            return parse_qs(urlsplit(self.path).query)

        def answer(self, status: int, code: str, body: bytes = b"", tag: str = "") -> None:
            blobs.calls.append((self.command, self.name, self.query.get("comp", [""])[0]))
            if blobs.random.random() < blobs.lose:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("x-ms-error-code", code)
            self.send_header("ETag", tag)
            # What Azure says of a refusal is in its body too.
            body = body or code.encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # the connections that we cut

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/box"
        server.shutdown()


@pytest.fixture
def transport(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runner.AzureTransport:
    monkeypatch.chdir(tmp_path)
    names = ["params.json", "stdout.txt", "stderr.txt", "metrics.jsonl", "heartbeat.json", "result.json"]
    code = tar({"a.txt": b"code"})
    digest = hashlib.sha256(code).hexdigest()
    shared = {
        "keys": {
            **dict.fromkeys(["runs/r/job.json", "runs/r/stop.json", f"bundles/{digest}.tar"], "sp=r"),
            **{f"runs/r/feed/{part:02d}.jsonl": "sp=ac" for part in range(3)},
        },
        "tail": "&sv=1", "poll": 0.0, "stop": "runs/r/stop.json", "feed": "runs/r/feed/",
    }  # fmt: skip
    own = {"root": ATTEMPT, "own": dict.fromkeys(names, "sp=cw"), "checkpoint": "sp=rcw", "outputs": "sp=cw&sr=c"}
    (tmp_path / "grants.json").write_text(json.dumps(shared))
    monkeypatch.setenv("ORCHESTRATE_GRANTS", json.dumps({**own, "tail": "&sv=1"}))
    monkeypatch.delenv("AZ_BATCH_NODE_SHARED_DIR", raising=False)
    monkeypatch.setattr(runner.AzureTransport, "PAUSE", 0.01)
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: None)
    return runner.AzureTransport(url)


def tar(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def ship(transport: runner.AzureTransport, key: str, path: Path, offset: int = 0, last: bool = True) -> int:
    while True:
        reached = transport.grow(key, str(path), offset, last)
        if reached == offset or not last:
            return reached
        offset = reached


def test_the_grants_are_not_passed_on_to_the_program(transport: runner.AzureTransport) -> None:
    assert "ORCHESTRATE_GRANTS" not in runner.os.environ


def test_a_log_that_grows_is_whole_and_nothing_of_it_is_doubled_although_answers_are_lost(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path
) -> None:
    blobs.lose = 0.4
    log, key, offset = tmp_path / "stdout.txt", f"{ATTEMPT}/stdout.txt", 0
    log.touch()
    transport.hurried = True
    for number in range(200):
        with log.open("ab") as file:
            file.write(f"line {number}\n".encode())
        try:
            offset = ship(transport, key, log, offset, last=False)
        except OSError:
            continue  # as at every look: at a later one
    transport.hurried = False
    ship(transport, key, log, offset)
    assert blobs.content[key] == log.read_bytes()


def test_what_an_earlier_try_has_printed_is_not_this_one_s(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path
) -> None:
    key = f"{ATTEMPT}/stdout.txt"
    blobs.content[key], blobs.blocks[key] = b"of the node that was taken away\n", 1
    (tmp_path / "stdout.txt").write_bytes(b"mine\n")
    ship(transport, key, tmp_path / "stdout.txt")
    assert blobs.content[key] == b"mine\n"


def test_a_log_that_fills_its_blob_is_stored_whole_at_the_end(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path
) -> None:
    blobs.most_blocks = 3
    log, key, offset = tmp_path / "stdout.txt", f"{ATTEMPT}/stdout.txt", 0
    for number in range(6):
        with log.open("ab") as file:
            file.write(f"{number}\n".encode())
        offset = ship(transport, key, log, offset, last=False)
    assert blobs.content[key] == b"0\n1\n2\n"
    ship(transport, key, log, offset)
    assert blobs.content[key] == log.read_bytes()


def test_a_result_of_an_earlier_try_is_removed_before_this_one_begins(
    transport: runner.AzureTransport, blobs: Blobs
) -> None:
    blobs.content[f"{ATTEMPT}/result.json"] = b"{}"
    transport.begin(ATTEMPT)
    assert f"{ATTEMPT}/result.json" not in blobs.content
    transport.begin(ATTEMPT)


def test_files_are_stored_although_answers_are_lost(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path
) -> None:
    blobs.lose = 0.6
    (tmp_path / "model").write_bytes(b"weights")
    transport.put(f"{ATTEMPT}/outputs/a b/model", str(tmp_path / "model"))
    assert blobs.content[f"{ATTEMPT}/outputs/a b/model"] == b"weights"


def test_a_large_file_goes_in_blocks(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WHOLE", 10)
    monkeypatch.setattr(transport, "BLOCK", 8)
    (tmp_path / "large").write_bytes(b"x" * 20)
    transport.put(f"{ATTEMPT}/outputs/large", str(tmp_path / "large"))
    assert [call[2] for call in blobs.calls] == ["block", "block", "block", "blocklist"]


def test_nothing_is_reached_that_was_not_granted(transport: runner.AzureTransport, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for key in ("runs/r/trials/000002/1/result.json", "runs/r/manifest.json"):
        with pytest.raises(runner.Failure, match="no access"):
            transport.put(key, str(tmp_path / "file"))


def test_values_go_to_the_next_part_of_the_feed_when_one_is_full_and_none_is_lost(
    transport: runner.AzureTransport, blobs: Blobs
) -> None:
    blobs.most_blocks = 2
    for step in range(5):
        transport.seen("t000001-a1", [("loss", float(step), step, 1.0), ("acc", float("nan"), step, 1.0)], False)
    lines = b"".join(blobs.content[f"runs/r/feed/{part:02d}.jsonl"] for part in range(3)).splitlines()
    assert [json.loads(line) for line in lines] == [
        ["t000001-a1", 1.0, step, {"loss": float(step), "acc": "nan"}] for step in range(5)
    ]


def test_a_feed_that_cannot_be_reached_costs_the_task_nothing(transport: runner.AzureTransport, blobs: Blobs) -> None:
    blobs.lose = 1.0
    transport.seen("t000001-a1", [("loss", 1.0, 1, 1.0)], True)
    blobs.lose = 0.0
    transport._feed_at = 0.0
    transport.seen("t000001-a1", [], False)
    assert b'"loss": 1.0' in blobs.content["runs/r/feed/00.jsonl"]


def test_a_task_hears_that_it_should_stop(transport: runner.AzureTransport, blobs: Blobs) -> None:
    assert not transport.stopping("t000001-a1")
    blobs.content["runs/r/stop.json"] = json.dumps(["t000002-a1"]).encode()
    assert not transport.stopping("t000001-a1")
    blobs.content["runs/r/stop.json"] = json.dumps(["t000001-a1", "t000002-a1"]).encode()
    assert transport.stopping("t000001-a1")
    assert transport.stopping("t000001-a1"), "also where nothing has changed since"


def test_a_checkpoint_comes_back_and_is_stored_only_when_it_has_changed(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path
) -> None:
    key = "runs/r/trials/000001/checkpoint"
    first = transport.checkpoint(key, str(tmp_path / "one"))
    (Path(first) / "deep").mkdir()
    (Path(first) / "deep" / "step").write_bytes(b"7")
    transport.keep_checkpoint(key, first)
    stored = len(blobs.calls)
    transport.keep_checkpoint(key, first)
    assert len(blobs.calls) == stored
    second = transport.checkpoint(key, str(tmp_path / "two"))
    assert (Path(second) / "deep" / "step").read_bytes() == b"7"


def test_a_bundle_that_is_not_what_its_digest_says_is_refused(
    transport: runner.AzureTransport, blobs: Blobs, tmp_path: Path
) -> None:
    code = tar({"a.txt": b"code"})
    digest = hashlib.sha256(code).hexdigest()
    blobs.content[f"bundles/{digest}.tar"] = tar({"a.txt": b"other"})
    (tmp_path / "work").mkdir()
    with pytest.raises(runner.Failure, match="not what was stored"):
        transport.bundle(digest, str(tmp_path / "work"))
    blobs.content[f"bundles/{digest}.tar"] = code
    transport.bundle(digest, str(tmp_path / "work"))
    assert (tmp_path / "work" / "a.txt").read_bytes() == b"code"


def test_tasks_of_one_node_share_its_gpus_and_never_one_gpu(transport: runner.AzureTransport, tmp_path: Path) -> None:
    assert transport._claim_gpus("2/4") == "0,1"
    assert transport._claim_gpus("2/4") == "2,3"
    with pytest.raises(runner.Failure, match="fewer free GPUs"):
        transport._claim_gpus("1/4")
