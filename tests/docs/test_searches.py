"""Each kind of search has a page, and each page a sweep that runs: ``tests/e2e/test_searches.py`` runs them all."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from orchestrator.spec.kind import Distribution
from orchestrator.spec.parameters import KINDS
from orchestrator.spec.search_options import ALGORITHMS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "search").glob("*.md"))
SWEEPS = ROOT / "job_templates" / "search"


def test_every_ready_search_is_shown_on_a_page_and_every_shown_one_is_there() -> None:
    shown = {name for page in PAGES for name in re.findall(r"job_templates/search/(\w+)\.yaml", page.read_text())}
    assert shown == {path.stem for path in SWEEPS.glob("*.yaml")}


def test_the_overview_names_every_page_and_every_algorithm() -> None:
    overview = (ROOT / "docs" / "search" / "README.md").read_text()
    for page in PAGES:
        assert page.name == "README.md" or f"({page.name})" in overview
    for algorithm in ALGORITHMS:
        assert f"`{algorithm}`" in overview


def test_what_a_page_shows_is_what_its_sweep_says() -> None:
    """A shown part of a sweep is part of one that runs, but for comments."""
    sweeps = [yaml.safe_load(path.read_text()) for path in SWEEPS.glob("*.yaml")]
    parts = 0
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            shown = yaml.safe_load(block)
            assert any(within(shown, sweep) for sweep in sweeps), f"{page.name}:\n{block}"
            parts += 1
    assert parts >= len(PAGES) - 1


def within(shown: object, whole: object) -> bool:
    if isinstance(shown, dict) and isinstance(whole, dict):
        return all(key in whole and within(value, whole[key]) for key, value in shown.items())
    return shown == whole


def test_every_distribution_stands_with_its_source() -> None:
    table = (ROOT / "docs" / "search" / "random.md").read_text()
    drawn = [name for name, kind in KINDS.items() if issubclass(kind, Distribution)]
    assert drawn
    for name in drawn:
        assert re.search(rf"^\| `{name}` \| .+ \| .+ \|$", table, re.MULTILINE), name
