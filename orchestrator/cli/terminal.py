"""Writing for a person: messages on stderr, results on stdout, colours only where they are seen."""

from __future__ import annotations

import os
import shutil
import sys
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.spec.problems import Problem


def coloured(stream: IO[Any]) -> bool:
    """Whether colours help: on a terminal that knows them, and unless NO_COLOR asks for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str = "") -> None:
    """One message on stderr.  A terminal that is gone is no reason to end a run."""
    try:
        click.echo(text, err=True, color=None if coloured(sys.stderr) else False)
    except OSError:
        return


def warn(text: str) -> None:
    say(f"{click.style('warning:', fg='yellow', bold=True)} {text}")


def problem_line(problem: Problem) -> str:
    """``sweep.yaml:4:3: error: what``, as compilers write it, so that editors find the place."""
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
    if problem.severity == "warning":
        word = click.style("warning:", fg="yellow", bold=True)
    else:
        word = click.style("error:", fg="red", bold=True)
    subject = f"{problem.path}: " if problem.path else ""
    hint = f"; {problem.hint}" if problem.hint else ""
    return f"{bold(place)}: {word} {subject}{problem.message}{hint}"


def show(text: str = "") -> None:
    """One line of results on stdout."""
    click.echo(text, color=None if coloured(sys.stdout) else False)


def table_width() -> int | None:
    """The columns of the terminal that stdout is; None where it is none, so that nothing is left out."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def bold(text: str) -> str:
    return click.style(text, bold=True)


def dim(text: str) -> str:
    return click.style(text, dim=True)


def green(text: str) -> str:
    return click.style(text, fg="green")


def red(text: str) -> str:
    return click.style(text, fg="red")


def yellow(text: str) -> str:
    return click.style(text, fg="yellow")
