"""The recipes: one folder a framework, with a ``Dockerfile`` and pinned requirements for each variant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orchestrator
from orchestrator.errors import UsageError

REPOSITORY = "orchestrator"
"""What the names of all our images begin with."""

VARIANTS = ("cpu", "gpu")

_VERSION = re.compile(r"^ARG VERSION=(\S+)$", re.MULTILINE)
_BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One framework's folder.  ``untested`` says why nobody knows whether it works; empty where it does."""

    name: str
    folder: Path
    version: str
    base: str
    variants: tuple[str, ...]
    untested: str

    def image(self, variant: str) -> str:
        """``orchestrator/tensorflow:2.21``, ``orchestrator/tensorflow:2.21-gpu``."""
        return f"{REPOSITORY}/{self.name}:{self.version}{'' if variant == 'cpu' else f'-{variant}'}"

    def require(self, variant: str) -> None:
        """Raises UsageError for a variant that this framework does not have."""
        if variant not in self.variants:
            raise UsageError(
                f"{self.name} has no {variant} variant.", remedy=f"See {self.folder / 'README.md'} for the reason."
            )


def default_folder() -> Path:
    """``containers`` here, else beside the package.  Raises UsageError where there is neither."""
    for place in (Path.cwd(), Path(orchestrator.__path__[0]).parent):
        if (place / "containers").is_dir():
            return place / "containers"
    raise UsageError("There is no folder containers here.", remedy="Name the folder of the recipes: --folder PATH.")


def recipes(folder: Path) -> list[Recipe]:
    """All of them, by name.  Raises UsageError for a folder that has none."""
    found = [_read(path.parent) for path in sorted(folder.glob("*/Dockerfile"))]
    if not found:
        raise UsageError(f"{folder} holds no folder with a Dockerfile.", remedy="Name another one: --folder PATH.")
    return found


def named(found: Iterable[Recipe], names: Iterable[str]) -> list[Recipe]:
    """Those of these names; without any, all that are known to work.  Raises UsageError for an unknown name."""
    known = {recipe.name: recipe for recipe in found}
    chosen = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(known)}."
            raise UsageError(f"There is no recipe '{name}'.", remedy=hint)
        chosen.append(known[name])
    return chosen or [recipe for recipe in known.values() if not recipe.untested]


def _read(folder: Path) -> Recipe:
    text = (folder / "Dockerfile").read_text()
    version, base = _VERSION.search(text), _BASE.search(text)
    if version is None or base is None:
        raise UsageError(f"{folder / 'Dockerfile'} lacks its ARG VERSION or ARG BASE with a default.")
    untested = folder / "UNTESTED"
    return Recipe(
        folder.name,
        folder,
        version[1],
        base[1],
        tuple(variant for variant in VARIANTS if (folder / f"requirements-{variant}.txt").exists()),
        untested.read_text().strip() if untested.exists() else "",
    )
