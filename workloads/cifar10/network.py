"""The VGG-like network that both frameworks train, and the numbers it begins with.

Three blocks of two 3x3 convolutions (zero-padded, rectified) and a 2x2 pooling, with `width`, 2 `width` and 4 `width`
filters, then one hidden layer of 8 `width` units. There is no batch normalisation, so that a step on a batch is the
same step however the batch is divided over processes.
"""

import numpy as np

from .data import CLASSES, SIDE

BLOCKS = 3


def filters(width: int) -> list[int]:
    """The number of filters of each convolution, in order."""
    return [width * 2**block for block in range(BLOCKS) for _ in range(2)]


def weights(width: int, seed: int) -> dict[str, np.ndarray]:
    """Kernels (row, column, in, out), dense matrices (in, out) that read rows, columns, channels; and biases."""
    random = np.random.default_rng(seed)
    shapes = {}
    before = 3
    for number, after in enumerate(filters(width), start=1):
        shapes[f"conv{number}"] = (3, 3, before, after)
        before = after
    shapes["dense1"] = ((SIDE // 2**BLOCKS) ** 2 * before, 8 * width)
    shapes["dense2"] = (8 * width, CLASSES)
    made = {}
    for name, shape in shapes.items():
        # He et al. (2015): the deviation that keeps the size of what passes through rectifiers.
        deviation = np.sqrt(2 / np.prod(shape[:-1]))
        made[f"{name}.kernel"] = random.normal(0, deviation, shape).astype(np.float32)
        made[f"{name}.bias"] = np.zeros(shape[-1], np.float32)
    return made
