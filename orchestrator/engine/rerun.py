"""One trial of a run once more: with its code, inputs, parameters, seed and image, whatever the working tree is now."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.engine.machine import RunStatus, stage_before
from orchestrator.engine.plan import Plan, make_plan, secret_values
from orchestrator.engine.record import Record, TrialRow
from orchestrator.engine.session import new_id
from orchestrator.errors import NotFound, UsageError
from orchestrator.providers import connect
from orchestrator.spec.model import Spec
from orchestrator.spec.paths import resolved
from orchestrator.storage.layout import Home, RunKeys, bundle_key
from orchestrator.storage.open import open_store
from orchestrator.storage.seen import seen

# Facts of the run that hold for the rerun too.
_KEPT = ("name", "base", "provider", "store", "metric", "goal", "image")


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a rerun would be.  ``warnings`` say what is not as it was."""

    parent: str
    trial: int
    plan: Plan
    facts: dict[str, Any]
    manifest: dict[str, Any]
    params: dict[str, Any]
    warnings: tuple[str, ...]


def prepare(run: str, trial: int, home: Home) -> Rerun:
    """Everything that the trial had, found again; nothing is written.  Raises UsageError where it is not there."""
    with closing(Record.open(home.record(run))) as record:
        facts = record.facts()
        row = _row(record, run, trial, Spec.model_validate(facts["spec"]).stages)
    store = open_store(facts["store"], home)
    try:
        manifest = json.loads(store.get(RunKeys(run).manifest))
    except NotFound:
        manifest = {}
    code = facts["job"]["code"]
    if code is not None and not store.exists(bundle_key(code["digest"])):
        raise UsageError(
            f"The code of {run} is no longer in {facts['store']}: bundle {code['digest'][:12]} is missing."
        )
    spec = Spec.model_validate(_spec(facts, row))
    secret_values(spec)
    compute = connect(spec.provider, home, "plan")
    try:
        plan = make_plan(spec, Path(facts["base"]), compute)
    finally:
        compute.close()
    warnings = tuple(_changed_inputs(run, manifest, Path(facts["base"])))
    return Rerun(run, trial, plan, facts, manifest, dict(row.params), warnings)


def _row(record: Record, run: str, trial: int, stages: int) -> TrialRow:
    row = record.trial(trial)
    if row is None:
        raise UsageError(f"{run} has no trial {trial}.", remedy=f"`orchestrate results {run}` lists them.")
    before = stage_before(trial, stages)
    parent = row.parent if before is None else before
    if parent is not None:
        raise UsageError(
            f"Trial {trial} of {run} went on from the checkpoint of trial {parent} and is nothing without it."
        )
    return row


def _spec(facts: dict[str, Any], row: TrialRow) -> dict[str, Any]:
    """The parent's spec with one point and with nothing that would stop it early."""
    old = facts["spec"]
    search = {key: value for key, value in old.get("search", {}).items() if key in ("metric", "goal", "seed")}
    if facts.get("metric") is not None:  # of several goals, the first
        search |= {"metric": facts["metric"], "goal": facts["goal"]}
    parameters = {name: {"choice": [value]} for name, value in row.params.items()}
    kept = {key: value for key, value in old.items() if key != "matrix"}
    limits = {**old.get("limits", {}), "parallel": 1}
    return {**kept, "parameters": parameters, "search": search, "limits": limits}


def _changed_inputs(run: str, manifest: dict[str, Any], base: Path) -> list[str]:
    said = []
    for item in manifest.get("inputs", ()):
        before = item.get("seen")
        if before is not None and seen(resolved(base, item["from"])) != before:
            said.append(f"The input {item['from']} is not as it was when {run} was made (files, sizes or times).")
    return said


def create(wanted: Rerun, home: Home) -> str:
    """Write the new run down; returns its id.  Its one trial has the number that it had."""
    spec, parent = wanted.plan.spec, {"run": wanted.parent, "trial": wanted.trial}
    now = time.time()
    run = new_id(spec.name, now)
    job = {**wanted.facts["job"], "run": run}
    data = spec.model_dump(mode="json", exclude_unset=True)
    own = {"run": run, "created": now, "spec": data, "total": 1, "rerun": parent}
    facts = {
        **{key: wanted.facts[key] for key in _KEPT if key in wanted.facts},
        **own,
        "status": RunStatus.RUNNING,
        "reason": "",
        "job": job,
    }
    store = open_store(facts["store"], home)
    keys = RunKeys(run)
    store.put(keys.manifest, json.dumps({**wanted.manifest, **own}, indent=2).encode())
    store.put(keys.job, json.dumps(job).encode())
    home.run(run).mkdir(parents=True)
    with closing(Record.create(home.record(run), facts)) as record:
        record.add_trial(wanted.trial, wanted.params)
    return run
