"""Digits in MXNet's Gluon. MXNet is no longer developed; its last version, 1.9.1, needs numpy below 1.24."""

import argparse
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from . import network
from .data import CLASSES
from .loop import train


class MXNet:
    packages = ("mxnet", "numpy")

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        mx.random.seed(chosen.seed)
        self.context = mx.gpu() if mx.context.num_gpus() else mx.cpu()
        self.network = build(side, chosen.seed, self.context)
        settings = {"learning_rate": chosen.lr, "momentum": chosen.momentum}
        self.trainer = gluon.Trainer(self.network.collect_params(), "sgd", settings)
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        with autograd.record():
            loss = self.loss(self.network(self._array(images)), mx.nd.array(labels, self.context))
        loss.backward()
        self.trainer.step(len(images))
        return float(loss.mean().asscalar())

    def scores(self, images: np.ndarray) -> np.ndarray:
        return self.network(self._array(images)).asnumpy()

    def save(self, folder: Path) -> None:
        self.network.save_parameters(str(folder / "network.params"))
        self.trainer.save_states(str(folder / "trainer.states"))

    def restore(self, folder: Path) -> None:
        self.network.load_parameters(str(folder / "network.params"), ctx=self.context)
        self.trainer.load_states(str(folder / "trainer.states"))

    def export(self, folder: Path) -> None:
        self.network.save_parameters(str(folder / "model.params"))

    def _array(self, images: np.ndarray) -> mx.nd.NDArray:
        return mx.nd.array(images[:, None], self.context)


def build(side: int, seed: int, context: mx.Context) -> nn.HybridSequential:
    first, second = network.FILTERS
    around = network.KERNEL // 2
    built = nn.HybridSequential()
    built.add(
        nn.Conv2D(first, network.KERNEL, padding=around, activation="relu", in_channels=1),
        nn.MaxPool2D(),
        nn.Conv2D(second, network.KERNEL, padding=around, activation="relu", in_channels=first),
        nn.MaxPool2D(),
        nn.Flatten(),
        nn.Dense(network.HIDDEN, activation="relu", in_units=second * (side // 4) ** 2),
        nn.Dense(CLASSES, in_units=network.HIDDEN),
    )
    built.initialize(ctx=context)
    weights = network.channels_first(side, seed).values()
    for parameter, weight in zip(built.collect_params().values(), weights, strict=True):
        # A dense layer of Gluon keeps its matrix as (out, in).
        parameter.set_data(mx.nd.array(weight.T if weight.ndim == 2 else weight))
    built.hybridize()
    return built


if __name__ == "__main__":
    train(__doc__, MXNet)
