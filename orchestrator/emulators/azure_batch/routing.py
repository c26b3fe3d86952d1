"""Which operation a request means."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .errors import BatchFault
from .protocol import Call, Reply

if TYPE_CHECKING:
    from .account import Account

Operation = Callable[["Account", Call], "Reply | Awaitable[Reply]"]
_Op = TypeVar("_Op", bound=Operation)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    Args:
        name: the operation's name as the Python SDK calls it.
        body: the request body's model in `bodies`, None where there is none.
        body_optional: an empty body is an empty object.
    """

    name: str
    method: str
    path: tuple[str, ...]
    body: str | None
    body_optional: bool
    run: Operation


ROUTES: list[Route] = []


def operation(method: str, path: str, body: str | None = None, *, body_optional: bool = False) -> Callable[[_Op], _Op]:
    """Register the decorated function, under its own name, for a method and a path template."""

    def register(function: _Op) -> _Op:
        parts = tuple(part for part in path.split("/") if part)
        ROUTES.append(Route(function.__name__, method, parts, body, body_optional, function))
        return function

    return register


def find(call: Call) -> Route:
    """The operation that a call means; its path parameters are put into the call.

    Raises:
        BatchFault: there is no such path, or it has no such method.
    """
    other_methods = False
    for route in ROUTES:
        parameters = _match(route.path, call.segments)
        if parameters is None:
            continue
        if route.method == call.method:
            call.parameters = parameters
            return route
        other_methods = True
    raise BatchFault("UnsupportedHttpVerb" if other_methods else "InvalidUri")


def _match(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    # A file's path may come with its slashes quoted (one segment) or not (several).
    if template[-1] == "{filePath}" and len(segments) > len(template):
        segments = [*segments[: len(template) - 1], "/".join(segments[len(template) - 1 :])]
    if len(template) != len(segments):
        return None
    parameters: dict[str, str] = {}
    for part, segment in zip(template, segments, strict=True):
        if part.startswith("{"):
            parameters[part[1:-1]] = segment
        elif part != segment.lower():
            return None
    return parameters


async def perform(route: Route, account: Account, call: Call) -> Reply:
    """Run an operation, whether it is a coroutine or not."""
    result = route.run(account, call)
    if inspect.isawaitable(result):
        return await result
    return result
