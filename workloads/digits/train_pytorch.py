"""Digits in PyTorch."""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from trial.pytorch_training import prepare, restore_state, save_state

from . import network
from .data import CLASSES
from .loop import train


class PyTorch:
    packages = ("torch", "numpy")

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        self.device = prepare(chosen.seed, chosen.threads)
        self.network = build(side, chosen.seed).to(self.device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), chosen.lr, chosen.momentum)

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        scores = self.network(self._tensor(images)[:, None])
        loss = nn.functional.cross_entropy(scores, self._tensor(labels))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def scores(self, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.network(self._tensor(images)[:, None]).cpu().numpy()

    def save(self, folder: Path) -> None:
        save_state(self.network, self.optimizer, folder)

    def restore(self, folder: Path) -> None:
        restore_state(self.network, self.optimizer, folder)

    def export(self, folder: Path) -> None:
        torch.save(self.network.state_dict(), folder / "model.pt")

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def build(side: int, seed: int) -> nn.Sequential:
    first, second = network.FILTERS
    built = nn.Sequential(
        nn.Conv2d(1, first, network.KERNEL, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, network.KERNEL, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (side // 4) ** 2, network.HIDDEN),
        nn.ReLU(),
        nn.Linear(network.HIDDEN, CLASSES),
    )
    with torch.no_grad():
        weights = network.channels_first(side, seed).items()
        for parameter, (name, weight) in zip(built.parameters(), weights, strict=True):
            # A linear layer of PyTorch keeps its matrix as (out, in).
            parameter.copy_(torch.from_numpy(weight.T.copy() if name.startswith("dense") else weight))
    return built


if __name__ == "__main__":
    train(__doc__, PyTorch)
