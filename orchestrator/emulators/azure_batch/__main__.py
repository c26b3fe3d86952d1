"""`python -m orchestrator.emulators.azure_batch`: an emulator in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence

from .emulator import NAME_VARIABLE, SETTINGS_VARIABLE
from .procscan import new_name
from .serve import print_announcement, serve
from .settings import ISOLATIONS, Settings

KEY_VARIABLE = "AZURE_BATCH_ACCESS_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator; prints one line of JSON with endpoint, account and key, then serves."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.emulators.azure_batch", description=__doc__)
    parser.add_argument("--port", type=int, default=10010, help="0 for any free one (default: %(default)s)")
    parser.add_argument("--folder", help="where the nodes' files go (default: a temporary folder, removed at the end)")
    parser.add_argument("--account", default="emulated", help="the account's name (default: %(default)s)")
    parser.add_argument("--isolation", choices=ISOLATIONS, default="process", help="how tasks are run")
    parser.add_argument("--boot-seconds", type=float, default=1.0, help="how long a node takes to boot")
    parser.add_argument(
        "--autoscale-seconds", type=float, help="evaluate formulas this often, not at the pools' own intervals"
    )
    parser.add_argument("--sample-seconds", type=float, default=30.0, help="period of the formulas' samples")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        settings = Settings.from_json(os.environ.pop(SETTINGS_VARIABLE))
        name = os.environ.pop(NAME_VARIABLE)
        return asyncio.run(serve(settings, name, print_announcement, lifeline=True))
    # From the environment, never from an argument: those can be read by everybody on the machine.
    key = os.environ.get(KEY_VARIABLE) or base64.b64encode(secrets.token_bytes(64)).decode()
    settings = Settings(
        folder=given.folder or tempfile.mkdtemp(prefix="azure-batch-"),
        account=given.account,
        key=key,
        port=given.port,
        isolation=given.isolation,
        boot_seconds=given.boot_seconds,
        autoscale_seconds=given.autoscale_seconds,
        sample_seconds=given.sample_seconds,
        temporary=given.folder is None,
    )

    def announce(announcement: dict[str, object]) -> None:
        print_announcement({**announcement, "key": key, "folder": settings.folder})

    return asyncio.run(serve(settings, new_name(), announce))


if __name__ == "__main__":
    sys.exit(main())
