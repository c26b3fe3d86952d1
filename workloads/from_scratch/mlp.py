"""A multilayer perceptron: linear maps with rectifiers between them, taught by back-propagation."""

from itertools import pairwise

import numpy as np

from .network import Weights, cross_entropy


class Perceptron:
    """`sizes` are the numbers of inputs, of units in each hidden layer, and of classes."""

    def __init__(self, sizes: list[int], random: np.random.Generator) -> None:
        self.depth = len(sizes) - 1
        self.weights: Weights = {}
        for layer, (before, after) in enumerate(pairwise(sizes)):
            # He et al. (2015): rectifiers halve the variance, so it starts doubled.
            self.weights[f"kernel{layer}"] = random.normal(0, np.sqrt(2 / before), (before, after))
            self.weights[f"bias{layer}"] = np.zeros(after)

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        return self._forward(inputs)[-1]

    def loss_and_gradients(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, Weights]:
        values = self._forward(inputs)
        loss, slope = cross_entropy(values[-1], labels)
        gradients = {}
        for layer in reversed(range(self.depth)):
            gradients[f"kernel{layer}"] = values[layer].T @ slope
            gradients[f"bias{layer}"] = slope.sum(axis=0)
            # A rectifier passes the slope on where it passed the value on.
            slope = slope @ self.weights[f"kernel{layer}"].T * (values[layer] > 0)
        return loss, gradients

    def _forward(self, inputs: np.ndarray) -> list[np.ndarray]:
        """What enters each layer, and last the scores."""
        values = [inputs]
        for layer in range(self.depth):
            linear = values[-1] @ self.weights[f"kernel{layer}"] + self.weights[f"bias{layer}"]
            values.append(linear if layer == self.depth - 1 else np.maximum(linear, 0))
        return values
