"""A cloud on this machine: emulators of its services are started, and this process's environment points at them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from orchestrator.errors import MachineError, UsageError

# Emulated seconds that a node takes to come, between two evaluations of a pool's formula, and between two of the
# samples that it reads: a person waits here.
BOOT_SECONDS, AUTOSCALE_SECONDS, SAMPLE_SECONDS = 0.5, 10.0, 5.0

# What may be set for the real cloud and would lead there past the emulators: the store of all runs, and a registry
# whose pools only Azure's resource manager makes.
REAL = ("AZURE_STORAGE_URL", "AZURE_REGISTRY_SERVER")


@contextlib.contextmanager
def emulated(provider: str, folder: Path | None = None) -> Iterator[Mapping[str, str]]:
    """Start what stands in for the provider; yields the variables that were set, and takes all of it back at the end.

    ``folder`` keeps what was stored, so that results outlive the services; None for a temporary one.  Raises UsageError
    for a provider that has no emulator, MachineError where one cannot be started or another has the folder.
    """
    try:
        start = _STARTERS[provider]
    except KeyError:
        raise UsageError(
            f"There is no emulator of the provider '{provider}'.", remedy=f"There are: {', '.join(_STARTERS)}."
        ) from None
    with start(folder) as variables, environment(variables):
        yield variables


def folder_of(home: Path, provider: str) -> Path:
    """Where the command line's emulated clouds keep what was stored."""
    return home / "emulated" / provider


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with these variables, and as it was afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _azure(folder: Path | None) -> Iterator[Mapping[str, str]]:
    from orchestrator.emulators.azure_batch import AzureBatchEmulator
    from orchestrator.emulators.azurite import Azurite
    from orchestrator.emulators.childserver import ServerFailed

    storage = Azurite(folder / "blobs" if folder else None)
    with contextlib.ExitStack() as started:
        if folder is not None:
            started.enter_context(_alone(folder))
        try:
            started.enter_context(storage)
            batch = AzureBatchEmulator(
                boot_seconds=BOOT_SECONDS,
                autoscale_seconds=AUTOSCALE_SECONDS,
                sample_seconds=SAMPLE_SECONDS,
                blob_url=storage.account_url.replace(storage.account, "{account}"),
            )
            started.enter_context(batch)
        except ServerFailed as error:
            raise MachineError(f"Azure cannot be emulated here: {error}.") from error
        yield {
            "AZURE_BATCH_ENDPOINT": batch.endpoint,
            "AZURE_BATCH_ACCOUNT": batch.account,
            "AZURE_BATCH_KEY": batch.key,
            "AZURE_STORAGE_ACCOUNT": storage.account,
            "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
            **dict.fromkeys(REAL, ""),
        }


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else's services keep their files here meanwhile; a lock that ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError(
                f"Another emulated cloud keeps its files in {folder}.",
                remedy="Wait for it, or share one: `orchestrate emulate PROVIDER` prints the variables to set.",
            ) from None
        yield


@contextlib.contextmanager
def _engine(folder: Path) -> Iterator[str]:
    """An engine of our own, or the one that a client which was killed left in this folder; its address."""
    from orchestrator.emulators import docker_engine

    own = docker_engine.DockerEngine(folder)
    if docker_engine.answers(own.host):
        yield own.host
        return
    try:
        own.__enter__()
    except MachineError as error:
        raise MachineError(
            f"AWS cannot be emulated here: its tasks are containers, and no engine for them answers. {error.message}",
            remedy=f"{error.remedy} Or set DOCKER_HOST to one that answers.",
        ) from error
    try:
        yield own.host
    finally:
        own.stop()


@contextlib.contextmanager
def _aws(folder: Path | None) -> Iterator[Mapping[str, str]]:
    """moto has all of it in memory; ``folder`` is for the images of an engine that is started where none answers."""
    from orchestrator.emulators import docker_engine
    from orchestrator.emulators.aws import emulated_aws
    from orchestrator.emulators.childserver import ServerFailed

    with contextlib.ExitStack() as started:
        engine = docker_engine.answering()
        if engine is None:
            where = folder or Path(started.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            started.enter_context(_alone(where))
            engine = started.enter_context(_engine(where / "docker"))
        try:
            variables = started.enter_context(emulated_aws(docker_host=engine))
        except ServerFailed as error:
            raise MachineError(f"AWS cannot be emulated here: {error}.") from error
        yield {**variables, "DOCKER_HOST": engine}


_STARTERS: dict[str, Callable[[Path | None], AbstractContextManager[Mapping[str, str]]]] = {
    "azure": _azure,
    "aws": _aws,
}
