"""A model of language: an LSTM learns which word comes next, and then writes sentences of its own."""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from trial import BadInput, Checkpoint, hash_arrays, report, run_program, settings_of, training_parser, write_card
from trial.keras_training import PACKAGES, keras, prepare, restore_state, save_state

from . import language


def arguments() -> argparse.Namespace:
    parser = training_parser(__doc__, epochs=10)
    parser.add_argument("--lr", type=float, default=0.005, help="learning rate of Adam")
    parser.add_argument("--units", type=int, default=128, help="units of the LSTM")
    parser.add_argument("--size", type=int, default=64, help="numbers in a word's vector")
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--words", type=int, default=3_000, help="most words that are told apart")
    parser.add_argument("--length", type=int, default=25, help="words of a sentence that are read")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--heat", type=float, default=0.7, help="below 1 writes likelier words, above 1 bolder ones")
    parser.add_argument("--sentences", type=int, default=20, help="sentences to write")
    parser.add_argument("--data", help="a text file; else the documentation of SciPy")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs, chosen.words, chosen.length = min(chosen.epochs, 2), 300, 10
        chosen.units, chosen.size, chosen.batch = 16, 16, 128
    if min(chosen.lr, chosen.units, chosen.size, chosen.batch, chosen.heat) <= 0 or chosen.words < 10:
        raise BadInput("--lr, --units, --size, --batch and --heat must be above 0, --words at least 10")
    if min(chosen.length, chosen.sentences) < 1 or not 0 <= chosen.dropout < 1:
        raise BadInput("--length and --sentences must be at least 1, --dropout from 0 to below 1")
    return chosen


def main() -> None:
    chosen = arguments()
    prepare(chosen.seed, chosen.threads)
    sentences = language.read_sentences(chosen.data)
    dictionary = language.Dictionary(sentences["train"], chosen.words)
    train, validation, test = (
        dictionary.rows(sentences[name], chosen.length) for name in ("train", "validation", "test")
    )
    model = language.build(chosen.size, chosen.units, chosen.dropout, len(dictionary))
    model.compile(keras.optimizers.Adam(chosen.lr), language.next_word_loss)
    data = hash_arrays(train, validation, test)
    checkpoint = Checkpoint(chosen.checkpoint, settings_of(chosen) | {"data_sha256": data}, chosen.epochs)
    for epoch in range(checkpoint.resume(partial(restore_state, model)), chosen.epochs):
        order = np.random.default_rng((chosen.seed, epoch)).permutation(len(train))
        rows = train[order[: len(order) // chosen.batch * chosen.batch or None]]
        fitted = model.fit(rows[:, :-1], rows[:, 1:], batch_size=chosen.batch, shuffle=False, verbose=0)
        report(step=epoch + 1, loss=fitted.history["loss"][0], val_perplexity=language.perplexity(model, validation))
        checkpoint.save(epoch + 1, partial(save_state, model))

    metrics = {
        "val_perplexity": language.perplexity(model, validation),
        "test_perplexity": language.perplexity(model, test),
        "test_perplexity_unigram": language.unigram_perplexity(train, test, len(dictionary)),
    }
    report(test_perplexity=metrics["test_perplexity"], test_perplexity_unigram=metrics["test_perplexity_unigram"])
    write_card(
        "model",
        data=data,
        settings=settings_of(chosen),
        metrics=metrics,
        packages=PACKAGES,
        epochs=chosen.epochs,
    )
    model.save("model/model.keras")
    Path("model/words.json").write_text(json.dumps(dictionary.words))
    written = language.write(model, dictionary, chosen.sentences, chosen.length, chosen.heat, chosen.seed)
    Path("sentences.txt").write_text("\n".join(written) + "\n")
    print(*written[:5], sep="\n")


if __name__ == "__main__":
    run_program(main)
