"""A starter for moto_server, the emulator of AWS; its AWS Batch runs containers on the local Docker engine."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from .childserver import ChildServer, ServerFailed, free_ports

DOCKER_SOCKET = "unix:///var/run/docker.sock"


def find_moto() -> Path:
    """The program, beside the running Python or on the path.

    Raises:
        ServerFailed: it is not installed; says how.
    """
    beside = Path(sys.executable).parent / "moto_server"
    if beside.exists():
        return beside
    found = shutil.which("moto_server")
    if found is not None:
        return Path(found)
    raise ServerFailed("moto_server is not installed: pip install 'moto[server,batch,s3,logs,ecr,iam,ec2,events]'")


class MotoServer:
    """moto_server on a free port of loopback, unless said otherwise; also a context manager.

    It ends with this process, however that ends. The containers of its AWS Batch are the Docker engine's, and are
    its users' to remove.

    Args:
        folder: for its log; None for a temporary one, removed at the end.
        port: 0 for any free one.
        host: address to listen on; containers on Docker's bridge reach the machine by the bridge's own address
            (172.17.0.1 as a rule) and not by 127.0.0.1.
        docker_host: address of the Docker engine; None for `DOCKER_HOST` or the usual socket.
        module: run this Python module in place of the program `moto_server`.
        start_seconds: real seconds within which it must answer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        docker_host: str | None = None,
        module: str | None = None,
        start_seconds: float = 60.0,
    ) -> None:
        self._temporary = folder is None
        self._folder = None if folder is None else Path(folder).resolve()
        self.port = port
        self.host = host
        self.docker_host = docker_host or os.environ.get("DOCKER_HOST", DOCKER_SOCKET)
        self._module = module
        self._start_seconds = start_seconds
        self._server: ChildServer | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point any AWS client at it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def folder(self) -> Path:
        """Where its files are; a temporary one is there while it runs."""
        if self._folder is None:
            raise RuntimeError("the server has not been started")
        return self._folder

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            ServerFailed: it is not installed, or does not answer.
        """
        program = str(find_moto())
        command = [program] if self._module is None else [sys.executable, "-m", self._module]
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="moto-")).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.port == 0:
            self.port = free_ports(1)[0]
        environment = {**os.environ, "DOCKER_HOST": self.docker_host}
        self._server = ChildServer(
            [*command, "-H", self.host, "-p", str(self.port)],
            environment,
            self.folder / "moto.log",
            self.folder if self._temporary else None,
        )
        self._server.start(self._answers, self._start_seconds)
        return self

    def _answers(self) -> bool:
        link = http.client.HTTPConnection(self.host, self.port, timeout=2.0)
        with contextlib.closing(link):
            try:
                link.request("GET", "/moto-api/data.json")
                return link.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def reset(self) -> None:
        """Forget everything in it.

        Raises:
            ServerFailed: it does not do so.
        """
        link = http.client.HTTPConnection(self.host, self.port, timeout=30.0)
        with contextlib.closing(link):
            link.request("POST", "/moto-api/reset")
            status = link.getresponse().status
        if status != 200:
            raise ServerFailed(f"moto_server answered {status} to a reset")

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._temporary and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
