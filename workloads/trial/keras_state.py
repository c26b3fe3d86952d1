"""All that a Keras training has in its memory, on any backend: weights, optimizer, and random seeds.

A saved `.keras` model leaves out where its dropout layers are in their random numbers, so a training that
goes on from one is not the training that was interrupted.
"""

from pathlib import Path

import keras
import numpy as np


def save_state(model: keras.Model, folder: Path) -> None:
    """Write the state of a compiled model into `folder`."""
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
