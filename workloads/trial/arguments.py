"""The arguments that every training has."""

import argparse

from .checkpoint import default_folder

# What may differ between a training and its continuation: where it is, how far it goes, how it is run.
_NOT_THE_EXPERIMENT = {"checkpoint", "epochs", "smoke", "threads", "data", "url"}


def training_parser(description: str | None, *, epochs: int, threads: bool = True) -> argparse.ArgumentParser:
    """A parser with `--epochs`, `--seed`, `--checkpoint`, `--smoke` and, if the program can choose, `--threads`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", default=default_folder(), help="folder to go on from after a stop")
    if threads:
        parser.add_argument("--threads", type=int, default=1, help="processor threads that may be used")
    parser.add_argument("--smoke", action="store_true", help="a size that ends in seconds, to see it run")
    return parser


def settings_of(chosen: argparse.Namespace) -> dict[str, object]:
    """What shapes the training: a continuation must have the same."""
    return {name: value for name, value in vars(chosen).items() if name not in _NOT_THE_EXPERIMENT}
