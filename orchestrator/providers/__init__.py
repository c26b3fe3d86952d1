"""Providers by name.  A provider's folder, and the SDK that it needs, is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, cast

from orchestrator.errors import UsageError
from orchestrator.providers.base import Compute
from orchestrator.providers.checks import Check
from orchestrator.storage.layout import Home

# One that has regions names ``regions(home)``, and its ``connect`` takes one more argument.
# Each names a function ``connect(home, run) -> Compute``, and may name ``default_store(home) -> str``.  One that has an
# account may name ``checks(home)`` and ``fix(home)``, which yield Checks, and ``policy(home)``.
PROVIDERS = {
    "local": "orchestrator.providers.local",
    "azure": "orchestrator.providers.azure",
    "aws": "orchestrator.providers.aws",
}

Connect = Callable[[Home, str], Compute]


def connect(provider: str, home: Home, run: str, region: str | None = None) -> Compute:
    """A connection to the provider for this run.  Raises UsageError for a name that is none of ours.

    ``region`` is one of ``used_regions``; None: where the run's pool was made, or else the present one.
    """
    module = _module(provider)
    if region is not None:
        return cast(Callable[[Home, str, str], Compute], module.connect)(home, run, region)
    return cast(Connect, module.connect)(home, run)


def used_regions(provider: str, home: Home, more: Collection[str] = ()) -> Sequence[str | None]:
    """Where things of ours may be: the present region, each that a run of this machine was in, and ``more``.

    For a provider without regions that is None alone.
    """
    find = getattr(_module(provider), "regions", None)
    if find is None:
        return (None,)
    return sorted({*cast(Callable[[Home], Iterable[str]], find)(home), *more})


def default_store(provider: str, home: Home) -> str | None:
    """The URL of the object store for runs whose spec names none; None: the local one.

    Raises UsageError for a name that is none of ours, AuthenticationFailed where the provider's account is not known.
    """
    choose = getattr(_module(provider), "default_store", None)
    return None if choose is None else cast(Callable[[Home], str], choose)(home)


def checks(provider: str, home: Home) -> Iterator[Check]:
    """Whether the provider's account is fit for runs.  Raises UsageError for a provider that has none to check."""
    return cast(Callable[[Home], Iterator[Check]], _of_account(provider, "checks"))(home)


def fix(provider: str, home: Home) -> Iterator[Check]:
    """Find or make, once, what all runs share there.  Raises UsageError for a provider that has nothing to make."""
    return cast(Callable[[Home], Iterator[Check]], _of_account(provider, "fix"))(home)


def policy(provider: str, home: Home) -> dict[str, Any]:
    """The least that the provider must allow to who drives runs.  Raises UsageError where there is no such thing."""
    return cast(Callable[[Home], dict[str, Any]], _of_account(provider, "policy"))(home)


def _of_account(provider: str, function: str) -> Callable[..., Any]:
    found = getattr(_module(provider), function, None)
    if found is None:
        raise UsageError(f"The provider '{provider}' has no account that could be looked at.")
    return cast(Callable[..., Any], found)


def _module(provider: str) -> ModuleType:
    try:
        module = PROVIDERS[provider]
    except KeyError:
        near = difflib.get_close_matches(provider, PROVIDERS, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(PROVIDERS)}."
        raise UsageError(f"There is no provider '{provider}'.", remedy=hint) from None
    return importlib.import_module(module)
