from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import os
import random
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.core.pipeline.transport import HttpTransport
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient, ContainerClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.emulators.azurite import DEFAULT_KEY, Azurite, find_azurite
from orchestrator.emulators.childserver import ChildServer, ServerFailed, free_ports
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
from orchestrator.storage import blob_errors, inputs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.blob import LONGEST_DELEGATION, Account, BlobStore
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from orchestrator.testing.store_suite import StoreSuite

MEBIBYTE = 1 << 20


class TestBlobStore(StoreSuite):
    many = 300  # a page holds 5,000, which take long to make here; deletions go by 256

    @pytest.fixture
    def store(self, container: str, azurite: Azurite) -> ObjectStore:
        return BlobStore(account_of(azurite), container, "some prefix/ü")


def account_of(azurite: Azurite) -> Account:
    return Account(azurite.account, azurite.account_url, azurite.key)


@pytest.fixture
def store(container: str, azurite: Azurite) -> BlobStore:
    return BlobStore(account_of(azurite), container)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes(3 * 8 * MEBIBYTE + 12345))
    return path


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpTransport, "sleep", lambda self, seconds: None)


@pytest.fixture
def blocks_sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the blocks that are sent from now on."""
    sent: list[str] = []
    real = BlobClient.stage_block

    def stage_block(self: BlobClient, block_id: str, *arguments: Any, **options: Any) -> Any:
        sent.append(block_id)
        return real(self, block_id, *arguments, **options)

    monkeypatch.setattr(BlobClient, "stage_block", stage_block)
    return sent


def status_of(url: str, method: str = "GET", data: bytes | None = None, context: ssl.SSLContext | None = None) -> int:
    headers = {"Content-Type": "application/octet-stream", "x-ms-blob-type": "BlockBlob"}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


# -- large objects


UPLOAD_UNTIL_KILLED = """
import os, sys, threading
from pathlib import Path
from azure.storage.blob import BlobClient
from orchestrator.storage.blob import Account, BlobStore
name, endpoint, key, container, path, blocks = sys.argv[1:]
lock, begun, done = threading.Lock(), [], []
real = BlobClient.stage_block
def stage_block(self, *arguments, **options):
    with lock:
        begun.append(1)
        late = len(begun) > int(blocks)
    if late:
        threading.Event().wait()
    real(self, *arguments, **options)
    with lock:
        done.append(1)
        if len(done) == int(blocks):
            os.kill(os.getpid(), 9)
BlobClient.stage_block = stage_block
BlobStore(Account(name, endpoint, key), container).put("key", Path(path))
"""


def test_an_upload_that_was_killed_goes_on_with_the_blocks_that_arrived(
    store: BlobStore, azurite: Azurite, large: Path, blocks_sent: list[str]
) -> None:
    where = [azurite.account, azurite.account_url, azurite.key, store.container, str(large)]
    killed = subprocess.run([sys.executable, "-c", UPLOAD_UNTIL_KILLED, *where, "2"], timeout=60, check=False)
    assert killed.returncode == -9
    assert not store.exists("key")
    store.put("key", large)
    assert len(blocks_sent) == 4 - 2
    assert store.get("key") == large.read_bytes()


def test_only_blocks_that_changed_are_sent(store: BlobStore, large: Path, blocks_sent: list[str]) -> None:
    store.put("key", large)
    assert len(blocks_sent) == 4
    data = bytearray(large.read_bytes())
    data[0] ^= 1
    large.write_bytes(data)
    blocks_sent.clear()
    store.put("key", large)
    assert [name.partition("-")[0] for name in blocks_sent] == ["00000"]
    assert store.get("key") == data


def test_several_can_upload_the_same_file_at_once(store: BlobStore, large: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: store.put("key", large), range(3)))
    assert store.get("key") == large.read_bytes()


def test_blocks_that_another_upload_made_the_service_forget_are_sent_again(
    store: BlobStore, large: Path, blocks_sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BlobClient.commit_block_list
    other = large.with_name("other")
    other.write_bytes(large.read_bytes()[::-1])

    def commit(self: BlobClient, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(BlobClient, "commit_block_list", real)
        store.put("key", other)
        return real(self, *arguments, **options)

    monkeypatch.setattr(BlobClient, "commit_block_list", commit)
    store.put("key", large)
    assert store.get("key") == large.read_bytes()
    assert len(blocks_sent) == 3 * 4


def test_a_blob_that_is_replaced_while_it_is_fetched_never_comes_out_mixed(
    store: BlobStore, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("key", large)
    second = large.read_bytes()[::-1]
    real = ContainerClient.download_blob

    def download(self: ContainerClient, *arguments: Any, **options: Any) -> Any:
        found = real(self, *arguments, **options)
        monkeypatch.setattr(ContainerClient, "download_blob", real)
        store.put("key", second)
        return found

    monkeypatch.setattr(ContainerClient, "download_blob", download)
    with pytest.raises(Unavailable):
        store.fetch("key", tmp_path / "target")
    assert list(tmp_path.iterdir()) == [large]
    store.fetch("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == second


def test_an_input_folder_is_sent_once(store: BlobStore, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for n in range(30):
        (root / str(n)).write_text(f"content {n}")
    stored = inputs.upload(store, root)
    assert stored.bytes_sent > 0
    assert inputs.upload(store, root).bytes_sent == 0
    inputs.materialise(store, inputs.load(store, stored.key), tmp_path / "back")
    assert len(list((tmp_path / "back").iterdir())) == 30


# -- grants


def test_a_grant_on_a_prefix_writes_below_it_and_does_nothing_else(store: BlobStore) -> None:
    store.put("runs/1/secret", b"x")
    url = store.grant_prefix("runs/1", 60, write=True)
    below = url.replace("?", "/outputs/a%20b.txt?")
    assert status_of(below, "PUT", b"written") == 201
    assert store.get("runs/1/outputs/a b.txt") == b"written"
    assert status_of(below) == 403
    assert status_of(below, "DELETE") == 403
    assert status_of(url.replace("/runs/1?", "?restype=container&comp=list&")) == 403
    assert store.get("runs/1/secret") == b"x"


def test_a_grant_to_read_a_prefix_writes_nothing(store: BlobStore) -> None:
    store.put("runs/1/a", b"x")
    url = store.grant_prefix("runs/1", 60).replace("?", "/a?")
    assert status_of(url) == 200
    assert status_of(url, "PUT", b"y") == 403
    assert status_of(url, "DELETE") == 403


def test_a_grant_ends(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("key", b"x")
    assert status_of(store.grant("key", 3600)) == 200
    monkeypatch.setattr("orchestrator.storage.blob.time.time", lambda: 1_600_000_000.0)
    assert status_of(store.grant("key", 3600)) == 403


def test_grants_name_the_endpoint_that_their_holders_reach(azurite: Azurite, container: str) -> None:
    store = BlobStore(account_of(azurite), container, grant_endpoint="http://host.docker.internal:10000/x/")
    assert store.grant("key", 60).startswith(f"http://host.docker.internal:10000/x/{container}/key?")


def test_without_the_right_to_sign_there_are_no_grants(azurite: Azurite, container: str) -> None:
    token = BlobStore(account_of(azurite), container).grant_prefix("", 60).partition("?")[2]
    store = BlobStore(Account(azurite.account, azurite.account_url, AzureSasCredential(token)), container)
    with pytest.raises(AuthenticationFailed, match="AZURE_STORAGE_KEY"):
        store.grant("key", 60)


def test_a_grant_of_no_time_is_refused(store: BlobStore) -> None:
    with pytest.raises(InvalidRequest):
        store.grant("key", 0)


# -- Entra ID


class Token:
    """A credential whose tokens name what Azurite asks for; it checks no signature of them."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        def part(content: dict[str, object]) -> str:
            return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

        now = int(time.time())
        claims: dict[str, object] = {
            "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/", "iat": now, "nbf": now - 60,
            "exp": now + 3600, "oid": "object", "tid": "tenant",
        }  # fmt: skip
        return AccessToken(f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.c2ln", now + 3600)


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def entra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Azurite with TLS, which the service asks for wherever tokens are used."""
    try:
        program = find_azurite()
    except ServerFailed as error:
        pytest.skip(str(error))
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    (port,) = free_ports(1)
    argv = [str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(tmp_path / "azurite")]
    argv += ["--cert", str(cert), "--key", str(key), "--oauth", "basic", "--skipApiVersionCheck", "--silent"]
    url = f"https://127.0.0.1:{port}/devstoreaccount1"

    def answers() -> bool:
        try:
            status_of(url, context=ssl.create_default_context(cafile=cert))
        except (OSError, urllib.error.URLError):
            return False
        return True

    server = ChildServer(argv, dict(os.environ), tmp_path / "azurite.log")
    server.start(answers, 30)
    yield Account("devstoreaccount1", url, Token())
    server.stop()


def as_of_2025(store: BlobStore, url: str) -> str:
    """The same grant, signed as services of July 2025 want it: Azurite does not know the two lines that came later."""
    base, _, query = url.partition("?")
    fields = {name: values[0] for name, values in urllib.parse.parse_qs(query).items()}
    fields["sv"] = "2025-07-05"
    path = urllib.parse.unquote(urllib.parse.urlsplit(base).path).removeprefix("/devstoreaccount1")
    resource = f"/blob/devstoreaccount1{path if fields['sr'] == 'b' else '/' + path.split('/')[1]}"
    lines = [fields.get(name, "") for name in ("sp", "st", "se")] + [resource]
    lines += [fields.get(name, "") for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")] + [""] * 5
    lines += [fields.get(name, "") for name in ("sip", "spr", "sv", "sr")] + [""] * 7
    assert store._delegation is not None
    key = base64.b64decode(store._delegation[0].value)
    fields["sig"] = base64.b64encode(hmac.digest(key, "\n".join(lines).encode(), "sha256")).decode()
    return f"{base}?{urllib.parse.urlencode(fields)}"


def test_with_entra_id_grants_are_signed_by_a_delegation_key(entra: Account, tmp_path: Path) -> None:
    store = BlobStore(entra, "container")
    store._service.create_container("container")
    store.put("folder/a", b"mine")
    store.put("folder/b", b"other")
    trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    reading = as_of_2025(store, store.grant("folder/a", 60))
    writing = as_of_2025(store, store.grant("folder/new", 60, write=True))
    assert status_of(reading, context=trusted) == 200
    assert status_of(reading.replace("folder/a", "folder/b"), context=trusted) == 403
    assert status_of(reading, "PUT", b"x", context=trusted) == 403
    assert status_of(writing, "PUT", b"x", context=trusted) == 201
    assert store.get("folder/new") == b"x"
    below = as_of_2025(store, store.grant_prefix("folder", 60, write=True)).replace("?", "/c?")
    assert status_of(below, "PUT", b"x", context=trusted) == 201
    assert status_of(below, context=trusted) == 403
    with pytest.raises(InvalidRequest, match="AZURE_STORAGE_KEY"):
        store.grant("folder/a", LONGEST_DELEGATION)


def test_one_delegation_key_serves_many_grants(entra: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(entra, "container")
    asked: list[int] = []
    real = store._service.get_user_delegation_key
    monkeypatch.setattr(store._service, "get_user_delegation_key", lambda *a: asked.append(1) or real(*a))
    for n in range(20):
        store.grant(f"key{n}", 600)
    assert len(asked) == 1
    store.grant("later", 86_400)
    assert len(asked) == 2


# -- failures


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("BlobNotFound", 404, NotFound),
        ("ContainerNotFound", 404, NotFound),
        ("", 404, NotFound),
        ("AuthorizationPermissionMismatch", 403, AuthenticationFailed),
        ("AnyNewCode", 403, AuthenticationFailed),
        ("ServerBusy", 503, Throttled),
        ("OperationTimedOut", 500, Unavailable),
        ("AnyNewCode", 502, Unavailable),
        ("AnyNewCode", 507, QuotaExceeded),
        ("InvalidHeaderValue", 400, InvalidRequest),
        ("RequestBodyTooLarge", 413, InvalidRequest),
    ],
)
def test_every_code_has_its_error(code: str, status: int, kind: type[ProviderError]) -> None:
    assert type(blob_errors.explain(code, status, "Any text", "az://a/c/k")) is kind


def test_a_wrong_key_says_what_to_set(azurite: Azurite, container: str) -> None:
    wrong = base64.b64encode(b"wrong" * 10).decode()
    for key in (wrong, "not base 64!"):
        store = BlobStore(Account(azurite.account, azurite.account_url, key), container)
        with pytest.raises(AuthenticationFailed) as caught:
            store.get("key")
        assert "AZURE_STORAGE_KEY" in caught.value.remedy
        assert key not in str(caught.value)


def test_credentials_are_not_shown() -> None:
    assert DEFAULT_KEY not in repr(Account("a", "https://a", DEFAULT_KEY))


def test_a_missing_container_is_told_apart_from_a_missing_blob(azurite: Azurite) -> None:
    store = BlobStore(account_of(azurite), "no-such-container")
    for call in (lambda: store.put("k", b""), lambda: list(store.list("")), lambda: store.get("k")):
        with pytest.raises(NotFound) as caught:
            call()
        assert "container" in caught.value.remedy


@pytest.mark.usefixtures("no_waiting")
def test_a_service_that_is_not_there_is_unavailable() -> None:
    store = BlobStore(Account("a", "http://127.0.0.1:9/a", DEFAULT_KEY), "container")
    with pytest.raises(Unavailable):
        store.put("key", b"x")


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers as it is told to, one answer a request; remembers the requests' headers."""

    answers: list[tuple[int, dict[str, str], bytes]]
    asked: list[dict[str, str]]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(dict(self.headers))
        status, headers, body = self.answers[min(len(self.asked), len(self.answers)) - 1]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[BlobStore, list[dict[str, str]]]]:
    handler = type("Handler", (Scripted,), {"answers": list(answers), "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a"
        yield BlobStore(Account("a", url, DEFAULT_KEY), "container"), handler.asked
        server.shutdown()


WRITTEN = (201, {"ETag": '"x"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}, b"")
BUSY = (503, {"x-ms-error-code": "ServerBusy", "Retry-After": "7"}, b"")


@pytest.mark.usefixtures("no_waiting")
def test_passing_faults_are_repeated() -> None:
    with scripted(BUSY, BUSY, BUSY, WRITTEN) as (store, asked):
        store.put("key", b"value")
    assert len(asked) == 4


@pytest.mark.usefixtures("no_waiting")
def test_a_service_that_stays_busy_is_throttling_and_its_wait_is_passed_on() -> None:
    with scripted(BUSY) as (store, _), pytest.raises(Throttled) as caught:
        store.put("key", b"value")
    assert caught.value.retry_after == 7


def test_what_is_sent_carries_its_checksum() -> None:
    with scripted(WRITTEN) as (store, asked):
        store.put("key", b"value")
    assert asked[0]["Content-MD5"] == base64.b64encode(hashlib.md5(b"value").digest()).decode()


@pytest.mark.usefixtures("no_waiting")
def test_bytes_that_arrive_damaged_are_never_handed_out() -> None:
    headers = {
        "Content-MD5": base64.b64encode(hashlib.md5(b"value").digest()).decode(),
        "Content-Range": "bytes 0-4/5",
        "ETag": '"x"',
        "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT",
    }
    with scripted((206, headers, b"value")) as (store, _):
        assert store.get("key") == b"value"
    with scripted((206, headers, b"valve")) as (store, _), pytest.raises(Unavailable):
        store.get("key")


# -- opening


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_url_and_the_environment_are_enough(
    azurite: Azurite, container: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    store = open_store(f"az://{azurite.account}/{container}/some/prefix/", Home(tmp_path))
    store.put("key", b"x")
    assert store.url == f"az://{azurite.account}/{container}/some/prefix"
    assert open_store(store.url, Home(tmp_path)).get("key") == b"x"
    environment.delenv("AZURE_STORAGE_CONNECTION_STRING")
    environment.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", azurite.account_url)
    environment.setenv("AZURE_STORAGE_KEY", azurite.key)
    assert open_store(store.url, Home(tmp_path)).get("key") == b"x"


@pytest.mark.parametrize(
    ("variables", "endpoint", "credential"),
    [
        ({}, "https://mine.blob.core.windows.net", DefaultAzureCredential),
        ({"AZURE_STORAGE_KEY": "a2V5"}, "https://mine.blob.core.windows.net", str),
        (
            {"AZURE_STORAGE_ACCOUNT": "other", "AZURE_STORAGE_KEY": "a2V5"},
            "https://mine.blob.core.windows.net",
            DefaultAzureCredential,
        ),
        ({"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"}, "https://mine.blob.core.windows.net", AzureSasCredential),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=mine;AccountKey=a2V5;EndpointSuffix=core.example.cn"},
            "https://mine.blob.core.example.cn",
            str,
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=a2V5"},
            "https://mine.blob.core.windows.net",
            DefaultAzureCredential,
        ),
    ],
)
def test_credentials_come_from_the_variables_that_speak_of_this_account(
    environment: pytest.MonkeyPatch, variables: dict[str, str], endpoint: str, credential: type
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    account = Account.from_environment("mine")
    assert account.endpoint == endpoint
    assert isinstance(account.credential, credential)


@pytest.mark.parametrize("url", ["az://", "az://account", "az://account/", "az:///container"])
def test_an_azure_url_without_account_or_container_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="az://account/container/prefix"):
        open_store(url, Home(tmp_path))


def test_folders_of_a_hierarchical_namespace_are_no_objects(store: BlobStore) -> None:
    mark = {"hdi_isfolder": "true"}
    for name in ("folder", "folder/below"):
        store._client.upload_blob(name, b"", metadata=mark)
    store.put("folder/below/object", b"x")
    assert [info.key for info in store.list("")] == ["folder/below/object"]
    assert [info.key for info in store.list("folder")] == ["folder/below/object"]
    assert not store.exists("folder")
    with pytest.raises(NotFound):
        store.get("folder")
