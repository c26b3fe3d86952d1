"""Trains a model for a few steps, so that the image is known to work."""

import keras
import numpy as np
import tensorflow as tf

chance = np.random.default_rng(0)
features = chance.normal(size=(256, 8)).astype("float32")
labels = (features.sum(axis=1) > 0).astype("float32")
model = keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid")])
model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
model.fit(features, labels, epochs=8, verbose=0)
accuracy = model.evaluate(features, labels, verbose=0)[1]
assert accuracy > 0.9, accuracy
gpus = len(tf.config.list_physical_devices("GPU"))
print(f"TensorFlow {tf.__version__} with Keras {keras.__version__} works: {accuracy:.3f}, {gpus} GPUs")
