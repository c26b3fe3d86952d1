"""``orchestrate plot RUN``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.terminal import dim, say, show
from orchestrator.engine.runs import find
from orchestrator.errors import MachineError, UsageError


@click.command("plot", cls=Command)
@run_argument
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to; default: RUN-plots."
)
@pass_app
def command(app: App, run: str, folder: Path | None) -> int:
    """Draw RUN: one HTML page that needs nothing beside it, and a PNG of each picture."""
    try:
        from orchestrator.results.plots import data, page
    except ImportError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        raise UsageError("Pictures need matplotlib.", remedy="pip install 'orchestrator[plot]'") from None
    run = find(app.home, run)
    target = folder or Path(f"{run}-plots")
    try:
        written = page.write(data.read(app.home, run), target)
    except OSError as error:
        raise MachineError(f"The pictures cannot be written to {target}: {error.strerror or error}.") from error
    show(str(written.page))
    for image in written.images:
        show(str(image))
    for name, why in written.left_out.items():
        say(dim(f"no {name}: {why}"))
    return 0
