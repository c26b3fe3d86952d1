"""Classify texts: topics of newswire or documentation, sentiment of reviews, by one of five models."""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from trial import BadInput, Checkpoint, hash_arrays, report, run_program, settings_of, training_parser, write_card
from trial.keras_training import PACKAGES, keras, prepare, restore_state, save_state

from .data import KINDS, Texts, load
from .models import MODELS, Shape, build
from .words import Vocabulary, add_pairs, read_vectors

PAIRS = 20_000  # buckets for pairs of words


def arguments() -> argparse.Namespace:
    parser = training_parser(__doc__, epochs=10)
    parser.add_argument("--model", choices=list(MODELS), default="averaging")
    parser.add_argument("--corpus", choices=KINDS, default="scipy")
    parser.add_argument("--data", help="the corpus' archive, folder or file")
    parser.add_argument("--glove", metavar="FILE", help="word vectors to begin with (not for bag-of-words)")
    parser.add_argument("--lr", type=float, default=0.005, help="learning rate of Adam")
    parser.add_argument("--words", type=int, default=10_000, help="most words that are told apart")
    parser.add_argument("--length", type=int, default=40, help="words of a text that are read")
    parser.add_argument("--size", type=int, default=50, help="numbers in a word's vector")
    parser.add_argument("--width", type=int, default=64, help="filters or LSTM units")
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--batch", type=int, default=64)
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs, chosen.length = min(chosen.epochs, 2), min(chosen.length, 20)
    if min(chosen.lr, chosen.size, chosen.width, chosen.batch) <= 0 or chosen.length < 2 or chosen.words < 3:
        raise BadInput("--lr, --size, --width and --batch must be above 0, --length at least 2, --words at least 3")
    if not 0 <= chosen.dropout < 1:
        raise BadInput("--dropout must be from 0 to below 1")
    return chosen


def main() -> None:
    chosen = arguments()
    prepare(chosen.seed, chosen.threads)
    corpus = load(chosen.corpus, chosen.data)
    vocabulary = Vocabulary(corpus.train.texts, chosen.words)

    def prepared(part: Texts) -> tuple[np.ndarray, np.ndarray]:
        rows = vocabulary.rows(part.texts, chosen.length)
        return add_pairs(rows, len(vocabulary), PAIRS) if chosen.model == "averaging" else rows, part.labels

    train, validation, test = map(prepared, (corpus.train, corpus.validation, corpus.test))
    print(f"{len(train[1])} texts train, {len(validation[1])} choose, {len(test[1])} judge; {len(vocabulary)} words")
    model = compiled(chosen, vocabulary, train[0].shape[1], len(corpus.classes))
    data = hash_arrays(*train, *validation, *test)
    checkpoint = Checkpoint(chosen.checkpoint, settings_of(chosen) | {"data_sha256": data}, chosen.epochs)
    for epoch in range(checkpoint.resume(partial(restore_state, model)), chosen.epochs):
        order = np.random.default_rng((chosen.seed, epoch)).permutation(len(train[1]))
        fitted = model.fit(train[0][order], train[1][order], batch_size=chosen.batch, shuffle=False, verbose=0).history
        val_loss, val_accuracy = model.evaluate(*validation, batch_size=256, verbose=0)
        report(step=epoch + 1, loss=fitted["loss"][0], val_loss=val_loss, val_accuracy=val_accuracy)
        checkpoint.save(epoch + 1, partial(save_state, model))

    metrics = {
        "val_accuracy": model.evaluate(*validation, batch_size=256, verbose=0)[1],
        "test_accuracy": model.evaluate(*test, batch_size=256, verbose=0)[1],
    }
    commonest = np.bincount(train[1]).argmax()
    report(test_accuracy=metrics["test_accuracy"], test_accuracy_of_commonest=np.mean(test[1] == commonest))
    write_card(
        "model",
        data=data,
        settings=settings_of(chosen),
        metrics=metrics,
        packages=PACKAGES,
        epochs=chosen.epochs,
        classes=corpus.classes,
    )
    model.save("model/model.keras")
    Path("model/words.json").write_text(json.dumps(vocabulary.words))


def compiled(chosen: argparse.Namespace, vocabulary: Vocabulary, length: int, classes: int) -> keras.Model:
    vectors = None
    if chosen.glove is not None:
        vectors = read_vectors(chosen.glove, vocabulary, np.random.default_rng(chosen.seed))
    words = len(vocabulary)
    if chosen.model == "averaging":
        words += PAIRS
        if vectors is not None:
            vectors = np.concatenate([vectors, np.zeros((PAIRS, vectors.shape[1]), np.float32)])
    model = build(chosen.model, length, Shape(words, classes, chosen.size, chosen.width, chosen.dropout, vectors))
    model.compile(
        keras.optimizers.Adam(chosen.lr),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


if __name__ == "__main__":
    run_program(main)
