"""What runs in a task's container: its first process, the signatures of its calls, and the runner's way to S3."""

from __future__ import annotations

import ast
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from orchestrator.emulators import aws
from orchestrator.providers.aws import boot
from orchestrator.providers.aws.feed import Feed
from orchestrator.runner.runner import Failure, S3Calls, S3Transport
from orchestrator.storage import logs
from orchestrator.storage.s3 import S3Store
from tests.unit.aws.conftest import Cloud

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
STORE = f"s3://{aws.BUCKET}/team"
ATTEMPT = "runs/r/trials/000001/1"


@pytest.mark.parametrize("key", ["runs/r/a.txt", "with space & ünïcode+%=.txt", None])
@pytest.mark.parametrize("query", [{}, {"uploads": ""}, {"partNumber": "2", "uploadId": "a/b+c="}])
@pytest.mark.parametrize("token", [None, "session-token"])
def test_our_signature_is_botocore_s(key: str | None, query: dict[str, str], token: str | None) -> None:
    environ = {**KEYS, "AWS_REGION": "eu-west-1", **({"AWS_SESSION_TOKEN": token} if token else {})}
    made = S3Calls("s3://bucket/team/x", environ).request("PUT", key, query, b"data")
    theirs = AWSRequest("PUT", made.full_url, data=b"data")
    theirs.headers["X-Amz-Date"] = made.get_header("X-amz-date")
    theirs.headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"data").hexdigest()
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    theirs.context["timestamp"] = made.get_header("X-amz-date")
    auth = S3SigV4Auth(Credentials(*KEYS.values(), token), "s3", "eu-west-1")
    canonical = auth.canonical_request(theirs)
    signature = auth.signature(auth.string_to_sign(theirs, canonical), theirs)
    assert made.get_header("Authorization").endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("root", "environ", "base"),
    [
        ("s3://bucket/p", {"AWS_REGION": "eu-west-1"}, "https://bucket.s3.eu-west-1.amazonaws.com"),
        ("s3://b.ucket", {"AWS_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/b.ucket"),
        ("s3://bucket", {"AWS_REGION": "cn-north-1"}, "https://bucket.s3.cn-north-1.amazonaws.com.cn"),
        ("s3://bucket", {"AWS_ENDPOINT_URL": "http://minio:9000/"}, "http://minio:9000/bucket"),
        ("s3://bucket", {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "http://b/bucket"),
    ],
)
def test_a_bucket_is_where_aws_or_the_endpoint_has_it(root: str, environ: dict[str, str], base: str) -> None:
    assert S3Calls(root, environ).bucket == base


@pytest.fixture
def role() -> Iterator[dict[str, Any]]:
    """A container's credentials endpoint; ``asked`` are the headers of the requests that it got."""
    state: dict[str, Any] = {"asked": [], "expires": "2030-01-01T00:00:00Z"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state["asked"].append(self.headers.get("Authorization"))
            keys = {"AccessKeyId": f"K{len(state['asked'])}", "SecretAccessKey": "s", "Token": "t"}
            body = json.dumps({**keys, "Expiration": state["expires"]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state["environ"] = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_port}/role",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "allowed",
        "AWS_ACCESS_KEY_ID": "the user's own, for something else",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    yield state
    server.shutdown()
    server.server_close()


def test_a_task_signs_with_its_role_and_asks_for_keys_once(role: dict[str, Any]) -> None:
    calls = S3Calls("s3://bucket", role["environ"])
    first, second = (calls.request("GET", "k").get_header("Authorization") for _ in range(2))
    assert "Credential=K1/" in first
    assert "Credential=K1/" in second
    assert role["asked"] == ["allowed"]


def test_keys_that_are_about_to_expire_are_asked_for_anew(role: dict[str, Any]) -> None:
    role["expires"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    calls = S3Calls("s3://bucket", role["environ"])
    calls.request("GET", "k")
    assert "Credential=K2/" in calls.request("GET", "k").get_header("Authorization")


def test_a_task_without_any_credentials_says_so() -> None:
    with pytest.raises(OSError, match="role"):
        S3Calls("s3://bucket", {}).request("GET", "k")


# ------------------------------------------------------------------------------------------- the first process


def started(lease: float, *, grace: float = 0.0) -> subprocess.Popen[str]:
    words = [STORE, "runner", "job", str(lease), str(grace), "batch"]
    argv = [sys.executable, "-c", boot.script(), *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


@pytest.fixture
def runner(cloud: Cloud) -> None:
    """In the place of the runner: a program that says what it was given and ends with 7 on SIGTERM."""
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print(*sys.argv[1:], flush=True)\n"
        "time.sleep(60)\n"
    )
    cloud.store.put("team/runner", program.encode())


def test_the_script_is_python_as_old_as_the_runner_and_means_nothing_to_aws() -> None:
    ast.parse(boot.script(), feature_version=(3, 6))
    assert "$" not in boot.script()
    assert "Ref::" not in boot.script()
    assert len(boot.script()) < 16_000, "a job definition has 24 KiB at most"


def test_a_container_fetches_the_runner_and_hands_sigterm_on_to_it(runner: None) -> None:
    process = started(time.time() + 600)
    assert process.stdout is not None
    told = process.stdout.readline().split()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 7
    assert told == [*["--transport", "s3", "--store"], STORE, *["--job", "job", "--tasks", "batch", "--index", "0"]]
    process.communicate()


def test_nothing_goes_on_when_the_lease_is_over(runner: None) -> None:
    code = 1
    for lease in (3, 10, 60):  # on a busy machine the lease may be over before the runner listens
        process = started(time.time() + lease)
        process.communicate(timeout=120)
        code = process.returncode
        if code == 7:
            break
    assert code == 7


def test_nothing_begins_after_the_lease(runner: None) -> None:
    process = started(time.time() - 1)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert "lease" in err


# ------------------------------------------------------------------------------------------ the runner's store


@pytest.fixture
def transport(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Transport:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATE_POLL", "0")
    transport = S3Transport(f"s3://{aws.BUCKET}")
    transport.begin(ATTEMPT)
    return transport


def read(cloud: Cloud, offset: int, size: int = 1 << 20) -> bytes:
    """As `orchestrate logs` does."""
    return logs.read(cloud.store, f"{ATTEMPT}/stdout.txt", offset, size) or b""


def test_a_log_is_read_from_its_parts_while_it_grows_and_as_a_whole_at_the_end(
    cloud: Cloud, transport: S3Transport, tmp_path: Path
) -> None:
    log, key = tmp_path / "stdout.txt", f"{ATTEMPT}/stdout.txt"
    offset = transport.grow(key, str(log), 0, False)
    assert (offset, read(cloud, 0)) == (0, b"")
    text = b""
    for part in (b"one\n", b"two\n", b"three\n"):
        text += part
        log.write_bytes(text)
        offset = transport.grow(key, str(log), offset, False)
        assert offset == len(text)
        assert read(cloud, 0) == text
        assert read(cloud, 2, 4) == text[2:6]
    assert transport.grow(key, str(log), offset, True) == len(text)
    assert read(cloud, 0) == text
    assert read(cloud, 100) == b""
    assert [item.key for item in cloud.store.list(ATTEMPT)] == [key], "the parts are gone"


def test_the_log_of_a_silent_task_is_an_object_too(cloud: Cloud, transport: S3Transport, tmp_path: Path) -> None:
    """So that nobody asks CloudWatch for what such a task may have said."""
    (tmp_path / "stderr.txt").write_bytes(b"")
    transport.grow(f"{ATTEMPT}/stderr.txt", str(tmp_path / "stderr.txt"), 0, True)
    assert logs.read(cloud.store, f"{ATTEMPT}/stderr.txt", 0, 10) == b""
    assert logs.read(cloud.store, f"{ATTEMPT}/stdout.txt", 0, 10) is None


def test_of_several_tries_the_latest_is_read(cloud: Cloud, transport: S3Transport, tmp_path: Path) -> None:
    log, key = tmp_path / "stdout.txt", f"{ATTEMPT}/stdout.txt"
    log.write_bytes(b"a long first try")
    transport.grow(key, str(log), 0, False)
    os.environ["AWS_BATCH_JOB_ATTEMPT"] = "2"
    try:
        second = S3Transport(f"s3://{aws.BUCKET}")
    finally:
        del os.environ["AWS_BATCH_JOB_ATTEMPT"]
    second.begin(ATTEMPT)
    log.write_bytes(b"second")
    second.grow(key, str(log), 0, False)
    assert read(cloud, 0) == b"second"


def test_a_large_object_is_stored_in_parts(
    cloud: Cloud, transport: S3Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3Transport, "PART", 5 << 20)
    monkeypatch.setattr(S3Transport, "WHOLE", 6 << 20)
    data = os.urandom(1 << 20) * 11
    (tmp_path / "model").write_bytes(data)
    transport.put(f"{ATTEMPT}/outputs/the model", str(tmp_path / "model"))
    assert cloud.store.get(f"{ATTEMPT}/outputs/the model") == data


def test_what_a_runner_tells_is_heard_in_order_and_once(cloud: Cloud, transport: S3Transport) -> None:
    feed = Feed(cloud.connect()._aws, cloud.store, aws.BUCKET, "", "r")
    transport.began("t000001-a1")
    transport.seen("t000001-a1", [("loss", 0.5, 1.0, 10.0), ("loss", float("nan"), 2.0, 11.0)], True)
    many = [(f"metric-{number}", float(number), None, 12.0) for number in range(100)]
    transport.seen("t000001-a1", many, True)
    ended = {"cause": None, "exit_code": 0, "signal": None, "started": 1.0, "finished": 2.0}
    transport.ended("t000001-a1", {**ended, "reason": "not told"})
    news, last = feed.since(0)
    assert [one.kind for one in news] == ["r", "m", "m", "e"]
    assert news[1].content == [[10.0, 1.0, {"loss": 0.5}], [11.0, 2.0, {"loss": "nan"}]]
    assert news[2].content == [[12.0, None, {name: value for name, value, _, _ in many}]]
    assert news[3].content == ended
    assert feed.since(last) == ([], last)


def test_a_runner_that_was_told_to_end_leaves_the_last_word_to_the_service(
    cloud: Cloud, transport: S3Transport
) -> None:
    feed = Feed(cloud.connect()._aws, cloud.store, aws.BUCKET, "", "r")
    transport.ended("t000001-a1", {"cause": "preempted", "exit_code": None, "signal": 15, "started": 1, "finished": 2})
    assert feed.since(0)[0] == []


def test_a_checkpoint_is_stored_when_it_has_changed_and_comes_back(
    cloud: Cloud, transport: S3Transport, tmp_path: Path
) -> None:
    key = "runs/r/trials/000001/checkpoint"
    folder = transport.checkpoint(key, str(tmp_path / "first"))
    transport.keep_checkpoint(key, folder)
    assert not cloud.store.exists(key), "there was nothing to keep"
    (tmp_path / "first" / "deep").mkdir()
    (tmp_path / "first" / "deep" / "step").write_text("3")
    transport.keep_checkpoint(key, folder)
    again = Path(transport.checkpoint(key, str(tmp_path / "second")))
    assert (again / "deep" / "step").read_text() == "3"


# --------------------------------------------------------------------------------------- inputs in other buckets


@pytest.fixture
def speech(cloud: Cloud, transport: S3Transport) -> S3Store:
    boto3.client("s3").create_bucket(Bucket="speech")
    store = S3Store("speech")
    for key in ("german/one.txt", "german/deep/t w o+%ü.txt", "german-2/one.txt", "french.txt"):
        store.put(key, key.encode())
    boto3.client("s3").put_object(Bucket="speech", Key="german/", Body=b"")  # a console's mark of a folder
    return store


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("french.txt", None),
        ("german", {"one.txt", "deep/t w o+%ü.txt"}),
        ("german/", {"one.txt", "deep/t w o+%ü.txt"}),
        ("german/deep", {"t w o+%ü.txt"}),
        ("", {"german/one.txt", "german/deep/t w o+%ü.txt", "german-2/one.txt", "french.txt"}),
    ],
)
def test_an_object_of_another_bucket_is_brought_or_all_that_lie_below_a_folder(
    speech: S3Store, transport: S3Transport, tmp_path: Path, key: str, found: set[str] | None
) -> None:
    target = tmp_path / "in"
    transport.bring(f"s3://speech/{key}", str(target))
    if found is None:
        assert target.read_text() == key
        return
    assert {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()} == found
    below = key.rstrip("/")
    assert all((target / name).read_text() == f"{below}/{name}".lstrip("/") for name in found)


def test_a_folder_of_more_objects_than_one_page_is_brought_whole(
    speech: S3Store, transport: S3Transport, tmp_path: Path
) -> None:
    for number in range(1001):
        speech.put(f"many/{number:04d}", b"")
    assert len(list(S3Transport("s3://speech")._listed("many/"))) == 1001


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://speech/dutch", "There is no object and no folder 's3://speech/dutch'"),
        ("s3://speech/german/one.txt/", "There is no object and no folder"),
        ("s3://speech/../x", "no name that a file can have"),
        ("s3://nobody-has-this/x", "There is no bucket s3://nobody-has-this"),
    ],
)
def test_what_is_not_there_fails_the_trial_with_one_sentence(
    speech: S3Store, transport: S3Transport, tmp_path: Path, source: str, said: str
) -> None:
    with pytest.raises(Failure, match=said) as failure:
        transport.bring(source, str(tmp_path / "in"))
    assert failure.value.cause == "command"
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("refused", [("HEAD", "GET"), ("GET",), ("HEAD",)])
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (301, "PermanentRedirect")])
def test_a_bucket_that_the_role_may_not_read_or_of_another_region_is_named(
    transport: S3Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str], status: int, code: str
) -> None:
    def call(self: S3Transport, method: str, *_: Any, **__: Any) -> tuple[int, dict[str, str], bytes]:
        empty = b"<ListBucketResult></ListBucketResult>" if method == "GET" else b""
        body = f"<Error><Code>{code}</Code></Error>".encode() if method == "GET" else b""
        return (status, {}, body) if method in refused else (404 if method == "HEAD" else 200, {}, empty)

    monkeypatch.setattr(S3Transport, "_call", call)
    with pytest.raises(Failure, match=r"s3://speech cannot be read.*role of the tasks must be allowed") as failure:
        transport.bring("s3://speech/german", str(tmp_path / "in"))
    assert failure.value.cause == "command"


def test_an_object_that_may_be_seen_but_not_read_is_refused_at_once(
    speech: S3Store, transport: S3Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: S3Transport, key: str) -> Any:
        raise urllib.error.HTTPError("url", 403, "Forbidden", Message(), None)

    monkeypatch.setattr(S3Transport, "_open", opened)
    with pytest.raises(Failure, match=r"s3://speech cannot be read"):
        transport.bring("s3://speech/french.txt", str(tmp_path / "in"))
