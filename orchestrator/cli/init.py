"""``orchestrate init [DIR]``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.cli.app import Command
from orchestrator.cli.terminal import say
from orchestrator.errors import UsageError


@click.command("init", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
def command(folder: Path) -> int:
    """Write a commented sweep.yaml and a training program that run as they are into DIR (default: here)."""
    from orchestrator.spec.starter import write_starter

    try:
        paths = write_starter(folder)
    except FileExistsError as error:
        raise UsageError(f"{error}, and nothing was written.", remedy="Name another folder.") from None
    except NotADirectoryError:
        raise UsageError(f"{folder} cannot be made: a part of its path is a file.") from None
    for path in paths:
        say(f"wrote {os.path.relpath(path)}")
    say(f"Run it:  orchestrate run {os.path.relpath(paths[0])}")
    return 0
