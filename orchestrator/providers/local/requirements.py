"""Virtual environments for workloads that name their requirements, made once for each content and kept.

Making one takes minutes, so it goes on in a thread while the pool is being created.  Its folder is where it stays
(environments cannot be moved), and a file ``ready`` is written last.  A lock keeps two runs from making the same one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from orchestrator.runner import runner

# Lines of pip's own words that are part of an error.
_LAST_LINES = 3


def digest(text: str) -> str:
    """What the environment depends on: the requirements, and the Python that it is made with."""
    return hashlib.sha256(f"{sys.version}\n{sys.platform}\n{text}".encode()).hexdigest()[:32]


class Preparation:
    """The making of one environment.  Poll ``done``; then ``error`` says what went wrong, or "" for nothing."""

    def __init__(self, root: Path, text: str, environ: Mapping[str, str]) -> None:
        self.folder = root / digest(text)
        self.error = ""
        self._text = text
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="requirements", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def stop(self) -> None:
        """End it now; what is half made is made anew next time."""
        self._stopped.set()
        if self._process is not None:
            runner.kill_descendants(self._process.pid)
            self._process.kill()
        self._thread.join()

    def _work(self) -> None:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self.folder.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (self.folder / "ready").exists():
                    self._make()
        except OSError as error:
            self.error = f"The environment {self.folder} cannot be made: {runner.describe(error)}."

    def _make(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        wanted = self.folder.with_suffix(".txt")
        wanted.write_text(self._text)
        python = str(self.folder / "bin" / "python")
        self.log.write_bytes(b"")
        for command in (
            [sys.executable, "-m", "venv", str(self.folder)],
            [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r", str(wanted)],
        ):
            if not self._run(command):
                return
        (self.folder / "ready").touch()

    def _run(self, command: list[str]) -> bool:
        if self._stopped.is_set():
            return False
        with self.log.open("ab") as log:
            # Dies with this thread, which waits for it and so dies only with the driver.
            parent = os.getpid()
            runner.load_prctl()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,
                preexec_fn=lambda: runner.die_with_parent(9, parent),
            )
            code = self._process.wait()
        if code and not self._stopped.is_set():
            words = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            self.error = f"The requirements cannot be installed: {' '.join(words[-_LAST_LINES:])} (see {self.log})"
        return code == 0


def with_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """``environ`` as it is after the environment in ``folder`` has been activated."""
    kept = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
    path = f"{folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return {**kept, "VIRTUAL_ENV": str(folder), "PATH": path}
