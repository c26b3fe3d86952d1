"""What the programs share as trials of a sweep: progress, checkpoints, the model's card, plain errors."""

from .arguments import settings_of, training_parser
from .card import hash_arrays, write_card
from .checkpoint import Checkpoint
from .errors import BadInput, run_program
from .reporting import report

__all__ = [
    "BadInput",
    "Checkpoint",
    "hash_arrays",
    "report",
    "run_program",
    "settings_of",
    "training_parser",
    "write_card",
]
