"""`workload.requirements` by real pip, from packages that are made here: an environment for each content, made once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

ORCHESTRATE = Path(sys.executable).with_name("orchestrate")

# A package without a wheel: building it writes down what it was built with.
BACKEND = """
import builder, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/old-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("old.py", f"built_with = {builder.version!r}")
        wheel.writestr("old-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: old\\nVersion: 1.0\\n")
        wheel.writestr("old-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("old-1.0.dist-info/RECORD", "")
    return "old-1.0-py3-none-any.whl"
"""
PROJECT = '[build-system]\nrequires = ["builder"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip finds here: `old` to be built, two versions of its builder and of `leaf`, and a pip of today."""
    folder = tmp_path_factory.mktemp("wheels")
    for number in ("1.0", "2.0"):
        for name in ("builder", "leaf"):
            write_wheel(folder, name, number, {f"{name}.py": f"version = {number!r}"})
    with tarfile.open(folder / "old-1.0.tar.gz", "w:gz") as archive:
        metadata = "Metadata-Version: 2.1\nName: old\nVersion: 1.0\n"
        for name, text in {"pyproject.toml": PROJECT, "backend.py": BACKEND, "PKG-INFO": metadata}.items():
            member = tarfile.TarInfo(f"old-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    ours = distribution("pip")
    if tuple(map(int, ours.version.split(".")[:2])) < (25, 3):
        pytest.skip("the tests' own pip is older than 25.3, which knows no build constraints")
    with zipfile.ZipFile(folder / f"pip-{ours.version}-py3-none-any.whl", "w") as wheel:
        for path in ours.files or []:
            if not path.parts[0].startswith("..") and path.suffix != ".pyc":
                wheel.write(str(path.locate()), str(path))
    return folder


def orchestrate(folder: Path, wheels: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    only = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [ORCHESTRATE, *arguments],
        env=clean | only | {"ORCHESTRATE_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def results(folder: Path, wheels: Path, run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.returncode == 0, run.stderr
    listed = orchestrate(folder, wheels, "results", json.loads(run.stdout)["run"], "--json")
    (trial,) = map(json.loads, listed.stdout.splitlines())
    return dict(trial["metrics"])


SPEC = """
name: made
workload:
  command: >-
    python -c "import leaf, old, sys; print('leaf=' + leaf.version, 'built=' + old.built_with)"
  requirements: pins/requirements.txt
  build_constraints: pins/build.txt
  metrics: {leaf: 'leaf=(.*) ', built: 'built=(.*)'}
search: {metric: leaf}
"""


def test_packages_are_installed_and_built_as_the_files_say_and_once(tmp_path: Path, wheels: Path) -> None:
    pins = tmp_path / "pins"
    pins.mkdir()
    (pins / "requirements.txt").write_text("-r more.txt\n-c limits.txt\nold\n")
    (pins / "more.txt").write_text("leaf\n")
    (pins / "limits.txt").write_text("leaf<2\n")
    (pins / "build.txt").write_text("builder==1.0\n")
    (tmp_path / "sweep.yaml").write_text(SPEC)
    first = orchestrate(tmp_path, wheels, "run", "sweep.yaml", "--json")
    assert results(tmp_path, wheels, first) == {"leaf": 1.0, "built": 1.0}

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("ready")}
    assert len(made) == 1
    again = orchestrate(tmp_path, wheels, "run", "sweep.yaml", "--json")
    assert results(tmp_path, wheels, again) == {"leaf": 1.0, "built": 1.0}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("ready")} == made

    absent = orchestrate(tmp_path, wheels, "run", "sweep.yaml", "--json", "--set", "workload.python=python9.9")
    assert absent.returncode == 3
    assert "workload.python: there is no 'python9.9' on this machine" in absent.stderr

    (pins / "more.txt").write_text("leaf==3.0\n")
    (pins / "limits.txt").write_text("")
    refused = orchestrate(tmp_path, wheels, "run", "sweep.yaml", "--json")
    assert refused.returncode == 3
    assert "No matching distribution found for leaf==3.0" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(list((tmp_path / "home").rglob("ready"))) == 1
