"""Logins of the clouds' registries, and a push to a real registry on this machine."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from orchestrator.cli.main import main
from orchestrator.emulators import docker_engine
from orchestrator.errors import AuthenticationFailed, MachineError
from orchestrator.images import build
from orchestrator.images.ledger import Ledger
from orchestrator.images.registry import acr_login, login
from orchestrator.providers.local.engine import Engine, Image

USER, PASSWORD = "tester", "of-the-test"
# Of PASSWORD, with few rounds.
HASHED = "$2b$04$LOodZNqAsEcsgJrW4sgf5.qgKp0hy8hyK9ciuncBkFG4QzSDqmhvO"

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}
log: {{level: error}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry that only USER may push to."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip(
            "PUSHES ARE NOT TESTED HERE: docker-registry is missing. Install it: apt-get install docker-registry"
        )
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "users").write_text(f"{USER}:{HASHED}\n")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port))
    process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def client(engine_host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An engine with an image that is called as a recipe's."""
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    with closing(docker_engine.connect(engine_host)) as client:
        client.api.import_image_from_data(b"\0" * 10240, repository="orchestrator/probe", tag="1")
        yield client
        for name in [tag for image in client.images.list() for tag in image.tags]:
            if name.startswith(("127.0.0.1:", "orchestrator/probe:")):
                client.images.remove(name, force=True)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The folder of recipes that the image seems to be from."""
    folder = tmp_path / "containers"
    (folder / "probe").mkdir(parents=True)
    (folder / "probe" / "Dockerfile").write_text("ARG BASE=scratch\nFROM ${BASE}\nARG VERSION=1\n")
    (folder / "probe" / "requirements-cpu.txt").touch()
    return folder


def test_a_push_gives_the_digest_that_pins_the_image(
    client: Any, registry: str, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry: {"auth": token}}}))
    assert main(["images", "push", "probe", "--to", registry, "--folder", str(recipe)]) == 0
    said = capsys.readouterr()
    pinned = said.out.strip()
    digest = pinned.partition("@")[2]
    assert pinned == f"{registry}/orchestrator/probe@{digest}"
    request = urllib.request.Request(f"http://{registry}/v2/orchestrator/probe/manifests/{digest}")
    request.add_header("Authorization", f"Basic {token}")
    assert urllib.request.urlopen(request, timeout=10).status == 200
    assert PASSWORD not in said.err
    ledger = tmp_path / "home" / "images.json"
    assert PASSWORD not in ledger.read_text()
    assert Ledger(ledger).read()["orchestrator/probe:1"]["pushed"] == {f"{registry}/orchestrator/probe:1": digest}
    assert main(["images", "list", "--json", "--folder", str(recipe)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = rows
    assert (row["pushed"], bool(row["id"])) == ({f"{registry}/orchestrator/probe:1": digest}, True)


def test_a_login_is_used_for_its_push_and_without_one_it_is_refused(client: Any, registry: str) -> None:
    target = f"{registry}/by/login:1"
    with pytest.raises(AuthenticationFailed, match="by/login"):
        build.push(client, "orchestrator/probe:1", target, None)
    given = {"username": USER, "password": PASSWORD}
    assert build.push(client, "orchestrator/probe:1", target, given).startswith("sha256:")


def test_a_trial_s_image_is_pinned_before_it_is_pulled_and_pulled_by_its_digest(
    client: Any, registry: str, tmp_path: Path
) -> None:
    given = {"username": USER, "password": PASSWORD}
    image = f"{registry}/team/model:7"
    digest = build.push(client, "orchestrator/probe:1", image, given)
    client.images.remove(image)
    client.images.remove("orchestrator/probe:1")
    (tmp_path / "docker").mkdir()
    token = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry: {"auth": token}}}))
    with closing(Engine()) as engine:
        pinned = f"{registry}/team/model@{digest}"
        assert (engine.has(image), engine.pinned(image)) == (False, pinned)
        assert engine.fetched(pinned, "7:8") == Image(pinned, (7, 8))
        assert engine.has(pinned)
        assert engine.pinned(pinned) == pinned
        assert engine.pinned(f"{registry}/team/none:1") == ""
    client.images.remove(pinned, force=True)


def test_what_is_not_built_cannot_be_pushed(client: Any) -> None:
    with pytest.raises(MachineError, match="images build"):
        build.push(client, "orchestrator/none:1", "127.0.0.1:1/none:1", None)


def test_ecr_is_logged_in_to_and_its_repository_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team"
        for _ in range(2):
            found = login(registry, "orchestrator/tensorflow")
            assert found is not None
            assert (found["username"], bool(found["password"])) == ("AWS", True)
        made = boto3.client("ecr", region_name="eu-central-1").describe_repositories()["repositories"]
        assert [one["repositoryName"] for one in made] == ["team/orchestrator/tensorflow"]


def test_a_registry_of_nobody_s_cloud_has_no_login_of_ours() -> None:
    assert login("registry.example.org/team", "orchestrator/tensorflow") is None


@pytest.fixture
def azure_registry() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """The exchange of tokens as the registry's documentation has it; refuses all but one token."""
    seen: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            seen.append({"path": [self.path], **form})
            good = self.path == "/oauth2/exchange" and form["access_token"] == ["from-entra"]
            self.send_response(200 if good else 401)
            self.end_headers()
            if good:
                self.wfile.write(b'{"refresh_token": "for-the-registry"}')

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_azure_s_registry_exchanges_a_token_for_its_own(
    azure_registry: tuple[str, list[dict[str, list[str]]]],
) -> None:
    host, seen = azure_registry
    found = acr_login(host, token=lambda: "from-entra", scheme="http")
    assert found == {"username": "00000000-0000-0000-0000-000000000000", "password": "for-the-registry"}
    assert (seen[0]["grant_type"], seen[0]["service"]) == (["access_token"], [host])
    with pytest.raises(AuthenticationFailed, match="AcrPush") as refused:
        acr_login(host, token=lambda: "somebody-s", scheme="http")
    assert "somebody-s" not in str(refused.value)
