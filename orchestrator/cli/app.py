"""What every command is handed: where the state lies, and what the error boundary must know when something fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from orchestrator.storage.layout import Home

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class App:
    """``run`` is the run that is being worked on, once there is one: its log takes the traceback of a bug.  ``secrets``
    are values that no message may show."""

    home: Home = field(default_factory=Home.default)
    debug: bool = False
    run: str | None = None
    secrets: tuple[str, ...] = ()


pass_app = click.make_pass_decorator(App)


class Command(click.Command):
    """A command that takes ``--debug`` wherever a user thinks of it."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), DEBUG]


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(App).debug = True


DEBUG = click.Option(
    ["--debug"], is_flag=True, expose_value=False, callback=_set_debug, help="Show the traceback of an error."
)


def complete_run(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The ids of this machine's runs, for the shell, newest first."""
    from orchestrator.engine.runs import listed

    return [run for run, _ in listed(Home.default()) if run.startswith(incomplete)]


def complete_provider(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of the providers, for the shell."""
    from orchestrator.providers import PROVIDERS

    return [name for name in PROVIDERS if name.startswith(incomplete)]


def run_argument(function: F) -> F:
    """``RUN``: an id, an unambiguous beginning of one, or ``last``."""
    decorated: F = click.argument("run", metavar="RUN", shell_complete=complete_run)(function)
    return decorated
