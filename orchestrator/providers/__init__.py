"""Providers by name.  A provider's folder, and the SDK that it needs, is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, cast

from orchestrator.errors import UsageError
from orchestrator.providers.base import Compute
from orchestrator.providers.checks import Check
from orchestrator.storage.layout import Home

# Each names a function ``connect(home, run) -> Compute``, and may name ``default_store(home) -> str``.  One that has an
# account may name ``checks(home)`` and ``fix(home)``, which yield Checks, and ``policy(home)``.
PROVIDERS = {
    "local": "orchestrator.providers.local",
    "azure": "orchestrator.providers.azure",
    "aws": "orchestrator.providers.aws",
}

Connect = Callable[[Home, str], Compute]


def connect(provider: str, home: Home, run: str) -> Compute:
    """A connection to the provider for this run.  Raises UsageError for a name that is none of ours."""
    return cast(Connect, _module(provider).connect)(home, run)


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
