"""Virtual environments for workloads that name their requirements, made once for each content and kept.

Packages without a wheel are built on installation, in an environment that pip makes from what they ask for.
``build_constraints`` says which versions: pip's own ``--build-constraint``, for which the environment first gets a pip
that has it.

Making one takes minutes, so it goes on in a thread while the pool is being created.  Its folder is where it stays
(environments cannot be moved), and a file ``ready`` is written last.  A lock keeps two runs from making the same one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from orchestrator.runner import runner

# How pip marks its errors, and how many lines of its own words are part of ours.
_ERROR = "ERROR: "
_LAST_LINES = 3


_OPTIONS = {"packages": "--requirement", "constraints": "--constraint", "build_constraints": "--build-constraint"}
# The first pip with --build-constraint.
_BUILDING_PIP = "pip>=25.3"


def digest(texts: Mapping[str, str], python: str | None) -> str:
    """What the environment depends on: the requirements, and the Python that it is made with (None is ours)."""
    made_with = sys.version if python is None else os.path.realpath(python)
    content = json.dumps([made_with, sys.platform, sorted(texts.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class Preparation:
    """The making of one environment.  Poll ``done``; then ``error`` says what went wrong, or "" for nothing.

    ``texts`` are the job document's ``requirements``.
    """

    def __init__(self, root: Path, texts: Mapping[str, str], environ: Mapping[str, str]) -> None:
        wanted = texts["python"]
        self._python = shutil.which(wanted, path=environ.get("PATH")) if wanted else None
        self.folder = root / digest(texts, self._python)
        self.error = ""
        self._texts = dict(texts)
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
        if self._texts["python"] and self._python is None:
            self.error = f"workload.python: there is no '{self._texts['python']}' on this machine."
            return
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
        self.log.write_bytes(b"")
        install = [str(self.folder / "bin" / "python"), "-m", "pip", "install"]
        install += ["--disable-pip-version-check", "--no-input"]
        commands = [[self._python or sys.executable, "-m", "venv", str(self.folder)]]
        if self._texts["build_constraints"]:
            commands.append([*install, _BUILDING_PIP])
        commands.append(install + self._files())
        for command in commands:
            if not self._run(command):
                return
        (self.folder / "ready").touch()

    def _files(self) -> list[str]:
        """pip's options for the texts, each of which is now a file beside the environment."""
        chosen = []
        for kind, option in _OPTIONS.items():
            if self._texts[kind]:
                file = self.folder.with_name(f"{self.folder.name}.{kind}.txt")
                file.write_text(self._texts[kind])
                chosen += [option, str(file)]
        return chosen

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
            errors = [line.removeprefix(_ERROR) for line in words if line.startswith(_ERROR)]
            told = " ".join((errors or words)[-_LAST_LINES:])
            self.error = f"The requirements cannot be installed: {told} (see {self.log})"
        return code == 0


def with_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """``environ`` as it is after the environment in ``folder`` has been activated."""
    kept = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
    path = f"{folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return {**kept, "VIRTUAL_ENV": str(folder), "PATH": path}
