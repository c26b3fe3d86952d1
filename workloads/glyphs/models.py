"""The three classifiers, each a function of (width, dropout, l2)."""

from collections.abc import Callable

import keras
from keras import layers

from .fonts import LETTERS, SIZE


def logistic(width: int, dropout: float, l2: float) -> keras.Model:
    """Multinomial logistic regression on the pixels; `width` and `dropout` have no meaning here."""
    return keras.Sequential([keras.Input((SIZE, SIZE)), layers.Flatten(), _output(l2)])


def mlp(width: int, dropout: float, l2: float) -> keras.Model:
    """Two hidden layers of `width` rectified units, each followed by dropout."""
    hidden = [layer for _ in range(2) for layer in (_dense(width, l2), layers.Dropout(dropout))]
    return keras.Sequential([keras.Input((SIZE, SIZE)), layers.Flatten(), *hidden, _output(l2)])


def cnn(width: int, dropout: float, l2: float) -> keras.Model:
    """Two convolutions of 5x5 with pooling, `width` and twice as many filters, then one hidden layer."""
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE)),
            layers.Reshape((SIZE, SIZE, 1)),
            layers.Conv2D(width, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * width, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(dropout),
            _dense(4 * width, l2),
            layers.Dropout(dropout),
            _output(l2),
        ]
    )


def _dense(units: int, l2: float) -> layers.Layer:
    return layers.Dense(units, activation="relu", kernel_initializer="he_normal", kernel_regularizer=_penalty(l2))


def _output(l2: float) -> layers.Layer:
    return layers.Dense(len(LETTERS), activation="softmax", kernel_regularizer=_penalty(l2))


def _penalty(l2: float) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(l2) if l2 else None


MODELS: dict[str, Callable[[int, float, float], keras.Model]] = {"logistic": logistic, "mlp": mlp, "cnn": cnn}
