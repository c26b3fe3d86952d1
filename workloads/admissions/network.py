"""Logistic regression, or with `hidden` units a layer of sigmoids before it, and its derivatives by hand."""

from itertools import pairwise
from pathlib import Path

import numpy as np


class Network:
    def __init__(self, inputs: int, hidden: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        sizes = [inputs, hidden, 1] if hidden else [inputs, 1]
        # The last row of each matrix is its bias.
        self.weights = [random.normal(0, 1 / np.sqrt(n), (n + 1, m)) for n, m in pairwise(sizes)]

    def forward(self, inputs: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """What enters each layer (with a one for the bias), and the chances that leave the last."""
        entered = []
        for weight in self.weights:
            entered.append(np.column_stack([inputs, np.ones(len(inputs))]))
            inputs = 1 / (1 + np.exp(-entered[-1] @ weight))
        return entered, inputs

    def gradients(self, inputs: np.ndarray, admitted: np.ndarray) -> list[np.ndarray]:
        """Of the mean cross-entropy, by each layer's weights."""
        entered, chances = self.forward(inputs)
        slope = (chances - admitted) / len(chances)  # by what enters the last sigmoid
        found = []
        for weight, values in zip(reversed(self.weights), reversed(entered), strict=True):
            found.insert(0, values.T @ slope)
            slope = slope @ weight[:-1].T * values[:, :-1] * (1 - values[:, :-1])
        return found

    def step(self, inputs: np.ndarray, admitted: np.ndarray, rate: float) -> None:
        for weight, gradient in zip(self.weights, self.gradients(inputs, admitted), strict=True):
            weight -= rate * gradient

    def judge(self, inputs: np.ndarray, admitted: np.ndarray) -> tuple[float, float]:
        """Mean cross-entropy and accuracy."""
        chances = np.clip(self.forward(inputs)[1], 1e-9, 1 - 1e-9)
        loss = -np.mean(admitted * np.log(chances) + (1 - admitted) * np.log(1 - chances))
        return float(loss), float(np.mean((chances > 0.5) == (admitted > 0.5)))

    def save(self, folder: str | Path) -> None:
        np.savez(Path(folder) / "weights.npz", *self.weights)

    def restore(self, folder: Path) -> None:
        with np.load(folder / "weights.npz") as saved:
            self.weights = list(saved.values())
