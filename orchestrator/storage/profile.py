"""What this machine knows of its accounts: the environment's variables, else the profile file's.

The file is ``profiles.toml`` in ``$ORCHESTRATE_HOME``; it has a table for each cloud, with the variables' names in
lower case and without their prefix. In ``[azure]``: ``batch_endpoint``, ``batch_key``, ``storage_account``,
``storage_key`` and so on.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.storage.layout import Home

# Where the environment names another account than the file, nothing that the file says of its own one is meant.
_ACCOUNTS = {"AZURE_BATCH_": "AZURE_BATCH_ENDPOINT", "AZURE_STORAGE_": "AZURE_STORAGE_ACCOUNT"}


def profile_file(home: Home) -> Path:
    return home.path / "profiles.toml"


def azure(home: Home, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables by their names in the environment; one that is set to nothing there is not looked for in the file.

    Raises UsageError for a wrong file.
    """
    known = os.environ if environ is None else environ
    told = table(home, "azure", "AZURE_")
    for prefix, account in _ACCOUNTS.items():
        if account in told and known.get(account, told[account]) != told[account]:
            told = {name: value for name, value in told.items() if not name.startswith(prefix)}
    return {name: value for name, value in {**told, **known}.items() if value and name.startswith("AZURE_")}


def table(home: Home, name: str, prefix: str) -> dict[str, str]:
    """The variables that the file's table ``name`` sets, with their ``prefix``.  Raises UsageError for a wrong file."""
    path = profile_file(home)
    try:
        text = path.read_text("utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"The profile file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The profile file {path} is no text: {error}.") from error
    try:
        values = tomllib.loads(text).get(name, {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The profile file {path} is no TOML: {error}.") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise UsageError(f"The table [{name}] in {path} must hold names with texts alone.")
    secret = any(word in key for key in values for word in ("key", "password", "token", "connection_string"))
    if mode & (stat.S_IRGRP | stat.S_IROTH) and secret:
        raise UsageError(f"The profile file {path} holds a key and others may read it.", remedy=f"chmod 600 {path}")
    return {f"{prefix}{key.upper()}": value for key, value in values.items()}
