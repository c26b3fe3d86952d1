"""An Azure Batch emulator in a process of its own, for tests and for `--emulate`."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from ..childserver import ServerFailed, read_announcement
from .control_client import Control
from .procscan import kill_marked, new_name
from .settings import Settings
from .timefmt import of_datetime

_STOP_SECONDS = 15.0
# Carries the settings to the process: not its arguments, which everybody on the machine can read.
SETTINGS_VARIABLE = "ORCHESTRATE_AZURE_BATCH_EMULATOR"
NAME_VARIABLE = "ORCHESTRATE_AZURE_BATCH_EMULATOR_NAME"


class AzureBatchEmulator:
    """Starts an emulator and stops it; also a context manager.

    The emulator ends with this process, however that ends, and no task outlives it.

    Args:
        folder: for the nodes' files; made if missing. None for a temporary one, removed at the end.
        port: 0 for any free one.
        account, key: credentials; a key is made up where none is given.
        isolation: `process`, or `docker` for tasks with container settings.
        boot_seconds: emulated seconds that a node takes to boot.
        clock: the emulated time at the start (aware); None for now.
        start_seconds: real seconds within which it must answer.
        options: any other of `settings.Settings` (quotas, `autoscale_seconds`, `operation_seconds`, ...).
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        port: int = 0,
        account: str = "emulated",
        key: str | None = None,
        isolation: str = "process",
        boot_seconds: float = 1.0,
        clock: datetime | None = None,
        start_seconds: float = 20.0,
        **options: object,
    ) -> None:
        self._folder = None if folder is None else Path(folder).resolve()
        self.account = account
        self.key = base64.b64encode(secrets.token_bytes(64)).decode() if key is None else key
        self.settings = Settings(
            folder="" if self._folder is None else str(self._folder),
            account=account,
            key=self.key,
            port=port,
            isolation=isolation,
            boot_seconds=boot_seconds,
            clock_start=None if clock is None else of_datetime(clock),
            temporary=folder is None,
            **options,  # type: ignore[arg-type]  # Checked by Settings itself.
        )
        self.endpoint = ""
        self.pid: int | None = None
        self._start_seconds = start_seconds
        self._name = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Control | None = None

    @property
    def folder(self) -> Path:
        """Where the nodes' files are; a temporary one is there from the start on."""
        if self._folder is None:
            raise RuntimeError("the emulator has not been started")
        return self._folder

    @property
    def control(self) -> Control:
        """Client of the control API."""
        if self._control is None:
            raise RuntimeError("the emulator has not been started")
        return self._control

    @property
    def log_file(self) -> Path:
        """Where the emulator tells of its own troubles."""
        return self.folder / "emulator.log"

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            ServerFailed: it does not; says why.
        """
        if self._process is not None:
            raise RuntimeError("the emulator is already running")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="azure-batch-")).resolve()
            self.settings = replace(self.settings, folder=str(self._folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._name = new_name()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.emulators.azure_batch", "--child"],
                stdin=subprocess.PIPE,  # Its lifeline: closed when we end, however we end.
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._child_environment(os.environ),
                start_new_session=True,
            )
        try:
            announcement = read_announcement(self._process, self._start_seconds, self.log_file)
        except ServerFailed:
            self.stop()
            raise
        self.endpoint = str(announcement["endpoint"])
        self.pid = self._process.pid
        self._control = Control(self.endpoint, self.key)
        return self

    def _child_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
        return {
            **environment,
            "PYTHONPATH": path,
            SETTINGS_VARIABLE: self.settings.to_json(),
            NAME_VARIABLE: self._name,
        }

    def stop(self) -> None:
        """Stop it; when this returns, none of its tasks is left."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            kill_marked(self._name)
        if self.settings.temporary and self._folder is not None:
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
