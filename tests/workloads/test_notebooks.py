"""The notebook: its cell of parameters, and its execution where papermill is."""

import json
import subprocess
from pathlib import Path

import pytest

from .conftest import WORKLOADS
from .test_frameworks import interpreter

NOTEBOOK = WORKLOADS / "notebooks" / "train.ipynb"


def test_the_notebook_has_one_cell_of_parameters_and_no_stale_results() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.frameworks
def test_the_executed_notebook_holds_its_results_and_a_cut_one_goes_on(tmp_path: Path) -> None:
    python = interpreter("papermill", "ipykernel", "matplotlib")

    def execute(folder: str, epochs: int) -> dict:
        (tmp_path / folder).mkdir(exist_ok=True)
        arguments = ["-p", "epochs", str(epochs), "-p", "lr", "0.5", "-k", "python3"]
        subprocess.run(
            [python, "-m", "papermill", NOTEBOOK, "executed.ipynb", *arguments],
            cwd=tmp_path / folder,
            env={"PYTHONPATH": str(WORKLOADS), "PATH": f"{Path(python).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
            check=True,
            capture_output=True,
            timeout=200,
        )
        return json.loads((tmp_path / folder / "model" / "model.json").read_text())

    whole = execute("whole", 30)
    execute("cut", 12)
    rest = execute("cut", 30)
    assert rest == whole
    executed = (tmp_path / "cut" / "executed.ipynb").read_text()
    assert "going on after epoch 12" in executed
    assert "image/png" in executed
