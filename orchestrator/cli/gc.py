"""``orchestrate gc``."""

from __future__ import annotations

import time

import click

from orchestrator.cli.app import App, Command, complete_provider, pass_app
from orchestrator.cli.terminal import bold, dim, red, say, show, warn, yellow
from orchestrator.engine import leftovers
from orchestrator.errors import OrchestrateError
from orchestrator.results.export import to_json
from orchestrator.results.words import count


@click.command("gc", cls=Command)
@click.option(
    "--provider",
    metavar="P",
    shell_complete=complete_provider,
    multiple=True,
    help="Ask this cloud too, where no run of this machine has been.",
)
@click.option(
    "--region", metavar="R", multiple=True, help="Look in this region too, beside the present one and those of runs."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be given back.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a thing.")
@pass_app
def command(app: App, provider: tuple[str, ...], region: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Give back what dead runs have left behind: processes, pools, working folders, half-written files.

    Runs that somebody drives are never touched, results and logs never deleted. The machines of an abandoned run are
    named and left alone until its lease is over, since it may be resumed.
    """
    done = failed = 0
    kept: set[str | None] = set()
    for found in leftovers.find(app.home, provider, region):
        if isinstance(found, leftovers.Unreachable):
            failed += 1
            warn(f"The provider {found.provider} could not be asked: {found.error}")
            continue
        if isinstance(found, leftovers.Kept):
            _keep(found, as_json, told=found.run in kept)
            kept.add(found.run)
            continue
        error = ""
        if not dry_run:
            try:
                found.remove()
            except OrchestrateError as refused:
                error = str(refused)
        done, failed = (done, failed + 1) if error else (done + 1, failed)
        if as_json:
            action = "failed" if error else "found" if dry_run else "removed"
            record = {"kind": found.kind, "name": found.name, "run": found.run, "detail": found.detail}
            show(to_json({**record, "action": action, "error": error or None}))
        else:
            _show(found, error)
    if done:
        say(f"{count(done, 'thing')} {'to give back' if dry_run else 'given back'}")
    elif not failed and not kept:
        say("Nothing was left behind.")
    return 3 if failed else 0


def _keep(found: leftovers.Kept, as_json: bool, *, told: bool) -> None:
    """A run has several things, and is spoken of once (``told``)."""
    if as_json:
        record = {"kind": found.kind, "name": found.name, "run": found.run, "detail": found.detail}
        show(to_json({**record, "action": "kept", "error": None}))
        return
    end = "" if found.until is None else f" until {time.strftime('%Y-%m-%d %H:%M', time.localtime(found.until))}"
    show(f"{bold(found.kind)}  {found.name}  {found.detail}  {yellow(f'kept{end}')}")
    if told:
        return
    if found.here:
        say(f"  Nobody drives {found.run}. Give it back:  orchestrate cancel {found.run}")
        say(dim(f"  or go on:  orchestrate resume {found.run}"))
    else:
        say(dim(f"  {found.run or 'Its run'} is not of this machine; another one may drive it."))


def _show(found: leftovers.Leftover, error: str) -> None:
    detail = f"  {found.detail}" if found.detail else ""
    run = dim(f"  of {found.run}") if found.run and found.run not in found.name else ""
    show(f"{bold(found.kind)}  {found.name}{detail}{run}" + (f"  {red(error)}" if error else ""))
