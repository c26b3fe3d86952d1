"""Who is admitted? Logistic regression on (GRE, GPA, rank), or with `--hidden` a layer of sigmoid units before it."""

from itertools import pairwise

import numpy as np
from trial import Checkpoint, hash_arrays, report, run_program, settings_of, training_parser, write_card

from . import applicants


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def main():
    parser = training_parser(__doc__, epochs=200, threads=False)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--hidden", type=int, default=0, help="hidden units; 0 is plain logistic regression")
    parser.add_argument("--data", help="CSV with admit, gre, gpa, rank; else applicants drawn by published odds")
    chosen = parser.parse_args()
    epochs = min(chosen.epochs, 20) if chosen.smoke else chosen.epochs
    people, admitted = applicants.read(chosen.data) if chosen.data else applicants.draw(2_000, seed=0)
    x, y = applicants.features(people), admitted[:, None]
    part = np.random.default_rng(0).permutation(len(x)) * 10 // len(x)  # 0-5 train, 6-7 validation, 8-9 test
    train, validation, test = part < 6, (part >= 6) & (part < 8), part >= 8

    random = np.random.default_rng(chosen.seed)
    sizes = [x.shape[1], chosen.hidden, 1] if chosen.hidden else [x.shape[1], 1]
    weights = [random.normal(0, 1 / np.sqrt(n), (n + 1, m)) for n, m in pairwise(sizes)]
    checkpoint = Checkpoint(chosen.checkpoint, settings_of(chosen) | {"data_sha256": hash_arrays(x, y)})

    def forward(inputs):  # what enters each layer (with a one for the bias), and what leaves the last
        entered = []
        for weight in weights:
            entered.append(np.column_stack([inputs, np.ones(len(inputs))]))
            inputs = sigmoid(entered[-1] @ weight)
        return entered, inputs

    def judge(rows):
        p, target = np.clip(forward(x[rows])[1], 1e-9, 1 - 1e-9), y[rows]
        return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)), np.mean((p > 0.5) == (target > 0.5))

    def restore(folder):
        weights[:] = np.load(folder / "weights.npz").values()

    for epoch in range(checkpoint.resume(restore), epochs):
        entered, p = forward(x[train])
        error = (p - y[train]) / len(p)  # the gradient of the mean cross-entropy before the last sigmoid
        for layer in reversed(range(len(weights))):
            gradient = entered[layer].T @ error
            inner = entered[layer][:, :-1]
            error = error @ weights[layer][:-1].T * inner * (1 - inner)
            weights[layer] -= chosen.lr * gradient
        loss, accuracy = judge(validation)
        report(step=epoch + 1, loss=judge(train)[0], val_loss=loss, val_accuracy=accuracy)
        checkpoint.save(epoch + 1, lambda folder: np.savez(folder / "weights.npz", *weights))

    metrics = {"val_loss": judge(validation)[0], "val_accuracy": judge(validation)[1], "test_accuracy": judge(test)[1]}
    # Whoever says no to everybody is right this often, too.
    report(test_accuracy=metrics["test_accuracy"], test_accuracy_of_no=1 - y[test].mean())
    settings = settings_of(chosen)
    write_card("model", data=hash_arrays(x, y), settings=settings, metrics=metrics, packages=["numpy"], epochs=epochs)
    np.savez("model/weights.npz", *weights)


if __name__ == "__main__":
    run_program(main)
