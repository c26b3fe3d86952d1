"""From an exception to what the user is told and to the exit code."""

from __future__ import annotations

import sqlite3
import sys
import time
import traceback
from pathlib import Path

import click

from orchestrator.cli.app import App
from orchestrator.cli.terminal import problem_line, say
from orchestrator.errors import OrchestrateError
from orchestrator.version import __version__

WRONG_INPUT = 2
MACHINE_FAILED = 3
INTERRUPTED = 130


def report(error: BaseException, app: App) -> int:
    """Tell the user in a sentence or a few; return the exit code."""
    if isinstance(error, SystemExit):
        raise error
    if app.debug and not isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        say(_hidden("".join(traceback.format_exception(error)), app))
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        return _interrupted(app)
    if isinstance(error, click.ClickException):
        return _misuse(error, app)
    if isinstance(error, OrchestrateError):
        _say_error(error.message, app, error.remedy)
        return error.exit_code
    problems = getattr(error, "problems", None)
    if isinstance(error, ValueError) and problems is not None:
        for problem in problems:
            say(_hidden(problem_line(problem), app))
        return WRONG_INPUT
    return _unexpected(error, app)


def _interrupted(app: App) -> int:
    if app.run is None:
        say("Interrupted.")
    else:
        say(f"Interrupted. `orchestrate resume {app.run}` goes on.")
    return INTERRUPTED


def _misuse(error: click.ClickException, app: App) -> int:
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows what there is." if context is not None else ""
    _say_error(error.format_message(), app, hint)
    return WRONG_INPUT


def _unexpected(error: BaseException, app: App) -> int:
    """Not foreseen.  The system's and the disk's failures are told as such; everything else is our mistake."""
    kept = _keep_traceback(error, app)
    where = f"The traceback is in {kept}." if kept else "Run it with --debug to see the traceback."
    if isinstance(error, OSError | sqlite3.Error | MemoryError):
        named = getattr(error, "filename", None)
        what = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        _say_error(f"This machine failed us: {what}{f': {named}' if named else ''}.", app, where)
    else:
        text = traceback.format_exception_only(error)[-1].strip()
        _say_error(f"This is a bug in orchestrate {__version__}: {text}", app, f"{where} Please report it.")
    return MACHINE_FAILED


def _keep_traceback(error: BaseException, app: App) -> Path | None:
    path = app.home.driver_log(app.run) if app.run is not None else app.home.path / "error.log"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    text = "".join(traceback.format_exception(error))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            log.write(_hidden(f"{stamp} orchestrate {__version__}, Python {sys.version.split()[0]}\n{text}\n", app))
    except OSError:
        return None
    return path


def _say_error(message: str, app: App, hint: str = "") -> None:
    say(f"{click.style('error:', fg='red', bold=True)} {_hidden(message, app)}")
    if hint:
        say(f"  {_hidden(hint, app)}")


def _hidden(text: str, app: App) -> str:
    """Without the values of secrets, should one have come into a message of somebody else's making."""
    for secret in app.secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    return text
