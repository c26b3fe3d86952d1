"""From a spec to its search."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.search.base import Search, Told
from orchestrator.search.setting import Listing, Setting
from orchestrator.spec.model import Spec
from orchestrator.spec.relations import findings
from orchestrator.spec.search_options import is_own

# Algorithm -> "module:function"; the function takes the spec, and the setting where it needs one.  A new algorithm is
# one module and one line here, and its name in the spec's ALGORITHMS.
ALGORITHMS: dict[str, str] = {
    "grid": "orchestrator.search.grid:grid",
    "random": "orchestrator.search.random:random",
    "zip": "orchestrator.search.zip:zip_",
    "list": "orchestrator.search.table:listed",
    "files": "orchestrator.search.files:files",
    "sobol": "orchestrator.search.quasi:sobol",
    "halton": "orchestrator.search.quasi:halton",
    "latin_hypercube": "orchestrator.search.quasi:latin_hypercube",
    "tpe": "orchestrator.search.learning:learning",
    "gp": "orchestrator.search.learning:learning",
    "cmaes": "orchestrator.search.learning:learning",
    "nsga2": "orchestrator.search.learning:learning",
    "pbt": "orchestrator.search.population:population",
}
# What some of them need and a plain installation lacks.
PACKAGES = ("optuna", "scipy")
OWN = "orchestrator.search.own:own"


def make_search(
    spec: Spec, base: Path | None = None, *, listing: Listing | None = None, earlier: Sequence[Told] = ()
) -> Search:
    """The search of this spec.

    Relative paths start from ``base``, by default the current folder.  ``listing`` lists a folder of an object store
    (only ``files`` needs it).  ``earlier`` are the trials of the runs that ``search.warm_start`` names.

    Raises UsageError for everything that can be known to be wrong before a trial starts: a grid over a distribution, a
    random search without an end, constraints that nothing satisfies, a table that cannot be read.
    """
    for finding in findings(spec):
        if finding.severity != "error":
            continue
        hint = f"{finding.hint[0].upper()}{finding.hint[1:]}." if finding.hint else ""
        raise UsageError(f"{'.'.join(map(str, finding.path))}: {finding.message}.", remedy=hint)
    module, _, function = (OWN if is_own(spec.algorithm) else ALGORITHMS[spec.algorithm]).partition(":")
    try:
        make: Callable[..., Search] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in PACKAGES:
            raise
        raise UsageError(
            f"search.algorithm: {spec.algorithm} needs the Python package {error.name}, which is not installed.",
            remedy="Install it: pip install 'orchestrator[search]'.",
        ) from None
    if "setting" not in inspect.signature(make).parameters:
        return make(spec)
    return make(spec, Setting(Path.cwd() if base is None else base, listing, earlier))
