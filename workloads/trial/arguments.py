"""The arguments that every training has."""

import argparse
from collections.abc import Callable

from .checkpoint import default_folder

# What may differ between a training and its continuation: where it is, how far it goes, how it is run.
_NOT_THE_EXPERIMENT = {"checkpoint", "epochs", "smoke", "threads", "data"}


def training_parser(description: str | None, *, epochs: int, threads: bool = True) -> argparse.ArgumentParser:
    """A parser with `--epochs`, `--seed`, `--checkpoint`, `--smoke` and, if the program can choose, `--threads`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=at_least(1), default=epochs)
    parser.add_argument("--seed", type=at_least(0), default=1)
    add_checkpoint(parser)
    if threads:
        parser.add_argument("--threads", type=at_least(1), default=1, help="processor threads that may be used")
    parser.add_argument("--smoke", action="store_true", help="a size that ends in seconds, to see it run")
    return parser


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    told = "folder to go on from after a stop (default: $ORCHESTRATE_CHECKPOINT, else one of its own below checkpoint/)"
    parser.add_argument("--checkpoint", default=default_folder(), help=told)


def at_least(least: int) -> Callable[[str], int]:
    """For `type=`: a whole number that is not below `least`."""

    def whole(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {number}")
        return number

    return whole


def settings_of(chosen: argparse.Namespace) -> dict[str, object]:
    """What shapes the training: a continuation must have the same."""
    return {name: value for name, value in vars(chosen).items() if name not in _NOT_THE_EXPERIMENT}
