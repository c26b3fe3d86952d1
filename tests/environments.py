"""Environments of the sweeps whose frameworks are not installed beside orchestrate, made by what makes a user's.

They stay in ``.emulators`` for the next time, some gigabytes in all; ``make clean`` removes them.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from orchestrator.engine.requirements import gathered
from orchestrator.providers.local.requirements import Preparation
from orchestrator.spec import Spec
from orchestrator.spec import load as load_spec

TEMPLATES = Path(__file__).parents[1] / "job_templates"
FOLDER = Path(__file__).parents[1] / ".emulators" / "environments"


def environ() -> dict[str, str]:
    """Our variables for programs that run in these environments."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATE_")}
    # What pip has not compiled, the first program that imports it does for all others.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    # Spark's seconds go into what makes programs of hours fast.
    return kept | {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


def sweep(template: str, row: str = "") -> Spec:
    """A ready sweep, or one row of its matrix."""
    loaded = load_spec(TEMPLATES / f"{template}.yaml")
    name = f"{loaded.spec.name}-{row}" if row else loaded.spec.name
    (found,) = (spec for spec in loaded.specs if spec.name == name)
    return found


class Environments:
    """What cannot be made is skipped with pip's reason; torch with CUDA, gigabytes, is made where ``cuda`` says so."""

    def __init__(self, folder: Path, *, cuda: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._cuda = cuda
        self._made = cache(self._make)

    def of(self, template: str, row: str = "") -> Path | None:
        """The environment of a sweep; None where it names no requirements."""
        texts = gathered(sweep(template, row).workload, TEMPLATES)
        if texts is None:
            return None
        if "pyspark" in texts["packages"] and not (shutil.which("java") or "JAVA_HOME" in os.environ):
            pytest.skip("SPARK IS NOT TESTED HERE: there is no Java (apt-get install default-jre-headless)")
        folder, missing = self._made(tuple(texts.items()))
        if missing:
            pytest.skip(missing)
        return folder

    def python(self, template: str, row: str, *modules: str) -> str:
        """An interpreter for the sweep's program: ours, where it has these modules."""
        if all(map(find_spec, modules)):
            return sys.executable
        folder = self.of(template, row)
        assert folder is not None
        return str(folder / "bin" / "python")

    def _make(self, items: tuple[tuple[str, str], ...]) -> tuple[Path, str]:
        texts = dict(items)
        missing = "" if self._cuda else only_with_cuda(texts["packages"])
        if missing:
            return self.folder, missing
        # pip compiles all of a package, which takes as long as the rest; a program imports a small part of it.
        making = Preparation(self.folder, texts, {**os.environ, "PIP_COMPILE": "0"})
        try:
            while not making.done:
                time.sleep(0.05)
        finally:
            if not making.done:
                making.stop()
        return making.folder, making.error and f"FRAMEWORKS ARE NOT TESTED HERE: {making.error}"


def only_with_cuda(packages: str) -> str:
    """Why torch would take gigabytes: on Linux the usual build of it has CUDA, and pip finds no other here."""
    pins = re.findall(r"^torch==[\d.]+$", packages, re.MULTILINE)
    if not pins or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return ""
    install = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet"]
    done = subprocess.run([*install, f"{pins[0]}+cpu"], capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    return (
        f"{pins[0]} IS NOT TESTED HERE: pip finds only the build with CUDA, several gigabytes, which --soak installs; "
        "name an index that has builds for processors alone in PIP_EXTRA_INDEX_URL"
    )
