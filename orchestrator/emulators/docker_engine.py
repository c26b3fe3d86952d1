"""A Docker engine for tests: the one that answers already, or one that is started for the occasion.

Starting one takes ``dockerd`` (Debian's package ``docker.io``) and root.  It gets its own data folder and socket and
touches no engine that runs beside it.  Where no registry of images can be reached, :func:`base_image` makes an image
of Debian by ``debootstrap``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from orchestrator.errors import MachineError
from orchestrator.runner import runner

START_SECONDS = 60.0
BASE_IMAGE = "orchestrator/base:bookworm"
_PACKAGES = "python3-minimal,python3-venv,python3-pip,ca-certificates"


def answering() -> str | None:
    """The address of the engine that this environment names (or the usual one), if it answers; else None."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
    except DockerException:
        return None
    try:
        client.ping()
    except DockerException:
        return None
    finally:
        client.close()
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


class DockerEngine:
    """An engine of our own in ``folder``; use it as a context manager.  ``host`` is what DOCKER_HOST is set to.

    Raises MachineError where it cannot be started: no ``dockerd``, not root, or the engine's own reason.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"unix://{self._folder / 'docker.sock'}"

    def __enter__(self) -> DockerEngine:
        program = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/sbin")
        if program is None:
            raise MachineError("There is no Docker engine here.", remedy="Install one: apt-get install docker.io")
        if os.geteuid() != 0:
            raise MachineError("Only root can start a Docker engine.", remedy="Start the machine's own one instead.")
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / "engine.log"
        parent = os.getpid()
        runner.load_prctl()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [
                    program,
                    *("--data-root", str(self._folder / "data")),
                    *("--exec-root", str(self._folder / "exec")),
                    *("--pidfile", str(self._folder / "pid")),
                    *("--host", self.host),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                # Ends with us, also where we are killed.
                preexec_fn=lambda: runner.die_with_parent(signal.SIGTERM, parent),
            )
        try:
            self._wait(log)
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self, log: Path) -> None:
        assert self._process is not None
        client = connect(self.host)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(client):
            if self._process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").splitlines()[-1:]
                raise MachineError(f"The Docker engine did not start: {''.join(last)[:300]}", remedy=f"See {log}.")
            time.sleep(0.1)
        client.close()

    def stop(self) -> None:
        """End the engine with all its containers.  Its images stay in the folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._unmount()
        self._process = None

    def _unmount(self) -> None:
        """The engine leaves a namespace of its network mounted, so that its folder could not be deleted."""
        below = os.path.realpath(self._folder) + os.sep
        points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for point in sorted((point for point in points if point.startswith(below)), reverse=True):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def connect(host: str) -> Any:
    """A client of the ``docker`` package for this address; nothing is sent yet."""
    import docker

    return docker.DockerClient(base_url=host, version="1.41")


def answers(host: str) -> bool:
    """Whether there is an engine at this address."""
    with contextlib.closing(connect(host)) as client:
        return _answers(client)


def _answers(client: Any) -> bool:
    import requests
    from docker.errors import DockerException

    try:
        return bool(client.ping())
    except (DockerException, requests.RequestException):
        return False


def base_image(host: str, folder: Path, tag: str = BASE_IMAGE) -> str:
    """The image ``tag`` on this engine, made from Debian's packages where it is missing (a minute, 300 MB).

    Raises MachineError where ``debootstrap`` is missing or fails.
    """
    from docker.errors import ImageNotFound

    client = connect(host)
    try:
        client.images.get(tag)
        return tag
    except ImageNotFound:
        pass
    finally:
        client.close()
    program = shutil.which("debootstrap") or shutil.which("debootstrap", path="/usr/sbin:/sbin")
    if program is None:
        raise MachineError("debootstrap is missing.", remedy="Install it: apt-get install debootstrap")
    tree = folder / "bookworm"
    archive = folder / "bookworm.tar"
    if not archive.exists():
        shutil.rmtree(tree, ignore_errors=True)
        made = subprocess.run(
            [program, "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(tree)],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            last = made.stdout.splitlines()[-1:]
            raise MachineError(
                f"debootstrap failed: {''.join(last)}", remedy=f"See {tree}/debootstrap/debootstrap.log."
            )
        part = archive.with_suffix(".part")
        subprocess.run(["tar", "-C", str(tree), "-cf", str(part), "."], check=True)
        part.rename(archive)
        shutil.rmtree(tree)
    name, _, version = tag.partition(":")
    client = connect(host)
    try:
        client.api.import_image_from_file(str(archive), repository=name, tag=version)
    finally:
        client.close()
    return tag
