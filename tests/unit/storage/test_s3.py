from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import os
import random
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
    UsageError,
)
from orchestrator.storage import inputs, s3_errors
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from orchestrator.storage.s3 import LONGEST_GRANT, S3Store
from orchestrator.testing.store_suite import StoreSuite

MEBIBYTE = 1 << 20


class TestS3Store(StoreSuite):
    @pytest.fixture
    def store(self, bucket: str, s3_endpoint: str, s3_session: boto3.Session) -> ObjectStore:
        return S3Store(bucket, "some prefix/ü", session=s3_session, endpoint=s3_endpoint)

    def test_a_grant_opens_nothing_else(self, store: ObjectStore) -> None:
        # Deviates: moto checks no signature of a URL, so the signature is shown to depend on object and method.
        url = store.grant("folder/mine", 60)
        signature = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-Signature"][0]
        assert signed(url, "GET", "test") == signature
        assert signed(url, "PUT", "test") != signature
        assert signed(url.replace("/mine", "/other"), "GET", "test") != signature
        assert signed(url.replace("Expires=60", "Expires=61"), "GET", "test") != signature


def signed(url: str, method: str, secret: str) -> str:
    """The signature of a presigned URL, as "Authenticating Requests: Using Query Parameters" of S3 defines it."""
    parts = urllib.parse.urlsplit(url)
    query = sorted(pair for pair in parts.query.split("&") if not pair.startswith("X-Amz-Signature="))
    values = {name: value[0] for name, value in urllib.parse.parse_qs(parts.query).items()}
    request = "\n".join([method, parts.path, "&".join(query), f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    _, *scope = values["X-Amz-Credential"].split("/")
    text = "\n".join([
        values["X-Amz-Algorithm"], values["X-Amz-Date"], "/".join(scope), hashlib.sha256(request.encode()).hexdigest(),
    ])  # fmt: skip
    key = f"AWS4{secret}".encode()
    for step in (*scope, text):
        key = hmac.new(key, step.encode(), "sha256").digest()
    return key.hex()


@pytest.fixture
def session() -> boto3.Session:
    """One of its own, to which a test can attach its hooks."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


@pytest.fixture
def store(bucket: str, s3_endpoint: str, session: boto3.Session) -> S3Store:
    return S3Store(bucket, session=session, endpoint=s3_endpoint)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes(3 * 8 * MEBIBYTE + 12345))
    return path


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


def calls(store: S3Store, *operations: str) -> list[dict[str, Any]]:
    """Where the parameters of these calls will be seen from now on; repeats of a failed call are not told apart."""
    seen: list[dict[str, Any]] = []
    for operation in operations:
        store._client().meta.events.register(
            f"provide-client-params.s3.{operation}",
            lambda params, model, **_: seen.append({"call": model.name, **params}),
        )
    return seen


def answer(status: int, code: str, headers: dict[str, str] | None = None) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>no reason</Message></Error>".encode() if code else b""

    class Raw:
        def stream(self, *_: object, **__: object) -> Iterator[bytes]:
            yield body

    return AWSResponse("http://localhost", status, headers or {}, Raw())


def fail(store: S3Store, operation: str, times: int, reply: Callable[[], AWSResponse]) -> list[int]:
    """Let that many sendings of a call fail; the list grows with each that did."""
    failed: list[int] = []
    lock = threading.Lock()

    def hook(**_: object) -> AWSResponse | None:
        with lock:
            if len(failed) == times:
                return None
            failed.append(1)
        return reply()

    store._client().meta.events.register(f"before-send.s3.{operation}", hook)
    return failed


# -- large objects


UPLOAD_UNTIL_KILLED = """
import os, sys, threading
from pathlib import Path
import boto3
from orchestrator.storage.s3 import S3Store
bucket, endpoint, path, parts = sys.argv[1:]
session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
lock, begun, done = threading.Lock(), [], []
def sending(**_):
    with lock:
        begun.append(1)
        late = len(begun) > int(parts)
    if late:
        threading.Event().wait()
def received(**_):
    with lock:
        done.append(1)
        if len(done) == int(parts):
            os.kill(os.getpid(), 9)
session.events.register("before-send.s3.UploadPart", sending)
session.events.register("needs-retry.s3.UploadPart", received)
S3Store(bucket, session=session, endpoint=endpoint).put("key", Path(path))
"""


def test_an_upload_that_was_killed_goes_on_with_the_parts_that_arrived(
    store: S3Store, s3_endpoint: str, large: Path
) -> None:
    script = [sys.executable, "-c", UPLOAD_UNTIL_KILLED, store.bucket, s3_endpoint, str(large), "2"]
    killed = subprocess.run(script, timeout=60, check=False)
    assert killed.returncode == -9
    assert not store.exists("key")
    seen = calls(store, "CreateMultipartUpload", "UploadPart")
    store.put("key", large)
    assert [call["call"] for call in seen].count("CreateMultipartUpload") == 0
    assert len(seen) == 4 - 2
    assert store.get("key") == large.read_bytes()


def test_parts_of_another_content_are_not_used(store: S3Store, large: Path) -> None:
    failed = fail(store, "CompleteMultipartUpload", 1, lambda: answer(403, "AccessDenied"))
    with pytest.raises(AuthenticationFailed):
        store.put("key", large)
    assert failed
    data = bytearray(large.read_bytes())
    data[0] ^= 1
    data[-1] ^= 1
    large.write_bytes(data)
    seen = calls(store, "UploadPart")
    store.put("key", large)
    assert sorted(call["PartNumber"] for call in seen) == [1, 4]
    assert store.get("key") == data


def test_an_upload_that_another_took_away_is_made_anew(store: S3Store, large: Path) -> None:
    fail(store, "CompleteMultipartUpload", 1, lambda: answer(400, "InvalidPart"))
    store.put("key", large)
    assert store.get("key") == large.read_bytes()


def test_an_upload_that_another_completed_with_the_same_bytes_is_done(store: S3Store, large: Path) -> None:
    store.put("key", large)
    fail(store, "CompleteMultipartUpload", 1, lambda: answer(404, "NoSuchUpload"))
    seen = calls(store, "UploadPart")
    store.put("key", large)
    assert len(seen) == 4


def test_an_upload_that_is_taken_away_again_and_again_ends_in_an_error(store: S3Store, large: Path) -> None:
    failed = fail(store, "CompleteMultipartUpload", 100, lambda: answer(404, "NoSuchUpload"))
    with pytest.raises(NotFound):
        store.put("key", large)
    assert len(failed) == 3


def test_without_the_right_to_list_uploads_a_file_is_sent_from_its_start(store: S3Store, large: Path) -> None:
    assert fail(store, "ListMultipartUploads", 1, lambda: answer(403, "AccessDenied")) == []
    store.put("key", large)
    assert store.get("key") == large.read_bytes()


def test_several_can_upload_the_same_file_at_once(store: S3Store, large: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: store.put("key", large), range(3)))
    assert store.get("key") == large.read_bytes()


def test_every_part_carries_its_checksum(store: S3Store, large: Path) -> None:
    seen = calls(store, "UploadPart", "PutObject")
    store.put("large", large)
    store.put("small", b"123456789")
    data = large.read_bytes()
    for call in seen:
        start = (call.get("PartNumber", 1) - 1) * 8 * MEBIBYTE
        part = data[start : start + 8 * MEBIBYTE] if "PartNumber" in call else b"123456789"
        assert call["ChecksumCRC32"] == base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode()
    assert len(seen) == 5
    assert seen[-1]["ChecksumCRC32"] == "y/Q5Jg=="  # the check value of CRC-32, cbf43926


def stored_checksum(data: bytes, step: int | None) -> str:
    crcs = [zlib.crc32(data)] if step is None else [zlib.crc32(data[i : i + step]) for i in range(0, len(data), step)]
    if step is None:
        return base64.b64encode(crcs[0].to_bytes(4, "big")).decode()
    joined = zlib.crc32(b"".join(crc.to_bytes(4, "big") for crc in crcs))
    return base64.b64encode(joined.to_bytes(4, "big")).decode() + f"-{len(crcs)}"


@pytest.mark.parametrize("kind", ["of parts", "of the whole"])
def test_a_download_is_checked_against_the_stored_checksum(
    store: S3Store, large: Path, tmp_path: Path, kind: str
) -> None:
    data = large.read_bytes()
    store.put("key", large)
    right = stored_checksum(data, 8 * MEBIBYTE if kind == "of parts" else None)
    wrong = stored_checksum(data[::-1], 8 * MEBIBYTE if kind == "of parts" else None)
    tag = store._client().head_object(Bucket=store.bucket, Key="key")["ETag"]  # moto keeps no such checksums

    def head(checksum: str) -> AWSResponse:
        headers = {"content-length": str(len(data)), "etag": tag, "x-amz-checksum-crc32": checksum}
        headers["x-amz-checksum-type"] = "COMPOSITE" if kind == "of parts" else "FULL_OBJECT"
        return answer(200, "", headers)

    replies = iter([head(right), head(wrong)])
    fail(store, "HeadObject", 2, lambda: next(replies))
    store.fetch("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    with pytest.raises(Unavailable):
        store.fetch("key", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_object_that_is_replaced_while_it_is_fetched_never_comes_out_mixed(
    store: S3Store, session: boto3.Session, large: Path, tmp_path: Path
) -> None:
    store.put("key", large)
    second = large.read_bytes()[::-1]
    replaced: list[int] = []

    def replace(**_: object) -> None:
        if not replaced:
            replaced.append(1)
            S3Store(
                store.bucket, endpoint=store._endpoint, session=boto3.Session("a", "b", region_name="us-east-1")
            ).put("key", second)

    session.events.register("before-send.s3.GetObject", replace)
    again = S3Store(store.bucket, session=session, endpoint=store._endpoint)
    with pytest.raises(Unavailable):
        again.fetch("key", tmp_path / "target")
    assert list(tmp_path.iterdir()) == [large]
    again.fetch("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == second


def test_unfinished_uploads_are_given_up_when_they_are_old(store: S3Store, large: Path) -> None:
    fail(store, "CompleteMultipartUpload", 1, lambda: answer(403, "AccessDenied"))
    with pytest.raises(AuthenticationFailed):
        store.put("key", large)
    client = store._client()
    assert len(client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])) == 1
    assert list(store.unfinished(10**9)) == []
    ((_, give_up),) = store.unfinished()  # moto says that each began in 2010
    give_up()
    assert client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []


# -- inputs and listing


def test_an_input_folder_is_sent_once(store: S3Store, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for n in range(30):
        (root / str(n)).write_text(f"content {n}")
    stored = inputs.upload(store, root)
    seen = calls(store, "PutObject", "HeadObject", "ListObjectsV2")
    assert inputs.upload(store, root).bytes_sent == 0
    assert [call["call"] for call in seen] == ["ListObjectsV2", "HeadObject"]
    inputs.materialise(store, inputs.load(store, stored.key), tmp_path / "back")
    assert sorted(path.read_text() for path in (tmp_path / "back").iterdir()) == sorted(
        f"content {n}" for n in range(30)
    )


def test_a_listing_among_many_neighbours_takes_a_constant_number_of_calls(store: S3Store) -> None:
    client = store._client()
    real = client.list_objects_v2
    client.list_objects_v2 = lambda **request: real(**request, MaxKeys=3)
    for n in range(20):
        store.put(f"a-{n:02d}", b"")
        store.put(f"a/{n:02d}", b"")
        store.put(f"a0{n:02d}", b"")
    seen = calls(store, "ListObjectsV2")
    assert [info.key for info in store.list("a")] == [f"a/{n:02d}" for n in range(20)]
    assert len(seen) <= 1 + 7


# -- failures


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")])
def test_passing_faults_are_repeated(store: S3Store, status: int, code: str) -> None:
    failed = fail(store, "PutObject", 4, lambda: answer(status, code))
    store.put("key", b"value")
    assert len(failed) == 4
    assert store.get("key") == b"value"


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(503, "SlowDown", Throttled), (500, "InternalError", Unavailable), (507, "XMinioStorageFull", QuotaExceeded)],
)
def test_lasting_faults_are_told_in_our_words(
    store: S3Store, status: int, code: str, kind: type[ProviderError]
) -> None:
    fail(store, "PutObject", 100, lambda: answer(status, code))
    with pytest.raises(kind) as caught:
        store.put("key", b"value")
    assert type(caught.value) is kind
    assert f"s3://{store.bucket}/key" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, NotFound),
        ("404", 404, NotFound),
        ("InvalidAccessKeyId", 403, AuthenticationFailed),
        ("SignatureDoesNotMatch", 403, AuthenticationFailed),
        ("ExpiredToken", 400, AuthenticationFailed),
        ("403", 403, AuthenticationFailed),
        ("AnyNewCode", 403, AuthenticationFailed),
        ("AnyNewCode", 502, Unavailable),
        ("AnyNewCode", 400, InvalidRequest),
        ("EntityTooLarge", 400, InvalidRequest),
        ("429", 429, Throttled),
    ],
)
def test_every_code_has_its_error(code: str, status: int, kind: type[ProviderError]) -> None:
    response = {"Error": {"Code": code, "Message": "Any text"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(s3_errors.explain("GetObject", response, "s3://b/k")) is kind


def test_a_wait_that_the_service_asks_for_is_passed_on() -> None:
    metadata = {"HTTPStatusCode": 503, "HTTPHeaders": {"retry-after": "7"}}
    error = s3_errors.explain("GetObject", {"Error": {"Code": "SlowDown"}, "ResponseMetadata": metadata}, "s3://b/k")
    assert isinstance(error, Throttled)
    assert error.retry_after == 7


def test_a_missing_bucket_is_told_apart_from_a_missing_object(s3_endpoint: str, s3_session: boto3.Session) -> None:
    store = S3Store("no-such-bucket", session=s3_session, endpoint=s3_endpoint)
    for call in (lambda: store.put("k", b""), lambda: list(store.list("")), lambda: store.get("k")):
        with pytest.raises(NotFound) as caught:
            call()
        assert "bucket" in caught.value.remedy


@pytest.fixture
def may_only_read(bucket: str, s3_endpoint: str, s3_session: boto3.Session) -> Iterator[boto3.Session]:
    """Credentials that moto holds to their policy, which allows to read and to list."""
    iam = s3_session.client("iam", endpoint_url=s3_endpoint)
    name = f"reader-of-{bucket}"
    iam.create_user(UserName=name)
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"],'
        ' "Resource": "*"}]}'
    )
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]

    def check_after(calls: bytes) -> None:
        plain = {"Content-Type": "text/plain"}
        reset = urllib.request.Request(f"{s3_endpoint}/moto-api/reset-auth", calls, plain)
        urllib.request.urlopen(reset, timeout=10).close()

    check_after(b"0")
    yield boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    check_after(b"inf")


def test_a_refused_call_names_the_action_to_allow(
    store: S3Store, may_only_read: boto3.Session, s3_endpoint: str, large: Path
) -> None:
    reader = S3Store(store.bucket, session=may_only_read, endpoint=s3_endpoint)
    assert list(reader.list("")) == []
    for call, action in (
        (lambda: reader.put("k", b"x"), "s3:PutObject"),
        (lambda: reader.delete("k"), "s3:DeleteObject"),
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            call()
        assert f"Allow {action}" in caught.value.remedy


def test_missing_credentials_say_what_to_set(bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(AuthenticationFailed, match="AWS_ACCESS_KEY_ID"):
        S3Store(bucket, endpoint=s3_endpoint).get("key")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AuthenticationFailed, match="nobody"):
        S3Store(bucket, endpoint=s3_endpoint).get("key")


@pytest.mark.usefixtures("no_waiting")
def test_a_service_that_is_not_there_is_unavailable(session: boto3.Session) -> None:
    store = S3Store("bucket", session=session, endpoint="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        store.put("key", b"x")


@pytest.mark.usefixtures("no_waiting")
def test_an_answer_that_breaks_off_is_asked_for_again(session: boto3.Session) -> None:
    data = b"0123456789" * 100
    asked: list[str] = []

    class BreaksOff(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if len(asked) == 3 else data[:500])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = S3Store("bucket", session=session, endpoint=f"http://127.0.0.1:{server.server_port}")
        assert store.get("key") == data
        server.shutdown()
    assert asked == ["/bucket/key"] * 3


# -- opening and grants


def test_a_url_and_the_environment_are_enough(
    bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = open_store(f"s3://{bucket}/some/prefix/", Home(tmp_path))
    store.put("key", b"x")
    assert store.url == f"s3://{bucket}/some/prefix"
    assert open_store(store.url, Home(tmp_path)).get("key") == b"x"
    assert [info.key for info in open_store(f"s3://{bucket}", Home(tmp_path)).list("")] == ["some/prefix/key"]


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://bucket/../other"])
def test_an_s3_url_without_a_bucket_or_with_a_wrong_prefix_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_store(url, Home(tmp_path)).exists("key")


def test_grants_name_the_endpoint_that_their_holders_reach(
    bucket: str, s3_endpoint: str, session: boto3.Session
) -> None:
    store = S3Store(bucket, session=session, endpoint=s3_endpoint, grant_endpoint="http://host.docker.internal:5000")
    assert store.grant("key", 60).startswith(f"http://host.docker.internal:5000/{bucket}/key?")


def test_grants_are_signed_for_the_bucket_s_own_region(s3_endpoint: str, session: boto3.Session) -> None:
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-3"}}
    session.client("s3", endpoint_url=s3_endpoint, region_name="eu-west-3").create_bucket(
        Bucket="in-paris", **elsewhere
    )
    assert "%2Feu-west-3%2Fs3%2F" in S3Store("in-paris", session=session, endpoint=s3_endpoint).grant("key", 60)


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_GRANT + 1])
def test_a_grant_that_s3_would_not_honour_is_refused(store: S3Store, seconds: float) -> None:
    with pytest.raises(InvalidRequest):
        store.grant("key", seconds)
