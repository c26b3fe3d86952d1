"""Words and numbers: how a text becomes a row of word numbers, and where word vectors come from."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from trial import BadInput

PADDING, UNKNOWN = 0, 1
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[!?]")


def tokenize(text: str) -> list[str]:
    """Lower-case words, numbers, and the marks ! and ?."""
    return _WORD.findall(text.lower())


class Vocabulary:
    """The commonest words of the training texts, numbered from 2 on; 0 pads, 1 is any other word."""

    def __init__(self, texts: Iterable[str], most: int, at_least: int = 2) -> None:
        counts = Counter(word for text in texts for word in tokenize(text))
        # Equally common words in the order of the alphabet: the same numbers on every machine.
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        self.words = ["", "?", *(word for word, count in ranked[: most - 2] if count >= at_least)]
        self.numbers = {word: number for number, word in enumerate(self.words) if number > UNKNOWN}

    def __len__(self) -> int:
        return len(self.words)

    def rows(self, texts: Iterable[str], length: int) -> np.ndarray:
        """One row a text: its first `length` words' numbers, then padding."""
        rows = [[self.numbers.get(word, UNKNOWN) for word in tokenize(text)[:length]] for text in texts]
        return np.array([row + [PADDING] * (length - len(row)) for row in rows], np.int32).reshape(-1, length)


def add_pairs(rows: np.ndarray, words: int, buckets: int) -> np.ndarray:
    """Append the numbers of neighbouring words' pairs, hashed into `buckets` (Joulin et al. 2016)."""
    first, second = rows[:, :-1].astype(np.int64), rows[:, 1:].astype(np.int64)
    pairs = words + (first * 1_000_003 + second * 8_191) % buckets
    return np.concatenate([rows, np.where(second == PADDING, PADDING, pairs).astype(np.int32)], axis=1)


def read_vectors(path: str, vocabulary: Vocabulary, random: np.random.Generator) -> np.ndarray:
    """Word vectors from a file in GloVe's text form (a word, then numbers); small random ones for words not there."""
    if not Path(path).is_file():
        raise BadInput(f"{path}: there is no such file")
    found: dict[int, np.ndarray] = {}
    size = None
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        for line_number, line in enumerate(file, start=1):
            # Some words of the public files have spaces in them ("at name@domain.com"): the numbers come last.
            word, *values = line.rstrip().rsplit(" ", size) if size else line.rstrip().split(" ")
            size = size or len(values)
            if word not in vocabulary.numbers:
                continue
            try:
                found[vocabulary.numbers[word]] = np.array(values, np.float32)
            except ValueError:
                raise BadInput(f"{path}:{line_number}: a word and {size} numbers were expected") from None
            if len(values) != size:
                raise BadInput(f"{path}:{line_number}: {len(values)} numbers, but {size} in the lines before")
    if not size or not found:
        raise BadInput(f"{path}: holds no vector of a word of the corpus")
    vectors = random.normal(0, 0.1, (len(vocabulary), size)).astype(np.float32)
    for number, vector in found.items():
        vectors[number] = vector
    vectors[PADDING] = 0
    return vectors
