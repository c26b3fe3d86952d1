"""Digits in Chainer. Chainer is no longer developed; its last version, 7.8.1, needs numpy below 1.24."""

import argparse
from pathlib import Path

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import serializers

from . import network
from .data import CLASSES
from .loop import train


class Network(chainer.Chain):
    def __init__(self, side: int, seed: int) -> None:
        super().__init__()
        first, second = network.FILTERS
        around = network.KERNEL // 2
        weights = network.channels_first(side, seed)
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, first, network.KERNEL, pad=around)
            self.conv2 = L.Convolution2D(first, second, network.KERNEL, pad=around)
            self.dense1 = L.Linear(second * (side // 4) ** 2, network.HIDDEN)
            self.dense2 = L.Linear(network.HIDDEN, CLASSES)
        for layer in self.children():
            # A linear link keeps its matrix as (out, in).
            kernel = weights[f"{layer.name}.kernel"]
            layer.W.array[...] = kernel.T if kernel.ndim == 2 else kernel
            layer.b.array[...] = weights[f"{layer.name}.bias"]

    def forward(self, images: np.ndarray) -> chainer.Variable:
        values = F.max_pooling_2d(F.relu(self.conv1(images[:, None])), 2)
        values = F.max_pooling_2d(F.relu(self.conv2(values)), 2)
        return self.dense2(F.relu(self.dense1(values)))


class Chainer:
    packages = ("chainer", "numpy")

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        self.device = chainer.get_device("@cupy:0" if chainer.backends.cuda.available else "@numpy")
        self.network = Network(side, chosen.seed)
        self.network.to_device(self.device)
        self.optimizer = chainer.optimizers.MomentumSGD(chosen.lr, chosen.momentum).setup(self.network)

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        scores = self.network(self.device.send(images))
        loss = F.softmax_cross_entropy(scores, self.device.send(labels.astype(np.int32)))
        self.network.cleargrads()
        loss.backward()
        self.optimizer.update()
        return float(loss.array)

    def scores(self, images: np.ndarray) -> np.ndarray:
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return chainer.backends.cuda.to_cpu(self.network(self.device.send(images)).array)

    def save(self, folder: Path) -> None:
        serializers.save_npz(folder / "network.npz", self.network)
        serializers.save_npz(folder / "optimizer.npz", self.optimizer)

    def restore(self, folder: Path) -> None:
        serializers.load_npz(folder / "network.npz", self.network)
        serializers.load_npz(folder / "optimizer.npz", self.optimizer)

    def export(self, folder: Path) -> None:
        serializers.save_npz(folder / "model.npz", self.network)


if __name__ == "__main__":
    train(__doc__, Chainer)
