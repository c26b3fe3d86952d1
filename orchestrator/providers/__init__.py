"""Providers by name.  A provider's folder, and the SDK that it needs, is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import cast

from orchestrator.errors import UsageError
from orchestrator.providers.base import Compute
from orchestrator.storage.layout import Home

# Each names a function ``connect(home, run) -> Compute``.
PROVIDERS = {"local": "orchestrator.providers.local", "azure": "orchestrator.providers.azure"}

Connect = Callable[[Home, str], Compute]


def connect(provider: str, home: Home, run: str) -> Compute:
    """A connection to the provider for this run.  Raises UsageError for a name that is none of ours."""
    try:
        module = PROVIDERS[provider]
    except KeyError:
        near = difflib.get_close_matches(provider, PROVIDERS, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(PROVIDERS)}."
        raise UsageError(f"There is no provider '{provider}'.", remedy=hint) from None
    return cast(Connect, importlib.import_module(module).connect)(home, run)
