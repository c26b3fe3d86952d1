"""Trains a model for a few steps, so that the image is known to work."""

import flax
import jax
import jax.numpy as jnp

features = jax.random.normal(jax.random.key(0), (256, 8))
labels = (features.sum(axis=1) > 0).astype(jnp.float32)


def loss(weights: jax.Array) -> jax.Array:
    return jnp.mean(jnp.logaddexp(0.0, -(2 * labels - 1) * (features @ weights)))


weights = jnp.zeros(8)
step = jax.jit(lambda weights: weights - jax.grad(loss)(weights))
for _ in range(50):
    weights = step(weights)
accuracy = float(jnp.mean((features @ weights > 0) == (labels > 0)))
assert accuracy > 0.9, accuracy
print(f"JAX {jax.__version__} with Flax {flax.__version__} works: {accuracy:.3f} on {jax.default_backend()}")
