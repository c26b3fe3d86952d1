"""Who we are at Azure where no key is given: what Entra ID's usual sources say."""

from __future__ import annotations

import logging
from typing import Any


def credential() -> Any:
    """``azure.identity.DefaultAzureCredential``; the import takes a while, and is not needed beside a key.

    It logs a page of what it has tried in vain: to whoever listens, and not to the terminal of whoever does not.
    """
    from azure.identity import DefaultAzureCredential

    logging.getLogger("azure.identity").addHandler(logging.NullHandler())
    return DefaultAzureCredential()
