"""The Docker engine of this machine: whether it is there, its images, and what of ours is alive on it.

The package ``docker`` is imported here, when it is first needed, and in the slots.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InvalidRequest, MachineError, OrchestrateError
from orchestrator.providers.base import Owned, PoolRequest
from orchestrator.providers.local import container
from orchestrator.storage.layout import Home

NOBODY = (65534, 65534)
"""As whom a program runs where its image names nobody and we are root."""

USUAL_SOCKET = "/var/run/docker.sock"

_SECONDS = 120
_REMOVAL_SECONDS = 30.0

_HOW_TO_GET_ONE = (
    "Install one (Debian: apt-get install docker.io; others: https://docs.docker.com/engine/install) and start it, "
    "or name it by DOCKER_HOST; or set workload.isolation to process."
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the engine.  ``reference`` pins it; ``owner`` is the user and group of its programs, by number."""

    reference: str
    owner: tuple[int, int]


def nearby() -> bool:
    """Whether there may be an engine at all, found out without a call."""
    return "DOCKER_HOST" in os.environ or os.path.exists(USUAL_SOCKET)


class Engine:
    """A connection.  Raises MachineError where there is no engine, InvalidRequest for one that cannot serve us."""

    def __init__(self) -> None:
        try:
            import docker
            from docker.errors import DockerException
        except ImportError as error:
            raise MachineError(
                "Containers need the Python package docker.", remedy="Install it: pip install 'orchestrator[docker]'"
            ) from error
        self.host = os.environ.get("DOCKER_HOST") or f"unix://{USUAL_SOCKET}"
        if not self.host.startswith(("unix://", "http+unix://")):
            raise InvalidRequest(
                f"The Docker engine at {self.host} may be on another machine, and trials share folders with this one.",
                remedy="Use an engine of this machine: DOCKER_HOST=unix:///var/run/docker.sock.",
            )
        try:
            self.client = docker.DockerClient(base_url=self.host, version="auto", timeout=_SECONDS)
        except DockerException as error:
            raise MachineError(f"No Docker engine answers at {self.host}.", remedy=_HOW_TO_GET_ONE) from error

    @property
    def api_version(self) -> str:
        version: str = self.client.api._version
        return version

    def close(self) -> None:
        self.client.close()

    # --------------------------------------------------------------------------------------------- images

    def pinned(self, image: str) -> str:
        """The name that will mean this very image for ever; empty where it is not here and no registry tells.

        ``NAME@sha256:...`` for an image of a registry, its id for one that was built here.
        """
        from docker.errors import ImageNotFound

        with _answered():
            try:
                found = self.client.images.get(image)
            except ImageNotFound:
                return self._from_registry(image)
            digests = found.attrs.get("RepoDigests") or []
            mine = [digest for digest in digests if digest.partition("@")[0] == repository(image)]
            reference: str = (mine or digests or [found.id])[0]
            return reference

    def _from_registry(self, image: str) -> str:
        from docker.errors import APIError

        try:
            return f"{repository(image)}@{self.client.images.get_registry_data(image).id}"
        except APIError:
            return ""  # the pull will say why

    def has(self, image: str) -> bool:
        from docker.errors import ImageNotFound

        with _answered():
            try:
                self.client.images.get(image)
            except ImageNotFound:
                return False
            return True

    def fetched(self, image: str, user: str | None) -> Image:
        """Pull the image where it is not here.  Raises MachineError with the registry's or the engine's reason."""
        from docker.errors import APIError, ImageNotFound

        with _answered():
            try:
                found = self.client.images.get(image)
            except ImageNotFound:
                try:
                    self.client.images.pull(*_pull_arguments(image))
                    found = self.client.images.get(image)
                except APIError as error:
                    raise MachineError(
                        f"The image {image} is not here and cannot be pulled: {error.explanation}",
                        remedy="Check its name, log in to its registry (docker login), or build it: "
                        "orchestrate images build.",
                    ) from error
            wanted = user or self._user_of(found.attrs["Config"].get("User") or "")
            return Image(self.pinned(image) or found.id, self._numbers(found.id, wanted))

    def _user_of(self, of_image: str) -> str:
        """Not root where that can be: ours, so that we can read what the trials leave; for root, the image's own."""
        security = self.client.info().get("SecurityOptions") or []
        if any("name=rootless" in option for option in security):
            return "0:0"  # is us, outside
        if os.geteuid() != 0:
            return f"{os.getuid()}:{os.getgid()}"
        if of_image.partition(":")[0] in ("", "0", "root"):
            return "{}:{}".format(*NOBODY)
        return of_image

    def _numbers(self, image: str, user: str) -> tuple[int, int]:
        name, _, group = user.partition(":")
        if name.isdigit() and (group.isdigit() or not group):
            return int(name), int(group or name)
        users = self._table(image, "/etc/passwd")
        groups = self._table(image, "/etc/group")
        if name.isdigit():
            uid, gid = int(name), int(name)
        elif name in users:
            uid, gid = int(users[name][1]), int(users[name][2])
        else:
            raise InvalidRequest(f"The image has no user '{name}'.", remedy="Give workload.user as numbers: 1000:1000.")
        if group and not group.isdigit() and group not in groups:
            raise InvalidRequest(f"The image has no group '{group}'.", remedy="Give workload.user as numbers.")
        return uid, (int(group) if group.isdigit() else int(groups[group][1])) if group else gid

    def _table(self, image: str, path: str) -> dict[str, list[str]]:
        """Lines of a file like ``/etc/passwd`` in an image, by their first word."""
        import io
        import tarfile

        from docker.errors import NotFound

        made = self.client.api.create_container_from_config({"Image": image, "Cmd": ["true"]})["Id"]
        try:
            stream, _ = self.client.api.get_archive(made, path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                file = archive.extractfile(archive.getmembers()[0])
                lines = file.read().decode("utf-8", "replace").splitlines() if file else []
        except NotFound:
            lines = []
        finally:
            self.client.api.remove_container(made, force=True)
        rows = (line.split(":") for line in lines if line.count(":") >= 2)
        return {row[0]: row[1:] for row in rows}

    # --------------------------------------------------------------------------------------------- strays

    def owned(self, home: Home) -> Iterator[Owned]:
        """The containers of every run of this home, whatever state they are in."""
        for found in self._listed(f"{container.LABEL_HOME}={container.home_label(home)}"):
            labels = found["Labels"]
            detail = f"{found['Image']}, {found['State']}"
            lease = float(labels.get(container.LABEL_LEASE, "0")) or None
            yield Owned("container", found["Id"][:12], labels.get(container.LABEL_RUN), lease, detail)

    def _listed(self, *labels: str) -> list[Mapping[str, Any]]:
        with _answered():
            found: list[Mapping[str, Any]] = self.client.api.containers(all=True, filters={"label": list(labels)})
        return found

    def remove_all(self, home: Home, run: str) -> None:
        """Until no container of the run is left.  Raises MachineError where one cannot be removed."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        labels = f"{container.LABEL_HOME}={container.home_label(home)}", f"{container.LABEL_RUN}={run}"
        while found := self._listed(*labels):
            for one in found:
                self.remove(one["Id"])
            if time.monotonic() > deadline:
                left = ", ".join(one["Id"][:12] for one in found)
                raise MachineError(f"Containers of the run {run} cannot be removed: {left}.")
            time.sleep(0.05)

    def remove(self, name: str) -> None:
        """SIGKILL and removal.  Fine if it is gone, or going."""
        from docker.errors import APIError

        with _answered():
            try:
                self.client.api.remove_container(name, force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise


class Berths:
    """Brings the image in a thread, since a pull takes minutes.  Poll ``done``; ``error`` says what went wrong."""

    def __init__(self, engine: Engine, home: Home, store: Path, request: PoolRequest) -> None:
        self.error = ""
        self._engine, self._home, self._store, self._request = engine, home, store, request
        self._image: Image | None = None
        self._thread = threading.Thread(target=self._work, name="image", daemon=True)
        if engine.has(request.image or ""):
            self._work()
        else:
            self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._image = self._engine.fetched(self._request.image or "", self._request.user)
        except OrchestrateError as error:
            self.error = str(error)

    def config(self, slots: tuple[Mapping[str, str], ...], life: str, runner: Path) -> dict[str, Any]:
        """What :class:`~orchestrator.providers.local.container_slot.ContainerSlot` starts from, once ``done``."""
        assert self._image is not None
        request, home, store, image = self._request, self._home, self._store, self._image
        owner = "{}:{}".format(*image.owner)
        return {
            "host": self._engine.host,
            "api_version": self._engine.api_version,
            "pack": request.pack,
            "owner": image.owner,
            "inputs": container.present_inputs(request.job, home.inputs(request.name)),
            "berths": [str(container.berth(store, request.name, number)) for number in range(len(slots))],
            "bodies": [
                container.container_body(
                    request,
                    home,
                    store,
                    number,
                    image=image.reference,
                    user=owner,
                    life=life,
                    runner=runner,
                    devices=container.devices_of(variables),
                )
                for number, variables in enumerate(slots)
            ],
        }


def repository(image: str) -> str:
    """A reference without its tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _pull_arguments(image: str) -> tuple[str, str]:
    """Repository and tag or digest: without either, the engine would be asked for all tags."""
    if "@" in image:
        return repository(image), image.partition("@")[2]
    return repository(image), image.rpartition("/")[2].partition(":")[2] or "latest"


@contextmanager
def _answered() -> Iterator[None]:
    """The engine's and the network's errors as ours."""
    from docker.errors import APIError
    from requests import RequestException

    try:
        yield
    except APIError as error:
        raise MachineError(f"The Docker engine refused: {error.explanation or error}.") from error
    except RequestException as error:
        raise MachineError(f"The Docker engine does not answer: {error}.") from error
