"""What every training in TensorFlow alone needs: a quiet, repeatable start, and its variables in files."""

import os
from collections.abc import Mapping
from pathlib import Path

# Before TensorFlow's import, as in keras_training.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import numpy as np
import tensorflow as tf

__all__ = ["prepare", "restore_variables", "save_variables", "tf"]

Groups = Mapping[str, Mapping[str, tf.Variable]]


def prepare(seed: int, threads: int, rank: int = 0) -> None:
    """Seed TensorFlow, let it repeat to the last bit, keep to `threads` threads and to one GPU, by the rank's turn."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[rank % len(gpus)], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(seed)


def save_variables(folder: Path, groups: Groups) -> None:
    """Write each group of variables to `GROUP.npz` in `folder`."""
    for group, variables in groups.items():
        np.savez(folder / f"{group}.npz", **{name: variable.numpy() for name, variable in variables.items()})


def restore_variables(folder: Path, groups: Groups) -> None:
    """Give the variables the values that `save_variables` wrote."""
    for group, variables in groups.items():
        with np.load(folder / f"{group}.npz") as saved:
            for name, variable in variables.items():
                variable.assign(saved[name])
