"""Digits in TensorFlow alone: variables, a gradient tape and a compiled step."""

import argparse
from pathlib import Path

import numpy as np
from trial.tensorflow_training import prepare, restore_variables, save_variables, tf

from . import network
from .loop import train


class Network(tf.Module):
    def __init__(self, side: int, seed: int) -> None:
        super().__init__()
        self.side = side
        self.weights = {
            name: tf.Variable(weight, name=name.replace(".", "_"))
            for name, weight in network.channels_last(side, seed).items()
        }

    @tf.function(autograph=False)
    def scores(self, images: tf.Tensor) -> tf.Tensor:
        values = images[..., tf.newaxis]
        for name in ("conv1", "conv2"):
            values = tf.nn.conv2d(values, self.weights[f"{name}.kernel"], strides=1, padding="SAME")
            values = tf.nn.max_pool2d(tf.nn.relu(values + self.weights[f"{name}.bias"]), 2, 2, "VALID")
        values = tf.reshape(values, [tf.shape(values)[0], -1])
        values = tf.nn.relu(values @ self.weights["dense1.kernel"] + self.weights["dense1.bias"])
        return values @ self.weights["dense2.kernel"] + self.weights["dense2.bias"]


class TensorFlow:
    packages = ("tensorflow", "numpy")

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        prepare(chosen.seed, chosen.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.network = Network(side, chosen.seed)
        self.speeds = {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self.network.weights.items()}
        self.rate, self.momentum = chosen.lr, chosen.momentum

    @tf.function(autograph=False)
    def step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores = self.network.scores(images)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
        for name, slope in tape.gradient(loss, self.network.weights).items():
            self.speeds[name].assign(self.momentum * self.speeds[name] - self.rate * slope)
            self.network.weights[name].assign_add(self.speeds[name])
        return loss

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        return float(self.step(tf.constant(images), tf.constant(labels)))

    def scores(self, images: np.ndarray) -> np.ndarray:
        return self.network.scores(tf.constant(images)).numpy()

    def save(self, folder: Path) -> None:
        save_variables(folder, {"weights": self.network.weights, "speeds": self.speeds})

    def restore(self, folder: Path) -> None:
        restore_variables(folder, {"weights": self.network.weights, "speeds": self.speeds})

    def export(self, folder: Path) -> None:
        pictures = tf.TensorSpec([None, self.network.side, self.network.side], tf.float32, name="pictures")
        signature = self.network.scores.get_concrete_function(pictures)
        tf.saved_model.save(self.network, str(folder / "saved_model"), signatures=signature)


if __name__ == "__main__":
    train(__doc__, TensorFlow)
