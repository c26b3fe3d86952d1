"""What the three networks here have in common, and how a network is trained and checked."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

Weights = dict[str, np.ndarray]


class Network(Protocol):
    """A classifier whose weights and gradients can be seen."""

    weights: Weights

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        """One number for each input and class (count, classes); the largest is the answer."""

    def loss_and_gradients(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, Weights]:
        """The mean cross-entropy, and its derivative by each weight."""


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of -log softmax(scores)[label], and its derivative by the scores."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    slope = np.exp(logs)
    slope[rows, labels] -= 1
    return float(-logs[rows, labels].mean()), slope / len(labels)


def accuracy(network: Network, inputs: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(network.scores(inputs).argmax(axis=1) == labels))


def batches(count: int, size: int, seed: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Every row number once, in a random order, `size` at a time."""
    order = np.random.default_rng(seed).permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def descend(weights: Weights, gradients: Weights, speeds: Weights, rate: float, momentum: float, l2: float) -> None:
    """One step of stochastic gradient descent with momentum and weight decay, in place."""
    for name, gradient in gradients.items():
        speeds[name] = momentum * speeds[name] - rate * (gradient + l2 * weights[name])
        weights[name] += speeds[name]


def numeric_gradients(network: Network, inputs: np.ndarray, labels: np.ndarray, step: float = 1e-5) -> Weights:
    """The same derivatives as `loss_and_gradients`, from two losses a weight: slow, and free of calculus."""
    found = {}
    for name, weight in network.weights.items():
        found[name] = np.empty_like(weight)
        for place in np.ndindex(weight.shape):
            kept = weight[place]
            losses = []
            for moved in (kept - step, kept + step):
                weight[place] = moved
                losses.append(network.loss_and_gradients(inputs, labels)[0])
            weight[place] = kept
            found[name][place] = (losses[1] - losses[0]) / (2 * step)
    return found
