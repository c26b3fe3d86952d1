"""Searches whose driver hears of results from afar: the ready sweeps on the emulated Azure Batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.emulators.azurite import find_azurite
from orchestrator.emulators.childserver import ServerFailed
from tests.e2e.conftest import Shell
from tests.e2e.test_searches import EXPECTED, TEMPLATES

# An epoch takes longer than the provider takes to tell of it, so that there is something to give up.
SLOWLY = (
    "workload.command=python train.py --lr {lr} --momentum {momentum} --epochs 27 --pause 0.25",
    "search.trials=12",
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    try:
        find_azurite()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    shell = Shell(tmp_path_factory.mktemp("cloud"))
    with shell.start("emulate", "azure", "--json") as emulator:
        assert emulator.stdout is not None
        shell.env.update(json.loads(emulator.stdout.readline()))
        yield shell
        emulator.terminate()


@pytest.mark.parametrize(
    ("name", "changes"),
    [("early_stopping", SLOWLY), ("pbt", ()), ("files", ()), ("tpe", ()), ("stages", ())],
    ids=lambda one: str(one)[:14],
)
def test_a_ready_search_tries_there_what_it_says(cloud: Shell, name: str, changes: tuple[str, ...]) -> None:
    template: Path = TEMPLATES / f"{name}.yaml"
    words = [word for change in changes for word in ("--set", change)]
    (summary,) = cloud.json("run", str(template), "--provider", "azure", "--yes", *words)
    assert summary["status"] == "succeeded"
    assert summary["trials"]["failed"] == 0
    EXPECTED[name]([row for row in cloud.json("results", summary["run"]) if row["state"] != "cancelled"])
