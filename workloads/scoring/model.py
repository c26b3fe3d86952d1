"""A model that `from_scratch` saved, read back for scoring."""

import json
from pathlib import Path

import numpy as np
from from_scratch.logistic import Logistic
from from_scratch.lstm import Lstm
from from_scratch.mlp import Perceptron
from from_scratch.network import Network
from trial import BadInput
from trial.arrays import read_npz


def load_model(folder: Path) -> tuple[Network, str]:
    """The network in a model folder, and its kind: logistic, mlp or lstm."""
    try:
        kind = json.loads((folder / "model.json").read_text())["settings"]["model"]
        return _network(kind, read_npz(folder / "weights.npz")), kind
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BadInput(f"{folder}: no model of from_scratch that can be read ({error!r})") from error


def _network(kind: str, weights: dict[str, np.ndarray]) -> Network:
    random = np.random.default_rng(0)  # what it draws is replaced at once
    network: Network
    if kind == "logistic":
        network = Logistic(*weights["kernel"].shape, random)
    elif kind == "mlp":
        kernels = [weights[f"kernel{layer}"] for layer in range(len(weights) // 2)]
        network = Perceptron([kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)], random)
    elif kind == "lstm":
        network = Lstm(weights["kernel"].shape[0], len(weights["recurrent"]), len(weights["out_bias"]), random)
    else:
        raise ValueError(f"model {kind!r}")
    if {name: weight.shape for name, weight in network.weights.items()} != {n: w.shape for n, w in weights.items()}:
        raise ValueError("the weights do not fit together")
    network.weights = weights
    return network


def probabilities(network: Network, kind: str, pictures: np.ndarray) -> np.ndarray:
    """Softmax over the classes for rows of grey values from 0 to 16 (scikit-learn's digits)."""
    inputs = pictures / 16 - 0.5
    if kind == "lstm":
        side = round(pictures.shape[1] ** 0.5)
        inputs = inputs.reshape(-1, side, side)
    scores = network.scores(inputs)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
