"""Digits in JAX, with the layers of Flax and the optimizer of Optax."""

import argparse
import os
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # trials may share a GPU

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization

from . import network
from .data import CLASSES
from .loop import train


class Network(nn.Module):
    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        values = images[..., None]
        for index, filters in enumerate(network.FILTERS, start=1):
            values = nn.relu(nn.Conv(filters, (network.KERNEL, network.KERNEL), name=f"conv{index}")(values))
            values = nn.max_pool(values, (2, 2), strides=(2, 2))
        values = values.reshape(len(values), -1)
        values = nn.relu(nn.Dense(network.HIDDEN, name="dense1")(values))
        return nn.Dense(CLASSES, name="dense2")(values)


class Flax:
    packages = ("jax", "flax", "optax", "numpy")

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        model = Network()
        optimizer = optax.sgd(chosen.lr, chosen.momentum)
        weights: dict[str, dict[str, jax.Array]] = {}
        for name, weight in network.channels_last(side, chosen.seed).items():
            layer, kind = name.split(".")
            weights.setdefault(layer, {})[kind] = jnp.asarray(weight)
        self.state = {"params": weights, "optimizer": optimizer.init(weights)}

        def loss_of(params: dict, images: jax.Array, labels: jax.Array) -> jax.Array:
            scores = model.apply({"params": params}, images)
            return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

        @jax.jit
        def step(state: dict, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, dict]:
            loss, slopes = jax.value_and_grad(loss_of)(state["params"], images, labels)
            moves, moved = optimizer.update(slopes, state["optimizer"])
            return loss, {"params": optax.apply_updates(state["params"], moves), "optimizer": moved}

        self._step = step
        self._scores = jax.jit(lambda params, images: model.apply({"params": params}, images))

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        loss, self.state = self._step(self.state, images, labels)
        return float(loss)

    def scores(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._scores(self.state["params"], images))

    def save(self, folder: Path) -> None:
        (folder / "state.msgpack").write_bytes(serialization.to_bytes(self.state))

    def restore(self, folder: Path) -> None:
        self.state = serialization.from_bytes(self.state, (folder / "state.msgpack").read_bytes())

    def export(self, folder: Path) -> None:
        (folder / "model.msgpack").write_bytes(serialization.to_bytes(self.state["params"]))


if __name__ == "__main__":
    train(__doc__, Flax)
