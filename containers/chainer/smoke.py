"""Computes a gradient, so that the image is known to work."""

import chainer
import numpy as np

weights = chainer.Variable(np.array([1.0, 2.0, 3.0], dtype=np.float32))
loss = chainer.functions.sum(weights * weights)
loss.backward()
assert weights.grad.tolist() == [2.0, 4.0, 6.0], weights.grad
print(f"Chainer {chainer.__version__} works")
