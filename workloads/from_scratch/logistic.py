"""Multinomial logistic regression: one linear map and a softmax."""

import numpy as np

from .network import Weights, cross_entropy


class Logistic:
    def __init__(self, inputs: int, classes: int, random: np.random.Generator) -> None:
        self.weights: Weights = {"kernel": random.normal(0, 0.01, (inputs, classes)), "bias": np.zeros(classes)}

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        return inputs @ self.weights["kernel"] + self.weights["bias"]

    def loss_and_gradients(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, Weights]:
        loss, slope = cross_entropy(self.scores(inputs), labels)
        return loss, {"kernel": inputs.T @ slope, "bias": slope.sum(axis=0)}
