"""A starter for Azurite, Microsoft's emulator of Azure Storage (a Node.js program)."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from .childserver import ChildServer, ServerFailed, free_ports

# Azurite's own account; its documentation publishes both.
DEFAULT_ACCOUNT = "devstoreaccount1"
DEFAULT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# Names the folder into which `npm install azurite` was done, where it is not `.emulators`.
FOLDER_VARIABLE = "ORCHESTRATE_EMULATORS"
DEFAULT_FOLDER = ".emulators"
# In a clone of the project, whatever folder one stands in.
_PROJECT = Path(__file__).resolve().parents[2]


def find_azurite() -> Path:
    """Its Blob program: in `$ORCHESTRATE_EMULATORS`, in `.emulators` here, above or of the project, or on the path.

    Raises:
        ServerFailed: it is not installed; says how.
    """
    here = Path.cwd()
    folders = [Path(os.environ[FOLDER_VARIABLE])] if os.environ.get(FOLDER_VARIABLE) else []
    folders += [folder / DEFAULT_FOLDER for folder in (here, *here.parents, _PROJECT)]
    for folder in folders:
        program = folder / "node_modules" / ".bin" / "azurite-blob"
        if program.exists():
            return program
    found = shutil.which("azurite-blob")
    if found is not None:
        return Path(found)
    raise ServerFailed(
        f"Azurite is not installed. It needs Node.js: npm install --prefix {DEFAULT_FOLDER} azurite "
        f"(or name the folder in {FOLDER_VARIABLE})"
    )


class Azurite:
    """Azurite's Blob service on a free port of loopback; also a context manager.

    It ends with this process, however that ends.

    Args:
        folder: for the blobs; None for a temporary one, removed at the end.
        port: 0 for any free one.
        account, key: its one account; Azurite's well-known one by default.
        start_seconds: real seconds within which it must answer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        port: int = 0,
        account: str = DEFAULT_ACCOUNT,
        key: str = DEFAULT_KEY,
        start_seconds: float = 30.0,
    ) -> None:
        self._temporary = folder is None
        self._folder = None if folder is None else Path(folder).resolve()
        self.port = port
        self.account = account
        self.key = key
        self._start_seconds = start_seconds
        self._server: ChildServer | None = None

    @property
    def account_url(self) -> str:
        """Base URL of the account's Blob service."""
        return f"http://127.0.0.1:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.account_url};"
        )

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
        program = find_azurite()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="azurite-")).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.port == 0:
            self.port = free_ports(1)[0]
        argv = [str(program), "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        argv += ["--location", str(self.folder), "--silent", "--loose", "--skipApiVersionCheck"]
        argv += ["--disableTelemetry"]
        # The account by the environment, so that a key of one's own is in no process list.
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"}
        self._server = ChildServer(
            argv, environment, self.folder / "azurite.log", self.folder if self._temporary else None
        )
        self._server.start(self._answers, self._start_seconds)
        return self

    def _answers(self) -> bool:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2.0)
        with contextlib.closing(link):
            try:
                link.request("GET", f"/{self.account}?comp=list")
                link.getresponse().read()
            except (OSError, http.client.HTTPException):
                return False
        return True

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
