"""Digits in Keras, on the backend that KERAS_BACKEND names: tensorflow, jax or torch."""

import argparse
from pathlib import Path

import numpy as np
from trial.keras_training import PACKAGES, keras, prepare, restore_state, save_state

from . import network
from .data import CLASSES
from .loop import train

LAYERS = keras.layers


class Keras:
    packages = PACKAGES

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        prepare(chosen.seed, chosen.threads)
        self.model = {"softmax": softmax, "mlp": mlp, "cnn": cnn}[chosen.model](side, chosen.seed)
        self.model.compile(
            keras.optimizers.SGD(chosen.lr, chosen.momentum),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        # Without a reset the answer would be the mean over all batches so far.
        self.model.reset_metrics()
        return float(self.model.train_on_batch(images, labels))

    def scores(self, images: np.ndarray) -> np.ndarray:
        return self.model.predict_on_batch(images)

    def save(self, folder: Path) -> None:
        save_state(self.model, folder)

    def restore(self, folder: Path) -> None:
        restore_state(self.model, folder)

    def export(self, folder: Path) -> None:
        self.model.save(folder / "model.keras")


def softmax(side: int, seed: int) -> keras.Model:
    return keras.Sequential([keras.Input((side, side)), LAYERS.Flatten(), LAYERS.Dense(CLASSES)])


def mlp(side: int, seed: int) -> keras.Model:
    hidden = [LAYERS.Dense(128, activation="relu", kernel_initializer="he_normal") for _ in range(2)]
    return keras.Sequential([keras.Input((side, side)), LAYERS.Flatten(), *hidden, LAYERS.Dense(CLASSES)])


def cnn(side: int, seed: int) -> keras.Model:
    first, second = network.FILTERS
    convolution = {"kernel_size": network.KERNEL, "padding": "same", "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((side, side)),
            LAYERS.Reshape((side, side, 1)),
            LAYERS.Conv2D(first, **convolution),
            LAYERS.MaxPooling2D(),
            LAYERS.Conv2D(second, **convolution),
            LAYERS.MaxPooling2D(),
            LAYERS.Flatten(),
            LAYERS.Dense(network.HIDDEN, activation="relu"),
            LAYERS.Dense(CLASSES),
        ]
    )
    model.set_weights(list(network.channels_last(side, seed).values()))
    return model


if __name__ == "__main__":
    train(__doc__, Keras, models=("softmax", "mlp", "cnn"))
