"""``orchestrate attach URL``."""

from __future__ import annotations

import click

from orchestrator.cli.app import App, Command, pass_app
from orchestrator.cli.terminal import dim, say, show


@click.command("attach", cls=Command)
@click.argument("url", metavar="URL")
@pass_app
def command(app: App, url: str) -> int:
    """Take up a run that another machine began, by its place in the object store, and print its id.

    URL is STORE/runs/ID, such as s3://bucket/prefix/runs/glyphs-251121-034412-abcd. The run is known here from then
    on: `orchestrate resume` goes on with it, and so do all other commands. Its driver elsewhere must be dead.
    """
    from orchestrator.engine.sharing import attach

    run = app.run = attach(url, app.home)
    show(run)
    say(dim(f"Go on:  orchestrate resume {run}"))
    return 0
