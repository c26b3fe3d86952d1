"""TensorFlow variables, by name, in one file a group."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

Groups = Mapping[str, Mapping[str, tf.Variable]]


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
