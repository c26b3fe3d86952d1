"""CIFAR-10 in TensorFlow; with `--processes` by MultiWorkerMirroredStrategy."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from trial import run_program
from trial.tensorflow_training import prepare, restore_variables, save_variables, tf

from .data import SIDE
from .loop import arguments, train
from .network import BLOCKS, weights
from .processes import free_ports, run_in


class Network(tf.Module):
    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.weights = {
            name: tf.Variable(weight, name=name.replace(".", "_")) for name, weight in weights(width, seed).items()
        }

    @tf.function(autograph=False)
    def scores(self, images: tf.Tensor) -> tf.Tensor:
        values = images
        for number in range(1, 2 * BLOCKS + 1):
            values = tf.nn.conv2d(values, self.weights[f"conv{number}.kernel"], strides=1, padding="SAME")
            values = tf.nn.relu(values + self.weights[f"conv{number}.bias"])
            if number % 2 == 0:
                values = tf.nn.max_pool2d(values, 2, 2, "VALID")
        values = tf.reshape(values, [tf.shape(values)[0], -1])
        values = tf.nn.relu(values @ self.weights["dense1.kernel"] + self.weights["dense1.bias"])
        return values @ self.weights["dense2.kernel"] + self.weights["dense2.bias"]


class TensorFlow:
    packages = ("tensorflow", "numpy")

    def __init__(self, chosen: argparse.Namespace, rank: int, count: int) -> None:
        self.width, self.seed = chosen.width, chosen.seed
        prepare(chosen.seed, chosen.threads, rank)
        self.strategy = tf.distribute.MultiWorkerMirroredStrategy() if count > 1 else tf.distribute.get_strategy()
        with self.strategy.scope():
            self.network = Network(chosen.width, chosen.seed)
            self.speeds = {name: tf.Variable(tf.zeros_like(w)) for name, w in self.network.weights.items()}
        self.rate, self.momentum, self.l2 = chosen.lr, chosen.momentum, chosen.l2

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores = self.network.scores(images)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
        slopes = tape.gradient(loss, self.network.weights)
        names = list(slopes)
        # Shares are equally large, so the mean of their slopes is the whole batch's.
        together = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN, [slopes[name] for name in names]
        )
        for name, slope in zip(names, together, strict=True):
            weight = self.network.weights[name]
            self.speeds[name].assign(self.momentum * self.speeds[name] - self.rate * (slope + self.l2 * weight))
            weight.assign_add(self.speeds[name])
        return loss

    @tf.function(autograph=False)
    def step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self.strategy.run(self._step, (images, labels))

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        return float(self.step(tf.constant(images), tf.constant(labels)))

    def scores(self, images: np.ndarray) -> np.ndarray:
        return self.network.scores(tf.constant(images)).numpy()

    def save(self, folder: Path) -> None:
        save_variables(folder, {"weights": self.network.weights, "speeds": self.speeds})

    def restore(self, folder: Path) -> None:
        restore_variables(folder, {"weights": self.network.weights, "speeds": self.speeds})

    def export(self, folder: Path) -> None:
        # Variables of several processes cannot be saved by one of them: it saves a copy of its own.
        network = Network(self.width, self.seed)
        for name, weight in self.network.weights.items():
            network.weights[name].assign(weight.numpy())
        pictures = tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="pictures")
        tf.saved_model.save(
            network, str(folder / "saved_model"), signatures=network.scores.get_concrete_function(pictures)
        )


def work(rank: int, count: int, chosen: argparse.Namespace, ports: list[int]) -> None:
    if count > 1:
        workers = [f"127.0.0.1:{port}" for port in ports]
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}
        )
    run_program(lambda: train(rank, count, chosen, TensorFlow))


def main() -> None:
    chosen = arguments(__doc__)
    run_in(chosen.processes, work, chosen, free_ports(chosen.processes) if chosen.processes > 1 else [])


if __name__ == "__main__":
    run_program(main)
