"""The one CNN that every framework here trains: the same shapes, and the same numbers to begin with.

Two convolutions of 5x5 with 20 and 50 filters (zero-padded, rectified, each followed by 2x2 pooling), 500 rectified
units, ten scores. It is LeNet as Caffe shipped it, but for the padding, which lets it read 8x8 as well as 28x28.
"""

import numpy as np

from .data import CLASSES

FILTERS = (20, 50)
KERNEL = 5
HIDDEN = 500

Weights = dict[str, np.ndarray]


def channels_first(side: int, seed: int) -> Weights:
    """Initial weights for pictures (channel, row, column): kernels (out, in, 5, 5), dense layers (in, out)."""
    random = np.random.default_rng(seed)
    flat = FILTERS[1] * (side // 4) ** 2
    weights: Weights = {}
    for name, fan_in, shape in (
        ("conv1", KERNEL**2, (FILTERS[0], 1, KERNEL, KERNEL)),
        ("conv2", FILTERS[0] * KERNEL**2, (FILTERS[1], FILTERS[0], KERNEL, KERNEL)),
        ("dense1", flat, (flat, HIDDEN)),
        ("dense2", HIDDEN, (HIDDEN, CLASSES)),
    ):
        weights[f"{name}.kernel"] = random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(shape[-1] if name.startswith("dense") else shape[0], np.float32)
    return weights


def channels_last(side: int, seed: int) -> Weights:
    """The same network for pictures (row, column, channel): kernels (5, 5, in, out)."""
    weights = channels_first(side, seed)
    for name in ("conv1.kernel", "conv2.kernel"):
        weights[name] = weights[name].transpose(2, 3, 1, 0)
    # The first dense layer reads the pooled pictures in the order of their axes.
    dense = weights["dense1.kernel"].reshape(FILTERS[1], side // 4, side // 4, HIDDEN)
    weights["dense1.kernel"] = dense.transpose(1, 2, 0, 3).reshape(-1, HIDDEN)
    return {name: np.ascontiguousarray(weight) for name, weight in weights.items()}
