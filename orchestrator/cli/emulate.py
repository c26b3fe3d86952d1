"""``orchestrate emulate PROVIDER``, and what ``run --emulate`` does before it runs."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Set
from pathlib import Path

import click

from orchestrator.cli.app import App, Command, complete_provider, pass_app
from orchestrator.cli.terminal import say, show
from orchestrator.emulators.emulated import emulated, folder_of
from orchestrator.errors import UsageError
from orchestrator.results.export import to_json


@click.command("emulate", cls=Command)
@click.argument("provider", metavar="PROVIDER", shell_complete=complete_provider)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to keep what is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print the variables as one JSON object.")
@pass_app
def command(app: App, provider: str, folder: Path | None, as_json: bool) -> int:
    """Emulate PROVIDER (azure, aws) on this machine until Ctrl-C, and print the variables that lead others to it.

    The variables are lines for a shell: run `orchestrate emulate azure`, paste them in another terminal, and work
    there as with the cloud.  Tasks run as processes of this machine, those of aws as containers.
    """
    with emulated(provider, folder or folder_of(app.home.path, provider)) as variables:
        if as_json:
            show(to_json(dict(variables)))
        else:
            for name, value in variables.items():
                show(f"export {name}={shlex.quote(value)}")
        say("The emulated cloud is up. Ctrl-C ends it, and every task in it.")
        wait()
    return 0


def wait() -> None:
    """Until Ctrl-C or SIGTERM."""
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        signal.sigwait(signals)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def stand_in(app: App, providers: Set[str], detach: bool) -> None:
    """Emulate the clouds among these providers for as long as the present command takes."""
    clouds = sorted(set(providers) - {"local"})
    if not clouds:
        raise UsageError("--emulate needs a cloud to stand in for.", remedy="Add --provider azure or --provider aws.")
    if detach:
        raise UsageError("--emulate and --detach do not go together: the emulator ends with this command.")
    context = click.get_current_context()
    for cloud in clouds:
        context.with_resource(emulated(cloud, folder_of(app.home.path, cloud)))
