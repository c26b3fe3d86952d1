"""What the programs share as trials of a sweep: progress, checkpoints, the model's card, plain errors."""

from .card import hash_arrays, write_card
from .checkpoint import Checkpoint, default_folder
from .errors import BadInput, run_program
from .reporting import report

__all__ = ["BadInput", "Checkpoint", "default_folder", "hash_arrays", "report", "run_program", "write_card"]
