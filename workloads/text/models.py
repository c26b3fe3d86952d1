"""Five classifiers of rows of word numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers


@dataclass(frozen=True)
class Shape:
    """What a model is built for and how large: `vectors` are ready word vectors, or None to learn them."""

    words: int
    classes: int
    size: int
    width: int
    dropout: float
    vectors: np.ndarray | None = None


def bag_of_words(shape: Shape) -> list[layers.Layer]:
    """Multinomial logistic regression on the words' frequencies: each word has a score for each class."""
    scores = layers.Embedding(shape.words, shape.classes, mask_zero=True, embeddings_initializer="zeros")
    return [scores, layers.GlobalAveragePooling1D()]


def averaging(shape: Shape) -> list[layers.Layer]:
    """The average of vectors of words and word pairs, then one linear map (fastText, Joulin et al. 2016)."""
    return [
        _embedding(shape, masked=True),
        layers.GlobalAveragePooling1D(),
        layers.Dropout(shape.dropout),
        layers.Dense(shape.classes),
    ]


def cnn(shape: Shape) -> list[layers.Layer]:
    """Filters over five neighbouring words, each keeping its strongest answer (Kim 2014, with one filter size)."""
    return [
        _embedding(shape),
        layers.Dropout(shape.dropout),
        layers.Conv1D(shape.width, 5, padding="same", activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(shape.dropout),
        layers.Dense(shape.classes),
    ]


def lstm(shape: Shape) -> list[layers.Layer]:
    """The state of an LSTM after the last word."""
    return [
        _embedding(shape, masked=True),
        layers.LSTM(shape.width),
        layers.Dropout(shape.dropout),
        layers.Dense(shape.classes),
    ]


def bidirectional(shape: Shape) -> list[layers.Layer]:
    """Two LSTMs, one from either end."""
    return [
        _embedding(shape, masked=True),
        layers.Bidirectional(layers.LSTM(shape.width)),
        layers.Dropout(shape.dropout),
        layers.Dense(shape.classes),
    ]


MODELS: dict[str, Callable[[Shape], list[layers.Layer]]] = {
    "bag-of-words": bag_of_words,
    "averaging": averaging,
    "cnn": cnn,
    "lstm": lstm,
    "bidirectional": bidirectional,
}


def build(name: str, length: int, shape: Shape) -> keras.Model:
    return keras.Sequential([keras.Input((length,), dtype="int32"), *MODELS[name](shape)])


def _embedding(shape: Shape, *, masked: bool = False) -> layers.Embedding:
    if shape.vectors is None:
        return layers.Embedding(shape.words, shape.size, mask_zero=masked)
    start = keras.initializers.Constant(shape.vectors)
    return layers.Embedding(shape.words, shape.vectors.shape[1], embeddings_initializer=start, mask_zero=masked)
