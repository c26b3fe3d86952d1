"""What this machine knows of an Azure account: the environment's variables, else the profile file's.

The file is ``profiles.toml`` in ``$ORCHESTRATE_HOME``; its table ``[azure]`` has the same names in lower case without
``AZURE_``: ``batch_endpoint``, ``batch_key``, ``storage_account``, ``storage_key`` and so on.
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
    told = _table(profile_file(home))
    for prefix, account in _ACCOUNTS.items():
        if account in told and known.get(account, told[account]) != told[account]:
            told = {name: value for name, value in told.items() if not name.startswith(prefix)}
    return {name: value for name, value in {**told, **known}.items() if value and name.startswith("AZURE_")}


def _table(path: Path) -> dict[str, str]:
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
        table = tomllib.loads(text).get("azure", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The profile file {path} is no TOML: {error}.") from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise UsageError(f"The table [azure] in {path} must hold names with texts alone.")
    secret = any(word in name for name in table for word in ("key", "password", "token", "connection_string"))
    if mode & (stat.S_IRGRP | stat.S_IROTH) and secret:
        raise UsageError(f"The profile file {path} holds a key and others may read it.", remedy=f"chmod 600 {path}")
    return {f"AZURE_{name.upper()}": value for name, value in table.items()}
