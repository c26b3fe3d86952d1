"""``orchestrate plan SPEC``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.app import App, Command, complete_provider, pass_app
from orchestrator.cli.run import at_once, with_provider
from orchestrator.cli.terminal import bold, dim, problem_line, say, show, warn
from orchestrator.engine import session
from orchestrator.engine.job import job_document
from orchestrator.engine.plan import Plan
from orchestrator.errors import UsageError
from orchestrator.results.export import to_json
from orchestrator.results.words import count, money, pairs
from orchestrator.spec.load import load
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import Home


@click.command("plan", cls=Command)
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
@click.option(
    "--provider", metavar="P", shell_complete=complete_provider, help="Plan for this provider, whatever the spec says."
)
@click.option(
    "--set", "overrides", metavar="A.B=VALUE", multiple=True, help="Replace one value of the spec; may be repeated."
)
@click.option("--list", "listing", is_flag=True, help="Print every trial: its parameters and its command.")
@click.option(
    "--requests", is_flag=True, help="Print what would be sent to the cloud to make and add all, body by body."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --list one a trial, or a request.")
@pass_app
def command(
    app: App,
    spec: Path,
    provider: str | None,
    overrides: tuple[str, ...],
    listing: bool,
    requests: bool,
    as_json: bool,
) -> int:
    """Show what the sweep of SPEC would take: trials, calls to the provider, cost. Nothing is started or written."""
    loaded = load(spec, with_provider(provider, overrides))
    for problem in loaded.warnings:
        say(problem_line(problem))
    plans = [session.plan(one, loaded.base, app.home) for one in loaded.specs]
    for plan in plans:
        for warning in plan.estimate.warnings:
            warn(warning)
    for place, plan in enumerate(plans):
        if requests:
            _requests(plan, app.home, as_json)
        elif listing:
            _list(plan, as_json)
        elif as_json:
            show(to_json(_record(plan)))
        else:
            if place:
                show()
            _show(plan)
    return 0


def _record(plan: Plan) -> dict[str, Any]:
    """One task is one attempt of one trial."""
    return {
        "trials": plan.trials,
        "tasks": plan.trials,
        "api_calls": plan.estimate.api_calls,
        "cost": plan.cost,
    }


def _show(plan: Plan) -> None:
    spec = plan.spec
    show(bold(spec.name))
    staged = f", in {spec.stages} stages" if spec.stages > 1 else ""
    trials = "until the search ends" if plan.trials is None else f"{plan.trials:,} ({spec.algorithm}{staged})"
    show(f"  trials     {trials}, {at_once(plan):,} at a time")
    if spec.search.metric is not None:
        show(f"  ranked by  {spec.search.metric}, {spec.search.goal}")
    nodes = f", {count(plan.estimate.nodes, 'node')}" if plan.estimate.nodes > 1 else ""
    machine = f": {plan.estimate.machine}" if plan.estimate.machine else ""
    show(f"  on         {spec.provider}{machine}{nodes}")
    if plan.estimate.api_calls:
        show(f"  calls      {plan.estimate.api_calls:,} to the provider")
    show(f"  cost       {_cost(plan)}")
    if spec.workload.command is not None:
        words = spec.workload.command
        show(f"  command    {words if isinstance(words, str) else shlex.join(words)}")
    if plan.trials:
        first = plan.search.ask(0) if not plan.search.adaptive else None
        if first:
            show(dim(f"  trial 0    {pairs(first)}"))


def _cost(plan: Plan) -> str:
    hourly = f"{money(plan.estimate.rate)} an hour"
    if plan.estimate.usual is not None:
        hourly += f", usually {money(plan.estimate.usual)} as spot"
    if plan.cost is None:
        return f"{hourly}, without a limit (limits.max_cost sets one)"
    if plan.estimate.rate == 0:
        return money(0.0)
    return f"at most {money(plan.cost)}, {hourly}"


def _requests(plan: Plan, home: Home, as_json: bool) -> None:
    """A request at a time, as it would be sent."""
    sent = False
    for call in session.requests(plan, home):
        sent = True
        if as_json:
            show(to_json({"operation": call.operation, "body": call.body}))
        else:
            show(bold(call.operation))
            show(json.dumps(call.body, indent=2, ensure_ascii=False))
    if not sent:
        warn(f"The provider {plan.spec.provider} is sent no requests.")
    elif plan.search.adaptive:
        warn(f"The trials of search.algorithm {plan.spec.algorithm} follow from results: their requests are not shown.")


def _list(plan: Plan, as_json: bool) -> None:
    """One trial at a time, so that a million of them take no memory."""
    if plan.search.adaptive:
        raise UsageError(
            f"The trials of search.algorithm {plan.spec.algorithm} follow from results and cannot be listed beforehand."
        )
    render = renderer(plan.spec, plan.base)
    write = sys.stdout.write
    for trial, params in _trials(plan):
        words = render(trial, params)
        if as_json:
            write(to_json({"trial": trial, "params": params, "command": words}) + "\n")
        else:
            text = words if isinstance(words, str) else shlex.join(words)
            write(f"{bold(str(trial)) if sys.stdout.isatty() else trial}  {pairs(params)}\n    {text}\n")


def _trials(plan: Plan) -> Iterator[tuple[int, Mapping[str, Any]]]:
    trial = 0
    while (params := plan.search.ask(trial)) is not None:
        yield trial, params
        trial += 1


def renderer(spec: Spec, base: Path) -> Callable[[int, Mapping[str, Any]], str | list[str]]:
    """From a trial to the command as its runner will start it, by the runner's own rules."""
    from orchestrator.runner.runner import quote_word, render

    document = job_document(spec, "RUN", base, None)["command"]

    def command_of(trial: int, params: Mapping[str, Any]) -> str | list[str]:
        values = {**params, "run": "RUN", "trial": trial, "attempt": 1}
        if "shell" in document:
            return render(document["shell"], values, quote_word)
        return [render(word, values) for word in document["argv"]]

    return command_of
