"""Running a task's command in a Docker container, by the Docker SDK (imported when first used)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from .processes import Exit, Launch, LaunchFailed
from .procscan import MARK
from .protocol import Json

# Where each of the service's data paths lies below a node's root.
_DATA_PATHS = {
    "Shared": "shared",
    "Startup": "startup",
    "VfsMounts": "fsmounts",
    "Applications": "applications",
    "Task": "workitems",
    "JobPrep": "workitems",
}
_MAX_CONTAINERS = 256
_USUAL_SOCKET = "unix:///var/run/docker.sock"


class InvalidRunOptions(LaunchFailed):
    """`containerRunOptions` has an option that is not understood."""


class _OptionParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidRunOptions(f"containerRunOptions: {message}")


def _option_parser() -> _OptionParser:
    parser = _OptionParser(add_help=False, allow_abbrev=False)
    for flag in ("--rm", "--init", "--privileged", "--read-only", "-i", "--interactive", "-t", "--tty"):
        parser.add_argument(flag, action="store_true")
    for option in ("--network", "--net", "--ipc", "--pid", "--shm-size", "--gpus", "--memory", "-m", "--cpus"):
        parser.add_argument(option)
    for option in ("--workdir", "-w", "--user", "-u", "--hostname", "-h", "--name", "--entrypoint", "--runtime"):
        parser.add_argument(option)
    for option in ("--env", "-e", "--volume", "-v", "--cap-add", "--ulimit", "--device", "--label", "--add-host"):
        parser.add_argument(option, action="append", default=[])
    return parser


def run_options(text: str) -> dict[str, Any]:
    """The Docker SDK's arguments for `docker run` options.

    Raises:
        InvalidRunOptions: an option is not one that is known here.
    """
    given = vars(_option_parser().parse_args(shlex.split(text)))
    options: dict[str, Any] = {}
    simple = {
        "network_mode": given["network"] or given["net"],
        "ipc_mode": given["ipc"],
        "pid_mode": given["pid"],
        "shm_size": given["shm_size"],
        "mem_limit": given["memory"] or given["m"],
        "working_dir": given["workdir"] or given["w"],
        "user": given["user"] or given["u"],
        "hostname": given["hostname"] or given["h"],
        "entrypoint": given["entrypoint"],
        "runtime": given["runtime"],
        "init": given["init"] or None,
        "privileged": given["privileged"] or None,
        "read_only": given["read_only"] or None,
        "cap_add": given["cap_add"] or None,
        "devices": given["device"] or None,
    }
    options.update({name: value for name, value in simple.items() if value is not None})
    if given["cpus"]:
        options["nano_cpus"] = int(float(given["cpus"]) * 1_000_000_000)
    options["gpus"] = given["gpus"]
    options["environment"] = dict(pair.partition("=")[::2] for pair in given["env"] + given["e"])
    options["binds"] = given["volume"] + given["v"]
    options["extra_hosts"] = dict(pair.partition(":")[::2] for pair in given["add_host"])
    options["ulimits"] = given["ulimit"]
    return options


class Container:
    """A command running in a container."""

    def __init__(self, runtime: ContainerRuntime, handle: Any, copier: asyncio.Future[None]) -> None:
        self._runtime = runtime
        self._handle = handle
        self._copier = copier
        self._exited: asyncio.Task[Exit] = asyncio.create_task(self._watch())
        self.container_info: Json | None = {"containerId": handle.id, "state": "running", "error": ""}

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exited)

    async def kill(self, grace_seconds: float) -> None:
        def stop() -> None:
            errors = self._runtime.errors
            with contextlib.suppress(errors.NotFound, errors.APIError):
                if grace_seconds > 0:
                    self._handle.stop(timeout=max(1, round(grace_seconds)))
                self._handle.remove(force=True, v=True)

        await self._runtime.in_thread(stop)

    async def _watch(self) -> Exit:
        result = await self._runtime.in_thread(self._handle.wait)
        await self._copier
        self.container_info = {"containerId": self._handle.id, "state": "exited", "error": ""}
        await self._runtime.in_thread(self._remove)
        return Exit(int(result["StatusCode"]))

    def _remove(self) -> None:
        with contextlib.suppress(self._runtime.errors.NotFound, self._runtime.errors.APIError):
            self._handle.remove(force=True, v=True)


class ContainerRuntime:
    """Containers on the local Docker engine (`DOCKER_HOST`, or the usual socket).

    Containers share the host's network, since the storage that tasks fetch from listens on its loopback.
    """

    def __init__(self) -> None:
        # Each running container keeps a thread for its output and one for its end.
        self._threads = ThreadPoolExecutor(2 * _MAX_CONTAINERS, "container")
        self._client: Any = None
        self.errors: Any = None

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def address(self) -> str:
        """The engine's address.

        Raises:
            LaunchFailed: it does not answer.
        """
        await self._connected()
        return os.environ.get("DOCKER_HOST", _USUAL_SOCKET)

    async def _connected(self) -> Any:
        if self._client is None:
            self._client = await self.in_thread(self._connect)
        return self._client

    def _connect(self) -> Any:
        try:
            import docker
        except ImportError as problem:
            raise LaunchFailed("the Docker SDK is not installed: pip install docker") from problem
        self.errors = docker.errors
        try:
            client = docker.from_env(timeout=3600)
            client.ping()
        except docker.errors.DockerException as problem:
            raise LaunchFailed(f"the Docker engine does not answer: {problem}") from problem
        return client

    async def pull(self, image: str, registry: Json | None) -> None:
        """Have `image` on this machine.

        Raises:
            LaunchFailed: it is not here and cannot be fetched.
        """
        client = await self._connected()

        def fetch() -> None:
            try:
                client.images.get(image)
            except self.errors.ImageNotFound:
                auth = None
                if registry and registry.get("username"):
                    auth = {"username": registry["username"], "password": registry.get("password", "")}
                try:
                    client.images.pull(image, auth_config=auth)
                except self.errors.APIError as problem:
                    raise LaunchFailed(f"the image {image} cannot be fetched: {problem.explanation}") from problem

        await self.in_thread(fetch)

    async def launch(self, launch: Launch) -> Container:
        """Start a command in a container.

        Raises:
            LaunchFailed: no engine, no image, no such program, or bad run options.
        """
        assert launch.container is not None
        await self.pull(launch.container["imageName"], launch.container.get("registry"))
        client = await self._connected()
        arguments = _create_arguments(launch, await self.in_thread(self._has_gpus, client))

        def start() -> tuple[Any, Any]:
            try:
                handle = client.containers.create(**arguments)
                # Attached before it starts, or its first lines would be missed.
                stream = handle.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True)
                handle.start()
            except self.errors.APIError as problem:
                with contextlib.suppress(UnboundLocalError, self.errors.APIError):
                    handle.remove(force=True)
                missing = "not found" in str(problem.explanation)
                raise LaunchFailed(str(problem.explanation), missing=missing) from problem
            return handle, stream

        starting = asyncio.ensure_future(self.in_thread(start))
        try:
            handle, stream = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread goes on and the container would run for nobody.
            with contextlib.suppress(LaunchFailed, self.errors.APIError):
                handle, stream = await starting
                await self.in_thread(partial(handle.remove, force=True, v=True))
            raise
        copier = asyncio.get_running_loop().run_in_executor(self._threads, _copy, stream, launch.stdout, launch.stderr)
        return Container(self, handle, copier)

    def _has_gpus(self, client: Any) -> bool:
        return "nvidia" in client.info().get("Runtimes", {})

    async def stop(self, name: str) -> None:
        """Remove every container of the emulator called `name`.

        Raises:
            LaunchFailed: the engine does not do so.
        """
        if self._client is None:
            return

        engine = self._client.api

        def remove() -> None:
            # By the engine's plain API: the SDK's own list asks after each container, and fails where one has gone.
            try:
                for container in engine.containers(all=True, filters={"label": f"{MARK}={name}"}):
                    with contextlib.suppress(self.errors.NotFound):
                        engine.remove_container(container["Id"], force=True, v=True)
            except (self.errors.DockerException, OSError) as problem:
                raise LaunchFailed(f"containers could not be removed: {problem}") from problem

        await self.in_thread(remove)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _create_arguments(launch: Launch, has_gpus: bool) -> dict[str, Any]:
    settings = launch.container
    assert settings is not None
    options = run_options(settings.get("containerRunOptions", ""))
    gpus = options.pop("gpus")
    environment = {**launch.variables, **options.pop("environment")}
    binds = [*_bind_mounts(launch.root, settings), *options.pop("binds")]
    ulimits = options.pop("ulimits")
    arguments: dict[str, Any] = {
        "image": settings["imageName"],
        "command": launch.argv,
        "environment": environment,
        "volumes": binds,
        "labels": {MARK: launch.mark.partition("/")[0]},
        "network_mode": "host",
        "detach": True,
    }
    if settings.get("workingDirectory", "taskWorkingDirectory") == "taskWorkingDirectory":
        arguments["working_dir"] = str(launch.working_directory)
    arguments.update(options)
    if arguments["network_mode"] == "host":
        arguments.pop("hostname", None)  # The engine refuses the two together.
    if gpus and has_gpus:
        arguments["device_requests"] = [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]
    if ulimits:
        arguments["ulimits"] = [_ulimit(text) for text in ulimits]
    return arguments


def _ulimit(text: str) -> dict[str, Any]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}


def _bind_mounts(root: Path, settings: Json) -> Iterator[str]:
    """The node's folders that the container sees, at the same paths as outside."""
    mounts = settings.get("containerHostBatchBindMounts")
    if mounts is None:
        yield f"{root}:{root}:rw"
        return
    for mount in mounts:
        source = root / _DATA_PATHS[mount["source"]]
        source.mkdir(parents=True, exist_ok=True)
        yield f"{source}:{source}:{'ro' if mount.get('isReadOnly') else 'rw'}"


def _copy(stream: Any, stdout: Path, stderr: Path) -> None:
    with stdout.open("wb", buffering=0) as out, stderr.open("wb", buffering=0) as err:
        for out_part, err_part in stream:
            if out_part:
                out.write(out_part)
            if err_part:
                err.write(err_part)
