"""Providers by name.  A provider's folder, and the SDK that it needs, is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import cast

from orchestrator.errors import UsageError
from orchestrator.providers.base import Compute
from orchestrator.storage.layout import Home

# Each names a function ``connect(home, run) -> Compute``, and may name ``default_store(home) -> str``.
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


def _module(provider: str) -> ModuleType:
    try:
        module = PROVIDERS[provider]
    except KeyError:
        near = difflib.get_close_matches(provider, PROVIDERS, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(PROVIDERS)}."
        raise UsageError(f"There is no provider '{provider}'.", remedy=hint) from None
    return importlib.import_module(module)
