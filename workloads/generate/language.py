"""Sentences as rows of word numbers, the model of the next word, and writing with it."""

import re
from collections import Counter
from pathlib import Path

import keras
import numpy as np
from keras import layers
from text.data import load
from trial import BadInput

# The row's own words come after these four.
PADDING, UNKNOWN, START, END = 0, 1, 2, 3
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|[0-9]+(?:\.[0-9]+)?|[.,;:!?()]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def read_sentences(path: str | None) -> dict[str, list[list[str]]]:
    """Training, validation and test sentences as lists of words: of a text file, or of the built-in corpus.

    A text file is cut in the order of its sentences: 80 % train, 10 % choose, 10 % judge.
    """
    if path is None:
        corpus = load("scipy", None)
        parts = {name: getattr(corpus, name).texts for name in ("train", "validation", "test")}
        return {name: [words(text) for text in texts] for name, texts in parts.items()}
    if not Path(path).is_file():
        raise BadInput(f"{path}: there is no such file")
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    found = [words(sentence) for sentence in _SENTENCE_END.split(text)]
    found = [sentence for sentence in found if len(sentence) >= 3]
    if len(found) < 50:
        raise BadInput(f"{path}: only {len(found)} sentences; at least 50 are needed")
    first, second = len(found) * 8 // 10, len(found) * 9 // 10
    return {"train": found[:first], "validation": found[first:second], "test": found[second:]}


def words(sentence: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(sentence)]


class Dictionary:
    """The training sentences' commonest words, by number."""

    def __init__(self, sentences: list[list[str]], most: int) -> None:
        counts = Counter(word for sentence in sentences for word in sentence)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))[: most - 4]
        self.words = ["", "?", "<", ">", *ranked]
        self.numbers = {word: number for number, word in enumerate(self.words) if number > END}

    def __len__(self) -> int:
        return len(self.words)

    def rows(self, sentences: list[list[str]], length: int) -> np.ndarray:
        """A sentence a row: START, its first words, END, padding; `length` + 1 numbers, for `length` predictions."""
        rows = np.full((len(sentences), length + 1), PADDING, np.int32)
        for row, sentence in zip(rows, sentences, strict=True):
            numbers = [START, *(self.numbers.get(word, UNKNOWN) for word in sentence), END][: length + 1]
            row[: len(numbers)] = numbers
        return rows


def build(size: int, units: int, dropout: float, vocabulary: int) -> keras.Model:
    """For each place of a row, a score for each word that may come next."""
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(vocabulary, size),
            layers.Dropout(dropout),
            layers.LSTM(units, return_sequences=True),
            layers.Dropout(dropout),
            layers.Dense(vocabulary),
        ]
    )


def next_word_loss(truth, scores):
    """Mean cross-entropy a word in nats; padding does not count."""
    losses = keras.losses.sparse_categorical_crossentropy(truth, scores, from_logits=True)
    counted = keras.ops.cast(keras.ops.not_equal(truth, PADDING), losses.dtype)
    return keras.ops.sum(losses * counted) / keras.ops.maximum(keras.ops.sum(counted), 1.0)


def perplexity(model: keras.Model, rows: np.ndarray, batch: int = 128) -> float:
    """How many equally likely words the model wavers between, on average, at each word."""
    total = count = 0.0
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        counted = int((part[:, 1:] != PADDING).sum())
        total += float(next_word_loss(part[:, 1:], model(part[:, :-1], training=False))) * counted
        count += counted
    return float(np.exp(total / count))


def unigram_perplexity(train: np.ndarray, rows: np.ndarray, vocabulary: int) -> float:
    """The same for a model that knows only how common each word is (each counted once more than seen)."""
    counts = np.bincount(train[:, 1:].ravel(), minlength=vocabulary).astype(float) + 1
    counts[PADDING] = 0
    logs = np.log(np.maximum(counts, 1) / counts.sum())
    following = rows[:, 1:].ravel()
    return float(np.exp(-logs[following[following != PADDING]].mean()))


def write(model: keras.Model, dictionary: Dictionary, count: int, length: int, heat: float, seed: int) -> list[str]:
    """`count` sentences drawn word by word; a lower `heat` keeps closer to the likeliest words."""
    random = np.random.default_rng(seed)
    rows = np.full((count, length + 1), PADDING, np.int32)
    rows[:, 0] = START
    for place in range(length):
        # Always the same shape, so that the model is compiled once; what comes later cannot change what came before.
        scores = keras.ops.convert_to_numpy(model(rows[:, :length], training=False))[:, place] / heat
        scores[:, [PADDING, UNKNOWN, START]] = -np.inf
        noise = random.gumbel(size=scores.shape)  # the largest sum of score and such noise is a draw by softmax
        ended = (rows[:, : place + 1] == END).any(axis=1)
        rows[:, place + 1] = np.where(ended, PADDING, (scores + noise).argmax(axis=1))
    return [spell(dictionary.words[number] for number in row if number > END) for row in rows]


def spell(chosen) -> str:
    """Words put together as a sentence: no space before a mark, a capital first."""
    text = re.sub(r"\s+([.,;:!?)])", r"\1", " ".join(chosen)).replace("( ", "(")
    return text[:1].upper() + text[1:]
