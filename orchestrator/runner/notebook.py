"""A notebook as a trial: ``python notebook.py SOURCE TARGET`` runs SOURCE with the trial's parameters into TARGET.

Its text is part of the command, so that an image needs nothing of ours: papermill and a kernel have to be there.
What the cells print is what this prints.  TARGET is there also when a cell fails.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import import_module

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def main(source: str, target: str) -> None:
    try:
        papermill, specs = import_module("papermill"), import_module("jupyter_client.kernelspec")
        import_module("ipykernel")
    except ImportError as error:
        sys.exit(f"A notebook needs papermill and ipykernel, and here is {error}: name both in workload.requirements.")
    with open(os.environ["ORCHESTRATE_PARAMS"]) as file:
        parameters = json.load(file)
    try:
        with open(source) as file:
            about = json.load(file).get("metadata", {})
            wanted = about.get("kernelspec", {})
            language = wanted.get("language") or about.get("language_info", {}).get("name") or "python"
    except (OSError, ValueError, AttributeError) as error:
        sys.exit(f"{source} is no notebook that can be read: {error}")
    kernel = wanted.get("name", "python3")
    if language == "python":
        # Notebooks keep the name of their author's kernel; what is meant is the trial's own Python.
        kernel = "python3"
    elif kernel not in specs.find_kernel_specs():
        sys.exit(f"{source} needs the kernel '{kernel}', which is not installed here.")
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters,
            kernel_name=kernel,
            language=language,
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
        )
    except papermill.PapermillExecutionError as error:
        print(*(_COLOUR.sub("", line) for line in error.traceback), sep="\n", file=sys.stderr)
        sys.exit(f"{source}: cell In [{error.exec_count}] failed: {error.ename}: {error.evalue}")


if __name__ == "__main__":
    main(*sys.argv[1:])
