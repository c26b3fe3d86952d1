"""Every command and program that the documentation shows is run, page by page, as a reader would type it.

Blocks marked ``sh`` and ``python`` are run in order, in one folder a page that has the project's files in it; the
marks ``text``, ``console`` and ``yaml`` are for what is only shown.  YAML blocks that are whole sweeps are loaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.spec.load import parse

PUBLIC_IMAGE = "python:3.12-slim"

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARKS = {"sh", "python", "text", "console", "yaml", "json"}


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]


def runnable(page: Path) -> list[tuple[str, str]]:
    return [(mark, text) for mark, text in blocks(page) if mark in ("sh", "python")]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder that looks like the project's, in which a page may write."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


@pytest.fixture
def engine(engine_host: str) -> Iterator[Mapping[str, str]]:
    """The way to an engine that has the public image which the pages name, or one that stands in for it."""
    client = docker_engine.connect(engine_host)
    missing = not client.images.list(PUBLIC_IMAGE)
    if missing:
        client.images.get(docker_engine.BASE_IMAGE).tag(*PUBLIC_IMAGE.split(":"))
    yield {"DOCKER_HOST": engine_host}
    if missing:
        client.images.remove(PUBLIC_IMAGE)
    client.close()


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name)
def test_what_a_page_shows_works(
    page: Path, desk: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    env = {
        **os.environ,
        **(request.getfixturevalue("engine") if page.name == "containers.md" else {}),
        "ORCHESTRATE_HOME": str(tmp_path_factory.mktemp("home")),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for mark, text in runnable(page):
        command = ["sh", "-ec", text] if mark == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=desk, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_says_what_it_is(page: Path) -> None:
    assert {mark for mark, _ in blocks(page)} <= MARKS
    assert page.read_text().count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_sweeps_that_pages_show_are_sweeps() -> None:
    shown = 0
    for page in PAGES:
        for mark, text in blocks(page):
            if mark == "yaml" and text.startswith("name:"):
                parse(text, str(ROOT / "job_templates" / "shown.yaml"))
                shown += 1
    assert shown
