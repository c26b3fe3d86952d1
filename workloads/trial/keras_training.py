"""What every Keras training needs, on any backend: a quiet, repeatable start, and its whole state in a file."""

import os
from pathlib import Path

# Before TensorFlow's import: no notes about its own build among the trial's lines, and sums that do not depend
# on the processor's vector instructions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Trials may share a GPU: take its memory as it is needed.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import keras
import numpy as np

__all__ = ["PACKAGES", "keras", "prepare", "restore_state", "save_state"]

# For the model's card.
PACKAGES = ("keras", keras.config.backend(), "numpy")


def prepare(seed: int, threads: int) -> None:
    """Seed everything that Keras draws, and keep to `threads` threads; on TensorFlow also repeat to the last bit."""
    keras.utils.set_random_seed(seed)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
    elif keras.config.backend() == "torch":
        import torch

        torch.set_num_threads(threads)


def save_state(model: keras.Model, folder: Path) -> None:
    """Write all of a compiled model's state into `folder`.

    A saved `.keras` model would leave out where its dropout layers are in their random numbers, so that a training
    which goes on from one is not the training that was interrupted.
    """
    np.savez(folder / "state.npz", *(keras.ops.convert_to_numpy(variable) for variable in _variables(model)))


def restore_state(model: keras.Model, folder: Path) -> None:
    """Bring a model that was built and compiled in the same way into the state that `folder` holds."""
    variables = _variables(model)
    with np.load(folder / "state.npz") as saved:
        for variable, name in zip(variables, saved.files, strict=True):
            variable.assign(saved[name])


def _variables(model: keras.Model) -> list[keras.Variable]:
    model.optimizer.build(model.trainable_variables)
    return model.variables + model.optimizer.variables
