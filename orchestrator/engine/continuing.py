"""More trials, money or time for a run that has ended: the same run goes on with the same code and the same search.

Everything that decides what a trial is stays: only how much of it may be had can change.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator.engine import sources
from orchestrator.engine.lock import hold
from orchestrator.engine.machine import TERMINAL, RunStatus
from orchestrator.engine.plan import Plan, make_plan
from orchestrator.engine.record import Record
from orchestrator.errors import NotFound, UsageError
from orchestrator.providers import connect
from orchestrator.spec.load import changed
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store

# What a run that goes on may be given.  Everything else would make trials that cannot be compared with the first ones.
_SEARCH = ("trials", "target", "patience")
_SECTIONS = ("limits", "pool")


def extended(run: str, home: Home, trials: str | None, overrides: Sequence[str]) -> Plan:
    """What the run would be with these changes; nothing is written.

    ``trials`` is a number or ``+N`` for so many more; ``overrides`` are texts such as ``limits.max_cost=50``.  Raises
    UsageError, and SpecError for a value that cannot be, where the run cannot go on so.
    """
    for override in overrides:
        _check(override, run)
    with closing(Record.open(home.record(run))) as record:
        facts = record.facts()
        counts = record.counts()
        recorded, ended = sum(counts.values()), sum(counts.get(state, 0) for state in TERMINAL)
    if "rerun" in facts:
        raise UsageError(f"{run} is the rerun of one trial; it has no more of them.")
    old = Spec.model_validate(facts["spec"])
    changes = list(overrides)
    if trials is not None:
        changes.append(f"search.trials={_wanted(trials, old.search.trials or facts.get('total'), run)}")
    spec = changed(facts["spec"], changes, run)
    if spec.algorithm == "latin_hypercube" and spec.search.trials != old.search.trials:
        raise UsageError(
            f"The points of {run} are a latin_hypercube, which was laid out for {old.search.trials} trials.",
            remedy="Start a new run; with sobol, halton or random a run can go on.",
        )
    base = Path(facts["base"])
    sources.check_table(spec, base, facts)
    told = sources.earlier(spec, home, facts.get("earlier"))
    compute = connect(spec.provider, home, run)
    try:
        plan = make_plan(spec, base, compute, told, sources.listing(home))
    finally:
        compute.close()
    if plan.trials is not None and plan.trials < recorded:
        raise UsageError(f"{run} has {recorded} trials already.", remedy="--trials +20 asks for 20 more.")
    if plan.trials is not None and plan.trials == ended:
        raise UsageError(
            f"All trials that {run} can have ({plan.trials}) have ended.",
            remedy="--trials +20 asks for 20 more."
            if trials is None
            else f"Its search (algorithm: {spec.algorithm}) has no more points: start a new run over a larger space.",
        )
    return plan


def go_on(run: str, home: Home, plan: Plan) -> None:
    """Write down that the run has this plan now, and is to be driven again.  Raises RunBusy where it is driven."""
    spec = plan.spec
    now = time.time()
    with hold(home.lock(run), run), closing(Record.open(home.record(run))) as record:
        facts = record.facts()
        job = {**facts["job"], "timeout": spec.limits.timeout, "grace": spec.limits.grace}
        data = spec.model_dump(mode="json", exclude_unset=True)
        earlier_plans = [*facts.get("earlier_plans", ()), {"until": now, "total": facts.get("total")}]
        fresh: dict[str, Any] = {
            "spec": data,
            "total": plan.trials,
            "job": job,
            "status": RunStatus.RUNNING,
            "reason": "",
            "started": None,
            "finished": None,
            "reopened": now,
            "settled": sum(record.counts().get(state, 0) for state in TERMINAL),
            "seconds_before": facts.get("seconds") or 0.0,
            "earlier_plans": earlier_plans,
        }
        store = open_store(facts["store"], home)
        key = RunKeys(run).manifest
        try:
            manifest = json.loads(store.get(key))
        except NotFound:
            manifest = {"run": run, "name": spec.name}
        manifest |= {"spec": data, "total": plan.trials, "earlier_plans": earlier_plans}
        store.put(key, json.dumps(manifest, indent=2).encode())
        with record.transaction():
            record.set_facts(fresh)


def _check(override: str, run: str) -> None:
    section, _, key = override.partition("=")[0].strip().partition(".")
    if section in _SECTIONS or (section == "search" and key in _SEARCH):
        return
    allowed = ", ".join([*(f"search.{name}" for name in _SEARCH), *(f"{name}.*" for name in _SECTIONS)])
    raise UsageError(
        f"--set {override.partition('=')[0]}: the trials that {run} has were made without it.",
        remedy=f"A run that goes on can be given {allowed}; anything else is a new run (search.warm_start learns from "
        "this one).",
    )


def _wanted(text: str, now: int | None, run: str) -> int:
    if re.fullmatch(r"\+?[0-9]{1,12}", text.strip(), re.ASCII) is None:
        raise UsageError(f"--trials {text}: is no number of trials.", remedy="Write --trials +20, or --trials 60.")
    number = int(text)
    if not text.strip().startswith("+"):
        return number
    if now is None:
        raise UsageError(
            f"--trials {text}: nobody knows how many trials {run} has yet.",
            remedy="Name the number of all: --trials 60.",
        )
    return now + number
