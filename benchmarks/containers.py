"""Many short trials in containers: packed into one container a slot, against a container each, and ``docker run``.

Needs an engine, or root and ``dockerd`` to start one; a base image is made where there is none.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.command import environment, orchestrate, seconds
from benchmarks.report import Figure
from orchestrator.emulators import docker_engine

TRIALS = 200
SLOTS = 2


def sweep(folder: Path, trials: int, pack: int) -> Path:
    """``trials`` trials that each start a Python process which does nothing."""
    path = folder / f"pack{pack}.json"
    spec = {
        "name": "short",
        "workload": {
            "command": ["python3", "-c", "pass"],
            "image": docker_engine.BASE_IMAGE,
            "isolation": "docker",
            "pack": pack,
        },
        "parameters": {"x": {"range": [0, trials]}},
        "limits": {"parallel": SLOTS},
    }
    path.write_text(json.dumps(spec))
    return path


def ours(folder: Path, host: str, pack: int) -> float:
    home = Path(tempfile.mkdtemp(dir=folder))
    words = orchestrate(home, "run", str(sweep(folder, TRIALS, pack)), "--json")
    return seconds(words, {**environment(home), "DOCKER_HOST": host})


def bare(host: str) -> float:
    """The same by hand."""
    words = ["xargs", f"-P{SLOTS}", "-n1", "docker", "run", "--rm", "--network=none", docker_engine.BASE_IMAGE]
    text = "\n".join("true" for _ in range(TRIALS))
    return seconds(words, {**environment(Path("/")), "DOCKER_HOST": host}, text=text)


def run() -> list[Figure]:
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        host = docker_engine.answering()
        if host is None:
            host = opened.enter_context(docker_engine.DockerEngine(folder / "engine")).host
        images = Path(tempfile.gettempdir()) / "orchestrate-images"
        images.mkdir(exist_ok=True)
        docker_engine.base_image(host, images)
        packed, each, by_hand = ours(folder, host, TRIALS), ours(folder, host, 1), bare(host)
    what = f"{TRIALS} short trials in containers on {SLOTS} slots"
    return [
        Figure(
            f"{what}, packed, against a container each",
            packed / each,
            "times its wall time",
            most=0.3,
            note=f"({packed:.2f} s and {each:.1f} s)",
        ),
        Figure(
            f"{what}, a container each, against xargs and docker run",
            each / by_hand,
            "times its wall time",
            most=2.0,
            note=f"({each:.1f} s and {by_hand:.1f} s)",
        ),
    ]
