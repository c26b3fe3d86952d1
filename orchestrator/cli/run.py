"""``orchestrate run SPEC``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from orchestrator.cli.app import App, Command, complete_provider, pass_app
from orchestrator.cli.terminal import bold, dim, problem_line, say, show, warn
from orchestrator.engine import session
from orchestrator.engine.machine import RunStatus
from orchestrator.engine.plan import Plan, secret_values
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.results.words import count, money
from orchestrator.spec.load import load


@click.command("run", cls=Command)
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
@click.option(
    "--provider",
    metavar="P",
    shell_complete=complete_provider,
    help="Run there, whatever the spec says: local or a cloud.",
)
@click.option(
    "--set", "overrides", metavar="A.B=VALUE", multiple=True, help="Replace one value of the spec; may be repeated."
)
@click.option("--emulate", is_flag=True, help="Run against an emulator of the cloud on this machine.")
@click.option("--detach", is_flag=True, help="Drive the run in the background and print its id.")
@click.option("--yes", is_flag=True, help="Do not ask before something that may cost money.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else on stdout.")
@pass_app
def command(
    app: App,
    spec: Path,
    provider: str | None,
    overrides: tuple[str, ...],
    emulate: bool,
    detach: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Run the sweep of SPEC (a YAML file) and print its ranked results.

    Progress goes to stderr, results to stdout. Ctrl-C stops the trials in order; a second one stops waiting for
    them. `orchestrate resume` goes on with a run that was stopped or killed.
    """
    from orchestrator.cli.driving import EXIT_CODES, drive
    from orchestrator.cli.failure import INTERRUPTED

    loaded = load(spec, with_provider(provider, overrides))
    if detach and len(loaded.specs) > 1:
        raise UsageError(
            f"--detach starts one run, and the matrix of {spec} stands for {len(loaded.specs)}.",
            remedy="Leave --detach out, or give each entry a file of its own.",
        )
    for problem in loaded.warnings:
        say(problem_line(problem))
    if emulate:
        from orchestrator.cli.emulate import stand_in

        stand_in(app, {one.provider for one in loaded.specs}, detach)
        # The store that a spec names is the real cloud's.
        away = [one if one.provider == "local" else one.model_copy(update={"storage": None}) for one in loaded.specs]
        loaded = replace(loaded, specs=tuple(away))
    plans = [session.plan(one, loaded.base, app.home) for one in loaded.specs]
    for plan in plans:
        for warning in plan.estimate.warnings:
            warn(warning)
        app.secrets += tuple(secret_values(plan.spec).values())
    # Nobody is billed for an emulated cloud, whatever its prices.
    if not (yes or emulate or agreed(plans)):
        say("Nothing was started.")
        return INTERRUPTED
    codes: list[int] = []
    runs: list[str] = []
    for plan in plans:
        created = session.create(plan, app.home, source=loaded.source or None)
        app.run = created.run
        for warning in created.warnings:
            warn(warning)
        if runs:
            say()
        announce(created.run, plan, emulated=emulate)
        if detach:
            session.detach(created.run, app.home)
            show(created.run)
            return 0
        status = drive(app, created.run, plan.spec)
        runs.append(created.run)
        codes.append(EXIT_CODES[status])
        if emulate:
            keep_best(app, created.run)
        finish(app, created.run, as_json, status)
        if status in (RunStatus.INTERRUPTED, RunStatus.CANCELLED):
            break
    if len(runs) > 1 and not as_json:
        from orchestrator.cli.joint import show_joint

        with suppress(BrokenPipeError):
            show_joint(app.home, runs)
    return max(codes)


def with_provider(provider: str | None, overrides: Sequence[str]) -> list[str]:
    return [*overrides, *([f"provider={provider}"] if provider is not None else [])]


def announce(run: str, plan: Plan, *, emulated: bool = False) -> None:
    """``glyphs-251121-034412-abcd  12 trials, 2 at a time, on local``."""
    facts = [*terms(plan), *(["emulated: nothing is billed"] if emulated else [])]
    say(f"{bold(run)}  {dim(', '.join(facts))}")


def at_once(plan: Plan) -> int:
    return plan.parallel if plan.points is None else min(plan.parallel, plan.points)


def terms(plan: Plan) -> list[str]:
    trials = "trials" if plan.trials is None else count(plan.trials, "trial")
    facts = [trials, f"{at_once(plan):,} at a time", f"on {plan.spec.provider}"]
    if plan.cost is None:
        facts.append(f"{money(plan.estimate.rate)} an hour, without a limit")
    elif plan.cost > 0:
        facts.append(f"at most {money(plan.cost)}")
    return facts


def agreed(plans: Sequence[Plan]) -> bool:
    """Nothing that may cost money starts unasked.  Raises UsageError where nobody can be asked."""
    if all(plan.cost == 0 for plan in plans):
        return True
    bounded = [plan.cost for plan in plans if plan.cost is not None]
    if len(bounded) == len(plans):
        most = f"may cost up to {money(sum(bounded))}"
    else:
        most = "may cost money without a limit (limits.max_cost sets one)"
    if not sys.stdin.isatty():
        raise UsageError(f"This run {most}, and there is no terminal to ask on.", remedy="Say --yes to start it.")
    for plan in plans:
        say(f"{bold(plan.spec.name)}  {', '.join(terms(plan))}")
    return click.confirm(f"This run {most}. Start it?", err=True)


def keep_best(app: App, run: str) -> None:
    """The files of the best trial outlive the emulated cloud that they lie in."""
    from orchestrator.cli.ending import best_trial, read, rows_of
    from orchestrator.results.fetch import fetch
    from orchestrator.storage.open import open_store

    seen, ranked = read(app.home, run)
    best = best_trial(seen, rows_of(seen, ranked))
    if best is None:
        return
    try:
        fetch(open_store(seen.store, app.home), best, seen.fetched)
    except OrchestrateError as error:
        warn(f"The files of trial {best.trial} are lost with the emulated cloud: {error}")


def finish(app: App, run: str, as_json: bool, status: RunStatus | None = None) -> None:
    """Show what the run came to, or how we left it while it was still stopping (``status``).

    A reader of stdout that is gone changes nothing about the run's exit code.
    """
    from orchestrator.cli.ending import read, show_end, summary

    seen, ranked = read(app.home, run)
    if status is not None and not seen.ended:
        seen = replace(seen, status=str(status), finished=time.time())
    with suppress(BrokenPipeError):
        if as_json:
            show(summary(seen, ranked))
        else:
            show_end(seen, ranked)
