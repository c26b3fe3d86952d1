"""``orchestrate fetch RUN [TRIAL]...``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.ending import best_trial, read, rows_of
from orchestrator.cli.terminal import say, show
from orchestrator.engine.runs import find
from orchestrator.errors import UsageError
from orchestrator.results.export import to_json
from orchestrator.results.fetch import fetch, folder_of
from orchestrator.results.leaderboard import Trial
from orchestrator.results.read import TERMINAL, Overview
from orchestrator.results.words import count
from orchestrator.storage.open import open_store


@click.command("fetch", cls=Command)
@run_argument
@click.argument("trials", type=click.IntRange(min=0), nargs=-1, metavar="[TRIAL]...")
@click.option("--all", "everything", is_flag=True, help="Every trial that has ended.")
@click.option(
    "--to",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the folder RUN is made; else here.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a trial: its folder and its files.")
@pass_app
def command(app: App, run: str, trials: tuple[int, ...], everything: bool, target: Path, as_json: bool) -> int:
    """Copy what TRIALs have left (outputs, logs, metrics) from the object store into a folder of this machine.

    Without TRIAL it is the best one. What is there already is not copied again, so that a copy that was broken off goes
    on. Each trial gets a folder of its own, whose path is printed.
    """
    if trials and everything:
        raise click.UsageError("--all goes without TRIALs.")
    seen, ranked = read(app.home, find(app.home, run))
    wanted = _wanted(seen, ranked, trials, everything)
    store = open_store(seen.store, app.home)
    for trial in wanted:
        files = fetch(store, trial, target)
        here = folder_of(target, seen.run, trial.trial)
        if as_json:
            inside = [str(file.relative_to(here)) for file in files]
            show(to_json({"trial": trial.trial, "folder": str(here), "files": inside}))
        else:
            show(str(here))
            say(f"Trial {trial.trial}: {count(len(files), 'file')}.")
    return 0


def _wanted(seen: Overview, ranked: list[Trial], trials: tuple[int, ...], everything: bool) -> list[Trial]:
    if everything:
        return sorted((trial for trial in ranked if trial.state in TERMINAL), key=lambda trial: trial.trial)
    if not trials:
        best = best_trial(seen, rows_of(seen, ranked))
        if best is None:
            raise UsageError(f"{seen.run} has no best trial.", remedy="Name trials, or say --all.")
        return [best]
    known = {trial.trial: trial for trial in ranked}
    for number in trials:
        if number not in known:
            raise UsageError(f"{seen.run} has no trial {number} (yet).")
        if known[number].state not in TERMINAL:
            raise UsageError(
                f"Trial {number} of {seen.run} has not ended: it is {known[number].state}.",
                remedy="`orchestrate logs` shows what it has written so far.",
            )
    return [known[number] for number in dict.fromkeys(trials)]
