"""The one entry of ``orchestrate``, and the one boundary where errors become sentences and exit codes.

Exit codes: 0 all well; 1 the run ended with more failures than its limits allow, over its budget or timed out; 2 the
input is wrong; 3 the provider or this machine failed us; 130 interrupted or cancelled.

Nothing is imported here that ``--help`` does not need.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from orchestrator.cli.app import DEBUG, App
from orchestrator.version import __version__

NAME = "orchestrate"
COMPLETION_VARIABLE = "_ORCHESTRATE_COMPLETE"

# Each is the object ``command`` of the module of the same name beside this one.
COMMANDS = {
    "run": "Run a sweep and print its ranked results.",
    "plan": "Show what a sweep would take; start nothing.",
    "results": "Print the ranked results of a run, or compare runs.",
    "plot": "Draw a run: an HTML page and PNGs.",
    "status": "List the runs, or show how one of them stands.",
    "logs": "Print what trials have written.",
    "fetch": "Copy the files of trials to this machine.",
    "cancel": "End a run in order.",
    "resume": "Go on with a run that was stopped or has ended.",
    "rerun": "Run one trial of a run once more, exactly.",
    "attach": "Take up a run that another machine began.",
    "gc": "Give back what dead runs have left behind.",
    "doctor": "Check whether this machine is fit to run sweeps.",
    "images": "Build, push and list the images of the frameworks.",
    "emulate": "Stand in for a cloud on this machine.",
    "init": "Write a sweep to start from.",
    "schema": "Print the JSON Schema of sweep.yaml.",
    "completion": "Print the completion script of a shell.",
}


class Commands(click.Group):
    """Lists the commands from the table and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"orchestrator.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


command = Commands(
    NAME,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=lambda ctx, _, wanted: _print_version(ctx) if wanted else None,
            help="Show the version and exit.",
        ),
        DEBUG,
    ],
    help="Run hyperparameter sweeps and batch training from one file, with nothing leaked and nothing lost.",
    epilog="RUN is the id of a run, the beginning of one, 'last', or 'last~1' for the one before.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(ctx: click.Context) -> None:
    click.echo(f"{NAME} {__version__}")
    ctx.exit()


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.  Raises nothing but SystemExit."""
    app = App()
    app.debug = os.environ.get("ORCHESTRATE_DEBUG", "") not in ("", "0")
    code = 0
    try:
        with command.make_context(NAME, list(arguments), obj=app) as context:
            code = command.invoke(context) or 0
        sys.stdout.flush()
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except BrokenPipeError:
        # The reader has seen enough.  What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException as error:
        from orchestrator.cli.failure import report

        code = report(error, app)
    return code


def _open_streams() -> None:
    """A daemon may start us with standard streams closed; the next files opened would then be taken for them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 -- for good


def entry() -> None:
    """What the installed command calls."""
    _open_streams()
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(command, {"obj": App()}, NAME, COMPLETION_VARIABLE, instruction))
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
