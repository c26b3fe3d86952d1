"""Computes a gradient, so that the image is known to work."""

import mxnet as mx
from mxnet import autograd, nd

weights = nd.array([1.0, 2.0, 3.0])
weights.attach_grad()
with autograd.record():
    loss = (weights * weights).sum()
loss.backward()
assert weights.grad.asnumpy().tolist() == [2.0, 4.0, 6.0], weights.grad
print(f"MXNet {mx.__version__} works: {mx.context.num_gpus()} GPUs")
