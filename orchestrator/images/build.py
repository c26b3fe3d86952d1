"""Building and pushing, through the ``docker`` SDK."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import AuthenticationFailed, MachineError
from orchestrator.images.recipes import Recipe

CALL_SECONDS = 3600
"""A step of a build that downloads a framework can be silent for long."""


@dataclass(frozen=True, slots=True)
class Local:
    """An image on the engine; ``size`` in bytes."""

    id: str
    size: int


def engine() -> Any:
    """A client of the engine of this machine or of DOCKER_HOST.  Raises MachineError where none answers."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise MachineError(
            "Images need the Python package docker.", remedy="Install it: pip install 'orchestrator[docker]'"
        ) from error
    try:
        return docker.from_env(timeout=CALL_SECONDS)
    except DockerException as error:
        where = os.environ.get("DOCKER_HOST", "/var/run/docker.sock")
        raise MachineError(
            f"No Docker engine answers at {where}.",
            remedy="Install one (Debian: apt-get install docker.io; others: https://docs.docker.com/engine/install), "
            "start it, or name it by DOCKER_HOST.",
        ) from error


def look(client: Any, image: str) -> Local | None:
    """What the engine has under this name."""
    from docker.errors import ImageNotFound

    try:
        found = client.images.get(image)
    except ImageNotFound:
        return None
    return Local(found.id, int(found.attrs["Size"]))


def build(
    client: Any,
    recipe: Recipe,
    variant: str,
    *,
    base: str | None = None,
    arguments: Mapping[str, str] | None = None,
    network: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Local:
    """Build one image and name it; ``say`` gets each line that the engine prints.

    ``arguments`` are further build arguments, kept in the image's history: no secrets.  ``network`` is the engine's
    network of the steps.  Raises MachineError with the last words of a step that failed, UsageError for a variant that
    the recipe lacks.
    """
    recipe.require(variant)
    told = client.api.build(
        path=str(recipe.folder),
        tag=recipe.image(variant),
        buildargs={"BASE": base or recipe.base, "VARIANT": variant, **(arguments or {})},
        network_mode=network,
        rm=True,
        forcerm=True,
        decode=True,
    )
    error, last = _follow(told, say)
    if error:
        raise MachineError(f"The image {recipe.image(variant)} cannot be built: {error}", remedy=last)
    made = look(client, recipe.image(variant))
    if made is None:
        raise MachineError(f"The engine built {recipe.image(variant)} and does not have it.")
    return made


def push(
    client: Any,
    image: str,
    target: str,
    login: Mapping[str, str] | None,
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """Push ``image`` as ``target`` (``REGISTRY/NAME:TAG``); returns the digest that the registry gave it.

    ``login`` are ``username`` and ``password``; without them the engine uses what ``docker login`` has stored.
    """
    if look(client, image) is None:
        raise MachineError(f"There is no image {image} here.", remedy="Build it first: orchestrate images build.")
    repository, _, tag = target.rpartition(":")
    client.images.get(image).tag(repository, tag)
    digest = ""

    def listen(lines: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
        nonlocal digest
        for line in lines:
            digest = (line.get("aux") or {}).get("Digest", digest)
            yield line

    told = client.api.push(repository, tag=tag, auth_config=dict(login) if login else None, stream=True, decode=True)
    error, _ = _follow(listen(told), say)
    if error:
        raise AuthenticationFailed(
            f"The image {image} cannot be pushed to {target}: {error}",
            remedy="Check the registry's name and that you may push to it (docker login).",
        )
    if not digest:
        raise MachineError(f"The registry of {target} told no digest.")
    return digest


def _follow(lines: Iterable[Mapping[str, Any]], say: Callable[[str], None]) -> tuple[str, str]:
    """Pass on what the engine prints; returns its error, and the last line before."""
    last = ""
    for line in lines:
        if "error" in line:
            return str(line["error"]).strip(), last
        text = line.get("stream") or line.get("status") or ""
        for part in str(text).splitlines():
            if part.strip():
                last = part.strip()
                say(last)
    return "", last
