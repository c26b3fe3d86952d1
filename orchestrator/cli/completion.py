"""``orchestrate completion SHELL``."""

from __future__ import annotations

import click

from orchestrator.cli.app import Command
from orchestrator.cli.terminal import show


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the completion script of a shell: commands, options and the ids of runs.

    \b
    bash:  orchestrate completion bash > ~/.local/share/bash-completion/completions/orchestrate
    zsh:   orchestrate completion zsh > a folder of $fpath, as _orchestrate
    fish:  orchestrate completion fish > ~/.config/fish/completions/orchestrate.fish
    """
    from click.shell_completion import get_completion_class

    from orchestrator.cli.main import COMPLETION_VARIABLE, NAME
    from orchestrator.cli.main import command as group

    found = get_completion_class(shell)
    assert found is not None  # click ships these three
    show(found(group, {}, NAME, COMPLETION_VARIABLE).source())
    return 0
