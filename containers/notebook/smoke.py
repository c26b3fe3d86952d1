"""Runs a notebook, so that the image is known to work."""

import json
import pathlib
import tempfile

import papermill

cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "a = 1", "outputs": []}
rest = {**cell, "metadata": {}, "source": "import numpy; print(numpy.arange(a).sum())"}
with tempfile.TemporaryDirectory() as folder:
    source, target = pathlib.Path(folder, "in.ipynb"), pathlib.Path(folder, "out.ipynb")
    cells = [{**one, "execution_count": None} for one in (cell, rest)]
    source.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    settings = {"kernel_name": "python3", "language": "python", "progress_bar": False}
    papermill.execute_notebook(str(source), str(target), {"a": 5}, **settings)
    assert '"10\\n"' in target.read_text(), target.read_text()
print(f"papermill {papermill.__version__} works: a notebook with a parameter was run")
