"""The notebook: its cell of parameters, and what is left and said where a cell fails."""

import json
from pathlib import Path

import pytest

from .conftest import WORKLOADS, Shell

NOTEBOOK = WORKLOADS / "notebooks" / "train.ipynb"
SPEC = """
name: cells
workload: {code: code, notebook: cells.ipynb, metrics: {score: 'score=(.*)'}}
parameters: {divisor: [2, 0]}
search: {metric: score}
limits: {parallel: 2}
"""


def test_the_notebook_has_one_cell_of_parameters_and_no_stale_results() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def cell(source: str, *tags: str) -> dict:
    empty = {"cell_type": "code", "outputs": [], "execution_count": None}
    return {**empty, "metadata": {"tags": list(tags)}, "source": source}


def test_what_cells_print_is_the_trials_and_a_cell_that_fails_is_named_and_kept(shell: Shell) -> None:
    pytest.importorskip("papermill")
    cells = [cell("divisor = 1", "parameters"), cell("print('dividing')"), cell("print(f'score={1 / divisor}')")]
    kernel = {"name": "of-its-author", "display_name": "names no language, as some editors do"}
    (shell.folder / "code").mkdir()
    (shell.folder / "code" / "cells.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
    )
    (shell.folder / "sweep.yaml").write_text(SPEC)
    run = shell.start("run", "sweep.yaml", "--json")
    summary = json.loads(run.communicate(timeout=200)[0])
    assert run.returncode == 1
    good, bad = sorted(shell.trials(summary["run"]), key=lambda trial: trial["trial"])
    assert (good["state"], good["metrics"]) == ("succeeded", {"score": 0.5})
    assert bad["state"] == "failed"
    (executed,) = bad["outputs"]
    assert executed.endswith("cells.executed.ipynb")
    kept = json.loads(Path(executed).read_text())["cells"]
    assert any(output.get("ename") == "ZeroDivisionError" for one in kept for output in one.get("outputs", []))
    told = (shell.folder / "stderr.txt").read_text()
    assert "cells.ipynb: cell In [4] failed: ZeroDivisionError: division by zero" in told
    assert "Traceback" not in told
