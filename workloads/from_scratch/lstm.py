"""A long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

The picture is read row by row; the state after the last row goes through one linear map. The four gates stand side by
side in the kernels in Keras' order: input, forget, candidate, output.
"""

from dataclasses import dataclass

import numpy as np

from .network import Weights, cross_entropy


@dataclass(frozen=True)
class Step:
    """What one step of the cell computed, kept for the way back."""

    inputs: np.ndarray
    hidden_before: np.ndarray
    memory_before: np.ndarray
    gates: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    memory: np.ndarray
    hidden: np.ndarray


def cell(inputs: np.ndarray, hidden: np.ndarray, memory: np.ndarray, weights: Weights) -> Step:
    """One step: inputs (count, features), hidden state and memory (count, units)."""
    linear = inputs @ weights["kernel"] + hidden @ weights["recurrent"] + weights["bias"]
    gate_in, forget, candidate, gate_out = np.split(linear, 4, axis=1)
    gates = (_sigmoid(gate_in), _sigmoid(forget), np.tanh(candidate), _sigmoid(gate_out))
    after = gates[1] * memory + gates[0] * gates[2]
    return Step(inputs, hidden, memory, gates, after, gates[3] * np.tanh(after))


def cell_back(
    step: Step, hidden_slope: np.ndarray, memory_slope: np.ndarray, weights: Weights, gradients: Weights
) -> tuple[np.ndarray, np.ndarray]:
    """From the slopes by a step's results to those by the state before it; adds to `gradients`."""
    gate_in, forget, candidate, gate_out = step.gates
    squashed = np.tanh(step.memory)
    memory_slope = memory_slope + hidden_slope * gate_out * (1 - squashed**2)
    linear_slope = np.concatenate(
        [
            memory_slope * candidate * gate_in * (1 - gate_in),
            memory_slope * step.memory_before * forget * (1 - forget),
            memory_slope * gate_in * (1 - candidate**2),
            hidden_slope * squashed * gate_out * (1 - gate_out),
        ],
        axis=1,
    )
    gradients["kernel"] += step.inputs.T @ linear_slope
    gradients["recurrent"] += step.hidden_before.T @ linear_slope
    gradients["bias"] += linear_slope.sum(axis=0)
    return linear_slope @ weights["recurrent"].T, memory_slope * forget


class Lstm:
    """Reads (count, steps, features); answers from the hidden state after the last step."""

    def __init__(self, features: int, units: int, classes: int, random: np.random.Generator) -> None:
        self.weights: Weights = {
            "kernel": random.normal(0, 1 / np.sqrt(features), (features, 4 * units)),
            "recurrent": random.normal(0, 1 / np.sqrt(units), (units, 4 * units)),
            # A forget gate that starts open remembers (Jozefowicz et al. 2015).
            "bias": np.repeat([0.0, 1.0, 0.0, 0.0], units),
            "out": random.normal(0, 1 / np.sqrt(units), (units, classes)),
            "out_bias": np.zeros(classes),
        }

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        return self.read(inputs)[-1].hidden @ self.weights["out"] + self.weights["out_bias"]

    def loss_and_gradients(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, Weights]:
        steps = self.read(inputs)
        loss, slope = cross_entropy(steps[-1].hidden @ self.weights["out"] + self.weights["out_bias"], labels)
        gradients = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        gradients["out"] += steps[-1].hidden.T @ slope
        gradients["out_bias"] += slope.sum(axis=0)
        hidden_slope, memory_slope = slope @ self.weights["out"].T, np.zeros_like(steps[-1].memory)
        for step in reversed(steps):
            hidden_slope, memory_slope = cell_back(step, hidden_slope, memory_slope, self.weights, gradients)
        return loss, gradients

    def read(self, inputs: np.ndarray) -> list[Step]:
        """The cell's steps over the sequence, from a state of zeros."""
        hidden = memory = np.zeros((len(inputs), len(self.weights["recurrent"])))
        steps = []
        for index in range(inputs.shape[1]):
            steps.append(cell(inputs[:, index], hidden, memory, self.weights))
            hidden, memory = steps[-1].hidden, steps[-1].memory
        return steps


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # does not overflow
